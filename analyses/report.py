"""The report: what was kept, dropped and learned, in words, figures and a table, as one HTML file."""

import base64
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from harsanyi.analyses.amounts import Amount, total
from harsanyi.analyses.figures import SHARE_COLOURS, orders_of
from harsanyi.analyses.knowledge import KnowledgeChange
from harsanyi.analyses.tables import write_table
from harsanyi.analyses.words import listed, percent, with_interval

REPORT, FIGURES = "report.html", "figures"
# Twice what a screen shows, so that figures stay sharp when enlarged or printed.
DPI = 192
PAGES = Environment(
    loader=PackageLoader("analyses", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def publish(
    out: Path, results: Mapping[str, pd.DataFrame], *, figures: Mapping[str, Figure], **page: Any
) -> Path:
    """Write what a study found into its folder, made if need be: tables, figures and the page with them.

    Args:
        results: the tables whole, by the names of their files, as `write_table` writes them.
        figures: caption → figure, for `write_figures` and the page.
        page: the rest of `write_report`.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, table in results.items():
        write_table(table, out / name)
    write_figures(figures, out)
    return write_report(out / REPORT, figures=figures, **page)


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Sequence[str],
    facts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Figure],
    notes: Sequence[str] = (),
) -> Path:
    """Write a page that needs no other file: open it in a browser, print it, send it.

    Every text is escaped; figures are inline PNG pictures, their captions also their alternative texts.

    Args:
        summary: sentences, those of `describe` first.
        facts: what was computed and how: inputs, players, score, baseline, method, salience.
        tables: of text, by heading; the index is the first column.
        figures: caption → figure.
        notes: limits a reader should know.

    Returns:
        The path written. An OSError where it cannot be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(Path(folder) / "report.html", title="a <b>", summary=["Much is new."],
    ...                         facts={}, tables={}, figures={})
    ...     "<h1>a &lt;b&gt;</h1>" in path.read_text(encoding="utf-8")
    True
    """
    page = PAGES.get_template("report.html.jinja").render(
        title=title,
        summary=list(summary),
        facts=dict(facts),
        tables=dict(tables),
        figures={caption: _png(figure) for caption, figure in figures.items()},
        notes=list(notes),
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def write_figures(figures: Mapping[str, Figure], out: Path) -> None:
    """Write figures into `out`/figures, numbered, each called as its caption begins; those of before go."""
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    for old in (out / FIGURES).glob("[0-9]*-*.png"):
        old.unlink()
    for number, (caption, figure) in enumerate(figures.items()):
        figure.savefig(out / FIGURES / figure_name(number, caption), dpi=200)


def figure_name(number: int, caption: str) -> str:
    """The file of a figure: its number and what stands before the colon of its caption.

    >>> figure_name(0, "Kept, dropped, learned: a shoe")
    '1-kept-dropped-learned.png'
    """
    name = caption.split(":")[0].lower().replace(" ", "-").replace(",", "")
    return f"{number + 1}-{name}.png"


def shares_by_order(table: pd.DataFrame) -> pd.DataFrame:
    """The shares of a table of knowledge change as text, orders down, quantities across.

    >>> row = dict(quantity="new_share", kind="both", sign="both", order="all", value=0.4, low=0.25, high=0.5)
    >>> shares_by_order(pd.DataFrame([row])).loc["all", "new, of after"]
    '0.40 [0.25, 0.50]'
    """
    both = table[(table.kind == "both") & (table.sign == "both")]
    columns = {}
    for quantity, (name, _) in SHARE_COLOURS.items():
        rows = both[both.quantity == quantity].set_index("order")
        if len(rows):
            columns[name] = [with_interval(rows.loc[order], "{:.2f}".format) for order in orders_of(both)]
    return pd.DataFrame(columns, index=pd.Index(orders_of(both), name="order"))


def describe(
    change: KnowledgeChange, table: pd.DataFrame, *, before: str = "pretrained", after: str = "fine-tuned"
) -> list[str]:
    """The change in plain sentences, with the intervals of its `table()`.

    Args:
        before, after: what the two networks are called, in front of "network".

    >>> import torch
    >>> from harsanyi.analyses.knowledge import compare
    >>> from harsanyi.interactions import And, extract
    >>> was, now = (extract(torch.tensor([[0.0, 0.0, 1.0, v]]), And()) for v in (4.0, 2.0))
    >>> change = compare(was, now)
    >>> print(describe(change, change.table())[0])
    Of the pretrained network's salient interaction strength, 50% was preserved and 50% discarded.
    """
    return [
        _kept(table, before),
        _learned(table, after),
        *_orders(change),
        *_scratch(change, table),
        _basis(change, table),
    ]


def _kept(table: pd.DataFrame, before: str) -> str:
    share = total(table, quantity="preserved_share")
    if math.isnan(share.value):
        return f"The {before} network has no salient interactions here: nothing to preserve or discard."
    kept = with_interval(share, percent)
    discarded = with_interval(total(table, quantity="discarded_share"), percent)
    return (
        f"Of the {before} network's salient interaction strength, {kept} was preserved "
        f"and {discarded} discarded."
    )


def _learned(table: pd.DataFrame, after: str) -> str:
    share = total(table, quantity="new_share")
    if math.isnan(share.value):
        return f"The {after} network has no salient interactions here: it learned nothing new."
    new = with_interval(share, percent)
    return f"Of the {after} network's salient interaction strength, {new} is newly learned."


def _orders(change: KnowledgeChange) -> list[str]:
    """At which orders the parts sit; no sentence where there are no parts."""
    parts = {"preserved": change.preserved, "discarded": change.discarded, "new": change.new}
    means = {f"the {name}": _mean_order(part) for name, part in parts.items() if part.sum() > 0}
    if not means:
        return []
    (first, order), *others = means.items()
    clauses = [
        f"{first} strength sits at order {order:.1f} on average",
        *(f"{n} at {m:.1f}" for n, m in others),
    ]
    return [listed(clauses).capitalize() + "."]


def _scratch(change: KnowledgeChange, table: pd.DataFrame) -> list[str]:
    if change.also_scratch is None:
        return []
    share = total(table, quantity="scratch_share")
    if math.isnan(share.value):
        return ["Nothing was preserved that the network trained from scratch could have too."]
    also = with_interval(share, percent)
    alone = total(table, quantity="only_scratch_share")
    return [
        f"The network trained from scratch also has {also} of what was preserved; of "
        f"its own salient strength, {with_interval(alone, percent)} is not in the fine-tuned network."
    ]


def _basis(change: KnowledgeChange, table: pd.DataFrame) -> str:
    if change.games == 1:
        return f"This rests on 1 input of {change.n} players: no intervals, nothing about other inputs."
    basis = f"This rests on {change.games:,} inputs of {change.n} players each"
    share = total(table, quantity="preserved_share"), total(table, quantity="new_share")
    if not any(math.isfinite(one.low) for one in share):
        return f"{basis}, too few of them with salient interactions for intervals."
    return f"{basis}; brackets hold bootstrap intervals over the inputs."


def _mean_order(amount: Amount) -> float:
    """The mean order of an amount, weighted by strength."""
    strength = amount.sum((0, 1, 2))
    orders = strength.new_tensor(range(len(strength)))
    return ((orders * strength).sum() / strength.sum()).item()


def _png(figure: Figure) -> dict[str, str | int]:
    """A figure as a base64 PNG, the same bytes at every run, and its width on the page, in CSS pixels."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=DPI,
        bbox_inches="tight",
        pad_inches=0.03,
        metadata={"Software": None},
        pil_kwargs={"optimize": True},
    )
    picture = buffer.getvalue()
    pixels = int.from_bytes(picture[16:20])  # a PNG's width, by its specification
    return {"data": base64.b64encode(picture).decode(), "width": pixels * 96 // DPI}
