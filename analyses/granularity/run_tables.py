"""Tables of a granularity study's finished runs: errors, losses, and means over seeds."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.analyses.granularity.runs import (
    BASELINE,
    FINETUNE,
    HISTORY,
    LABELS,
    PRETRAIN,
    RUN_COLUMNS,
    TransferRun,
    is_done,
)
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.target import MEASURES_OF
from harsanyi.analyses.granularity.training import chosen_checkpoint, phase_folder
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_difference_interval, within
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.data.alignment import nmi, purity
from harsanyi.models import read_checkpoint
from harsanyi.models.training.series_folder import chosen_epoch

GROUP = [name for name in RUN_COLUMNS if name != "seed"]
MEASURES = ["accuracy", "loss", "error"]
DIFFERENCE = "error_difference"
# How far the two phases are trained.
FITS = PRETRAIN_FIT, TARGET_FIT = "pretrain_fit", "target_fit"
# The end of the names of differences, which have a p; ends and beginnings of the names of shares, 0 to 1.
OF_DIFFERENCES = "_difference"
SHARES = ("accuracy", "_share"), ("rare_", "common_")


def runs_table(study: Granularity, runs: Sequence[TransferRun]) -> pd.DataFrame:
    """A row a finished run.

    Returns:
        the columns of a `TransferRun`; accuracy, loss (nats) and error = 1 − accuracy on the target's test
        samples after the last epoch, or with validation after that of the lowest validation loss (of the
        task multi-label, no accuracy, and error = 1 − mean average precision; of regression, no accuracy,
        error = 1 − R², and loss the mean squared error);
        pretrain_loss, that epoch's mean over its training samples; nmi and purity of the pretraining labels
        with the target's, on the pretraining samples, if these have target labels; train_loss, the mean over
        the target's training samples in the epoch that is tested; and how far both phases are trained,
        pretrain_fit and target_fit: 1 − loss / log classes (`_fit`), of classes alone. What is of pretraining
        is NaN for the baseline.
    """
    rows = [_row(study, run) for run in runs if is_done(study, run)]
    columns = [*RUN_COLUMNS, *MEASURES, "pretrain_loss", "nmi", "purity", "train_loss", *FITS]
    return pd.DataFrame(rows, columns=columns)


def summary_table(runs: pd.DataFrame, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """Means over seeds with intervals, and paired differences to the baseline.

    error_difference is a run's error less that of the baseline of the same size and seed: below 0 where
    pretraining helps. Intervals are over seeds.

    Args:
        runs: of `runs_table`.
        bootstrap: of the intervals.

    Returns:
        the columns of a `TransferRun` but the seed, quantity (accuracy, loss, error, pretrain_fit,
        target_fit, error_difference), value, low, high, seeds, and p and p_corrected of differences. NaN
        bounds for fewer than three seeds; no error_difference where no baseline is done.

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
    named = [name for name in RUN_COLUMNS if name in paired]
    measures = [*MEASURES, *(name for name in FITS if name in paired), DIFFERENCE]
    long = paired.melt(named, measures, var_name="quantity").dropna(subset="value")
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
        by: the columns of a run without the seed; one that the table does not have is left out.

    Returns:
        the columns of `by`, quantity, the extra ones, value, low, high, seeds; p of quantities that end in
        "_difference" and p_corrected (`with_corrected`, over all rows of the quantity). Bounds are within
        what is possible: 0 and 1 for shares, accuracies and errors of classification.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, quantity="error")
    >>> over_seeds(pd.DataFrame([{**row, "seed": seed, "value": 0.5} for seed in range(3)])).seeds.tolist()
    [3]
    """
    columns, rows = [*(name for name in by if name in table), "quantity", *extra], []
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
    if quantity in FITS:
        return -np.inf, 1.0
    share = quantity.endswith(SHARES[0]) or quantity.startswith(SHARES[1])
    return 0.0, 1.0 if share or (quantity == "error" and "accuracy" in beside) else np.inf


def _row(study: Granularity, run: TransferRun) -> dict[str, Any]:
    chosen = _epoch_row(phase_folder(study, run, FINETUNE))
    measure, loss = float(chosen[MEASURES_OF[study.task]]), float(chosen.held_out_loss)
    accuracy = measure if study.task == "classification" else np.nan
    row = {**vars(run), "accuracy": accuracy, "loss": loss, "error": 1 - measure}
    row["train_loss"] = float(chosen.loss)
    if study.task == "classification":
        outputs = read_checkpoint(chosen_checkpoint(study, run, FINETUNE)).classes
        row[TARGET_FIT] = _fit(row["train_loss"], len(outputs or ()))
    if run.kind != BASELINE:
        table = pd.read_csv(study.out / run.pretrain_folder / LABELS)
        if "target" in table:
            labels, target = (table[name].to_numpy(np.int64) for name in ("label", "target"))
            row |= {"nmi": nmi(labels, target), "purity": purity(labels, target)}
        row["pretrain_loss"] = float(_epoch_row(phase_folder(study, run, PRETRAIN)).loss)
        row[PRETRAIN_FIT] = _fit(row["pretrain_loss"], run.classes)
    return row


def _fit(loss: float, classes: int) -> float:
    """How much of the training labels a network knows: 1 where it is sure of all, 0 where it guesses evenly.

    1 − loss / log classes, the loss being the mean over the training samples while the epoch goes. NaN with
    fewer than two classes.

    >>> _fit(0.0, 4), _fit(math.log(4), 4)
    (1.0, 0.0)
    """
    return 1 - loss / math.log(classes) if classes > 1 else math.nan


def _epoch_row(folder: Path) -> pd.Series:
    """The chosen epoch's row of a history, as text: some versions of pandas lose a number's last digit."""
    return pd.read_csv(folder / HISTORY, dtype=str).iloc[chosen_epoch(folder)]
