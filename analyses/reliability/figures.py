"""Figures of reliability: sharing between inputs and networks, and the effect of variations.

Every plot takes a table and returns the `Axes` that it drew on, see drawing/palette.py.
"""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band, share_axis
from harsanyi.analyses.drawing.palette import (
    CHANGE_COLOURS,
    COLUMN,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    SHARE_COLOURS,
    growing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.knowledge.generality import FOUND_PREFIX
from harsanyi.analyses.report.words import variation_in_words


def plot_sharing(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The share of each network's salient strength that at least k inputs have; bands are intervals.

    Args:
        table: of `sharing_table`.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(network="net", order="all", value=1.0, low=0.5, high=1.0)
    >>> len(plot_sharing(pd.DataFrame([{**row, "inputs": k} for k in (1, 2)])).lines)
    1
    """
    ax = ax or new_axes(COLUMN, 2.4)
    rows = table[table.order == "all"]
    for colour, (name, line) in zip(cycle(NETWORK_COLOURS), rows.groupby("network", sort=False)):
        line_with_band(ax, line.inputs, line, colour, str(name))
    share_axis(ax)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_axes(ax, "in at least so many inputs", "share of salient strength")
    legend_above(ax)
    return ax


def plot_found(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The share of one network's salient strength that another has too, on the same inputs, by order.

    Whiskers are intervals. Orders without strength are left out.

    Args:
        table: of `found_table`.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(network="a", quantity="found_in_b", kind="both", sign="both", value=1.0, low=0.5, high=1.0)
    >>> ax = plot_found(pd.DataFrame([{**row, "order": order} for order in ("1", "all")]))
    >>> ax.get_legend().get_texts()[0].get_text()
    'a, in b'
    """
    rows = table[
        (table.kind == "both") & (table.sign == "both") & table.quantity.str.startswith(FOUND_PREFIX)
    ]
    rows = rows[rows.value.notna()]
    orders, pairs = orders_of(rows), rows.groupby(["network", "quantity"], sort=False)
    ax = ax or new_axes(growing(1.2 + 0.12 * len(pairs) * len(orders)), 2.8)
    for i, (colour, ((name, quantity), pair)) in enumerate(zip(cycle(NETWORK_COLOURS), pairs)):
        by_order = pair.set_index("order").reindex(orders)
        x = np.arange(len(orders)) + ((i + 0.5) / len(pairs) - 0.5) * 0.8
        label = f"{name}, in {str(quantity).removeprefix(FOUND_PREFIX)}"
        dots_with_bars(ax, x, by_order, colour, label, bar_width=1, markersize=3)
    ax.axvline(len(orders) - 1.5, color=FAINT, linewidth=0.6)
    ax.set_xticks(range(len(orders)), orders)
    share_axis(ax)
    label_axes(ax, "order", "share found with the same sign")
    legend_above(ax)
    return ax


def plot_variations(
    table: pd.DataFrame, by: str, ax: Axes | None = None, *, label: str = "share of strength"
) -> Axes:
    """A row for each variation, with a dot and its interval for each network or share; dashed lines: clean.

    Args:
        table: columns variation, `by`, value, low and high; at most a row for each pair. The variation
            "clean", if there is one, comes first.
        by: the column of what is drawn: "network"; "quantity" for shares, "knowledge" for parts of the
            knowledge, which have the colours of all figures of these.
        ax: to draw on; new axes by default.
        label: of the horizontal axis.

    Returns:
        the axes.

    >>> row = dict(network="net", value=1.0, low=0.5, high=1.0)
    >>> table = pd.DataFrame([{**row, "variation": name} for name in ("clean", "noise:4")])
    >>> [label.get_text() for label in plot_variations(table, "network").get_yticklabels()]
    ['clean', 'noise, amount 4']
    """
    names, groups = list(dict.fromkeys(table.variation)), list(dict.fromkeys(table[by]))
    ax = ax or new_axes(1.5 * COLUMN, 0.9 + (0.14 + 0.07 * len(groups)) * len(names))
    for i, (colour, group) in enumerate(zip(cycle(NETWORK_COLOURS), groups)):
        colour = CHANGE_COLOURS.get(group, colour)
        words, colour = SHARE_COLOURS.get(group, (group.replace("_", " "), colour))
        rows = table[table[by] == group].set_index("variation").reindex(names)
        y = np.arange(len(names)) + ((i + 0.5) / len(groups) - 0.5) * 0.7
        dots_with_bars(ax, y, rows, colour, words, horizontal=True, bar_width=1)
        if "clean" in names:
            ax.axvline(rows.value["clean"], color=colour, linewidth=0.6, linestyle="dashed")
    ax.set_yticks(range(len(names)), [variation_in_words(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ends = np.append(table[["value", "high"]].to_numpy(float), 0.02)
    largest = ends[np.isfinite(ends)].max()
    ax.set_xlim(0, 1.05 * largest if largest < 0.5 or largest > 1 else 1.02)  # small errors fill the axis
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    label_axes(ax, label, "")
    legend_above(ax)
    ax.tick_params(axis="y", labelsize=FONT, length=0)
    return ax
