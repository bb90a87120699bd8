"""The report of reliability: figures, sentences and limits from its tables."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import SHARE_COLOURS, figure_of
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.generality import FOUND_PREFIX, OTHER_INPUTS
from harsanyi.analyses.reliability.figures import plot_found, plot_sharing, plot_variations
from harsanyi.analyses.report.words import (
    intervals_over,
    listed,
    percent,
    resting_on,
    variation_in_words,
    with_interval,
)
from harsanyi.analyses.study.study import Reliability
from harsanyi.data.corruptions import NOISE
from harsanyi.shown import number

# Names of the tables' files, and of the groups of variations.
GENERALITY_TABLE, SHARING_TABLE, FOUND_TABLE = "generality", "sharing", "found"
STABILITY_TABLE, SHARES_TABLE, APPROXIMATION_TABLE = "stability", "shares", "approximation"
CLEAN, SHIFT, ATTACK, OTHER_PLAYERS = "clean", "shift", "attack", "players"
GROUP_WORDS = {
    NOISE: "With noise",
    SHIFT: "On shifted inputs",
    ATTACK: "Under attack",
    OTHER_PLAYERS: "With other players",
}


def reliability_figures(study: Reliability, tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures of reliability by caption; the part before the colon names the file."""
    table = tables[FOUND_TABLE]
    intervals = intervals_over(int(table.games.max()), "inputs")
    whole_networks = table[table.network.isin(list(study.checkpoints))]
    axes = {
        "Found elsewhere: of one network's salient strength, what another has on the same inputs, by order": (
            plot_found(whole_networks)
        )
    }
    if SHARING_TABLE in tables:
        axes[
            "Shared by inputs: of a network's salient strength, what sits in interactions that are salient "
            f"in at least so many inputs; bands: {intervals}"
        ] = plot_sharing(tables[SHARING_TABLE])
    if STABILITY_TABLE in tables:
        axes["Stability: similarity Σ min / Σ max of the interactions on varied and on clean inputs"] = (
            plot_variations(_all_orders(tables[STABILITY_TABLE]), "network", label="similarity to clean")
        )
    shares = _all_orders(tables[SHARES_TABLE])
    shares = shares[shares.quantity.isin(list(SHARE_COLOURS))]
    axes[f"Shares when inputs vary: whiskers: {intervals}; dashed, the inputs as they are"] = plot_variations(
        shares[shares.group != OTHER_PLAYERS], "quantity"
    )
    if study.layouts:
        layouts = shares[shares.group.isin([CLEAN, OTHER_PLAYERS])]
        layouts = layouts.assign(variation=layouts.variation.replace(CLEAN, study.players))
        axes["Shares with other players: on the same inputs"] = plot_variations(layouts, "quantity")
    errors = tables[APPROXIMATION_TABLE]
    axes["Approximation: what the salient interactions leave unexplained, root mean square by the spread"] = (
        plot_variations(errors[errors.quantity == "error"], "network", label="error, of the outputs' spread")
    )
    return {caption: figure_of(ax) for caption, ax in axes.items()}


