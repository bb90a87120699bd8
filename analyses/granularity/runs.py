"""The runs of a granularity study: their plan, their training and their tables."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harsanyi import models
from harsanyi.analyses.granularity.labels import (
    labels_of_classes,
    levels_of,
    pretraining_labels,
    renumber_labels,
)
from harsanyi.analyses.granularity.settings import MEANINGLESS, OF_SAMPLES, Granularity
from harsanyi.analyses.granularity.target import MEASURES_OF, target_values, with_names_of
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_difference_interval, within
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.study import PUBLISHED
from harsanyi.data import Inputs, load
from harsanyi.data.alignment import nmi, purity
from harsanyi.models import Network, Recipe, Samples
from harsanyi.writing import whole

BASELINE = "baseline"
PRETRAIN, FINETUNE, HISTORY, LABELS = "pretrain", "finetune", "history.csv", "labels.csv"
COLUMNS = ("image_column", "text_column", "label_columns")
RUN_COLUMNS = ["kind", "level", "classes", "size", "seed", "misalignment"]
GROUP = [name for name in RUN_COLUMNS if name != "seed"]
MEASURES = ["accuracy", "loss", "error"]
DIFFERENCE = "error_difference"
# The end of the names of differences, which have a p; ends and beginnings of the names of shares, 0 to 1.
OF_DIFFERENCES = "_difference"
SHARES = ("accuracy", "_share"), ("rare_", "common_")
# Batches of an epoch that is timed; the share of a forward in a training step.
TIMED_BATCHES, FORWARD_SHARE = 4, 1 / 3
# Labels of single samples have no test: at most so many training samples measure how well they are learned.
MAX_MEASURED_SAMPLES = 256


@dataclass(frozen=True)
class TransferRun:
    """One way to the target: pretraining labels, number of samples and seed.

    Attributes:
        kind: of the pretraining labels, or "baseline" for none.
        level: their column or level; empty for the baseline.
        classes: their number; for the baseline that of the target's classes, or of its distinct sets or
            numbers.
        size: training samples.
        seed: of samples, start, heads, order and random labels.
        misalignment: share of the pretraining labels that are moved.

    >>> TransferRun("columns", "fine", 10, 500, 0).folder.as_posix()
    'columns-10/500/0'
    """

    kind: str
    level: str
    classes: int
    size: int
    seed: int
    misalignment: float = 0.0

    @property
    def folder(self) -> Path:
        """The folder of the run within the study's folder."""
        name = self.kind if self.kind == BASELINE else f"{self.kind}-{self.classes}"
        return Path(
            name + (f"-{self.misalignment:g}" if self.misalignment else ""), str(self.size), str(self.seed)
        )


@dataclass(frozen=True)
class TransferData:
    """Training and test samples of a study; test labels are numbered as the training labels."""

    train: Inputs
    test: Inputs

    @classmethod
    def of(cls, study: Granularity) -> "TransferData":
        """Loads the samples of a study; a ValueError where its columns are missing or do not fit."""
        names: dict[str, Any] = {name: getattr(study, name) for name in COLUMNS}
        train, test = (load(path, **names) for path in (study.data, study.test_data))
        target_values(train, study.target, study.task)
        train = with_names_of(train, test, study.target, study.task)
        return cls(train, renumber_labels(test, train))


def plan_runs(study: Granularity, data: TransferData) -> list[TransferRun]:
    """Every run of a study: the baselines, then kind by kind, for each size and seed.

    Raises:
        ValueError: for a size larger than the data, or two levels of one kind with equally many classes.
    """
    sizes = study.sizes or (len(data.train),)
    if max(sizes) > len(data.train):
        raise ValueError(f"--sizes has {max(sizes)}: {study.data} holds {len(data.train)} samples")
    target = len(data.train.classes[study.target])
    runs = [TransferRun(BASELINE, "", target, size, seed) for size in sizes for seed in study.seeds]
    for kind in study.kinds:
        for size in sizes:
            levels = levels_of(study, data.train, kind, size)
            counts = list(levels.values())
            if twice := {count for count in counts if counts.count(count) > 1}:
                raise ValueError(
                    f"{kind} has {len(counts)} levels, more than one with {min(twice)} classes: "
                    "name one of them (--columns, --hops, --counts)"
                )
            runs += [
                TransferRun(kind, level, classes, size, seed, share)
                for level, classes in levels.items()
                for share in ((0.0,) if kind in MEANINGLESS else study.misalignment)
                for seed in study.seeds
            ]
    return runs


