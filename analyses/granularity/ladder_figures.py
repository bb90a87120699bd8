"""Figures of the ladder: accuracy and knowledge against the number of pretraining classes."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import (
    COLUMN,
    NETWORK_COLOURS,
    PAGE,
    PRESERVED,
    SCRATCH,
    Drawing,
    label_axes,
    legend_above,
    legend_over,
    new_axes,
)
from harsanyi.analyses.granularity.axes import (
    MARKERS,
    draw_baseline,
    draw_kinds,
    draw_whiskered,
    level_colour,
    set_class_axis,
)
from harsanyi.analyses.granularity.kinds import counted_in_words
from harsanyi.analyses.granularity.ladder import like_with_like
from harsanyi.analyses.granularity.runs import BASELINE

# Of the largest value of all orders: higher orders with less are not drawn.
MIN_DRAWN = 0.02
# Quantity → its name, colour and marker.
LADDER = {
    "accuracy": ("accuracy on the target", NETWORK_COLOURS[0], "o"),
    "preserved_share": ("preserved, of before", PRESERVED, "s"),
    "rare_after": ("rare, of after", SCRATCH, "^"),
}


def plot_ladder(
    summary: pd.DataFrame, ladder: pd.DataFrame, kind: str, size: int, ax: Axes | None = None
) -> Axes:
    """Accuracy, preserved share and rare share against the number of pretraining classes.

    Args:
        summary: of `summary_table`.
        ladder: of `ladder_summary`; a quantity that it does not have is not drawn.
        kind: of pretraining labels, without misalignment.
        size: training samples.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> summary = pd.DataFrame([{**row, "quantity": "accuracy", "value": 0.4}])
    >>> ladder = pd.DataFrame([{**row, "quantity": "preserved_share", "order": "all", "value": 0.3}])
    >>> [text.get_text() for text in plot_ladder(summary, ladder, "random", 9).get_legend().get_texts()]
    ['accuracy on the target', 'preserved, of before']
    """
    both = pd.concat([summary, like_with_like(ladder[ladder.order == "all"])])
    both = both[(both.kind == kind) & (both["size"] == size) & (both.misalignment == 0)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    for quantity, (name, colour, marker) in LADDER.items():
        rows = both[both.quantity == quantity].sort_values("classes")
        if len(rows):
            draw_whiskered(ax, rows.classes, rows, name, color=colour, marker=marker)
    set_class_axis(ax, both.classes, "share")
    ax.set_ylim(0, 1.04)
    legend_above(ax)
    return ax


def draw_ladders(summary: pd.DataFrame, ladder: pd.DataFrame, size: int) -> Figure:
    """Accuracy, preserved share and rare share side by side, each with a line for each kind of labels.

    Knowledge of levels with their own head is not set beside that of levels with a read-out.

    Args:
        summary: of `summary_table`.
        ladder: of `ladder_summary`; a quantity that it does not have has no panel.
        size: training samples.

    Returns:
        a figure that pyplot does not know.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> summary = pd.DataFrame([{**row, "quantity": "accuracy", "value": 0.4}])
    >>> ladder = pd.DataFrame([{**row, "quantity": "preserved_share", "order": "all", "value": 0.3}])
    >>> [ax.get_ylabel() for ax in draw_ladders(summary, ladder, 9).axes]
    ['accuracy on the target', 'preserved, of before']
    """
    both = pd.concat([summary, like_with_like(ladder[ladder.order == "all"])])
    both = both[(both["size"] == size) & (both.misalignment == 0)]
    panels = [
        (quantity, name) for quantity, (name, *_) in LADDER.items() if (both.quantity == quantity).any()
    ]
    figure = Drawing((PAGE, 2.9), layout="constrained")
    for ax, (quantity, name) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        rows = both[both.quantity == quantity]
        draw_baseline(ax, rows[rows.kind == BASELINE])
        draw_kinds(ax, rows[rows.kind != BASELINE], "classes")
        set_class_axis(ax, rows[rows.kind != BASELINE].classes, name)
    legend_over(figure, columns=3)
    return figure


def plot_ladder_orders(
    ladder: pd.DataFrame,
    kind: str | Sequence[str],
    size: int,
    quantity: str = "all_before",
    ax: Axes | None = None,
    *,
    unit: str = "score",
) -> Axes:
    """Salient strength by order, by default at the end of pretraining, a line for each number of classes.

    Args:
        ladder: of `ladder_summary`.
        kind: of pretraining labels, without misalignment; or several kinds.
        size: training samples.
        quantity: all_before, all_after, preserved, discarded or new.
        ax: to draw on; new axes by default.
        unit: of the score.

    Returns:
        the axes.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> row |= {"quantity": "all_before", "value": 0.3}
    >>> rows = [{**row, "order": order} for order in ("1", "2", "all")]
    >>> len(plot_ladder_orders(pd.DataFrame(rows), "random", 9).lines)
    1
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    rows = ladder[ladder.kind.isin(kinds) & (ladder["size"] == size) & (ladder.misalignment == 0)]
    rows = rows[(rows.quantity == quantity) & (rows.order != "all")]
    rows = rows.assign(number=rows.order.astype(int)).sort_values("number")
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    largest = rows.groupby("number").value.max()
    rows = rows[rows.number <= largest[largest > MIN_DRAWN * largest.max()].index.max()]
    groups = list(rows.groupby(["classes", "kind"]))
    shades, shifts = np.linspace(0, 1, max(len(groups), 2)), np.linspace(-0.15, 0.15, len(groups))
    for ((classes, named), line), marker, shade, shift in zip(
        groups, cycle(MARKERS), shades, shifts, strict=False
    ):
        style = {"color": level_colour(shade), "marker": marker}
        name = counted_in_words(str(named), classes) if len(kinds) > 1 else f"{classes} classes"
        draw_whiskered(ax, line.number + shift, line, name, **style)
    ax.set_ylim(bottom=0)
    ax.set_xticks(sorted(set(rows.number)))
    label_axes(ax, "order", f"strength Σ|I| per input\n({unit})")
    legend_above(ax)
    return ax
