"""The report: a summary, facts, figures, tables and limits in one HTML file."""

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
from harsanyi.writing import sole_writer, whole, write_whole

REPORT_FILE, FIGURES_FOLDER = "report.html", "figures"
# Twice what a screen shows, so that figures stay sharp when enlarged or printed.
FIGURE_DPI = 192
TEMPLATES = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def publish(
    out: Path, results: Mapping[str, pd.DataFrame], *, figures: Mapping[str, Figure], **page: Any
) -> Path:
    """Write the results of a study into its folder: tables, figures and the report.

    Args:
        out: the folder; it is made if it is missing.
        results: whole tables by the names of their files, for `write_table`.
        figures: by caption, for `write_figures` and the report.
        page: the other arguments of `write_report`.

    Returns:
        the file of the report.
    """
    with sole_writer(out):
        for name, table in results.items():
            write_table(table, out / name)
        pictures = {caption: _png(figure) for caption, figure in figures.items()}  # each is drawn once
        _write_pictures(pictures, out)
        return _write_page(out / REPORT_FILE, pictures=pictures, **page)


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
    """Write a report that needs no other file: open it in a browser, print it, send it.

    Every text is escaped. Figures are inline PNG pictures; their captions are also their alternative texts.

    Args:
        path: of the HTML file.
        title: of the page.
        summary: the results in sentences.
        facts: what was computed and how, by heading: inputs, players, score, baseline, method, salience.
        tables: of text, by heading; the index is the first column.
        figures: by caption.
        notes: limits that a reader should know.

    Returns:
        the path. An OSError where it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(Path(folder) / "report.html", title="a <b>", summary=["Much is new."],
    ...                         facts={}, tables={}, figures={})
    ...     "<h1>a &lt;b&gt;</h1>" in path.read_text(encoding="utf-8")
    True
    """
    pictures = {caption: _png(figure) for caption, figure in figures.items()}
    return _write_page(
        path, title=title, summary=summary, facts=facts, tables=tables, pictures=pictures, notes=notes
    )


def _write_page(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Sequence[str],
    facts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, bytes],
    notes: Sequence[str] = (),
) -> Path:
    """The report with its figures as PNG pictures."""
    page = TEMPLATES.get_template("report.html.jinja").render(
        title=title,
        summary=list(summary),
        facts=dict(facts),
        tables=dict(tables),
        figures={caption: _inline(picture) for caption, picture in pictures.items()},
        notes=list(notes),
    )
    path = Path(path)
    write_whole(path, page)
    return path


def write_figures(figures: Mapping[str, Figure], out: Path) -> None:
    """Write figures into `out`/figures, numbered and named by caption; removes those of an earlier run."""
    _write_pictures({caption: _png(figure) for caption, figure in figures.items()}, out)


def _write_pictures(pictures: Mapping[str, bytes], out: Path) -> None:
    """The figures as PNG pictures, into `out`/figures."""
    (out / FIGURES_FOLDER).mkdir(parents=True, exist_ok=True)
    for old in (out / FIGURES_FOLDER).glob("[0-9]*-*.png"):
        old.unlink()
    for number, (caption, picture) in enumerate(pictures.items()):
        with whole(out / FIGURES_FOLDER / figure_name(number, caption)) as partial:
            partial.write_bytes(picture)


def figure_name(number: int, caption: str) -> str:
    """The file of a figure: its number and the part of its caption before the colon.

    >>> figure_name(0, "Kept, dropped, learned: a shoe")
    '1-kept-dropped-learned.png'
    """
    name = caption.split(":")[0].lower().replace(" ", "-").replace(",", "")
    return f"{number + 1}-{name}.png"


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


def _inline(picture: bytes) -> dict[str, str | int]:
    """A PNG picture in base64, and its width on the page, in CSS pixels."""
    pixels = int.from_bytes(picture[16:20])  # a PNG's width, by its specification
    return {"data": base64.b64encode(picture).decode(), "width": pixels * 96 // FIGURE_DPI}