def is_done(study: Granularity, run: TransferRun) -> bool:
    """Whether the run's last history is written; `train_runs` checks its settings as well."""
    return (study.out / run.folder / FINETUNE / HISTORY).is_file()


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
    epochs = [(study.baseline_epochs or both) if run.kind == BASELINE else both for run in todo]
    tested = len(data.test) * FORWARD_SHARE
    return each * sum(count * (run.size + tested) for count, run in zip(epochs, todo, strict=True))


def train_runs(
    study: Granularity, runs: Sequence[TransferRun], data: TransferData, *, progress: bool = True
) -> Iterator[TransferRun]:
    """Train the runs one after another.

    Each writes the folders pretrain and finetune, with every epoch's checkpoint and history.csv, and
    labels.csv, the pretraining labels of its samples. A training that is complete with the same settings is
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


def runs_table(study: Granularity, runs: Sequence[TransferRun]) -> pd.DataFrame:
    """A row a finished run.

    Returns:
        kind, level, classes, size, seed, misalignment; accuracy, loss (nats) and error = 1 − accuracy on the
        target's test samples after the last epoch (of the task multi-label, no accuracy, and error = 1 − mean
        average precision; of regression, no accuracy, error = 1 − R², and loss the mean squared error);
        pretrain_loss, the last epoch's mean over its training samples; nmi and purity of the pretraining
        labels with the target's, on the training samples. The last three are NaN for the baseline.
    """
    rows = [_row(study, run) for run in runs if is_done(study, run)]
    columns = [*RUN_COLUMNS, *MEASURES, "pretrain_loss", "nmi", "purity"]
    return pd.DataFrame(rows, columns=columns)


def summary_table(runs: pd.DataFrame, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """Means over seeds with intervals, and paired differences to the baseline.

    error_difference is a run's error less that of the baseline of the same size and seed: below 0 where
    pretraining helps. Intervals are over seeds.

    Args:
        runs: of `runs_table`.

    Returns:
        kind, level, classes, size, misalignment, quantity (accuracy, loss, error, error_difference), value,
        low, high, seeds, and p and p_corrected of differences. NaN bounds for fewer than three seeds; no
        error_difference where no baseline is done.

    >>> row = dict(kind="columns", level="fine", classes=10, size=50, misalignment=0.0, loss=0.5)
    >>> row["accuracy"] = 0.9
    >>> rows = [{**row, "seed": seed, "error": 0.1} for seed in (0, 1)]
    >>> rows += [{**row, "seed": seed, "kind": "baseline", "error": 0.25} for seed in (0, 1)]
    >>> table = summary_table(pd.DataFrame(rows))
    >>> table[table.quantity == "error_difference"][["kind", "value", "seeds"]].values.tolist()
    [['columns', -0.15, 2]]
    """
    direct = runs[runs.kind == BASELINE].set_index(["size", "seed"]).error
    keys = pd.MultiIndex.from_frame(runs[["size", "seed"]])
    paired = runs.assign(**{DIFFERENCE: runs.error.to_numpy() - direct.reindex(keys).to_numpy()})
    paired.loc[paired.kind == BASELINE, DIFFERENCE] = np.nan
    long = paired.melt([*GROUP, "seed"], [*MEASURES, DIFFERENCE], var_name="quantity").dropna(subset="value")
    return over_seeds(long, bootstrap=bootstrap)


def over_seeds(
    table: pd.DataFrame,
    *extra: str,
    by: Sequence[str] = GROUP,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The mean over seeds of each quantity, with an interval over them.

    Args:
        table: tidy, with the columns of a run, quantity and value; NaN is left out.
        extra: more columns to group by.
        by: the columns of a run without the seed.

    Returns:
        the columns of `by`, quantity, the extra ones, value, low, high, seeds; p of quantities that end in
        "_difference" and p_corrected (`with_corrected`, over all rows of the quantity). Bounds are within
        what is possible: 0 and 1 for shares, accuracies and errors of classification.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, quantity="error")
    >>> over_seeds(pd.DataFrame([{**row, "seed": seed, "value": 0.5} for seed in range(3)])).seeds.tolist()
    [3]
    """
    columns, rows = [*by, "quantity", *extra], []
    for key, group in table.dropna(subset="value").groupby(columns, sort=False):
        values = group.value.to_numpy(float)
        (interval,) = mean_difference_interval(values[:, None], bootstrap=bootstrap)
        labels = dict(zip(columns, key, strict=True))
        quantity = str(labels["quantity"])
        bounded = vars(within(interval, *_possible(quantity, set(table.quantity))))
        p = interval.p if quantity.endswith(OF_DIFFERENCES) else np.nan
        rows.append({**labels, **bounded, "seeds": group.seed.nunique(), P: p})
    columns += ["value", "low", "high", "seeds", P]
    return with_corrected(pd.DataFrame(rows, columns=columns), by=["quantity"])


