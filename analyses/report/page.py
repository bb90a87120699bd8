"""The report: what was kept, dropped and learned, in words, figures and a table, as one HTML file."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from harsanyi.analyses.report.tables import write_table

REPORT, FIGURES = "report.html", "figures"
# Twice what a screen shows, so that figures stay sharp when enlarged or printed.
DPI = 192
PAGES = Environment(
    loader=PackageLoader(__package__, "."),
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
