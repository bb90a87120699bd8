"""The figure of advice: what each choice by knowledge changes in accuracy."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harsanyi.analyses.advice.choices import MEASURES, SAME, STOP
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import FAINT, NETWORK_COLOURS, PAGE, label_axes, new_axes


def plot_advice(table: pd.DataFrame, margin: float, ax: Axes | None = None) -> Axes:
    """What each choice by knowledge changes in accuracy, in points; whiskers are intervals.

    A choice that is the other one changes nothing, and is left out.

    Args:
        table: of `advice_table`.
        margin: accuracy that an earlier end may cost; dotted.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(question="stop", measure="settled", chosen="a@1", other="a@2", against="the end")
    >>> row |= dict(advice="costs", difference=0.0, difference_low=-0.01, difference_high=0.01)
    >>> table = pd.DataFrame([row])
    >>> plot_advice(table, 0.01).get_yticklabels()[0].get_text()
    'stop: a@1, not a@2 (the end)'
    """
    table = table[table.advice != SAME]
    ax = ax or new_axes(PAGE, 0.7 + 0.2 * max(len(table), 2))
    names = {"value": "difference", "low": "difference_low", "high": "difference_high"}
    rows = pd.DataFrame({short: 100 * table[name].astype(float) for short, name in names.items()})
    places = np.arange(len(table))[::-1]
    dots_with_bars(ax, places, rows, NETWORK_COLOURS[1], horizontal=True)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.axvline(-100 * margin, color=FAINT, linewidth=0.8, linestyle="dotted")
    ax.set_yticks(places, [_short(row) for _, row in table.iterrows()])
    ax.set_ylim(-0.6, len(table) - 0.4)
    label_axes(ax, "accuracy, points beside the other choice", "")
    return ax


def _short(row: pd.Series) -> str:
    """A choice as the label of an axis."""
    by = "" if row.question == STOP else f" by {MEASURES[row.measure].removeprefix('preserved ')}"
    return f"{row.question}{by}: {row.chosen}, not {row.other} ({row.against})"
