"""Colours, sizes and axes of all figures.

Every plot of the project takes a result or a table and returns the `Axes` it drew on. `ax=None` makes a new
`Figure`, which is `ax.figure` and which pyplot does not know.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Distinct with any colour vision; those that touch each other also in grey print.
PRESERVED, DISCARDED, NEW, SCRATCH = "#00798C", "#C2C2C2", "#E69F00", "#5B3A8C"
POSITIVE, NEGATIVE = "#C1272D", "#2159B0"
NETWORK_COLOURS = ("#222222", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#8C6D31")
KIND_LINES: dict[str, Any] = {"and": "solid", "or": (0, (2.5, 1.2))}
FAINT = "#777777"
BAND = 0.18  # opacity of intervals
# Points; no text in a figure is smaller.
FONT = 8
COLUMN, PAGE = 3.4, 7.0  # widths in inches
# Parts of a change in text and lines, which need a darker grey than bars.
CHANGE_COLOURS = {"preserved": PRESERVED, "discarded": "#6E6E6E", "new": NEW}
SHARE_COLOURS = {
    "preserved_share": ("preserved, of before", PRESERVED),
    "discarded_share": ("discarded, of before", DISCARDED),
    "new_share": ("new, of after", NEW),
    "scratch_share": ("also in scratch, of preserved", SCRATCH),
}


def new_axes(width: float, height: float) -> Axes:
    """The only `Axes` of a new figure of this size in inches, which pyplot does not know."""
    return Figure((width, height), layout="constrained").add_subplot()


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


def figure_of(ax: Axes) -> Figure:
    """The figure of a plot's axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
