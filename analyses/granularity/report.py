"""A granularity study from its plan to its report, all in one folder."""

from collections.abc import Sequence
from contextlib import nullcontext

import pandas as pd

from harsanyi import models
from harsanyi.analyses.granularity.captions import figures_of
from harsanyi.analyses.granularity.claims import require_claimed_levels
from harsanyi.analyses.granularity.first_checks import require_comparable, require_labels
from harsanyi.analyses.granularity.kinds import classes_in_words, kind_in_words
from harsanyi.analyses.granularity.ladder import comparison_of, inputs_left_out
from harsanyi.analyses.granularity.run_tables import DIFFERENCE
from harsanyi.analyses.granularity.runs import BASELINE, TransferData, TransferRun, plan_runs
from harsanyi.analyses.granularity.settings import MEANINGLESS, Granularity
from harsanyi.analyses.granularity.tables import SUMMARY, granularity_tables
from harsanyi.analyses.granularity.target import ERRORS, notes_on_task, target_in_words
from harsanyi.analyses.granularity.training import samples_left_out, train_runs, training_seconds
from harsanyi.analyses.granularity.words import (
    describe_granularity,
    describe_plan,
    findings_of,
    not_trained_out,
    tables_in_words,
)
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import duration, intervals_over, listed
from harsanyi.analyses.run.cautions import crossing_zero, few_inputs, few_seeds
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.methods import CITATION, SPLITS, again, versions
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import STUDY_FILE
from harsanyi.analyses.study.games import device_named
from harsanyi.progress import say
from harsanyi.writing import sole_writer


def run_granularity(study: Granularity, *, progress: bool = True) -> list[str]:
    """Run a granularity study; returns its results in sentences, or its plan with `only_plan`.

    Writes into `study.out`: study.toml, a folder for each run, runs and summary as .csv and .h5, with
    `inputs` also ladder and ladder_summary, figures and report.html. A study that was stopped goes on.

    Several processes, started with `accelerate launch` or `torchrun`, train each run together. The main
    process does everything else alone; the other processes return [].

    Args:
        study: what to do.
        progress: print the plan, and show bars.

    Raises:
        ValueError, FileNotFoundError: for settings that do not fit each other or the data.
    """
    study.require_sense()
    data = TransferData.of(study)
    require_labels(study, data)
    runs = plan_runs(study, data)
    require_claimed_levels(study.claims, runs, study)
    is_main = models.is_main_process()
    if not study.only_plan:
        require_own_folder(study.out, "granularity")
    if is_main and (study.only_plan or progress):
        plan = [*describe_plan(study, runs), *_time(study, training_seconds(study, runs, data))]
        if study.only_plan:
            return plan
        say(*plan)
    if study.only_plan:
        return []
    if is_main:
        require_comparable(study, data)
    with sole_writer(study.out) if is_main else nullcontext():
        return _computed(study, data, runs, progress=progress)


def _computed(
    study: Granularity, data: TransferData, runs: Sequence[TransferRun], *, progress: bool
) -> list[str]:
    """The summary of the study, once its runs are trained and compared; only the main process has one."""
    is_main = models.is_main_process()
    if is_main:
        study.write(study.out / STUDY_FILE)
    first = next((run for run in runs if run.kind != BASELINE), None)
    for run in train_runs(study, runs, data, progress=progress):
        # Impossible players are refused after the first run, not after all runs.
        if is_main and study.inputs and run == first:
            compute(comparison_of(study, run), progress=progress, announce=False)
    if not is_main:
        return []
    tables = granularity_tables(study, runs, progress=progress)
    missing = [*samples_left_out(study.out), *(inputs_left_out(study, runs) if study.inputs else [])]
    answer, *others = describe_granularity(tables, ERRORS[study.task])
    report = Report(
        title=f"{study.model}: label granularity of pretraining, and {study.target}",
        headline=answer,
        summary=others,
        warnings=[*missing, *_warnings(study, tables[SUMMARY])],
        methods=methods_of_transfer(study, data, runs),
        again=again("granularity", study.out),
        facts=_facts(study, data, runs),
        tables=tables_in_words(tables, ERRORS[study.task]),
        figures=figures_of(study, tables),
        findings=findings_of(study, tables),
        notes=notes_on(study),
    )
    publish(study.out, tables, report)
    return [*missing, answer, *others]


def _warnings(study: Granularity, summary: pd.DataFrame) -> list[str]:
    """Few seeds, inputs and epochs, and the largest size's differences to the baseline without a sign."""
    rows = summary[(summary.quantity == DIFFERENCE) & (summary["size"] == summary["size"].max())]
    rows = rows[(rows.misalignment == 0) & (rows.low <= 0) & (rows.high >= 0)]
    return [
        *few_seeds(len(study.seeds)),
        *(few_inputs(study.inputs) if study.inputs else []),
        *not_trained_out(summary),
        *crossing_zero(
            [classes_in_words(row) for row in rows.itertuples()],
            of="difference to the baseline",
        ),
    ]


