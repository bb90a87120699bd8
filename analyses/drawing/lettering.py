"""How wide a text is when drawn, and titles broken to fit."""

import textwrap
from functools import cache

from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from harsanyi.analyses.drawing.palette import FONT

# Inches around a drawing.
MARGIN = 0.12
# Fine enough that widths hold at any resolution.
MEASURE_DPI = 288


def lines_of(title: str, width: float) -> list[str]:
    """A title in as few lines of at most `width` inches as will do."""
    for length in range(len(title), 0, -1):
        lines = textwrap.wrap(title, length)
        if all(width_of(line, FONT + 1) <= width for line in lines):
            return lines
    return []


def width_of(text: str, size: float) -> float:
    """Inches across a line of text in points `size`."""
    return (
        _renderer().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
        / MEASURE_DPI
    )


@cache
def _renderer() -> RendererAgg:
    return FigureCanvasAgg(Figure((1, 1), dpi=MEASURE_DPI)).get_renderer()
