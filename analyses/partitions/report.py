"""The report of partitions: sentences and tables in words."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harsanyi.analyses.partitions.measures import ALL
from harsanyi.analyses.partitions.merges import NEIGHBOURS
from harsanyi.analyses.partitions.variations import SHUFFLED_CONTENT
from harsanyi.analyses.partitions.words import MERGES_TABLE, NEIGHBOURS_TABLE, WORDS
from harsanyi.analyses.reliability.report import CLEAN
from harsanyi.analyses.report.words import percent, points, resting_on, with_interval
from harsanyi.analyses.statistics.comparisons import told_apart


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
