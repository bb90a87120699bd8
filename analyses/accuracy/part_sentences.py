"""Restricted prediction in words: every part beside all the others and beside its baselines."""

from typing import Any

import pandas as pd

from harsanyi.analyses.knowledge.restricted import CHANCE, DIFFERENCE
from harsanyi.analyses.report.words import listed, percent, points, with_interval
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.verdict import verdict

# Constants that are right for this share less than the network, or nearer, leave nothing to tell.
NEAR_CEILING = 0.1
BASELINE_WORDS = {"nothing": "constants alone", "nothing of before": "that network's constants alone"}
VERDICT_WORDS = {
    "holds": "predict more than",
    "fails": "predict less than",
    "cannot be told": "cannot be told from",
}


def describe_restricted(table: pd.DataFrame) -> list[str]:
    """The accuracy of each part alone and of its baselines, and whether it predicts more than the strongest.

    Args:
        table: of `restricted_prediction`.

    Returns:
        the accuracies of all parts and baselines; a warning where constants alone come near the network; a
        verdict for each part.
    """
    alone = table[(table.version == "only") & (table.quantity == "accuracy")]
    rows: dict[str, Any] = {str(row.knowledge): row for row in alone.itertuples()}
    accuracy = {name: with_interval(row, percent) for name, row in rows.items()}
    parts = [name for name in ("preserved", "exclusive", "new") if name in rows]
    said = [f"its {name} ones {accuracy[name]}{_at_random(name, accuracy)}" for name in parts]
    discarded = f"{accuracy['discarded']}{_at_random('discarded', accuracy)}"
    sentences = [
        f"The network answers {accuracy['everything']} of these inputs correctly, its constants alone "
        f"{accuracy['nothing']}; chance is {accuracy[CHANCE]}.",
        f"All its salient interactions alone answer {accuracy['all salient']} correctly, {listed(said)}; "
        f"what was discarded, in the network before, {discarded}, where that network answers "
        f"{accuracy['everything of before']}.",
    ]
    return [*sentences, *_near_ceiling(rows), *verdicts(table)]


def verdicts(table: pd.DataFrame) -> list[str]:
    """Whether preserved, exclusive, new and discarded interactions predict more than their baselines.

    The strongest of constants alone, a random part as strong, and chance; by the paired interval, margin 0.

    Args:
        table: of `restricted_prediction`.
    """
    rows = table[(table.quantity == DIFFERENCE) & (table.knowledge != "also_scratch")]
    sentences = []
    for row in rows.itertuples():
        found = Interval(*(float(getattr(row, name)) for name in ("value", "low", "high")))
        sentences.append(
            f"The {row.knowledge} interactions alone {VERDICT_WORDS[verdict(found)]} the strongest of their "
            f"baselines, {baseline_in_words(str(row.against))}: {with_interval(found, points)} points."
        )
    return sentences


def baseline_in_words(name: str) -> str:
    """A baseline's name in a sentence.

    >>> from harsanyi.analyses.knowledge.restricted import baselines_of
    >>> [baseline_in_words(name) for name in baselines_of("new")]
    ['constants alone', 'a random part as strong', 'chance']
    """
    return BASELINE_WORDS.get(name, "chance" if name == CHANCE else "a random part as strong")


def restricted_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each part alone, of a random part as strong, and of all salient knowledge without it."""
    rows = table[table.quantity == "accuracy"]
    texts = {(row.knowledge, row.version): with_interval(row, percent) for row in rows.itertuples()}
    names = [name for name in dict.fromkeys(rows.knowledge) if not name.startswith("random like ")]
    columns = {
        "only": [texts[name, "only"] for name in names],
        "a random part as strong": [texts.get((f"random like {name}", "only"), "") for name in names],
        "without": [texts.get((name, "without"), "") for name in names],
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="knowledge"))


def _at_random(name: str, accuracy: dict[str, str]) -> str:
    return f" (a random part as strong {accuracy[f'random like {name}']})"


def _near_ceiling(rows: dict[str, Any]) -> list[str]:
    """A warning where the constants leave interactions nearly nothing to predict."""
    constants, network = rows["nothing"].value, rows["everything"].value
    if network - constants > NEAR_CEILING:
        return []
    return [
        f"Constants alone answer {percent(constants)} correctly, the network {percent(network)}: on these "
        "inputs the accuracies of parts say nothing about knowledge."
    ]
