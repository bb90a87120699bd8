"""A figure of hard samples: which training answers them, by who chose them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import (
    COARSE,
    COLUMN,
    FAINT,
    FINE,
    FONT,
    PAGE,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.statistics.correlation import require_columns

COLOURS = {"fine": FINE, "coarse": COARSE, "coarse, equal parameters": FAINT}
ROWS = {
    "all": "all samples",
    "coarse": "hard for coarse,\nother seeds",
    "fine": "hard for fine,\nother seeds",
    "either": "either",
    "same seed": "hard for coarse,\nsame seed",
}


def plot_hard_samples(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Coarse answers right on hard samples: a row for each level and choice, a colour for each training.

    Args:
        table: of `hard_deltas`. Bars are its intervals.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(grouping="exact", chosen="coarse", quantity="accuracy", training="fine")
    >>> ax = plot_hard_samples(pd.DataFrame([row | dict(value=0.3, low=0.2, high=0.4)]))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['exact, hard for coarse,\\nother seeds']
    """
    require_columns(table, ["grouping", "chosen", "quantity", "training", "value", "low", "high"])
    accuracies = table[table.quantity == "accuracy"]
    levels = list(dict.fromkeys(accuracies.grouping))
    present = set(zip(accuracies.grouping, accuracies.chosen, strict=True))
    names = [(level, chosen) for level in levels for chosen in ROWS if (level, chosen) in present]
    ax = ax or new_axes(min(PAGE, 1.6 * COLUMN), 0.8 + 0.42 * len(names))
    for shift, (training, colour) in zip((-0.2, 0.0, 0.2), COLOURS.items(), strict=True):
        rows = accuracies[accuracies.training == training].set_index(["grouping", "chosen"]).reindex(names)
        if rows.value.notna().any():
            dots_with_bars(ax, np.arange(len(names)) + shift, rows, colour, training, horizontal=True)
    ax.set_yticks(range(len(names)), [f"{level}, {ROWS[chosen]}" for level, chosen in names], fontsize=FONT)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    label_axes(ax, "coarse answers right", "")
    legend_above(ax)
    return ax
