"""Knowledge and accuracy: whether preserved and new knowledge of a finished run explain its accuracy."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harsanyi.analyses.accuracy.claims import OFF, claims_of_accuracy, outcomes_of, require_claimed
from harsanyi.analyses.accuracy.counterfactual import counterfactual_table
from harsanyi.analyses.accuracy.counterfactual_fit import calibration_table
from harsanyi.analyses.accuracy.discrimination import discrimination_table
from harsanyi.analyses.accuracy.inputs_needed import inputs_needed, planning_curve
from harsanyi.analyses.accuracy.other_baselines import Baselines, other_baselines, other_tokens
from harsanyi.analyses.accuracy.part_sentences import restricted_in_words
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
    accuracy_findings,
    correlations_in_words,
    describe_accuracy,
)
from harsanyi.analyses.comparison.comparison import CHANGE_TABLE
from harsanyi.analyses.comparison.sentences import shares_by_order
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.knowledge.restricted import PartAnswers, answers_table
from harsanyi.analyses.knowledge.restricted_numbers import restricted_numbers
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import listed
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import (
    alarms,
    approximations,
    method_facts,
    method_notes,
    network_facts,
    read_out_lines,
    reading_lines,
)
from harsanyi.analyses.run.questions import Question, question_of
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.layout import TOKEN_BASELINES
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import OUTPUT, PIXELS, Track
from harsanyi.analyses.training.tables import TRAJECTORIES
from harsanyi.interactions import BASELINES, MaskedModel
from harsanyi.shown import counted

FOLDER = "accuracy"
# Smallest number of runs for a correlation over their last checkpoints.
MIN_RUNS = 3
REMOVAL_ORDERS: tuple[Order, ...] = ("fewest", "greedy", "strongest", "weakest")
PART_HEADINGS = {
    "classes": "Accuracy of a part of the knowledge",
    "labels": "Labels that a part of the knowledge has right",
    "numbers": "R² of a part of the knowledge",
}


def relate(
    folder: Path,
    series: str | None = None,
    scratch: str | None = None,
    *,
    k: int = 3,
    controls: int = 3,
    claims: Sequence[str] = (),
) -> list[str]:
    """Relate the knowledge change of a finished run to accuracy.

    Three kinds of evidence, the weakest first: correlation of shares and accuracy; restricted prediction, the
    accuracy of a part of the knowledge alone; and intervention, masking the players of interactions with
    another baseline. Also how discriminative and how redundant the parts are, and the number of inputs that
    such shares need. Only interventions need forwards, a few for each input.

    Of a multi-label network each label stands for itself: restricted prediction is of all labels of an input,
    and what weighs answers weighs a label's presence against its absence. A regression predicts by R², and
    has no other answers to weigh.

    Writes into `folder`/accuracy: the tables as .csv and .h5, figures and report.html.

    Args:
        folder: of a comparison or of tracked runs whose store has the outputs of all classes.
        series: of tracked runs, the one whose last checkpoint is `after`, by default the first. See
            `Run.compared`.
        scratch: of tracked runs, the one that was trained from scratch, if there is one.
        k: number of the strongest interactions of each part and input whose players are masked.
        controls: number of random coalitions for each of them.
        claims: told by rule, see `harsanyi.analyses.accuracy.claims`.

    Returns:
        the summary, a sentence each.

    Raises:
        ValueError: for a run whose outputs were not kept, or that is of the next token; for labels of a
            regression that are no numbers; and for claims about what is not there.
    """
    for name, number in (("--strongest", k), ("--controls", controls)):
        if number < 1:
            raise ValueError(f"{name} is {number}: expected 1 or more")
    run = Run.open(folder)
    names = run.compared(series, scratch)
    change, question = run.change_of(names), question_of(run, names)
    require_claimed(claims, question.of, scratch="scratch" in names)
    interventions, failed = _interventions(run, change, names, k, controls)
    tables = _tables(run, change, question, interventions, claims)
    return _publish(run, question, names, tables, failed)


def _tables(
    run: Run,
    change: KnowledgeChange,
    question: Question,
    interventions: Mapping[str, pd.DataFrame],
    claims: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """All tables by the names of their files, those of interventions and of claims among them."""
    answers = None if question.of == "numbers" else question.answers_of_parts(run)
    tables = {
        CHANGE_TABLE: change.table(bootstrap=Bootstrap(seed=run.study.seed)),
        **_predictions(run, question, answers),
        **interventions,
        **_correlations(run, change, question),
        PLANNING: planning_curve(change, seed=run.study.seed),
    }
    tables[NEEDED] = inputs_needed(tables[PLANNING])
    return tables | claims_of_accuracy(run, question, answers, claims, tables)


def _publish(
    run: Run,
    question: Question,
    names: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    failed: Sequence[str],
) -> list[str]:
    """Write tables, figures and report; the summary."""
    first, *others = [*describe_accuracy(tables, question.of), *describe_claims(tables)]
    basis = _basis(run, names, tables)
    report = Report(
        title=f"{run.study.model}: knowledge and accuracy",
        headline=first,
        summary=[*basis, *others, *reading_lines(run.facts)],
        warnings=[*cautions(run), *failed, *approximations(run)],
        methods=methods_of(run),
        again=f"harsanyi accuracy {shlex.quote(str(run.folder))}",
        facts={"networks": listed([f"{side}: {name}" for side, name in names.items()])}
        | method_facts(run)
        | network_facts(run),
        tables=claims_in_words(tables)
        | {
            PART_HEADINGS[question.of]: restricted_in_words(tables[RESTRICTED], question.of),
            "Correlations": correlations_in_words(tables[CORRELATION]),
            "Shares of strength by order": shares_by_order(tables[CHANGE_TABLE]),
        },
        figures=accuracy_figures(tables, run.unit, question.of),
        findings=accuracy_findings(tables, question.of),
        notes=[
            "Intervals are over the inputs (correlations over checkpoints: the runs). They do not cover "
            "other training runs.",
            "Correlation is not cause: along a run nearly every quantity correlates with the step.",
            "The network never uses a part alone: its parts were learned together.",
            *_notes_on(run, question),
            *method_notes(run),
        ],
    )
    publish(run.folder / FOLDER, tables, report)
    return [
        *alarms(run.facts),
        *left_out(run.store),
        *failed,
        *basis,
        first,
        *others,
        *read_out_lines(run.facts),
        *approximations(run),
    ]


def _basis(run: Run, names: Mapping[str, str], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Which networks of a tracked run are meant, and whether the accuracy of its checkpoints is known."""
    if not isinstance(run.study, Track):
        return []
    beside = f", beside {names['scratch']} from scratch" if "scratch" in names else ""
    sentences = [f"Shares are of the change from {names['before']} to {names['after']}{beside}."]
    if CHECKPOINTS not in tables:
        why = (
            "which is of classes and of sets of labels alone."
            if run.study.score in (OUTPUT, PIXELS)
            else "since no labelled inputs are left that no read-out was fitted on. Track the runs with "
            "--train-data."
        )
        sentences.append(f"There is no correlation over checkpoints: their accuracy was not measured, {why}")
    return sentences