def _possible(quantity: str, beside: Collection[str]) -> tuple[float, float]:
    """What a quantity cannot be below and above; errors are shares where accuracies are known."""
    if quantity.endswith(OF_DIFFERENCES):
        return -np.inf, np.inf
    share = quantity.endswith(SHARES[0]) or quantity.startswith(SHARES[1])
    return 0.0, 1.0 if share or (quantity == "error" and "accuracy" in beside) else np.inf


def start_of(study: Granularity, seed: int) -> Network:
    """The network before any training, on the study's device."""
    start = None if study.start == PUBLISHED else study.start
    return models.load(study.model, start, seed=seed).to(device_named(study.device))


def last_checkpoint(study: Granularity, run: TransferRun, phase: str) -> Path:
    """The last checkpoint of a phase of a finished run.

    Args:
        study: of the run.
        run: finished.
        phase: "pretrain" or "finetune".

    Returns:
        the path of the checkpoint.
    """
    return models.series(study.out / run.folder / phase)[-1].path


def _train(study: Granularity, run: TransferRun, data: TransferData, progress: bool) -> None:
    sample = data.train.sample(run.size, run.seed, study.target)
    target, classes = target_values(sample, study.target, study.task)
    network = start_of(study, run.seed)
    epochs, rate = study.finetune_epochs, study.finetune_rate
    if run.kind == BASELINE:
        epochs = study.baseline_epochs or study.pretrain_epochs + study.finetune_epochs
        rate = study.pretrain_rate
    else:
        network = _pretrained(study, run, data.test, sample, network, progress)
    models.train(
        network.with_new_head(classes, run.seed),
        Samples(sample.items, target),
        replace(
            _recipe(study, run, epochs, rate),
            task=study.task,
            freeze_backbone=study.transfer == "probe" and run.kind != BASELINE,
        ),
        folder=study.out / run.folder / FINETUNE,
        held_out=Samples(data.test.items, target_values(data.test, study.target, study.task)[0]),
        progress=progress,
    )


def _pretrained(
    study: Granularity, run: TransferRun, test: Inputs, sample: Inputs, network: Network, progress: bool
) -> Network:
    """The network after pretraining; for labels of single samples, training samples are the test."""
    labels, classes = pretraining_labels(
        study, run.kind, run.level, run.classes, sample, network, run.seed, run.misalignment
    )
    if run.kind in OF_SAMPLES:
        first = sample.select(range(min(MAX_MEASURED_SAMPLES, run.size)))
        held_out = Samples(first.items, labels[:MAX_MEASURED_SAMPLES])
    else:
        held_out = Samples(test.items, labels_of_classes(study, run.kind, run.level, test)[0])
    folder = study.out / run.folder
    *_, last = models.train(
        network.with_new_head(classes, run.seed),
        Samples(sample.items, labels),
        _recipe(study, run, study.pretrain_epochs, study.pretrain_rate),
        folder=folder / PRETRAIN,
        held_out=held_out,
        progress=progress,
    )
    columns = {"name": sample.names, "label": labels, "target": sample.level(study.target)[0]}
    if models.is_main_process():
        with whole(folder / LABELS) as partial:
            pd.DataFrame(columns).to_csv(partial, index=False)
    return models.load(study.model, last).to(network.device)


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
    )


def _row(study: Granularity, run: TransferRun) -> dict[str, Any]:
    folder = study.out / run.folder
    last = _last_epoch(folder / FINETUNE)
    measure, loss = float(last[MEASURES_OF[study.task]]), float(last.held_out_loss)
    accuracy = measure if study.task == "classification" else np.nan
    row = {**vars(run), "accuracy": accuracy, "loss": loss, "error": 1 - measure}
    if run.kind != BASELINE:
        table = pd.read_csv(folder / LABELS)
        labels, target = (table[name].to_numpy(np.int64) for name in ("label", "target"))
        row |= {"nmi": nmi(labels, target), "purity": purity(labels, target)}
        row["pretrain_loss"] = float(_last_epoch(folder / PRETRAIN).loss)
    return row


def _last_epoch(folder: Path) -> pd.Series:
    """The last row of a history, as text: some versions of pandas lose the last digit of a number."""
    return pd.read_csv(folder / HISTORY, dtype=str).iloc[-1]
