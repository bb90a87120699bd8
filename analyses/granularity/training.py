"""Training the runs of a granularity study: pretraining, then the target, each as far as validation says."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from harsanyi import models
from harsanyi.analyses.granularity.labels import labels_of_classes, pretraining_labels, stratum_of
from harsanyi.analyses.granularity.runs import (
    BASELINE,
    FINETUNE,
    LABELS,
    PRETRAIN,
    TransferData,
    TransferRun,
    is_done,
)
from harsanyi.analyses.granularity.settings import MEANINGLESS, OF_SAMPLES, Granularity
from harsanyi.analyses.granularity.target import target_values
from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.study import PUBLISHED
from harsanyi.data import Inputs
from harsanyi.models import Network, Recipe, Samples
from harsanyi.models.training.failed_samples import FAILED, read_failed
from harsanyi.models.training.series_folder import chosen_epoch
from harsanyi.shown import counted
from harsanyi.writing import whole

# Batches of an epoch that is timed; the share of a forward in a training step.
TIMED_BATCHES, FORWARD_SHARE = 4, 1 / 3
# Labels of single samples have no test: at most so many training samples measure how well they are learned.
MAX_MEASURED_SAMPLES = 256
ROW = ""  # the level of the numbers of samples, while these are split


def training_seconds(study: Granularity, runs: Sequence[TransferRun], data: TransferData) -> float:
    """About how long the training of the runs takes that are not done: an epoch of a few batches is timed.

    Args:
        study: of the runs.
        runs: of `plan_runs`.
        data: of the study.

    Returns:
        seconds, with the tests after each epoch; without interactions and figures. 0 where nothing is to be
        done, and where several processes train: one of them cannot try it alone.
    """
    todo = [run for run in runs if not is_done(study, run)]
    if not todo or os.environ.get("WORLD_SIZE", "1") != "1":
        return 0.0
    sample = data.train.sample(min(TIMED_BATCHES * study.batch_size, len(data.train)), 0, study.target)
    target, classes = target_values(sample, study.target, study.task)
    network = start_of(study, todo[0].seed).with_new_head(classes, todo[0].seed)
    recipe = replace(_recipe(study, todo[0], 1, study.pretrain_rate), task=study.task)
    each = models.seconds_per_sample(network, Samples(sample.items, target), recipe)
    both = study.pretrain_epochs + study.finetune_epochs
    tested = len(data.test) * FORWARD_SHARE
    passes = {
        (run.folder, FINETUNE): (
            (study.baseline_epochs or both) if run.kind == BASELINE else study.finetune_epochs,
            run.size,
        )
        for run in todo
    }
    passes |= {  # shared pretraining is done once
        (run.pretrain_folder, PRETRAIN): (study.pretrain_epochs, run.pretrain_size or run.size)
        for run in todo
        if run.kind != BASELINE
    }
    return each * sum(epochs * (size + tested) for epochs, size in passes.values())


def train_runs(
    study: Granularity, runs: Sequence[TransferRun], data: TransferData, *, progress: bool = True
) -> Iterator[TransferRun]:
    """Train the runs one after another.

    Each writes the folders pretrain and finetune, with every epoch's checkpoint and history.csv, and
    labels.csv, the pretraining labels of its samples. Pretraining on other samples than the target's has a
    folder of its own, for all sizes of the target. A training that is complete with the same settings is
    not done again. Several processes train each run together, see :func:`harsanyi.models.train`.

    Args:
        study: of the runs.
        runs: of `plan_runs`.
        data: of the study.
        progress: show a bar of epochs.

    Yields:
        each run, when it is done.
    """
    for run in runs:
        _train(study, run, data, progress)
        yield run


def start_of(study: Granularity, seed: int) -> Network:
    """The network before any training, on the study's device."""
    start = None if study.start == PUBLISHED else study.start
    return models.load(study.model, start, seed=seed).to(device_named(study.device))


def chosen_checkpoint(study: Granularity, run: TransferRun, phase: str) -> Path:
    """The checkpoint with which a phase of a finished run ends.

    Args:
        study: of the run.
        run: finished.
        phase: "pretrain" or "finetune".

    Returns:
        the path of the last checkpoint, or of that with the lowest validation loss.
    """
    folder = phase_folder(study, run, phase)
    return models.series(folder)[chosen_epoch(folder)].path


def phase_folder(study: Granularity, run: TransferRun, phase: str) -> Path:
    """Where a phase of a run is trained.

    Args:
        study: of the run.
        run: of `plan_runs`.
        phase: "pretrain" or "finetune".

    Returns:
        the folder; runs of several target sizes share that of their pretraining.
    """
    return study.out / (run.pretrain_folder if phase == PRETRAIN else run.folder) / phase


