"""Colours, sizes and axes of all figures.

Every plot of the project takes a result or a table and returns the `Axes` it drew on. `ax=None` makes a new
figure of pyplot's: a notebook shows it, and `plt.show()` in a script. Reports take theirs away from pyplot
(`figure_of`). A function that draws several panels returns a `Drawing`, which pyplot does not know and which
a notebook shows too.
"""

import base64
import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.shown import NEGATIVE as NEGATIVE
from harsanyi.shown import POSITIVE as POSITIVE

# Distinct with any colour vision, and with a contrast of 3 : 1 or more on white and on the dark of editors
# (a test measures it). What touches has a white edge between.
PRESERVED, DISCARDED, NEW, SCRATCH = "#00798C", "#929292", "#CC7A00", "#8457C4"
NETWORK_COLOURS = ("#6E6E6E", "#0072B2", "#D55E00", "#C8709F", "#009E73", "#8C6D31")
# Of training on fine and on coarse labels, in all figures.
FINE, COARSE = NETWORK_COLOURS[1], NETWORK_COLOURS[2]
# From few classes to many.
LEVELS = ("#CC7A00", "#C96A6A", "#B0609C", "#7F66C6", "#2E6BC6")
KIND_LINES: dict[str, Any] = {"and": "solid", "or": (0, (2.5, 1.2))}
FAINT = "#777777"
EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}  # of bars that touch
BAND = 0.18  # opacity of intervals
# Points; no text in a figure is smaller.
FONT = 8
COLUMN, PAGE = 3.4, 7.0  # widths in inches
# The widest figure that a report shows whole in a window of 420 pixels, 96 an inch, at three quarters of its
# size and with the margins of both; what is wider scrolls there.
NARROW = 5.27
CHANGE_COLOURS = {"preserved": PRESERVED, "discarded": DISCARDED, "new": NEW}
SHARE_COLOURS = {
    "preserved_share": ("preserved, of before", PRESERVED),
    "discarded_share": ("discarded, of before", DISCARDED),
    "new_share": ("new, of after", NEW),
    "scratch_share": ("also in scratch, of preserved", SCRATCH),
}


class Drawing(Figure):
    """A figure that pyplot does not know, and that a notebook shows all the same."""

    def _repr_html_(self) -> str:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def new_axes(width: float, height: float) -> Axes:
    """The only `Axes` of a new figure of pyplot's, of this size in inches."""
    import matplotlib.pyplot as plt  # here, since it looks for a screen

    return plt.figure(figsize=(width, height), layout="constrained").add_subplot()


def growing(width: float) -> float:
    """The width of a figure that grows with what is in it: a column at least, and whole on a narrow screen.

    Args:
        width: that it would have, in inches.

    >>> growing(1.0), growing(4.0), growing(9.0)
    (3.4, 4.0, 5.27)
    """
    return min(NARROW, max(COLUMN, width))


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Write axis labels as plain text (a user's unit may contain $), and remove the frame.

    Args:
        ax: to draw on.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    ax.set_xlabel(x, fontsize=FONT, parse_math=False)
    ax.set_ylabel(y, fontsize=FONT, parse_math=False)
    ax.tick_params(labelsize=FONT, length=3, width=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.6)


def legend_above(ax: Axes) -> None:
    """A frameless legend above the axes, in as many columns as fit."""
    handles, labels = ax.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    characters = max((len(line) for name in entries for line in name.splitlines()), default=0)
    entry_inches = 0.3 + 0.06 * characters  # an estimate: marker, and text by its length
    columns = int(ax.bbox.width / ax.figure.dpi / entry_inches)
    legend = ax.legend(
        entries.values(),
        entries.keys(),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(max(columns, 1), max(len(entries), 1)),
        frameon=False,
        fontsize=FONT,
        handlelength=1,
        markerscale=2,
        handletextpad=0.4,
        columnspacing=1,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_over(figure: Figure, *, columns: int) -> None:
    """One frameless legend above all panels, of the entries of the first.

    Args:
        figure: with panels that have the same entries.
        columns: of entries.
    """
    handles, names = figure.axes[0].get_legend_handles_labels()
    options = {"frameon": False, "fontsize": FONT, "columnspacing": 1.2, "handlelength": 1.6}
    legend = figure.legend(handles, names, loc="outside upper center", ncols=columns, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def figure_of(ax: Axes) -> Figure:
    """The figure of a plot's axes, for a file or a page: pyplot shows it no more."""
    import matplotlib.pyplot as plt

    figure = ax.get_figure(root=True)
    assert figure is not None
    plt.close(figure)
    return figure
