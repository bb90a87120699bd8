"""What makes figures hard to read: text on text, faint colours, names of the code, orders without marks."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

from harsanyi.analyses.report.svg import contrast
from harsanyi.analyses.report.tables import read_table

# Grounds of pages, and of editors and notebooks in their dark themes.
GROUNDS = ("#FFFFFF", "#1E1E1E")
LEAST_CONTRAST = 3
# Pixels by which two boxes of text may lie on each other: letters do not fill their boxes.
SLACK = 1.5
# Shorter bars are not seen, in pixels.
LEAST_BAR = 0.3
HYPHEN_FOR_MINUS = re.compile(r"(?<![\w.])-\d")
MACHINE_NUMBER = re.compile(r"\de[-−+]?\d")
# Names of columns, quantities and options, which are words only to those who know the code.
CODE_NAME = re.compile(r"(?<![\w./])(?:[a-z]+_[a-z_]+|kmeans[a-z-]*|per-sample)(?![\w./])")
POWER = re.compile(r"10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]")


def faults(figures: Mapping[str, Figure]) -> list[str]:
    """What is wrong with figures, a sentence each; none for figures that can be read."""
    return [f"{name}: {said}" for name, figure in figures.items() for said in _faults(figure)]


def tables_in(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that a command wrote, by name."""
    return {path.stem: read_table(path.with_suffix(".h5")) for path in folder.glob("*.csv")}


def _faults(figure: Figure) -> Iterator[str]:
    texts = _drawn_texts(figure)
    yield from _overprinted(figure, texts)
    yield from _written(figure, [text.get_text() for text in texts])
    yield from _faint(figure)
    for ax in figure.axes:
        yield from _empty_orders(ax)


def _drawn_texts(figure: Figure) -> list[Text]:
    """The texts that a drawing of the figure writes: not those of ticks beyond the axis."""
    drawn: dict[int, Text] = {}
    draw = Text.draw

    def noted(text: Text, *arguments: object, **options: object) -> None:
        if text.get_visible() and text.get_text().strip():
            drawn[id(text)] = text
        draw(text, *arguments, **options)

    with patch.object(Text, "draw", noted):
        figure.draw_without_rendering()
    return list(drawn.values())


def _overprinted(figure: Figure, texts: list[Text]) -> Iterator[str]:
    """Pairs of texts on each other, and texts that leave the figure."""
    boxes = [text.get_window_extent().padded(-SLACK) for text in texts]
    for i, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        for other, another in zip(texts[:i], boxes[:i], strict=True):
            if box.overlaps(another):
                yield f"{text.get_text()!r} lies on {other.get_text()!r}"
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1:
            yield f"{text.get_text()!r} leaves the figure"


def _written(figure: Figure, texts: list[str]) -> Iterator[str]:
    """Numbers as machines write them and names of the code anywhere, and powers of ten in titles."""
    for text in texts:
        if HYPHEN_FOR_MINUS.search(text) or MACHINE_NUMBER.search(text):
            yield f"{text!r} has a number for machines"
        if CODE_NAME.search(text):
            yield f"{text!r} has a name of the code"
    titles = [ax.get_title(loc) for ax in figure.axes for loc in ("left", "center")]
    for title in [figure.get_suptitle(), *titles]:
        if POWER.search(title):
            yield f"the title {title!r} has a power of ten"


def _faint(figure: Figure) -> Iterator[str]:
    """Colours of texts, lines and surfaces that are not seen on white or on dark."""
    seen = figure.findobj(lambda artist: artist.get_visible())
    for colour in sorted({colour for artist in seen for colour in _colours(artist)}):
        if any(contrast(colour, ground) < LEAST_CONTRAST for ground in GROUNDS):
            yield f"{colour} is faint"


def _colours(artist: object) -> Iterator[str]:
    """The opaque colours of an artist but black and white, which pages turn round."""
    found: list[object] = []
    if isinstance(artist, Text):
        found = [artist.get_color()] if artist.get_text().strip() else []
    elif isinstance(artist, Line2D):
        found = [artist.get_color()] if artist.get_linestyle() != "None" and len(artist.get_xdata()) else []
    elif isinstance(artist, Patch):
        found = [artist.get_facecolor(), artist.get_edgecolor()]
    elif isinstance(artist, Collection) and artist.get_array() is None:
        found = [*artist.get_facecolor(), *artist.get_edgecolor()]
    for red, green, blue, alpha in map(to_rgba, found):
        hexadecimal = "#" + "".join(f"{round(255 * part):02x}" for part in to_rgb((red, green, blue)))
        if alpha == 1 and hexadecimal not in ("#000000", "#ffffff"):
            yield hexadecimal


def _empty_orders(ax: Axes) -> Iterator[str]:
    """Orders on an axis at which there is neither mark nor bar nor a dash that says so."""
    if not ax.get_xlabel().startswith("order") or ax.images:
        return
    places = set(_marked(ax))
    for label, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True):
        inside = ax.get_xlim()[0] <= place <= ax.get_xlim()[1]
        if label.get_text().isdigit() and inside and not any(abs(place - x) <= 0.5 for x in places):
            yield f"there is nothing at order {label.get_text()}"


def _marked(ax: Axes) -> Iterator[float]:
    """The places across at which something is drawn."""
    height = ax.transData.transform([(0, 1)])[0, 1] - ax.transData.transform([(0, 0)])[0, 1]
    for line in ax.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if line.get_transform() == ax.transData:
            yield from x[np.isfinite(y)]
    for bar in ax.patches:
        if isinstance(bar, Rectangle) and abs(bar.get_height() * height) >= LEAST_BAR:
            yield bar.get_x() + bar.get_width() / 2
    yield from (text.get_position()[0] for text in ax.texts if text.get_text() == "–")