def samples_left_out(folder: Path) -> list[str]:
    """The trainings of a study whose network failed on samples that test or validate it, in a sentence.

    Args:
        folder: of the study.

    Returns:
        the sentence; nothing where every network answers every sample.
    """
    lists = sorted(folder.rglob(FAILED))
    if not lists:
        return []
    first = read_failed(lists[0])[0]
    place = lists[0].parent.relative_to(folder).as_posix()
    return [
        f"In {counted(len(lists), 'training')} the network fails on samples that test or validate it, which "
        f"are left out of that epoch's measures. {place}, epoch {first.epoch}: sample {first.sample} of "
        f"{first.part.replace('_', '-')} ones ({first.reason}); {FAILED} has all."
    ]


def _train(study: Granularity, run: TransferRun, data: TransferData, progress: bool) -> None:
    sample = data.train.sample(run.size, run.seed, study.target)
    target, classes = target_values(sample, study.target, study.task)
    network = start_of(study, run.seed)
    epochs, rate = study.finetune_epochs, study.finetune_rate
    if run.kind == BASELINE:
        epochs = study.baseline_epochs or study.pretrain_epochs + study.finetune_epochs
        rate = study.pretrain_rate
    else:
        network = _pretrained(study, run, data, network, progress)
    samples, validation = _split(study, run, sample, target, study.target)
    models.train(
        network.with_new_head(classes, run.seed),
        samples,
        replace(
            _recipe(study, run, epochs, rate),
            task=study.task,
            freeze_backbone=study.transfer == "probe" and run.kind != BASELINE,
        ),
        folder=phase_folder(study, run, FINETUNE),
        held_out=Samples(data.test.items, target_values(data.test, study.target, study.task)[0]),
        validation=validation,
        progress=progress,
    )


def _pretrained(
    study: Granularity, run: TransferRun, data: TransferData, network: Network, progress: bool
) -> Network:
    """The network after pretraining."""
    level = stratum_of(study, data.pretrain)
    sample = data.pretrain.sample(run.pretrain_size or run.size, run.seed, level)
    labels, classes = pretraining_labels(
        study, run.kind, run.level, run.classes, sample, network, run.seed, run.misalignment
    )
    recipe = _recipe(study, run, study.pretrain_epochs, study.pretrain_rate)
    if run.kind in MEANINGLESS:
        samples, validation, recipe = Samples(sample.items, labels), None, replace(recipe, patience=None)
    else:
        samples, validation = _split(study, run, sample, labels, level)
    folder = study.out / run.pretrain_folder
    models.train(
        network.with_new_head(classes, run.seed),
        samples,
        recipe,
        folder=folder / PRETRAIN,
        held_out=_pretraining_test(study, run, data, sample, labels),
        validation=validation,
        progress=progress,
    )
    columns = {"name": sample.names, "label": labels}
    if study.target in sample.labels:
        columns["target"] = sample.level(study.target)[0]
    if models.is_main_process():
        with whole(folder / LABELS) as partial:
            pd.DataFrame(columns).to_csv(partial, index=False)
    return models.load(study.model, chosen_checkpoint(study, run, PRETRAIN)).to(network.device)


def _pretraining_test(
    study: Granularity, run: TransferRun, data: TransferData, sample: Inputs, labels: np.ndarray
) -> Samples:
    """The target's test samples, or pretraining samples where only these have the pretraining labels."""
    if run.kind in OF_SAMPLES or study.pretrain_data is not None:
        first = sample.select(range(min(MAX_MEASURED_SAMPLES, len(sample))))
        return Samples(first.items, labels[:MAX_MEASURED_SAMPLES])
    return Samples(data.test.items, labels_of_classes(study, run.kind, run.level, data.test)[0])


def _split(
    study: Granularity, run: TransferRun, sample: Inputs, labels: np.ndarray, level: str | None
) -> tuple[Samples, Samples | None]:
    """The samples that train, and those that validate: the study's share of every class of a level."""
    if not study.validation:
        return Samples(sample.items, labels), None
    rows = np.arange(len(sample))
    numbered = replace(
        sample,
        labels={**sample.labels, ROW: rows},
        classes={**sample.classes, ROW: sample.names},
        orders={**sample.orders, ROW: "derived"},
    )
    parts = numbered.split(1 - study.validation, run.seed, level or ROW)
    trained, validated = (Samples(part.items, labels[part.labels[ROW]]) for part in parts)
    return trained, validated


def _recipe(study: Granularity, run: TransferRun, epochs: int, learning_rate: float) -> Recipe:
    """The recipe of a phase: the study's, with the run's seed."""
    return Recipe(
        epochs=epochs,
        optimiser=study.optimiser,
        learning_rate=learning_rate,
        weight_decay=study.weight_decay,
        batch_size=study.batch_size,
        seed=run.seed,
        flip=study.flip,
        crop_padding=study.crop_padding,
        precision=study.precision,
        patience=study.patience,
    )
