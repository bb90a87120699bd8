"""The report: a finding, an explorer, figures, tables, methods and limits in one HTML file."""

import base64
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import DISCARDED, NEGATIVE, NEW, POSITIVE, PRESERVED
from harsanyi.analyses.report.explorer import Explorer, fallback_rows, packed
from harsanyi.analyses.report.svg import DARK_INK, DARK_PAGE, DARK_RAISED, Drawing, dark, drawing
from harsanyi.analyses.report.tables import write_table
from harsanyi.reading import visible
from harsanyi.shown import power
from harsanyi.writing import sole_writer, whole, write_whole


def shown(value: Any) -> Any:
    """What a template writes: texts with their control characters as escapes.

    >>> shown("a\\x1b[31m"), shown(3)
    ('a\\\\x1b[31m', 3)
    """
    return visible(value) if type(value) is str else value


REPORT_FILE, FIGURES_FOLDER = "report.html", "figures"
# Twice what a screen shows, so that figures stay sharp when enlarged or printed.
FIGURE_DPI = 192
# A figure on a narrow screen is no smaller than this share of its size: beyond it, it scrolls.
LEAST_SHARE = 0.75
TEMPLATES = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=shown,
)
TEMPLATES.filters["power"] = power
# Colours of the page by name; those of the dark page follow from them.
COLOURS = {
    "accent": PRESERVED,
    "warning": "#9a5b00",
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "kept": PRESERVED,
    "dropped": DISCARDED,
    "learned": NEW,
    "hidden": "#d9d9d4",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What stands in a report.

    Attributes:
        title: of the page.
        headline: the finding in a sentence, with its intervals.
        summary: the other results, a sentence each.
        figures: by caption; the first one stands below the headline, and the part of a caption before its
            colon names the file.
        findings: what a figure shows, by its name, the part of its caption before the colon: a sentence for
            those who see it and those who do not. That of the first figure is the headline, where nothing
            else is said.
        tables: of text, by heading; the index is the first column.
        facts: what was computed and how, by heading.
        methods: paragraphs for a paper.
        notes: limits that a reader should know.
        warnings: what is wrong with this very study, or may be, a sentence each.
        again: the command that makes the report again.
        explorer: of single inputs; None for reports without inputs.
    """

    title: str
    headline: str
    summary: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    findings: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    methods: Sequence[str] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    again: str = ""
    explorer: Explorer | None = None


@dataclass(frozen=True)
class _Script:
    """A script of the page, and its hash as the page's security policy names it."""

    text: str
    hash: str


def publish(out: Path, results: Mapping[str, pd.DataFrame], report: Report) -> Path:
    """Write the results of a study into its folder: tables, figures and the report.

    Args:
        out: the folder; it is made if it is missing.
        results: whole tables by the names of their files, for `write_table`.
        report: the page; its figures are written as pictures, too.

    Returns:
        the file of the report.
    """
    with sole_writer(out):
        for name, table in results.items():
            write_table(table, out / name)
        write_figures(report.figures, out)
        for figure in report.figures.values():
            figure.set_layout_engine("none")  # it is laid out by now; drawing it again is faster
        return write_report(out / REPORT_FILE, report)


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write a report that needs no other file: open it in a browser, print it, send it.

    Every text is escaped. Figures are inline SVG. The page runs no script but its own, whose hashes it names.

    Args:
        path: of the HTML file.
        report: what stands in it.

    Returns:
        the path. An OSError where it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(Path(folder) / "report.html", Report(title="a <b>", headline="Much is new."))
    ...     "<h1>a &lt;b&gt;</h1>" in path.read_text(encoding="utf-8")
    True
    """
    assert set(report.findings) <= {name_of(caption) for caption in report.figures}, (
        "a finding without figure"
    )
    drawings = [
        (caption, _besides(report, caption), drawing(figure, f"f{number}"))
        for number, (caption, figure) in enumerate(report.figures.items())
    ]
    tables = {heading: table for heading, table in report.tables.items() if len(table.columns)}
    explorer = report.explorer
    explored = packed(explorer) if explorer else None
    scripts = [_script("sorting.js")] if tables else []
    if explored:
        scripts.append(_script("explorer.js"))
    page = TEMPLATES.get_template("report.html.jinja").render(
        report=report,
        contents=_contents(report, tables, explored is not None),
        drawings=drawings,
        least_share=LEAST_SHARE,
        tables=tables,
        explorer=explorer,
        explored=explored,
        fallback=fallback_rows(explorer) if explorer and explored else [],
        scripts=scripts,
        style=_style([one for *_, one in drawings], explored is not None),
        version=version("harsanyi"),
    )
    path = Path(path)
    write_whole(path, page)
    return path


def _besides(report: Report, caption: str) -> str:
    """What a figure shows, where the headline does not say it already."""
    finding = report.findings.get(name_of(caption), "")
    return "" if finding == report.headline else finding


def write_figures(figures: Mapping[str, Figure], out: Path) -> None:
    """Write figures into `out`/figures, numbered and named by caption; removes those of an earlier run."""
    (out / FIGURES_FOLDER).mkdir(parents=True, exist_ok=True)
    for old in (out / FIGURES_FOLDER).glob("[0-9]*-*.png"):
        old.unlink()
    for number, (caption, figure) in enumerate(figures.items()):
        with whole(out / FIGURES_FOLDER / figure_name(number, caption)) as partial:
            partial.write_bytes(_png(figure))


def name_of(caption: str) -> str:
    """The name of a figure, the part of its caption before the colon.

    >>> name_of("Shares by order: with intervals")
    'Shares by order'
    """
    return caption.partition(":")[0]


def figure_name(number: int, caption: str) -> str:
    """The file of a figure: its number and its name.

    >>> figure_name(0, "Kept, dropped, learned: a shoe")
    '1-kept-dropped-learned.png'
    """
    name = name_of(caption).lower().replace(" ", "-").replace(",", "")
    return f"{number + 1}-{name}.png"


def _contents(report: Report, tables: Mapping[str, pd.DataFrame], explored: bool) -> list[tuple[str, str]]:
    """The sections of the page that are there: their ids and headings."""
    sections = {
        ("results", "Results"): report.summary,
        ("explorer", "Explorer"): explored,
        ("figures", "Figures"): len(report.figures) > 1,
        ("tables", "Tables"): tables,
        ("methods", "Methods"): report.methods,
        ("settings", "Settings"): report.facts,
        ("limits", "Limits"): report.notes,
        ("again", "Make it again"): report.again,
    }
    return [section for section, content in sections.items() if content]


def _style(drawings: Sequence[Drawing], explored: bool) -> str:
    """The page's style sheet, with its colours and those of its figures, light and dark."""
    named = COLOURS | {f"c{colour[1:]}": colour for one in drawings for colour in sorted(one.colours)}
    colours = {
        "light": " ".join(f"--{name}: {colour};" for name, colour in named.items()),
        "dark": " ".join(f"--{name}: {dark(colour)};" for name, colour in named.items()),
        "dark_ink": DARK_INK,
        "dark_page": DARK_PAGE,
        "dark_raised": DARK_RAISED,
    }
    style = TEMPLATES.get_template("report.css").render(colours=colours)
    return style + "\n" + _source("explorer.css") if explored else style


def _script(name: str) -> _Script:
    """A script with its hash; a browser takes what stands between the tags, line ends as they are."""
    text = "\n" + _source(name)
    assert "</script" not in text, "a script that ends its element"
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return _Script(text, f"'sha256-{digest}'")


def _source(name: str) -> str:
    """A file beside this module."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def _png(figure: Figure) -> bytes:
    """A figure as a PNG picture, the same bytes at every run."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=FIGURE_DPI,
        bbox_inches="tight",
        pad_inches=0.03,
        metadata={"Software": None},
    )
    return buffer.getvalue()
