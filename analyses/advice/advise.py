"""Advice from tracked runs: choices by knowledge, judged by accuracy on held-out inputs."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from harsanyi.analyses.advice.candidates import Candidate, Training, candidates_of, trainings_of
from harsanyi.analyses.advice.choices import advice_table, candidates_table, choices_of
from harsanyi.analyses.advice.report import (
    ADVICE,
    CANDIDATES,
    advice_in_words,
    candidates_in_words,
    describe_advice,
    findings_of,
    plot_advice,
)
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import listed
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import alarms, method_facts, method_notes, network_facts
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import MULTI_LABEL, NEXT_TOKEN, OUTPUT, PIXELS, Track
from harsanyi.models.training.series import WATCHED

# Where the advice from a run lies, in the folder of that run.
FOLDER = "advice"
# Settings of value tables in which several runs must agree: then their series can be chosen among.
OF_GAMES = ("data", "inputs", "contents", "labels", "players", "score", "layer", "baseline")
NOTES = [
    "Intervals are over the held-out inputs that judge; they chose nothing: Wilson's of accuracies, Agresti "
    "and Min's of differences, paired by input. They do not cover other training runs: with another seed "
    "another choice may be the better one.",
    "The knowledge of a checkpoint is settled where it is as similar to that of the checkpoint before as "
    "--settled says, Σ min / Σ max of all effects. That depends on how far apart checkpoints are. The lowest "
    "validation loss is that of the whole run, as if nobody had stopped it.",
    "What is frozen is read off the weights: stages that are the same at the first and the last checkpoint. "
    "Preserved evidence is what the preserved interactions add to the score of the label.",
    "p corrected (Benjamini–Hochberg) takes the number of choices in.",
]


def run_advice(
    runs: Sequence[Path], out: Path | None = None, *, settled: float = 0.8, margin: float = 0.01
) -> list[str]:
    """Say what tracked runs advise, and what each advice changes in accuracy on held-out inputs.

    Three questions, each answered by a measure of knowledge and beside it without one (`choices_of`): when
    knowledge has converged, which stages' freezing keeps what the label needs, and which rate forgets least.
    All networks are asked again on inputs of the runs' data that are not explained: half of them give the
    validation loss, the other half judges.

    Writes into `out`: advice and candidates as .csv and .h5, a figure and report.html.

    Args:
        runs: folders of tracked runs, on the same inputs, with series of different names.
        out: by default the folder advice in that of the only run.
        settled: similarity of knowledge to that of the checkpoint before, from which it has converged.
        margin: accuracy that stopping earlier may cost.

    Returns:
        the summary, a sentence each.

    Raises:
        ValueError: for numbers outside their ranges, folders that are no tracked runs of one class an input
            or cannot be compared, and too few held-out inputs.
    """
    _require_numbers(settled, margin)
    if not runs or (out is None and len(runs) > 1):
        raise ValueError(f"expected one run, or several and --out; got {listed([str(run) for run in runs])}")
    place = out or runs[0] / FOLDER
    opened = [_tracked(folder) for folder in runs]
    _require_comparable(opened)
    candidates: dict[str, list[Candidate]] = {}
    trainings: dict[str, Training] = {}
    for run in opened:
        games = prepare(run.study)
        candidates |= candidates_of(run, games)
        trainings |= trainings_of(run, games)
    choices = choices_of(candidates, trainings, settled)
    if not choices:
        raise ValueError(
            f"{listed([str(run) for run in runs])} leave nothing to choose: expected a series of three "
            "checkpoints or more, or series that differ in what is frozen or in the learning rate alone, "
            "tracked with --pretrained"
        )
    tables = {
        ADVICE: advice_table(choices, margin, bootstrap=Bootstrap(seed=opened[0].study.seed)),
        CANDIDATES: candidates_table(candidates, trainings),
    }
    given = f" --out {shlex.quote(str(out))}" if out else ""
    again = f"harsanyi advise {shlex.join(map(str, runs))} --settled {settled:g} --margin {margin:g}{given}"
    report = _report(opened, tables, margin, again)
    publish(place, tables, report)
    lacking = [line for run in opened for line in (*alarms(run.facts), *left_out(run.store))]
    return [*lacking, report.headline, *report.summary]


def _report(runs: Sequence[Run], tables: Mapping[str, pd.DataFrame], margin: float, again: str) -> Report:
    """The page: sentences, the table of advice, and what was chosen among."""
    table, study = tables[ADVICE], runs[0].study
    first, *others = describe_advice(table)
    series = list(dict.fromkeys(tables[CANDIDATES].series))
    whiskers = f"whiskers: 95% intervals of paired rates on {int(table.games.iloc[0])} held-out inputs"
    return Report(
        title=f"{study.model}: advice from {listed(series)}",
        headline=first,
        summary=others,
        warnings=list(dict.fromkeys(warning for run in runs for warning in cautions(run))),
        methods=list(dict.fromkeys(text for run in runs for text in methods_of(run, compared=False))),
        again=again,
        facts={"runs": listed([str(run.folder) for run in runs])}
        | method_facts(runs[0])
        | network_facts(runs[0]),
        tables={
            "Advice": advice_in_words(table),
            "Chosen among": candidates_in_words(tables[CANDIDATES]),
        },
        figures={
            "Advice: what each choice by knowledge changes in accuracy; dotted, what stopping earlier may "
            f"cost; {whiskers}": figure_of(plot_advice(table, margin))
        },
        findings=findings_of(tables),
        notes=[*NOTES, *method_notes(runs[0])],
    )


def _require_numbers(settled: float, margin: float) -> None:
    if not 0 < settled <= 1:
        raise ValueError(f"--settled is {settled:g}: expected a similarity above 0 and at most 1")
    if not 0 <= margin < 1:
        raise ValueError(f"--margin is {margin:g}: expected a share of right answers, 0 or more and below 1")


def _tracked(folder: Path) -> Run:
    """The tracked runs in a folder; a ValueError where their checkpoints cannot be asked."""
    run = Run.open(folder)
    study = run.study
    if not isinstance(study, Track):
        raise ValueError(f"{folder} holds no tracked runs: advise takes the folder that harsanyi track wrote")
    if study.label != "data" or study.score in (OUTPUT, MULTI_LABEL, NEXT_TOKEN, PIXELS):
        raise ValueError(
            f"advice is judged by one class an input, from the data; {folder} has --label {study.label} and "
            f"--score {study.score}"
        )
    if study.portions:
        raise ValueError(
            f"{folder} follows portions of data, each of which was trained to its end: advice is about the "
            "steps of one training"
        )
    if changed := study.given("corruption", "attack"):
        raise ValueError(f"the inputs of {folder} are changed, by --{changed[0]}: track without it")
    if any(WATCHED.fullmatch(Path(place).name) for place in study.checkpoints.values()):
        raise ValueError(
            f"{folder} was watched while it trained, and its weights are not kept: track checkpoints"
        )
    if study.train_data is None and run.facts.read_outs:
        raise ValueError(
            f"{listed(list(run.facts.read_outs))} of {folder} have a read-out that was fitted to the inputs "
            "that would judge: track with --train-data"
        )
    return run


def _require_comparable(runs: Sequence[Run]) -> None:
    """A ValueError for runs on other games, and for series of one name."""
    first, *others = runs
    for other in others:
        one, two = first.store.settings, other.store.settings
        differing = [name for name in OF_GAMES if one[name] != two[name]]
        differing += [
            name
            for name in ("method", "threshold")
            if getattr(first.study, name) != getattr(other.study, name)
        ]
        if differing:
            raise ValueError(
                f"{first.folder} and {other.folder} cannot be compared: {listed(differing)} differ; only "
                "their networks may"
            )
    names = [name for run in runs if isinstance(run.study, Track) for name in run.study.runs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two runs have a series {twice!r}: give each another name, and track again")
