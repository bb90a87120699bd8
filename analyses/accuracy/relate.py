"""Knowledge and accuracy: does what a finished run kept and learned explain how well it answers?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harsanyi.analyses.accuracy.calibration import calibration_table
from harsanyi.analyses.accuracy.counterfactual import (
    Baselines,
    counterfactual_table,
    other_baselines,
    other_tokens,
)
from harsanyi.analyses.accuracy.discrimination import discrimination_table
from harsanyi.analyses.accuracy.planning import inputs_needed, planning_curve
from harsanyi.analyses.accuracy.points import checkpoint_points, input_points
from harsanyi.analyses.accuracy.pruning import Order, prune_until_flip
from harsanyi.analyses.accuracy.report import (
    ACCURACY,
    CALIBRATION,
    CHECKPOINTS,
    CORRELATION,
    COUNTERFACTUAL,
    DISCRIMINATION,
    INPUTS,
    NEEDED,
    PLANNING,
    PRUNING,
    RESTRICTED,
    STANDING,
    accuracy_figures,
    describe_accuracy,
    restricted_in_words,
)
from harsanyi.analyses.comparison.comparison import CHANGE_TABLE
from harsanyi.analyses.comparison.sentences import describe, shares_by_order
from harsanyi.analyses.knowledge.change import SCRATCH_SHARES, SHARES, KnowledgeChange
from harsanyi.analyses.knowledge.restricted import restricted_prediction
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import listed
from harsanyi.analyses.run.by_class import compared_by_class
from harsanyi.analyses.run.notes import approximations, method_facts, method_notes, network_facts
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.layout import TOKEN_BASELINES
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.training.track import TRAJECTORIES
from harsanyi.interactions import BASELINES, Interactions

FOLDER = "accuracy"
# Fewer runs say nothing about how their ends go together.
LEAST_RUNS = 3
REMOVALS: tuple[Order, ...] = ("fewest", "greedy", "strongest", "weakest")
ByClass = Mapping[str, list[Interactions]]


def relate(
    folder: Path, series: str | None = None, scratch: str | None = None, *, k: int = 3, controls: int = 3
) -> list[str]:
    """Relate the knowledge change of a finished run to accuracy; returns the summary in words.

    In three ways of rising strength: shares that go with accuracy (correlation), the accuracy that a part of
    the knowledge has alone (restricted prediction), and masking the players of interactions in another way
    (intervention). Beside them how discriminative and how redundant the parts are, and how many inputs such
    shares need. Only the interventions make forwards, some for each input.

    Writes into `folder`/accuracy: the tables as .csv and .h5, figures and report.html.

    Args:
        folder: of a comparison or of tracked runs that kept the outputs of all classes.
        series, scratch: of tracked runs, the one whose last checkpoint is looked at (the first by default),
            and the one trained from scratch, if there is one. See `Run.compared`.
        k: strongest interactions of each part and input whose players are masked.
        controls: random coalitions beside each.
    """
    run = Run.open(folder)
    names = run.compared(series, scratch)
    change = run.change_of(names)
    by_class = compared_by_class(run, names)
    tables = {
        CHANGE_TABLE: change.table(seed=run.study.seed),
        **_predictions(run, by_class),
        **_interventions(run, change, names, k, controls),
        **_correlations(run, change, by_class),
        PLANNING: planning_curve(change, seed=run.study.seed),
    }
    tables[NEEDED] = inputs_needed(tables[PLANNING])
    figures = accuracy_figures(tables, run.unit)
    summary = [*describe(change, tables[CHANGE_TABLE]), *describe_accuracy(tables), *approximations(run)]
    publish(
        folder / FOLDER,
        tables,
        title=f"{run.study.model}: knowledge and accuracy",
        summary=summary,
        facts={"networks": listed([f"{side}: {name}" for side, name in names.items()])}
        | method_facts(run)
        | network_facts(run),
        tables={
            "Accuracy of a part of the knowledge": restricted_in_words(tables[RESTRICTED]),
            "Shares of strength by order": shares_by_order(tables[CHANGE_TABLE]),
        },
        figures=figures,
        notes=[
            "Intervals resample the inputs (correlations over checkpoints: the runs); they say nothing about "
            "other training runs.",
            "What goes together need not cause each other: along a run nearly everything goes with the step.",
            "A part alone is not how the network works: its parts were learned together.",
            *method_notes(run),
        ],
    )
    return summary


def _predictions(run: Run, by_class: ByClass) -> dict[str, pd.DataFrame]:
    """What parts of the knowledge predict, how discriminative and how redundant they are."""
    study, labels = run.study, run.labels
    before, after = by_class["before"], by_class["after"]
    options: Any = {"scratch": by_class.get("scratch"), "threshold": study.threshold, "seed": study.seed}
    pruned = [prune_until_flip(after, threshold=study.threshold, order=order) for order in REMOVALS]
    return {
        RESTRICTED: restricted_prediction(before, after, labels, **options),
        DISCRIMINATION: discrimination_table(before, after, labels, signs=True, **options),
        PRUNING: pd.concat([one.table(seed=study.seed) for one in pruned], ignore_index=True),
        STANDING: pd.concat([one.standing(seed=study.seed) for one in pruned], ignore_index=True),
    }


def _interventions(
    run: Run, change: KnowledgeChange, names: Mapping[str, str], k: int, controls: int
) -> dict[str, pd.DataFrame]:
    """The strongest interactions' players masked in another way than they were computed with."""
    study_games, seed = prepare(run.study), run.study.seed
    sides = {side: _baselines(study_games, names[side]) for side in ("before", "after")}
    games = {
        name: {side: study_games.game(names[side], found[name]) for side, found in sides.items()}
        for name in sides["after"]
    }
    table = counterfactual_table(change, games, k=k, controls=controls, seed=seed)
    return {COUNTERFACTUAL: table, CALIBRATION: calibration_table(table, seed=seed)}


