"""The width of a text in a drawing, and titles broken into lines."""

import textwrap
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke

from harsanyi.analyses.drawing.palette import FONT

Box = tuple[float, ...]  # left, bottom, right, top, in points
# Inches of empty space around a drawing.
MARGIN = 0.12
# Where a name may stand beside its point, the best first, and how many points away.
SIDES = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
DISTANCES = (4, 7, 11, 16, 22)
# So fine that the measured width holds at any resolution.
MEASURE_DPI = 288


def lines_of(title: str, width: float, size: float = FONT + 1) -> list[str]:
    """A title broken into the smallest number of lines.

    Args:
        title: to break.
        width: of the longest line at most, in inches.
        size: of the letters, in points.

    Returns:
        the lines.
    """
    for length in range(len(title), 0, -1):
        lines = textwrap.wrap(title, length)
        if all(width_of(line, size) <= width for line in lines):
            return lines
    return []


def width_of(text: str, size: float) -> float:
    """The width in inches of a line of text of `size` points."""
    return (
        _renderer().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
        / MEASURE_DPI
    )


def name_points(
    ax: Axes,
    points: pd.DataFrame,
    names: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Write names beside points, each where it covers least of other names, points, bars and straight lines.

    Of equal places, a name takes one that is nearer to its own point, bars included, than to any other.

    Args:
        ax: to draw on, with its limits and its size set.
        points: x, y of each; also low and high, the ends of a bar up and down, and left and right, those of
            one across, where there are some.
        names: of the points.
        colours: of the names.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # places the axes

    def in_points(x: str, y: str) -> np.ndarray:
        return ax.transData.transform(points[[x, y]].to_numpy(float)) * 72 / figure.dpi

    centres = in_points("x", "y")
    marks = [[(*(centre - 3), *(centre + 3))] for centre in centres]
    for ends, margin in (((("x", "low"), ("x", "high")), (1, 0)), ((("left", "y"), ("right", "y")), (0, 1))):
        if set(sum(ends, ())) <= set(points):
            for own, one, other in zip(marks, *(in_points(*end) for end in ends), strict=True):
                own.append((*(one - margin), *(other + margin)))
    taken = [mark for own in marks for mark in own]
    for line in ax.lines:
        if line.get_linestyle() != "None" and len(np.asarray(line.get_xydata())) == 2:
            drawn = line.get_path().transformed(line.get_transform()).get_extents().extents
            taken.append(tuple(np.array(drawn) * 72 / figure.dpi + [-1, -1, 1, 1]))
    left, bottom, right, top = np.array(ax.bbox.extents) * 72 / figure.dpi
    for i, ((x, y), place, name, colour) in enumerate(
        zip(points[["x", "y"]].to_numpy(), centres, names, colours, strict=True)
    ):
        size = np.array([72 * width_of(name, FONT), 1.1 * FONT])
        corners = [
            place + np.array(side) * away - size * (1 - np.array(side)) / 2
            for away in DISTANCES
            for side in SIDES
        ]
        boxes = [(*corner, *(corner + size)) for corner in corners]
        inside = [
            box for box in boxes if left <= box[0] and box[2] <= right and bottom <= box[1] and box[3] <= top
        ]
        others = [mark for own in (*marks[:i], *marks[i + 1 :]) for mark in own]
        best = min(inside or boxes, key=partial(_cost, taken=tuple(taken), own=marks[i], others=others))
        taken.append(best)
        style: dict[str, Any] = {"fontsize": FONT, "color": colour, "va": "bottom", "parse_math": False}
        offset = (best[0] - place[0], best[1] - place[1])
        text = ax.annotate(name, (x, y), offset, textcoords="offset points", **style)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _cost(box: Box, taken: Sequence[Box], own: Sequence[Box], others: Sequence[Box]) -> tuple[float, bool]:
    """What a name covers, and whether it is nearer to the marks of others than to its own."""

    def far(marks: Sequence[Box]) -> float:
        return min((_distance(box, mark) for mark in marks), default=np.inf)

    return sum(_overlap(box, other) for other in taken), far(others) <= far(own)


def _distance(one: Box, other: Box) -> float:
    """Between two boxes; 0 where they touch."""
    across = max(one[0], other[0]) - min(one[2], other[2])
    up = max(one[1], other[1]) - min(one[3], other[3])
    return float(np.hypot(max(across, 0), max(up, 0)))


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0


@cache
def _renderer() -> RendererAgg:
    return FigureCanvasAgg(Figure((1, 1), dpi=MEASURE_DPI)).get_renderer()
