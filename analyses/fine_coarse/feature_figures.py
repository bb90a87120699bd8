"""Figures of feature learning: alignment by step, errors of easy and hard samples, effects of patches.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band
from harsanyi.analyses.drawing.palette import (
    COARSE,
    COLUMN,
    FINE,
    NETWORK_COLOURS,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.fine_coarse.feature_tables import WITH_NOISE

FEATURE_COLOURS = {"common": NETWORK_COLOURS[4], "fine": NETWORK_COLOURS[3]}
LEVEL_COLOURS = {"coarse": COARSE, "fine": FINE}
# Of the strength of the strongest: patches of an order with less have no row.
MIN_GROUP_SHARE = 0.005
SAMPLE_LINES = {"easy": "dotted", "hard, noise alone": "dashed", "hard": "solid"}


def plot_alignment(
    table: pd.DataFrame, level: str, quantity: str = "alignment", ax: Axes | None = None
) -> Axes:
    """Alignment of neurons with common and with fine features by step, for labels of one level.

    Args:
        table: of `alignment_table`. Bands are its intervals.
        level: "coarse" or "fine".
        quantity: "alignment" or "response".
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(level="fine", quantity="alignment", feature="common", low=0.1, high=0.3, games=2)
    >>> table = pd.DataFrame([{**row, "step": step, "value": 0.2} for step in (0, 10)])
    >>> len(plot_alignment(table, "fine").lines)
    1
    """
    ax = ax or new_axes(COLUMN, 2.4)
    chosen = table[(table.level == level) & (table.quantity == quantity)]
    for feature, colour in FEATURE_COLOURS.items():
        rows = chosen[chosen.feature == feature].sort_values("step")
        if len(rows):
            label = f"{feature} features"
            line_with_band(ax, rows.step, rows, colour, label, marker="o", markersize=3, linewidth=1.5)
    steps = sorted(chosen.step.unique())
    ax.set_xscale("symlog", linthresh=next((step for step in steps if step > 0), 1))
    ticks = [0, *(10**k for k in range(1, 7) if 10**k <= max(steps))]
    ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
    ax.minorticks_off()
    words = {"alignment": "max⟨w, v⟩ over a class's neurons", "response": "output on the feature alone"}
    label_axes(ax, f"step, {level} labels", words.get(quantity, quantity))
    legend_above(ax)
    return ax


def plot_errors(table: pd.DataFrame, by: str, ax: Axes | None = None) -> Axes:
    """Errors by a setting, a colour for the level of labels, a line style for the kind of samples.

    Args:
        table: of `error_table`, with one more column for the setting. Bars are its intervals.
        by: the name of that column.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(level="fine", samples="hard", value=0.2, low=0.1, high=0.3, games=2)
    >>> table = pd.DataFrame([{**row, "neurons": m} for m in (8, 16)])
    >>> plot_errors(table, "neurons").get_xlabel()
    'neurons'
    """
    ax = ax or new_axes(COLUMN, 2.4)
    for level, colour in LEVEL_COLOURS.items():
        for samples, line in SAMPLE_LINES.items():
            rows = table[(table.level == level) & (table.samples == samples)].sort_values(by)
            if len(rows):
                name = f"{level} labels, {samples}"
                style: dict[str, Any] = {"marker": "", "linestyle": line, "linewidth": 1.4}
                dots_with_bars(ax, rows[by], rows, colour, name, bar_width=1, **style)
    values = sorted(table[by].unique())
    if values[0] > 0:  # counts that grow by factors
        ax.set_xscale("log", base=2)
        ticks = values[:: -(1 + len(values) // 6)]
        ax.set_xticks(ticks, [f"{value:g}" for value in ticks])
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    label_axes(ax, by, "wrong superclasses")
    legend_above(ax)
    return ax


def plot_patch_effects(
    table: pd.DataFrame, samples: str, quantity: str = "effect", ax: Axes | None = None
) -> Axes:
    """Interactions of common, fine and distracting patches by order, a bar for each level of labels.

    Interactions with a patch of noise are left out, and those with next to no strength. Whiskers are the
    table's intervals.

    Args:
        table: of `interaction_table`.
        samples: "easy" or "hard".
        quantity: "effect", "strength" or "salient".
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(level="fine", samples="easy", quantity="effect", low=0.1, high=0.3, games=2, value=0.2)
    >>> table = pd.DataFrame([{**row, "patches": "fine", "order": order} for order in (1, 2)])
    >>> [label.get_text() for label in plot_patch_effects(table, "easy").get_yticklabels()]
    ['fine, 1', 'fine, 2']
    """
    of_samples = table[(table.samples == samples) & (table.patches != WITH_NOISE)]
    chosen = of_samples[of_samples.quantity == quantity]
    strength = of_samples[of_samples.quantity == "strength"].groupby(["patches", "order"]).value.max()
    weak = strength[strength < MIN_GROUP_SHARE * strength.max()].index
    chosen = chosen[~pd.MultiIndex.from_frame(chosen[["patches", "order"]]).isin(weak)]
    groups = chosen[["patches", "order"]].drop_duplicates()
    groups = groups.assign(joined=groups.patches.str.contains(" and ")).sort_values(
        ["joined", "patches", "order"]
    )
    ax = ax or new_axes(COLUMN, 0.8 + 0.24 * len(groups))
    places = {(row.patches, row.order): at for at, row in enumerate(groups.itertuples())}
    levels = list(dict.fromkeys(chosen.level))
    for number, level in enumerate(levels):
        rows = chosen[chosen.level == level]
        y = np.array([places[key] for key in zip(rows.patches, rows.order, strict=True)])
        y = y + 0.4 * (number - (len(levels) - 1) / 2)
        ax.barh(y, rows.value, 0.38, color=LEVEL_COLOURS[level], linewidth=0, label=f"{level} labels")
        ax.hlines(y, rows.low, rows.high, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(range(len(places)), [f"{name}, {order}" for name, order in places])
    ax.set_ylim(len(places) - 0.4, -0.6)
    words = {"effect": "effect ΣI (nats)", "strength": "strength Σ|I| (nats)", "salient": "salient share"}
    label_axes(ax, f"{words.get(quantity, quantity)} per {samples} sample", "patches, order")
    legend_above(ax)
    return ax
