"""Measures of features in sentences and tables of text."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from harsanyi.analyses.origins.features import CKA, GAIN, LESS, PREDICTORS, PRESERVED
from harsanyi.analyses.report.words import NO_VALUE, intervals_over, listed, percent, points, with_interval
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.comparisons import p_in_words, told_apart
from harsanyi.analyses.statistics.correlation import LEAST_CLUSTERS
from harsanyi.analyses.statistics.verdict import verdict
from harsanyi.shown import counted

MEASURE_WORDS = {
    PRESERVED: "preserved share",
    CKA: "CKA of features",
    "probe_accuracy": "linear probe's accuracy",
    "leep": "LEEP",
    "log_me": "LogME",
    "accuracy": "accuracy",
    "scratch_accuracy": "accuracy from scratch",
    GAIN: "gain over scratch",
}
WRITE: dict[str, str | Callable[[float], str]] = {"leep": ".2f", "log_me": ".2f", CKA: ".2f", GAIN: points}
QUESTION = "Does the preserved share say more of the gain over scratch than CKA?"
ANSWERS = {"holds": "Yes", "fails": "No, CKA says more", "cannot be told": "That cannot be told"}
NOTE = (
    "CKA is linear, of what enters the heads before and after, by the unbiased estimator of HSIC. The probe, "
    "LEEP and LogME (both in nats) see the pretrained network and the data's classes alone. They are of up "
    "to 2,000 inputs of the run's data, and their intervals are over these. A network that was trained on "
    "them gains more there than on others."
)
APART = (
    "Correlations over origins count each once. Origins of one pretrained network, or of one target, are not "
    "independent, and intervals over them are then too narrow."
)
TOGETHER = (
    "Correlations over origins count each once. Their intervals are over the named clusters, each left out "
    "with all its origins. They know nothing of what origins of several clusters share, as one pretraining."
)


def feature_notes(correlations: pd.DataFrame) -> list[str]:
    """What the measures are, and what the intervals of the correlations are over.

    Args:
        correlations: of `feature_correlations`.
    """
    return [NOTE, TOGETHER if (correlations.clusters < correlations.points).any() else APART]


def describe_features(features: pd.DataFrame, correlations: pd.DataFrame) -> list[str]:
    """Measures of features in sentences: of each origin, and whether the preserved share says more than CKA.

    Args:
        features: of `feature_table`.
        correlations: of `feature_correlations`.

    Returns:
        the sentences.
    """
    sentences = [_of_origin(str(name), rows) for name, rows in features.groupby("origin", sort=False)]
    return [*sentences, *correlations_told(features, correlations)]


def correlations_told(features: pd.DataFrame, correlations: pd.DataFrame) -> list[str]:
    """How measures rank the gain over origins, and the answer by rule; or why there is none.

    Args:
        features: of `feature_table`.
        correlations: of `feature_correlations`.

    Returns:
        the sentences.
    """
    gains = features[(features.measure == GAIN) & features.value.notna()]
    if correlations.empty:
        return [
            f"{QUESTION} {ANSWERS['cannot be told']}: {counted(len(gains), 'origin')} of "
            f"{features.origin.nunique()} {'has' if len(gains) == 1 else 'have'} a gain over a network from "
            f"scratch, and a rank correlation needs {LEAST_CLUSTERS}."
        ]
    rows = correlations[correlations.coefficient == "spearman"]
    found = [
        f"the {MEASURE_WORDS[str(row.x)]} by ρ = {with_interval(row, '.2f')}" for row in rows.itertuples()
    ]
    less = correlations[correlations.x == LESS].iloc[0]
    answer = ANSWERS[verdict(Interval(*(float(less[name]) for name in ("value", "low", "high"))))]
    apart = told_apart(rows, "rank correlations with the gain")
    return [
        f"Over {_counted_origins(rows.iloc[0], len(gains))} the gain over scratch correlates in rank with "
        f"{listed(found)}.",
        *([apart] if apart else []),
        f"{QUESTION} {answer}: |ρ| of the preserved share less |ρ| of CKA is {with_interval(less, '+.2f')} "
        f"over {_counted_origins(less)}; it says more where the whole interval lies above 0, "
        "and less where it lies below.",
    ]


def features_in_words(features: pd.DataFrame) -> pd.DataFrame:
    """The measures as text: origins down, measures across.

    Args:
        features: of `feature_table`.
    """
    cells = features.assign(
        text=[with_interval(row, WRITE.get(str(row.measure), percent)) for row in features.itertuples()],
        heading=features.measure.map(MEASURE_WORDS),
    )
    wide = cells.pivot(index="origin", columns="heading", values="text").fillna(NO_VALUE)
    wide.columns.name = None
    return wide.loc[list(dict.fromkeys(features.origin)), list(dict.fromkeys(cells.heading))]


def correlations_in_words(correlations: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations with the gain as text; a table without columns where there are none.

    Args:
        correlations: of `feature_correlations`.
    """
    if correlations.empty:
        return pd.DataFrame()
    names = {**{name: MEASURE_WORDS[name] for name in PREDICTORS}, LESS: "|ρ| of preserved share less of CKA"}
    cells = {
        "measure": correlations.x.map(names),
        "ρ": [with_interval(row, ".2f") for row in correlations.itertuples()],
        "p": correlations.p.map(p_in_words),
        "p, corrected": correlations.p_corrected.map(p_in_words),
        "origins": correlations.points.astype(str),
        "clusters": correlations.clusters.astype(str),
    }
    if (correlations.clusters == correlations.points).all():
        del cells["clusters"]
    return pd.DataFrame(cells).set_index("measure")


def feature_warnings(features: pd.DataFrame) -> list[str]:
    """The inputs that were left out, and the measures without a value and why, in sentences.

    Args:
        features: of `feature_table`.
    """
    first: Any = features.drop_duplicates("origin")
    left_out = [
        f"{counted(int(row.left_out), 'input')} left out of the measures of {row.origin}'s features, where a "
        "network failed."
        for row in first.itertuples()
        if row.left_out
    ]
    missing = features[features.why != ""].groupby("why", sort=False)
    return [
        *left_out,
        *(
            f"No {listed(list(dict.fromkeys(rows.measure.map(MEASURE_WORDS))))} of "
            f"{listed(list(dict.fromkeys(rows.origin)))}: {why}."
            for why, rows in missing
        ),
    ]


def over_inputs(features: pd.DataFrame) -> str:
    """What the intervals of a table of `feature_table` are, for captions."""
    return intervals_over(int(features.inputs.min()), "inputs")


def _counted_origins(row: Any, origins: int | None = None) -> str:
    """How many origins a correlation is over, and in how many clusters these are."""
    counts = counted(int(row.points) if origins is None else origins, "origin")
    return counts if row.clusters == row.points else f"{counts} in {counted(int(row.clusters), 'cluster')}"


def _of_origin(name: str, rows: pd.DataFrame) -> str:
    """The measures that an origin has, in a sentence."""
    known = rows.dropna(subset="value")
    parts = [f"{MEASURE_WORDS[str(row.measure)]} {_written(row)}" for row in known.itertuples()]
    return f"Features of {name}: {', '.join(parts) if parts else 'no measure has a value'}."


def _written(row: Any) -> str:
    measure = str(row.measure)
    text = with_interval(row, WRITE.get(measure, percent))
    return f"{text} points" if measure == GAIN else text
