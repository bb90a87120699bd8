"""The report of robustness: figures and sentences from its tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import SHARE_COLOURS, figure_of
from harsanyi.analyses.reliability.figures import plot_variations
from harsanyi.analyses.reliability.report import ATTACK, CLEAN, GROUP_WORDS, SHARES_TABLE, SHIFT, moved
from harsanyi.analyses.report.words import (
    intervals_over,
    part_in_words,
    percent,
    points,
    resting_on,
    variation_in_words,
    with_interval,
)
from harsanyi.analyses.robustness.tables import FINE_TUNED, NAMES, PRETRAINED, PUT_BACK
from harsanyi.analyses.statistics.comparisons import LEVEL, told_apart
from harsanyi.data.corruptions import NOISE

# The name of the table of accuracies, and so of its file.
ACCURACY_TABLE = "robustness"
NETWORKS = tuple(NAMES[row] for row in (FINE_TUNED, PRETRAINED, PUT_BACK))
PARTS = ("preserved", "new", "discarded")
CHANGES = (NOISE, SHIFT, ATTACK)


def robustness_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures by caption; the part before the colon names the file.

    Args:
        tables: of accuracies and of shares, by name.
    """
    table, shares = tables[ACCURACY_TABLE], tables[SHARES_TABLE]
    intervals = intervals_over(int(shares.games.max()), "inputs")
    alone = table[table.knowledge.isin([*PARTS, "chance"])]
    shares = shares[(shares.kind == "both") & shares.quantity.isin(list(SHARE_COLOURS))]
    axes = {
        "Accuracy by distribution: of both networks, and of the fine-tuned one with what it discarded put "
        "back; whiskers: Wilson's 95% intervals; dashed, the inputs as they are": plot_variations(
            table[table.knowledge.isin(NETWORKS)], "knowledge", label="accuracy"
        ),
        "Accuracy of parts alone: of what was preserved, new and discarded; dashed, the inputs as they are": (
            plot_variations(alone, "knowledge", label="accuracy")
        ),
        f"Shares by distribution: whiskers: {intervals}; dashed, the inputs as they are": plot_variations(
            shares, "quantity"
        ),
    }
    return {caption: figure_of(ax) for caption, ax in axes.items()}


def describe_robustness(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The results in sentences: accuracies on clean inputs, and where they are least on changed ones.

    Args:
        tables: of accuracies and of shares, by name.
    """
    table, shares = tables[ACCURACY_TABLE], tables[SHARES_TABLE]
    sentences = [
        f"On the inputs as they are, {_networks(table, CLEAN)}.",
        *(_worst(table, group) for group in CHANGES if (table.group == group).any()),
        _put_back(table),
        f"On the inputs as they are, {_alone(table, CLEAN)}.",
        *(sentence for group in CHANGES for sentence in moved(shares, group)),
    ]
    basis = resting_on(int(table.games.iloc[0]), "inputs").removesuffix(".")
    return [*sentences, f"{basis}; those of accuracies are Wilson's."]


def robustness_findings(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures of `robustness_figures` show, in words, by name.

    Args:
        tables: of accuracies and of shares, by name.
    """
    table, shares = tables[ACCURACY_TABLE], tables[SHARES_TABLE]
    return {
        "Accuracy by distribution": _put_back(table),
        "Accuracy of parts alone": f"On the inputs as they are, {_alone(table, CLEAN)}.",
        "Shares by distribution": " ".join(
            sentence for group in CHANGES for sentence in moved(shares, group)
        ),
    }


def accuracies_in_words(table: pd.DataFrame, of: str) -> pd.DataFrame:
    """Accuracies by what answers (rows) and distribution (columns), as text.

    Args:
        table: of accuracies.
        of: "" for accuracies, "difference" for their differences to the fine-tuned network, in points.
    """
    rows = table[table.knowledge != NAMES[FINE_TUNED]] if of else table
    write = points if of else percent
    cells = rows.assign(text=[with_interval(row, write, of=of) for _, row in rows.iterrows()])
    wide = cells.pivot(index="knowledge", columns="variation", values="text")
    wide = wide.loc[list(dict.fromkeys(cells.knowledge)), list(dict.fromkeys(cells.variation))]
    return wide.rename(index=part_in_words, columns=variation_in_words).rename_axis(columns=None)


def _row(table: pd.DataFrame, variation: str, name: str) -> Any:
    """The row of what answers, on a distribution."""
    (row,) = table[(table.variation == variation) & (table.knowledge == name)].itertuples()
    return row


def _networks(table: pd.DataFrame, variation: str) -> str:
    """How right both networks are, and the fine-tuned one with what it discarded."""
    tuned, before, both = (_row(table, variation, name) for name in NETWORKS)
    return (
        f"the fine-tuned network is right for {with_interval(tuned, percent)}, the pretrained one for "
        f"{with_interval(before, percent)}, and the fine-tuned one with what it discarded put back for "
        f"{with_interval(both, percent)} ({with_interval(both, points, of='difference')} points)"
    )


def _worst(table: pd.DataFrame, group: str) -> str:
    """Where the fine-tuned network is right least in a group of changes."""
    rows = table[(table.group == group) & (table.knowledge == NAMES[FINE_TUNED])]
    worst = str(rows.variation.iloc[int(rows.value.argmin())])
    least = f"it is right least often with {variation_in_words(worst)}"
    return f"{GROUP_WORDS[group]}, {least}: {_networks(table, worst)}."


def _put_back(table: pd.DataFrame) -> str:
    """On how many distributions it helps, or harms, to put back what was discarded."""
    rows = table[table.knowledge == NAMES[PUT_BACK]]
    told = rows[rows.p_corrected < LEVEL]
    counts = (int((told.difference > 0).sum()), int((told.difference < 0).sum()))
    return (
        f"What was discarded, put back, makes the fine-tuned network more often right on {counts[0]} of "
        f"{len(rows)} distributions and less often on {counts[1]}; on the others it cannot be told. "
        f"{told_apart(table, 'differences to the fine-tuned network, those of parts and constants included')}"
    ).strip()


def _alone(table: pd.DataFrame, variation: str) -> str:
    """How right each part alone is, beside a random part as strong, its constants and chance."""
    said = []
    for part in PARTS:
        row, random = (_row(table, variation, name) for name in (part, f"random like {part}"))
        said.append(
            f"the {part} part alone is right for {with_interval(row, percent)} (a random part as strong for "
            f"{with_interval(random, percent)})"
        )
    constants, before, chance = (
        percent(_row(table, variation, name).value) for name in ("constants", "constants of before", "chance")
    )
    return (
        f"{', '.join(said)}; constants alone are right for {constants}, those of the pretrained network for "
        f"{before}, and chance is {chance}"
    )
