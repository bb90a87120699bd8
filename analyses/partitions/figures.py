"""The figures of partitions: what neighbours carry, and shares after merges and variations."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import (
    FAINT,
    NETWORK_COLOURS,
    SHARE_COLOURS,
    figure_of,
    growing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.partitions.measures import ALL
from harsanyi.analyses.partitions.words import MERGES_TABLE, NEIGHBOURS_TABLE, WORDS
from harsanyi.analyses.reliability.figures import plot_variations
from harsanyi.analyses.reliability.report import CLEAN
from harsanyi.analyses.report.words import intervals_over

NAMED_MERGES = 12  # so many are drawn one by one, those that move the preserved share most


def partition_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures by caption; the part before the colon names the file.

    Args:
        tables: of merges and of neighbours, by name.
    """
    neighbours, merges = tables[NEIGHBOURS_TABLE], tables[MERGES_TABLE]
    intervals = intervals_over(int(neighbours.games.max()), "inputs")
    axes = {
        "Neighbours by order: of the strength of each order, the share of pairs that are neighbours, by that "
        f"of chance; whiskers: {intervals}; the line is chance": plot_lift_by_order(neighbours),
        "Shares after merges: preserved, discarded and new with players merged, the mean over all merges and "
        f"the merges that move most; whiskers: {intervals}; dashed, the run as it is": plot_variations(
            _shares(merges), "quantity"
        ),
    }
    if len(dict.fromkeys(neighbours.variation)) > 1:
        axes[
            "Neighbours by variation: of the strength of two players and more, the share of pairs that are "
            f"neighbours, by that of chance; whiskers: {intervals}; dashed, the run as it is"
        ] = plot_lift(neighbours)
        shares = neighbours[neighbours.quantity.isin(list(SHARE_COLOURS))]
        axes[f"Shares by variation: whiskers: {intervals}; dashed, the run as it is"] = plot_variations(
            _worded(shares), "quantity"
        )
    return {caption: figure_of(ax) for caption, ax in axes.items()}


def plot_lift_by_order(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The lift of neighbouring pairs by order, of each network of the run as it is.

    Args:
        table: of neighbours.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(variation="clean", network="after", quantity="neighbour_lift", value=1, low=1, high=2)
    >>> len(plot_lift_by_order(pd.DataFrame([{**row, "order": order} for order in ("2", "3")])).lines)
    2
    """
    rows = table[(table.variation == CLEAN) & (table.quantity == "neighbour_lift") & (table.order != ALL)]
    rows = rows[rows.value.notna()]
    networks, orders = list(dict.fromkeys(rows.network)), list(dict.fromkeys(rows.order))
    ax = ax or new_axes(growing(1.2 + 0.13 * len(networks) * len(orders)), 2.6)
    for i, (colour, name) in enumerate(zip(cycle(NETWORK_COLOURS), networks)):
        of_name = rows[rows.network == name].set_index("order").reindex(orders)
        x = np.arange(len(orders)) + ((i + 0.5) / len(networks) - 0.5) * 0.6
        dots_with_bars(ax, x, of_name, colour, name)
    ax.axhline(1, color=FAINT, linewidth=0.8)
    ax.set_xticks(range(len(orders)), orders)
    label_axes(ax, "order", "neighbouring pairs, by chance")
    legend_above(ax)
    return ax


def plot_lift(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The lift of neighbouring pairs of all orders, by variation and network.

    Args:
        table: of neighbours.
        ax: to draw on; new axes by default.

    Returns:
        the axes.
    """
    rows = table[(table.quantity == "neighbour_lift") & (table.order == ALL)]
    ax = plot_variations(_worded(rows), "network", ax, label="neighbouring pairs, by chance")
    ends = rows[["value", "low", "high"]].to_numpy(float)
    ends = ends[np.isfinite(ends)]
    ax.set_xlim(min(0.95, ends.min() - 0.03), max(1.05, ends.max() + 0.03))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.axvline(1, color=FAINT, linewidth=0.8)
    return ax


def _shares(merges: pd.DataFrame) -> pd.DataFrame:
    """Shares of the run, of groups of merges, and of the single merges that move the preserved share most."""
    rows = merges[merges.quantity.isin(list(SHARE_COLOURS))]
    single = rows[(rows.variation != rows.group) & (rows.quantity == "preserved_share")]
    most = single.reindex(single.difference.abs().sort_values(ascending=False).index[:NAMED_MERGES])
    shown = [*dict.fromkeys(rows.variation[rows.variation == rows.group]), *most.variation]
    return _worded(pd.concat([rows[rows.variation == name] for name in shown]))


def _worded(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose variations are named in words; the run as it is keeps its name, which dashes its values."""
    words = {name: word for name, word in WORDS.items() if name != CLEAN}
    return rows.assign(variation=rows.variation.replace(words))