def _baselines(games: StudyGames, network: str) -> Baselines:
    """What masked players become instead of the study's own baseline."""
    own, tensor = games.settings["baseline"], games.layout.tensors[network]
    if games.study.layer is not None:  # what lies under a layer has the shape of no input
        return {name: BASELINES[name] for name in ("zeros", "input_mean") if name != own}
    if games.inputs.kind == "image":
        found = other_baselines(tensor, games.study.seed)
    else:
        tokenizer = games.networks[network].tokenizer
        numbers = {name: getattr(tokenizer, f"{name}_id") for name in TOKEN_BASELINES[:2]}
        known = {name: number for name, number in numbers.items() if number is not None}
        found = other_tokens(tensor["input_ids"], known, games.study.seed)
    return {name: fill for name, fill in found.items() if name != own}


def _correlations(run: Run, change: KnowledgeChange, by_class: ByClass) -> dict[str, pd.DataFrame]:
    """Shares against how well inputs are answered; of tracked runs, against accuracy along and at the end."""
    answers = torch.stack([one.v[:, -1] for one in by_class["after"]]).argmax(0)
    points = input_points(change, correct=answers == run.labels)
    shares = [*SHARES, *(SCRATCH_SHARES if change.scratch else {})]
    pairs = [(share, outcome) for share in shares for outcome in ("score_after", "correct")]
    tables = [correlation_table(points, pairs, seed=run.study.seed).assign(over="inputs")]
    checkpoints = _checkpoints(run)
    if checkpoints.empty:
        return {INPUTS: points, CORRELATION: tables[0]}
    pairs = [(name, ACCURACY) for name in (*SHARES, "similarity_own", "reached") if name in checkpoints]
    found = correlation_table(checkpoints, pairs, clusters="series", seed=run.study.seed)
    tables.append(found.assign(over="checkpoints"))
    if checkpoints.series.nunique() >= LEAST_RUNS:
        ends, at_ends = checkpoints.groupby("series").last(), [pair for pair in pairs if pair[0] in SHARES]
        found = correlation_table(ends, at_ends, seed=run.study.seed)
        tables.append(found.assign(over="runs"))
    return {
        INPUTS: points,
        CHECKPOINTS: checkpoints,
        CORRELATION: pd.concat(tables, ignore_index=True),
    }


def _checkpoints(run: Run) -> pd.DataFrame:
    """The checkpoints of tracked runs as points; none where their accuracy is not known."""
    path = run.folder / f"{TRAJECTORIES}.h5"
    points = checkpoint_points(read_table(path)) if path.is_file() else pd.DataFrame()
    return points if ACCURACY in points else pd.DataFrame()