def _notes_on(run: Run, question: Question) -> list[str]:
    """What right means, where it is not one class an input."""
    if question.of == "labels":
        return [
            "Right is the share of all labels of an input, present and absent: a label is predicted where "
            "its log-odds are above 0. Inputs without any label are no games, and are not among them. What "
            "weighs answers weighs the presence of a game's label against its absence."
        ]
    if question.of == "numbers":
        return [
            "R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)² over the inputs: 1 is exact, 0 as good as the mean of their "
            "numbers, below 0 worse. A number has no other answers: nothing is discriminative, and no "
            "answer flips."
        ]
    if run.study.score == PIXELS:
        return ["The answer for an image is the class with the highest mean log-odds over its pixels."]
    return []


def _predictions(run: Run, question: Question, answers: PartAnswers | None) -> dict[str, pd.DataFrame]:
    """Predictions of parts of the knowledge, and how discriminative and how redundant they are."""
    study, sides = run.study, question.by_class
    bootstrap = Bootstrap(seed=study.seed)
    options: Any = {"threshold": study.threshold, "bootstrap": bootstrap}
    if answers is None:
        alone = {side: of_side[0] for side, of_side in sides.items()}
        before, after, others = alone["before"], alone["after"], alone.get("scratch")
        return {RESTRICTED: restricted_numbers(before, after, question.truth, scratch=others, **options)}
    sides = question.choices
    prunings = [
        prune_until_flip(sides["after"], threshold=study.threshold, order=order) for order in REMOVAL_ORDERS
    ]
    return {
        RESTRICTED: answers_table(answers, bootstrap=bootstrap),
        DISCRIMINATION: discrimination_table(
            sides["before"],
            sides["after"],
            question.chosen,
            scratch=sides.get("scratch"),
            signs=True,
            **options,
        ),
        PRUNING: pd.concat([pruning.table(bootstrap=bootstrap) for pruning in prunings], ignore_index=True),
        STANDING: pd.concat(
            [pruning.standing(bootstrap=bootstrap) for pruning in prunings], ignore_index=True
        ),
    }


