"""Figures of counterfactuals: predicted beside measured changes, chosen beside random coalitions."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harsanyi.analyses.comparison.figures import MAX_VECTOR_DOTS
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import (
    CHANGE_COLOURS,
    COLUMN,
    FAINT,
    NETWORK_COLOURS,
    growing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.shown import number

CONTROL = NETWORK_COLOURS[5]  # of no part


def plot_calibration(
    table: pd.DataFrame,
    baseline: str,
    ax: Axes | None = None,
    *,
    fit: pd.DataFrame | None = None,
    unit: str = "score",
) -> Axes:
    """Predicted and measured changes of the score, a mark for each coalition; dotted line: equal changes.

    Controls are brown crosses, chosen coalitions are dots in the colour of their part.

    Args:
        table: of `counterfactual_table`.
        baseline: name of a baseline of the table.
        ax: to draw on; a new figure by default.
        fit: of `calibration_table`, for lines with the slopes through the origin ("chosen: 0.86 x").
        unit: of the score.

    Returns:
        the axes.

    Raises:
        ValueError: for a baseline that is not in the table.

    >>> row = {"baseline": "blur", "predicted": -1.0, "measured": -2.0}
    >>> table = pd.DataFrame([{**row, "part": p, "control": c} for p in ("new", "preserved") for c in (0, 1)])
    >>> [text.get_text() for text in plot_calibration(table, "blur").get_legend().get_texts()]
    ['control', 'preserved', 'new']
    """
    if baseline not in set(table.baseline):
        names = ", ".join(map(repr, dict.fromkeys(table.baseline))) or "none"
        raise ValueError(f"expected a baseline of the table, which has {names}; got {baseline!r}")
    ax = ax or new_axes(COLUMN, 3.2)
    rows = table[table.baseline == baseline]
    control = rows.control.astype(bool)
    groups = [("control", rows[control], CONTROL, "x", 9.0)]
    groups += [
        (part, rows[~control & (rows.part == part)], CHANGE_COLOURS[part], "o", 12.0)
        for part in CHANGE_COLOURS
    ]
    for name, dots, colour, marker, size in groups:
        if len(dots):
            style: dict[str, Any] = {"s": size, "marker": marker, "linewidths": 0.8 if marker == "x" else 0}
            many = len(dots) > MAX_VECTOR_DOTS
            ax.scatter(dots.predicted, dots.measured, color=colour, label=name, rasterized=many, **style)
    ends = [rows.predicted.min(), rows.predicted.max()]
    for line in (ax.axhline, ax.axvline):
        line(0, color=FAINT, linewidth=0.4, zorder=0)
    ax.plot(ends, ends, color="black", linewidth=0.9, linestyle="dotted")
    if fit is not None:
        _slopes(ax, fit[fit.baseline == baseline], ends)
    label_axes(ax, f"predicted change ({unit})", f"measured, {baseline.replace('_', ' ')} ({unit})")
    legend_above(ax)
    return ax


def plot_effect_sizes(fit: pd.DataFrame, ax: Axes | None = None, *, unit: str = "score") -> Axes:
    """Mean change of the score where chosen players (dots) and controls (crosses) are masked, by baseline.

    Both kinds together, a colour for each part; bars are intervals.

    Args:
        fit: of `calibration_table`.
        ax: to draw on; a new figure by default.
        unit: of the score.

    Returns:
        the axes.

    >>> row = {"baseline": "blur", "kind": "both", "quantity": "mean_measured", "low": 0.5, "high": 2.0}
    >>> both = [{**row, "part": "new", "sample": s, "value": 1.0} for s in ("chosen", "control")]
    >>> [label.get_text() for label in plot_effect_sizes(pd.DataFrame(both)).get_xticklabels()]
    ['blur']
    """
    baselines = list(dict.fromkeys(fit.baseline))
    ax = ax or new_axes(growing(1 + 1.6 * len(baselines)), 2.4)
    means = fit[(fit.kind == "both") & (fit.quantity == "mean_measured")]
    shown = [part for part in CHANGE_COLOURS if part in set(means.part)]
    for i, part in enumerate(shown):
        for shift, sample, marker in ((-0.05, "chosen", "o"), (0.05, "control", "x")):
            rows = means[(means.part == part) & (means["sample"] == sample)]
            rows = rows.set_index("baseline").reindex(baselines)
            x = np.arange(len(baselines)) + 0.26 * (i - (len(shown) - 1) / 2) + shift
            label = part if sample == "chosen" else f"{part}: control"
            dots_with_bars(ax, x, rows, CHANGE_COLOURS[part], label, marker=marker)
    ax.set_xticks(range(len(baselines)), [name.replace("_", " ") for name in baselines])
    ax.set_xlim(-0.5, len(baselines) - 0.5)
    ax.set_ylim(bottom=0)
    label_axes(ax, "masked players become", f"|change of the score|, mean\n({unit})")
    legend_above(ax)
    return ax


def _slopes(ax: Axes, fit: pd.DataFrame, ends: list[float]) -> None:
    """Lines of measured on predicted through the origin, of all parts and kinds together."""
    rows = fit[(fit.part == "all") & (fit.kind == "both") & (fit.quantity == "slope_through_origin")]
    for sample, colour in (("control", CONTROL), ("chosen", "black")):
        for slope in rows[rows["sample"] == sample].value.dropna():
            label = f"{sample}: {number(slope, '.2f')} x"
            ax.plot(ends, [slope * end for end in ends], color=colour, linewidth=1.2, label=label)
