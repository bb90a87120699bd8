"""The width of a text in a drawing, and titles broken into lines."""

import textwrap
from functools import cache

from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from harsanyi.analyses.drawing.palette import FONT

# Inches of empty space around a drawing.
MARGIN = 0.12
# So fine that the measured width holds at any resolution.
MEASURE_DPI = 288


def lines_of(title: str, width: float) -> list[str]:
    """A title broken into the smallest number of lines of at most `width` inches."""
    for length in range(len(title), 0, -1):
        lines = textwrap.wrap(title, length)
        if all(width_of(line, FONT + 1) <= width for line in lines):
            return lines
    return []


def width_of(text: str, size: float) -> float:
    """The width in inches of a line of text of `size` points."""
    return (
        _renderer().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
        / MEASURE_DPI
    )


@cache
def _renderer() -> RendererAgg:
    return FigureCanvasAgg(Figure((1, 1), dpi=MEASURE_DPI)).get_renderer()