def _interventions(
    run: Run,
    change: KnowledgeChange,
    names: Mapping[str, str],
    k: int,
    controls: int,
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Scores where the players of the strongest interactions are masked with other baselines.

    Returns:
        the tables; and, in sentences, on which inputs a network failed with another baseline.
    """
    study_games, seed = prepare(run.study), run.study.seed
    sides = {side: _baselines(study_games, names[side]) for side in ("before", "after")}
    games = {
        name: {
            side: _of_run(run, study_games.game(names[side], baselines[name]))
            for side, baselines in sides.items()
        }
        for name in sides["after"]
    }
    table = counterfactual_table(change, games, k=k, controls=controls, seed=seed)
    failed = table.measured.isna()
    told = [
        f"With baseline {baseline}, {counted(rows.game.nunique(), 'input')} left out of {COUNTERFACTUAL}, "
        "where a network failed."
        for baseline, rows in table[failed].groupby("baseline", sort=False)
    ]
    table = table[~failed].reset_index(drop=True)
    calibration = calibration_table(table, bootstrap=Bootstrap(seed=seed))
    return {COUNTERFACTUAL: table, CALIBRATION: calibration}, told


def _of_run(run: Run, game: MaskedModel) -> MaskedModel:
    """The games of the inputs that no network failed on."""
    return game if run.store.games == game.games else game.select(run.store.numbers)


def _baselines(games: StudyGames, network: str) -> Baselines:
    """Baselines of a network other than that of the study."""
    own, tensor = games.settings["baseline"], games.layout.tensors[network]
    if games.study.layer is not None:  # the output of a layer has another shape than the inputs
        return {name: BASELINES[name] for name in ("zeros", "input_mean") if name != own}
    if games.inputs.kind == "image":
        baselines = other_baselines(tensor, games.study.seed)
    else:
        tokenizer = games.networks[network].tokenizer
        numbers = {name: getattr(tokenizer, f"{name}_id") for name in TOKEN_BASELINES[:2]}
        tokens = {name: number for name, number in numbers.items() if number is not None}
        baselines = other_tokens(tensor["input_ids"], tokens, games.study.seed)
    return {name: baseline for name, baseline in baselines.items() if name != own}


def _correlations(run: Run, change: KnowledgeChange, question: Question) -> dict[str, pd.DataFrame]:
    """Shares against answers over inputs; of tracked runs also against accuracy, by checkpoint and by run."""
    bootstrap = Bootstrap(seed=run.study.seed)
    points = _points(change, question)
    shares = [*SHARE_AMOUNTS, *(SCRATCH_SHARE_AMOUNTS if change.scratch else {})]
    pairs = [(share, outcome) for share in shares for outcome in outcomes_of(question.of)]
    tables = [correlation_table(points, pairs, bootstrap=bootstrap).assign(over="inputs")]
    checkpoints = _checkpoints(run)
    if checkpoints.empty:
        return {INPUTS: points, CORRELATION: tables[0]}
    pairs = [
        (name, ACCURACY) for name in (*SHARE_AMOUNTS, "similarity_own", "reached") if name in checkpoints
    ]
    table = correlation_table(checkpoints, pairs, clusters="series", bootstrap=bootstrap)
    tables.append(table.assign(over="checkpoints"))
    if checkpoints.series.nunique() >= MIN_RUNS:
        ends = checkpoints.groupby("series").last()
        end_pairs = [pair for pair in pairs if pair[0] in SHARE_AMOUNTS]
        table = correlation_table(ends, end_pairs, bootstrap=bootstrap)
        tables.append(table.assign(over="runs"))
    return {
        INPUTS: points,
        CHECKPOINTS: checkpoints,
        CORRELATION: pd.concat(tables, ignore_index=True),
    }


def _points(change: KnowledgeChange, question: Question) -> pd.DataFrame:
    """A row for each input: shares, the score, and whether the answer is right, or how far the number is
    off."""
    if question.of == "numbers":
        off = (change.after.v[:, -1].cpu() - question.truth).abs().numpy()
        return input_points(change).assign(**{OFF: off})
    return input_points(change, correct=(question.answers == question.chosen).cpu())


def _checkpoints(run: Run) -> pd.DataFrame:
    """The checkpoints of tracked runs as points; an empty table where their accuracy is unknown."""
    path = run.folder / f"{TRAJECTORIES}.h5"
    points = checkpoint_points(read_table(path)) if path.is_file() else pd.DataFrame()
    return points if ACCURACY in points else pd.DataFrame()
