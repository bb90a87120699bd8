"""The report of partitions: figures and sentences from its tables."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

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
from harsanyi.analyses.partitions.merges import APART, NEIGHBOURS
from harsanyi.analyses.partitions.variations import SHUFFLED, SHUFFLED_CONTENT
from harsanyi.analyses.reliability.figures import plot_variations
from harsanyi.analyses.reliability.report import CLEAN
from harsanyi.analyses.report.words import intervals_over, percent, points, resting_on, with_interval
from harsanyi.analyses.statistics.comparisons import told_apart

# Names of the tables, and so of their files.
MERGES_TABLE, NEIGHBOURS_TABLE, CONSTITUENTS_TABLE = "merges", "neighbours", "constituents"
# In figures and sentences.
WORDS = {
    CLEAN: "as it is",
    NEIGHBOURS: "two neighbours merged",
    APART: "two others merged",
    "marginal": "parts of another input",
    "independent": "each patch of another input",
    "nearest": "patches of the nearest inputs",
    "normal": "conditional expectation",
    SHUFFLED: "patches shuffled",
    SHUFFLED_CONTENT: "patches shuffled, neighbours before",
}
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
    for i, (colour, name) in enumerate(zip(cycle(NETWORK_COLOURS[1:]), networks)):
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


def describe_partitions(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The results in sentences.

    Args:
        tables: of merges and of neighbours, by name.
    """
    merges, neighbours = tables[MERGES_TABLE], tables[NEIGHBOURS_TABLE]
    sentences = [
        *(_merged(merges, group) for group in _groups(merges)),
        *_kept(merges),
        *_beside(neighbours),
        *_varied(neighbours),
    ]
    several = told_apart(neighbours, "differences of variations to the run as it is")
    basis = resting_on(int(neighbours.games.iloc[0]), "inputs")
    return [*sentences, *([several] if several else []), basis]


def partition_findings(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures of `partition_figures` show, in words, by name.

    Args:
        tables: as for the figures.
    """
    merges, neighbours = tables[MERGES_TABLE], tables[NEIGHBOURS_TABLE]
    found = {
        "Neighbours by order": " ".join(_beside(neighbours)),
        "Shares after merges": " ".join(_merged(merges, group) for group in _groups(merges)),
    }
    if varied := _varied(neighbours):
        found["Neighbours by variation"] = found["Shares by variation"] = " ".join(varied)
    return found


def in_words(table: pd.DataFrame, quantities: Mapping[str, str]) -> pd.DataFrame:
    """Measures of all orders by variation and network (rows) and quantity (columns), as text.

    Args:
        table: of merges or of neighbours.
        quantities: to show, with their headings.
    """
    rows = table[(table.order == ALL) & table.quantity.isin(list(quantities))]
    write = {name: percent if name.endswith(("share", "kept", "agreement")) else ".2f" for name in quantities}
    cells = rows.assign(
        variation=[WORDS.get(name, name) for name in rows.variation],
        column=rows.quantity.map(quantities),
        text=[with_interval(row, write[row.quantity]) for _, row in rows.iterrows()],
    )
    if (cells.network != "").all():
        cells = cells.assign(variation=cells.variation + ", " + cells.network)
    wide = cells.pivot(index="variation", columns="column", values="text")
    wide = wide.loc[list(dict.fromkeys(cells.variation))]
    return wide[[heading for heading in quantities.values() if heading in wide]].rename_axis(columns=None)


def _row(table: pd.DataFrame, variation: str, quantity: str, network: str = "", order: str = ALL) -> Any:
    rows = table[
        (table.variation == variation)
        & (table.quantity == quantity)
        & (table.network == network)
        & (table.order == order)
    ]
    (row,) = rows.itertuples()
    return row


def _groups(merges: pd.DataFrame) -> list[str]:
    """The groups of merges; a merge that was asked for by itself is one."""
    return [group for group in dict.fromkeys(merges.group) if group != CLEAN]


def _merged(merges: pd.DataFrame, group: str) -> str:
    """What a group of merges does to the shares."""
    said = []
    for quantity, word in (("preserved_share", "preserved"), ("new_share", "new")):
        row = _row(merges, group, quantity)
        each = merges[(merges.group == group) & (merges.quantity == quantity) & (merges.variation != group)]
        between = (
            f", single merges {percent(each.value.min())} to {percent(each.value.max())}" if len(each) else ""
        )
        said.append(
            f"{with_interval(row, percent)} is {word} ({with_interval(row, points, of='difference')} "
            f"points{between})"
        )
    return f"With {_words(group)}, {' and '.join(said)}."


def _words(group: str) -> str:
    return WORDS.get(group, f"players merged as {group}")


def _kept(merges: pd.DataFrame) -> list[str]:
    """How much cancels in sums of neighbours' interactions, and whether the strongest are still there."""
    if NEIGHBOURS not in {*merges.group}:
        return []
    summed, split, top = (
        _row(merges, NEIGHBOURS, name, "after") for name in ("summed_strength", "split_strength", "top_kept")
    )
    return [
        "Summed exactly, the fine-tuned network's interactions keep "
        f"{with_interval(summed, percent)} of their strength when two neighbours merge; the rest cancels. "
        f"The method's own split of the merged tables has {with_interval(split, percent)}. Of its five "
        f"strongest interactions of an input, {with_interval(top, percent)} are salient with their sign "
        "after a merge."
    ]


def _beside(neighbours: pd.DataFrame) -> list[str]:
    """How much of the strength is between neighbours."""
    said = []
    for name in dict.fromkeys(neighbours.network[neighbours.network != ""]):
        pairs, every, lift = (
            _row(neighbours, CLEAN, *of)
            for of in (
                ("neighbour_share", name, "2"),
                ("neighbour_share", name),
                ("neighbour_lift", name),
            )
        )
        said.append(
            f"Of the strength of pairs in {name}, {with_interval(pairs, percent)} is between neighbours "
            f"({percent(pairs.chance)} by chance); over all orders from two, neighbours are "
            f"{with_interval(every, percent)} of the pairs, {with_interval(lift, '.2f')} times chance."
        )
    return said


def _varied(neighbours: pd.DataFrame) -> list[str]:
    """What replacement and shuffling do to neighbours' part and to the shares."""
    said = []
    for name in dict.fromkeys(neighbours.variation):
        if name == CLEAN:
            continue
        lift, strength = (
            _row(neighbours, name, quantity, "after") for quantity in ("neighbour_lift", "strength")
        )
        sentence = (
            f"With {WORDS.get(name, name)}, neighbouring pairs of the fine-tuned network are "
            f"{with_interval(lift, '.2f')} times chance ({with_interval(lift, '+.2f', of='difference')})"
        )
        if name != SHUFFLED_CONTENT:
            preserved = _row(neighbours, name, "preserved_share")
            sentence += (
                f"; the strength of two players and more is {with_interval(strength, '.3g')} an input "
                f"({with_interval(strength, '+.3g', of='difference')}), and the preserved share is "
                f"{with_interval(preserved, percent)} "
                f"({with_interval(preserved, points, of='difference')} points)"
            )
        said.append(f"{sentence}.")
    return said


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
