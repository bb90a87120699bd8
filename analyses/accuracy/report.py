"""The relation of knowledge and accuracy, in figures and in sentences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.accuracy.correlation_figures import plot_correlation, plot_planning
from harsanyi.analyses.accuracy.counterfactual_figures import plot_calibration, plot_effect_sizes
from harsanyi.analyses.accuracy.part_sentences import CHANCE_WORDS, describe_restricted
from harsanyi.analyses.accuracy.prediction_figures import plot_discrimination, plot_pruning, plot_restricted
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.report.words import listed, percent, with_interval
from harsanyi.analyses.statistics.comparisons import p_in_words, told_apart
from harsanyi.analyses.study.asked import Of
from harsanyi.shown import number

# File names of the tables of `harsanyi accuracy`.
RESTRICTED, DISCRIMINATION, PRUNING, STANDING = "restricted", "discrimination", "pruning", "standing"
COUNTERFACTUAL, CALIBRATION = "counterfactual", "calibration"
CORRELATION, INPUTS, CHECKPOINTS = "correlation", "inputs", "checkpoints"
PLANNING, NEEDED = "planning", "inputs_needed"
ACCURACY = "accuracy held out"
# What shares are correlated with in the summary: over which points, the column, and its name.
OUTCOMES = (
    ("checkpoints", ACCURACY, "held-out accuracy"),
    ("runs", ACCURACY, "held-out accuracy at the end"),
    ("inputs", "score_after", "the score of the label"),
)
SHARE_WORDS = {
    "preserved_share": "preserved share",
    "new_share": "new share",
    "reached": "share of the end that is reached",
}
# What is measured of a part, by what is asked.
RIGHT = {"classes": "accuracy", "labels": "labels right", "numbers": "R²"}
# Fewer clusters give no interval that is worth a word in the summary.
MIN_CLUSTERS = 5


def accuracy_figures(tables: Mapping[str, pd.DataFrame], unit: str, of: Of = "classes") -> dict[str, Figure]:
    """The figures by caption; the words before the colon are the name of the file.

    Args:
        tables: of the accuracy of a run, by name.
        unit: of the score.
        of: what is asked: classes, sets of labels, or numbers.

    Returns:
        the figures; those of what there is no table of are left out.
    """
    fit, correlations = tables[CALIBRATION], tables[CORRELATION]
    figures = {
        f"Restricted prediction: {RIGHT[of]} of a part of the knowledge alone (filled), and of all salient "
        "knowledge without it (outlined); lines: the whole network, its constants alone, a random part as "
        f"strong, and {CHANCE_WORDS[of]}": plot_restricted(
            tables[RESTRICTED], "r2" if of == "numbers" else "accuracy"
        ),
        **_of_choices(tables, of),
        "Effect sizes: change of the score where the players of the strongest interactions are masked with "
        "another baseline, beside random coalitions of the same size": plot_effect_sizes(fit, unit=unit),
        **{
            f"Calibration {baseline}: predicted and measured change of the score": plot_calibration(
                tables[COUNTERFACTUAL], baseline, fit=fit, unit=unit
            )
            for baseline in dict.fromkeys(fit.baseline)
        },
        "New share and score: a dot for each input": plot_correlation(
            tables[INPUTS], "new_share", "score_after", table=correlations[correlations.over == "inputs"]
        ),
        "Inputs needed: intervals of the shares with fewer inputs": plot_planning(tables[PLANNING]),
    }
    if CHECKPOINTS in tables and "new_share" in tables[CHECKPOINTS]:
        figures["New share and accuracy: a dot for each checkpoint"] = plot_correlation(
            tables[CHECKPOINTS],
            "new_share",
            ACCURACY,
            by="series",
            table=correlations[correlations.over == "checkpoints"],
        )
    return {caption: figure_of(ax) for caption, ax in figures.items()}


def _of_choices(tables: Mapping[str, pd.DataFrame], of: Of) -> dict[str, Axes]:
    """The figures of what has several answers to choose from."""
    if DISCRIMINATION not in tables:
        return {}
    other = "the label's absence" if of == "labels" else "any other class"
    true = "its presence" if of == "labels" else "the true class"
    return {
        f"Discriminative: share of each part's strength that supports {true} more than {other}, by order": (
            plot_discrimination(tables[DISCRIMINATION])
        ),
        "Pruning: inputs with an unchanged answer, by number of removed interactions": plot_pruning(
            tables[STANDING]
        ),
    }


def describe_accuracy(tables: Mapping[str, pd.DataFrame], of: Of = "classes") -> list[str]:
    """The results in sentences: correlations, prediction of parts, discrimination, interventions, inputs.

    Args:
        tables: of the accuracy of a run, by name.
        of: what is asked: classes, sets of labels, or numbers.
    """
    return [
        *_correlations(tables[CORRELATION]),
        *describe_restricted(tables[RESTRICTED], of),
        *_discrimination(tables, of),
        *_interventions(tables[CALIBRATION]),
        *_inputs_needed(tables[NEEDED]),
    ]


def accuracy_findings(tables: Mapping[str, pd.DataFrame], of: Of = "classes") -> dict[str, str]:
    """What the figures of `accuracy_figures` show, in words, by name; none where a number is not known.

    Args:
        tables, of: as for the figures.
    """
    fit, correlations = tables[CALIBRATION], tables[CORRELATION]
    baselines = list(dict.fromkeys(fit.baseline))
    found = {
        "Restricted prediction": " ".join(describe_restricted(tables[RESTRICTED], of)),
        "Discriminative": " ".join(_discrimination(tables, of)),
        "Pruning": _pruning(tables[STANDING]) if STANDING in tables else "",
        "Effect sizes": " ".join(
            f"With {_spaced(baseline)}, masking the players of strong interactions "
            f"{_beside_controls(fit, baseline)}."
            for baseline in baselines
        ),
        **{f"Calibration {baseline}": _predicted(fit, baseline) + "." for baseline in baselines},
        "New share and score": _correlation(correlations, "inputs"),
        "Inputs needed": " ".join(_inputs_needed(tables[NEEDED])),
    }
    if CHECKPOINTS in tables and "new_share" in tables[CHECKPOINTS]:
        found["New share and accuracy"] = _correlation(correlations, "checkpoints")
    return {name: sentence for name, sentence in found.items() if sentence}


def _correlation(table: pd.DataFrame, over: str) -> str:
    """How the new share correlates with what it is drawn against."""
    ((outcome, name),) = ((outcome, name) for kind, outcome, name in OUTCOMES if kind == over)
    rows = table[(table.over == over) & (table.x == "new_share") & (table.y == outcome)]
    row: Any
    (row,) = rows[rows.coefficient == "pearson"].itertuples()
    if np.isnan(row.value):
        return f"Over {row.points} {over}, the new share or {name} is the same everywhere: no correlation."
    return f"Over {row.points} {over}, the new share and {name} correlate with r = {_coefficient(row)}."


def _pruning(standing: pd.DataFrame) -> str:
    """How many interactions can go until half of the answers change."""
    said = []
    for order, words in (("fewest", "where the fewest possible go"), ("weakest", "the weakest first")):
        rows = standing[standing.order == order]
        changed = rows[rows.value <= 0.5]
        if changed.empty:
            last = rows.iloc[int(rows.removed.argmax())]
            said.append(f"{percent(1 - last.value)} change at all, {words}")
        else:
            said.append(f"half of them change after {changed.removed.min():,.0f} removals, {words}")
    return f"Of the answers, {listed(said)}."


def _correlations(table: pd.DataFrame) -> list[str]:
    """How shares correlate with accuracy over checkpoints and runs, or else with the score over inputs."""
    sentences = []
    for over, outcome, name in OUTCOMES:
        rows = table[(table.over == over) & (table.y == outcome) & (table.coefficient == "pearson")]
        shares = rows[rows.x.isin(SHARE_WORDS) & np.isfinite(rows.value)]
        found = [f"the {SHARE_WORDS[str(row.x)]}, r = {_coefficient(row)}" for row in shares.itertuples()]
        if found:
            points = f"{rows.points.iloc[0]} {over}"
            if over == "checkpoints":
                points += f" of {rows.clusters.iloc[0]} run{'s' if rows.clusters.iloc[0] > 1 else ''}"
            sentences.append(f"Over {points}, {name} correlates with {listed(found)}.")
            if over == "checkpoints":
                sentences.append("Along a run nearly everything correlates with the step: this is no cause.")
        pearson = table[(table.over == over) & (table.coefficient == "pearson")]
        sentences += [apart] if (apart := told_apart(pearson, f"correlations over {over}")) else []
    return sentences


def _coefficient(row: Any) -> str:
    """A coefficient, with its interval where there are enough clusters for one."""
    return with_interval(row, ".2f") if row.clusters >= MIN_CLUSTERS else number(row.value, ".2f")


def _discrimination(tables: Mapping[str, pd.DataFrame], of: Of) -> list[str]:
    """How much of the preserved and of the new strength supports the true answer most."""
    if DISCRIMINATION not in tables:
        return []
    sentences, table = [], tables[DISCRIMINATION]
    where, more = (
        ("a present label", "its absence") if of == "labels" else ("the true class", "any other class")
    )
    for part in ("preserved", "new"):
        row = total_row(table, knowledge=part, quantity="discriminative_share")
        sentences.append(
            f"Of the {part} strength on {where}, {with_interval(row, percent)} supports it more than {more}."
        )
    return sentences


def _interventions(fit: pd.DataFrame) -> list[str]:
    """Predicted beside measured, and chosen beside random coalitions, for each baseline."""
    return [
        f"{_predicted(fit, baseline)}; masking the players of strong interactions "
        f"{_beside_controls(fit, baseline)}."
        for baseline in dict.fromkeys(fit.baseline)
    ]


def _predicted(fit: pd.DataFrame, baseline: str) -> str:
    """How predicted and measured changes of the score agree, without a full stop."""
    rows = _of_all(fit, baseline)
    pearson = rows[(rows["sample"] == "chosen") & (rows.quantity == "pearson")].iloc[0]
    return (
        f"With {_spaced(baseline)} as baseline, predicted and measured changes of the score correlate with "
        f"r = {with_interval(pearson, '.2f')}"
    )


def _beside_controls(fit: pd.DataFrame, baseline: str) -> str:
    """What masking the players of strong interactions does beside masking others, without its subject."""
    rows = _of_all(fit, baseline)
    delta = rows[rows.quantity == "cliff_delta"].iloc[0]
    changes = "does not change the score clearly more than"
    if delta.low > 0 or delta.high < 0:
        changes = f"changes the score {'more' if delta.low > 0 else 'less'} than"
    return f"{changes} masking as many other players (Cliff's δ {with_interval(delta, '.2f')})"


def _of_all(fit: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The rows of a baseline over all parts and both kinds."""
    return fit[(fit.baseline == baseline) & (fit.part == "all") & (fit.kind == "both")]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _inputs_needed(table: pd.DataFrame) -> list[str]:
    return [
        f"A {str(row.quantity).replace('_', ' ')} within ±{row.half_width:.0%} needs about {row.inputs:.0f} "
        f"inputs{' (extrapolated)' if row.extrapolated else ''}."
        for row in table.itertuples()
    ]


def correlations_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Pearson's coefficients with p, raw and corrected for the number of pairs, as text."""
    rows = table[table.coefficient == "pearson"]
    cells = {
        "over": rows.over,
        "of": [f"{row.x} and {row.y}".replace("_", " ") for row in rows.itertuples()],
        "r": [_coefficient(row) for row in rows.itertuples()],
        "p": rows.p.map(p_in_words),
        "p, corrected": rows.p_corrected.map(p_in_words),
    }
    return pd.DataFrame(cells).set_index("over")