def describe_reliability(study: Reliability, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The results in sentences."""
    overlaps, shares = tables[FOUND_TABLE], tables[SHARES_TABLE]
    shared = with_interval(total_row(overlaps, network="after", quantity=f"{FOUND_PREFIX}before"), percent)
    sentences = [
        f"Of the fine-tuned network's salient strength, {shared} is in the pretrained network on the same "
        "input."
    ]
    if SHARING_TABLE in tables:
        parts = ("preserved", "discarded", "new")
        others = [total_row(overlaps, network=part, quantity=OTHER_INPUTS) for part in parts]
        sentences.append(
            "What is salient in one input is so in this share of the others: "
            + listed([f"{with_interval(row, percent)} for the {row.network}" for row in others])
            + "."
        )
    sentences += _stability(tables)
    sentences += [sentence for group in GROUP_WORDS for sentence in moved(shares, group)]
    games = int(shares.games.iloc[0])
    return [*sentences, resting_on(games, "inputs")]


def reliability_findings(study: Reliability, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures of `reliability_figures` show, in words, by name.

    Args:
        study: the comparison and its variations.
        tables: as for the figures.
    """
    shares, errors = tables[SHARES_TABLE], tables[APPROXIMATION_TABLE]
    errors = errors[(errors.quantity == "error") & (errors.variation == CLEAN)]
    left = [f"{with_interval(row, percent)} of {row.network}" for row in errors.itertuples()]
    found = {
        "Stability": " ".join(_stability(tables)),
        "Shares when inputs vary": " ".join(
            sentence for group in GROUP_WORDS if group != OTHER_PLAYERS for sentence in moved(shares, group)
        ),
        "Approximation": f"On the inputs as they are, {listed(left)} is left, of the spread of the scores.",
    }
    if SHARING_TABLE in tables:
        found["Shared by inputs"] = _shared(tables[SHARING_TABLE])
    if study.layouts:
        found["Shares with other players"] = " ".join(moved(shares, OTHER_PLAYERS))
    return {name: sentence for name, sentence in found.items() if sentence}


def _shared(sharing: pd.DataFrame) -> str:
    """How much strength sits in interactions of half of the inputs or more."""
    rows = sharing[(sharing.order == "all") & (2 * sharing.inputs >= sharing.games)]
    rows = rows[rows.inputs == rows.inputs.min()]
    shares = [f"{with_interval(row, percent)} of {row.network}" for row in rows.itertuples()]
    return (
        f"In interactions that are salient in at least {rows.inputs.iloc[0]} of {rows.games.iloc[0]} inputs "
        f"sits {listed(shares)}."
    )


def _stability(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """With which variations the fine-tuned network's interactions are least like those of clean inputs."""
    if STABILITY_TABLE not in tables:
        return []
    rows = _all_orders(tables[STABILITY_TABLE])
    rows = rows[(rows.network == "after") & rows.value.notna()]
    return [_least_alike(group) for _, group in rows.groupby("group", sort=False)]


def moved(shares: pd.DataFrame, group: str) -> list[str]:
    """How the variations of a group move the preserved share; no sentence where there are none."""
    rows = _all_orders(shares[(shares.group == group) & (shares.quantity == "preserved_share")])
    return [_mostmoved(rows, GROUP_WORDS[group])] if rows.difference.notna().any() else []


def _least_alike(rows: pd.DataFrame) -> str:
    worst = rows.iloc[int(rows.value.argmin())]
    varied = variation_in_words(worst.variation)
    return (
        f"{GROUP_WORDS[worst.group]}, the fine-tuned network's interactions are least like those of clean "
        f"inputs with {varied}: their similarity is {with_interval(worst, '.2f')}."
    )


def _mostmoved(rows: pd.DataFrame, name: str) -> str:
    rows = rows[rows.difference.notna()]
    most = rows.iloc[int(rows.difference.abs().argmax())]
    points = with_interval(most, _points, of="difference")
    ends = dict.fromkeys(percent(share) for share in (rows.value.min(), rows.value.max()))
    shares = f"between {' and '.join(ends)}" if len(ends) > 1 else next(iter(ends))
    varied = variation_in_words(most.variation)
    return f"{name}, the preserved share is {shares}; it moves most with {varied}, by {points} points."


def _points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> _points(-0.041), _points(0.3), _points(-0.001)
    ('−4', '+30', '0')
    """
    points = round(100 * share)
    return number(points, "+d") if points else "0"


def _all_orders(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of AND and OR together, and of all orders together where the table has orders."""
    table = table[table.kind == "both"]
    return table[table.order == "all"] if "order" in table else table


def shares_in_words(shares: pd.DataFrame, of: str) -> pd.DataFrame:
    """The shares by variation (rows) and quantity (columns), as text.

    Args:
        shares: of `shares_table`, with variations.
        of: "" for the shares, "difference" for their differences from clean inputs, in percentage points.
    """
    rows = _all_orders(shares)
    rows = rows[rows.quantity.isin(list(SHARE_COLOURS))]
    write = _points if of else percent
    cells = rows.assign(
        column=[SHARE_COLOURS[quantity][0] for quantity in rows.quantity],
        text=[with_interval(row, write, of=of) for _, row in rows.iterrows()],
    )
    wide = cells.pivot(index="variation", columns="column", values="text")
    wide = wide.loc[list(dict.fromkeys(cells.variation)), list(dict.fromkeys(cells.column))]
    return wide.rename(index=variation_in_words)


def reliability_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Limits of the variations that a reader should know."""
    notes = [
        "Intervals are over the inputs; they say nothing about other training runs, other noise, or other "
        "draws of players.",
        "Labels, and with superpixels and masks the players, are those of the inputs as they are. Accuracies "
        "in the variations' folders are those on inputs varied alike.",
        "Shares with other players are of other games: interactions of few large patches are not sums of "
        "those of many small ones, and need not agree.",
    ]
    if SHARING_TABLE in tables:
        notes.append(
            "Inputs share an interaction where the same cells of the grid act together, whatever is in them: "
            "objects at other places count as different. Intervals hold the numbers of inputs fixed."
        )
    else:
        notes.append(
            "Players of different inputs are different things here: no interaction is in two inputs."
        )
    counts = (
        tables[SHARES_TABLE].games.iloc[0],
        tables[STABILITY_TABLE].games.min() if STABILITY_TABLE in tables else 0,
    )
    if counts[1] < counts[0]:
        notes.append(
            "Similarity is measured only on inputs whose players stay the same; dropped words move players. "
            "The column games of stability.csv says how many these are."
        )
    return notes