def methods_of_transfer(study: Granularity, data: TransferData, runs: Sequence[TransferRun]) -> list[str]:
    """A paragraph for a paper, and a citation.

    Args:
        study: the study.
        data: its samples.
        runs: of `plan_runs`.

    Returns:
        the paragraph, then the citation.
    """
    facts = _facts(study, data, runs)
    kinds = listed(list(dict.fromkeys(kind_in_words(run.kind) for run in runs if run.kind != BASELINE)))
    network = facts["network"].partition(",")[0]
    return [
        f"{network} (start: {study.start}) was pretrained on labels of several granularities ({kinds}; "
        f"{facts['pretraining']}) and transferred to {facts['target']} ({facts['transfer']}). The baseline "
        f"was trained on the target alone ({facts['baseline']}). All trainings used {facts['optimiser']} on "
        f"{facts['data']}; {facts['runs']}. {_chosen(study)} Differences are paired by "
        f"seed and number of samples; brackets: {intervals_over(len(study.seeds), 'seeds')}. "
        + (f"Interactions were computed on {facts['interactions']}. " if study.inputs else "")
        + versions(),
        CITATION,
    ]


def _time(study: Granularity, seconds: float) -> list[str]:
    """How long training takes, in words; nothing where there is nothing to do."""
    if not seconds:
        return []
    more = "; the interactions come on top" if study.inputs else ""
    return [f"training takes about {duration(seconds)} on {device_named(study.device)}{more}"]


def _facts(study: Granularity, data: TransferData, runs: Sequence[TransferRun]) -> dict[str, str]:
    total = study.baseline_epochs or study.pretrain_epochs + study.finetune_epochs
    moved = "all weights" if study.transfer == "finetune" else "the new head alone"
    facts = {
        "network": f"{study.model}, start: {study.start}",
        "runs": f"{len(runs)}, seeds {' '.join(map(str, study.seeds))}",
        "data": f"{len(data.train):,} training samples in {study.data}, {len(data.test):,} to test in "
        f"{study.test_data}",
        "target": target_in_words(data.train, study.target, study.task),
        "pretraining": f"{study.pretrain_epochs} epochs, learning rate {study.pretrain_rate:g}",
        "transfer": f"{moved}, {study.finetune_epochs} epochs, learning rate {study.finetune_rate:g}",
        "baseline": f"all weights on the target, {total} epochs, learning rate {study.pretrain_rate:g}",
        "optimiser": f"{study.optimiser}, weight decay {study.weight_decay:g}, {study.batch_size} a step, "
        f"{study.precision}",
    }
    if data.others is not None:
        facts["pretraining data"] = f"{len(data.others):,} samples in {study.pretrain_data}"
    if study.validation:
        stop = f", stopped after {study.patience} epochs without a lower loss" if study.patience else ""
        facts["validation"] = f"{study.validation:.0%} of the samples of each phase{stop}"
    if study.inputs:
        facts["interactions"] = f"{study.inputs} test inputs, players {study.players}, {SPLITS[study.method]}"
    return facts


def _chosen(study: Granularity) -> str:
    """By which epoch a phase is judged."""
    if study.validation:
        return (
            "Errors, and what goes on, are those after the epoch of the lowest loss on the "
            f"{study.validation:.0%} of the phase's samples that validate."
        )
    return "Errors are those after the last epoch."


def notes_on(study: Granularity) -> list[str]:
    """What a reader of the report must know of seeds, errors, clusters and strengths."""
    notes = [
        "A seed draws the samples (where not all are used), the start, the heads, the order of samples and "
        "the random labels.",
        "The lowest error of several is lower than that of the same pretraining would be in new runs.",
        f"{_chosen(study)} No epoch is chosen by the test samples.",
        *notes_on_task(study.task),
    ]
    if study.validation and (idle := [kind for kind in study.kinds if kind in MEANINGLESS]):
        notes.append(
            f"Pretraining on {listed(list(map(kind_in_words, idle)))} went to its last epoch: such labels of "
            "other samples cannot be learned, and validate nothing."
        )
    if study.pretrain_data is not None:
        notes.append("The loss and accuracy in the histories of pretraining are of its own first samples.")
    if study.embedding is None and any(kind.startswith("kmeans") for kind in study.kinds):
        notes.append("Clusters are of the features of the network at its start.")
    if study.inputs:
        notes.append(
            "Intervals of strengths and shares are over seeds and inputs, since they are averages over both; "
            "those of right answers of parts are over seeds, with the inputs held fixed."
        )
        notes.append(
            "Strengths are compared without scaling. A network pretrained on the target's own classes "
            "answers with its head, all others through a read-out, whose effects can be several times as "
            "strong: compare what is preserved among those with a read-out."
        )
        notes.append(
            f"Rare: at most {study.rare:.0%} of the inputs of a class, or only one, have the interaction. "
            "With few inputs a class nearly every interaction that they do not share counts as rare."
        )
    return notes
