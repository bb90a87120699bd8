"""Restricted prediction in words: every part beside all the others and beside its baselines."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from harsanyi.analyses.knowledge.restricted import CHANCE, DIFFERENCE
from harsanyi.analyses.knowledge.restricted_numbers import R2, R2_DIFFERENCE
from harsanyi.analyses.report.words import listed, part_in_words, percent, points, with_interval
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.verdict import verdict
from harsanyi.analyses.study.asked import Of
from harsanyi.shown import number

# Constants that are right for this share less than the network, or nearer, leave nothing to tell.
NEAR_CEILING = 0.1
BASELINE_WORDS = {"nothing": "constants alone", "nothing of before": "that network's constants alone"}
# An answer that knows no input, by what is asked.
CHANCE_WORDS = {
    "classes": "chance",
    "labels": "the commoner answer to each label",
    "numbers": "the mean of the numbers",
}
VERDICT_WORDS = {
    "holds": "predict more than",
    "fails": "predict less than",
    "cannot be told": "cannot be told from",
}
# The network beside its constants and chance, then its parts, by what is asked.
NETWORK_WORDS = {
    "classes": "The network answers {everything} of these inputs correctly, its constants alone {nothing}; "
    "chance is {chance}.",
    "labels": "The network has {everything} of the labels of these inputs right, present and absent, its "
    "constants alone {nothing}; the commoner answer to each label is right for {chance}.",
    "numbers": "R² of the network's numbers is {everything} on these inputs, of its constants alone "
    "{nothing}; the mean of the numbers has {chance}.",
}
PART_WORDS = {
    "classes": "All its salient interactions alone answer {salient} correctly, {parts}; what was discarded, "
    "in the network before, {discarded}, where that network answers {before}.",
    "labels": "All its salient interactions alone have {salient} right, {parts}; what was discarded, in the "
    "network before, {discarded}, where that network has {before}.",
    "numbers": "That of all its salient interactions alone is {salient}, {parts}; of what was discarded, in "
    "the network before, {discarded}, where that network has {before}.",
}


def describe_restricted(table: pd.DataFrame, of: Of = "classes") -> list[str]:
    """How right each part alone and its baselines are, and whether it predicts more than the strongest.

    Args:
        table: of `restricted_prediction`, or of `restricted_numbers`.
        of: what is asked: classes, sets of labels, or numbers.

    Returns:
        how right all parts and baselines are; a warning where constants alone come near the network; a
        verdict for each part.
    """
    alone = table[(table.version == "only") & (table.quantity == quantity_of(of))]
    rows: dict[str, Any] = {str(row.knowledge): row for row in alone.itertuples()}
    right = {name: with_interval(row, _write(of)) for name, row in rows.items()}
    parts = [name for name in ("preserved", "exclusive", "new") if name in rows]
    said = [f"its {name} ones {right[name]}{_at_random(name, right)}" for name in parts]
    network = NETWORK_WORDS[of].format(**{name: right[name] for name in ("everything", "nothing", CHANCE)})
    told = PART_WORDS[of].format(
        salient=right["all salient"],
        parts=listed(said),
        discarded=f"{right['discarded']}{_at_random('discarded', right)}",
        before=right["everything of before"],
    )
    return [network, told, *_near_ceiling(rows, of), *verdicts(table, of)]


def quantity_of(of: Of) -> str:
    """The quantity of a table of restricted prediction that says how right a part is.

    >>> quantity_of("numbers")
    'r2'
    """
    return R2 if of == "numbers" else "accuracy"


def verdicts(table: pd.DataFrame, of: Of = "classes") -> list[str]:
    """Whether preserved, exclusive, new and discarded interactions predict more than their baselines.

    The strongest of constants alone, a random part as strong, and chance; by the paired interval, margin 0.

    Args:
        table, of: as for `describe_restricted`.
    """
    difference = R2_DIFFERENCE if of == "numbers" else DIFFERENCE
    rows = table[(table.quantity == difference) & (table.knowledge != "also_scratch")]
    sentences = []
    for row in rows.itertuples():
        found = Interval(*(float(getattr(row, name)) for name in ("value", "low", "high")))
        by = (
            f"{with_interval(found, '+.2f')} of R²"
            if of == "numbers"
            else f"{with_interval(found, points)} points"
        )
        sentences.append(
            f"The {row.knowledge} interactions alone {VERDICT_WORDS[verdict(found)]} the strongest of their "
            f"baselines, {baseline_in_words(str(row.against), of)}: {by}."
        )
    return sentences


def baseline_in_words(name: str, of: Of = "classes") -> str:
    """A baseline's name in a sentence.

    >>> from harsanyi.analyses.knowledge.restricted import baselines_of
    >>> [baseline_in_words(name) for name in baselines_of("new")]
    ['constants alone', 'a random part as strong', 'chance']
    """
    return BASELINE_WORDS.get(name, CHANCE_WORDS[of] if name == CHANCE else "a random part as strong")


def restricted_in_words(table: pd.DataFrame, of: Of = "classes") -> pd.DataFrame:
    """How right each part alone is, a random part as strong, and all salient knowledge without it."""
    rows = table[table.quantity == quantity_of(of)]
    texts = {(row.knowledge, row.version): with_interval(row, _write(of)) for row in rows.itertuples()}
    names = [name for name in dict.fromkeys(rows.knowledge) if not name.startswith("random like ")]
    columns = {
        "only": [texts[name, "only"] for name in names],
        "a random part as strong": [texts.get((f"random like {name}", "only"), "") for name in names],
        "without": [texts.get((name, "without"), "") for name in names],
    }
    return pd.DataFrame(columns, index=pd.Index(list(map(part_in_words, names)), name="knowledge"))


def _at_random(name: str, accuracy: dict[str, str]) -> str:
    return f" (a random part as strong {accuracy[f'random like {name}']})"


def _near_ceiling(rows: dict[str, Any], of: Of) -> list[str]:
    """A warning where the constants leave interactions nearly nothing to predict."""
    constants, network = rows["nothing"].value, rows["everything"].value
    if network - constants > NEAR_CEILING:
        return []
    if of == "classes":
        return [
            f"Constants alone answer {percent(constants)} correctly, the network {percent(network)}: on "
            "these inputs the accuracies of parts say nothing about knowledge."
        ]
    reached = [number(value, ".2f") if of == "numbers" else percent(value) for value in (constants, network)]
    return [
        f"Constants alone reach {reached[0]}, the network {reached[1]}: on these inputs what parts predict "
        "says nothing about knowledge."
    ]


def _write(of: Of) -> str | Callable[[float], str]:
    """How to write how right something is."""
    return ".2f" if of == "numbers" else percent
