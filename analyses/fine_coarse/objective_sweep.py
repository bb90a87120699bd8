"""The split objective L_top + Σ β_k L_k over nested levels, for several β and any network.

L_top is the cross-entropy of the coarsest classes, L_k that of the classes of level k within those of the
level above (`granular_loss`). With all β at 1 it is the cross-entropy of the finest classes. With all at 0 it
is that of the coarsest classes alone, with the same head: only sums of the finest logits are then trained,
and the classes of one group stay undistinguished.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from harsanyi import models
from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.granularity.run_tables import over_seeds
from harsanyi.analyses.granularity.runs import TransferData
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.data import Inputs
from harsanyi.data.hierarchies import LabelHierarchy
from harsanyi.models import Network, Recipe, Samples
from harsanyi.models.training.granular_loss import group_logits
from harsanyi.models.training.samples import all_logits, input_batches, require_answers

Betas = tuple[float, ...]
# The columns that name an objective and a level.
OBJECTIVE = ["betas", "level", "classes"]
MEASURES = ["accuracy", "loss"]
BATCH_SIZE = 64  # inputs a forward, in tests


def objective_sweep(
    start: Callable[[int], Network],
    data: TransferData,
    hierarchy: LabelHierarchy,
    betas: Sequence[float | Sequence[float]],
    seeds: Sequence[int],
    folder: str | Path,
    recipe: Recipe = Recipe(),
    *,
    size: int | None = None,
    evenly_over: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train with each choice of β and each seed, and test on every level: a row for each run and level.

    Runs of one seed have the same samples, first weights, head and order, so that their differences are
    paired. A run has its own folder, "beta-1-0.3/0" for β (1, 0.3) and seed 0; a run that is complete with
    the same data and settings is not done again.

    Args:
        start: makes the network of a seed before training; it gets a new head for the finest classes.
        data: samples with a column for the finest level of the hierarchy, of the same name and classes.
        hierarchy: two levels or more.
        betas: a number, or with more levels a β for each below the coarsest, that of the finest last.
        seeds: of samples, head and order, and of what `start` draws.
        folder: for the runs.
        recipe: of every run, but for its seed, levels and betas.
        size: training samples; by default all.
        evenly_over: the label column over whose classes they are drawn evenly; by default the finest.
        progress: show a bar of epochs for each run.

    Returns:
        tidy: betas ("1 0.3"), level, classes (their number), trained, seed, accuracy and loss (nats) on the
        test samples after the last epoch, probabilities summed over groups. `trained` is false where a β of
        the level or of a level above it is 0: answers there mean nothing, as no label trained them.

    Raises:
        ValueError: for a single level, samples of other classes, another number of β, a β below 0 or twice,
            no β or seeds, and as `harsanyi.models.train`.

    >>> from tempfile import TemporaryDirectory
    >>> from harsanyi.data import fashion_mnist
    >>> clothes = TransferData(fashion_mnist("train"), fashion_mnist("test").sample(20, 0, "fine"))
    >>> levels = LabelHierarchy.from_columns(clothes.train, ["fine", "coarse"])
    >>> start = lambda seed: models.load("small:cnn", "random", seed=seed)
    >>> with TemporaryDirectory() as folder:
    ...     options = dict(recipe=Recipe(epochs=1), size=20, progress=False)
    ...     table = objective_sweep(start, clothes, levels, [0, 1], [0], folder, **options)
    >>> table[["betas", "level", "classes", "trained"]].values.tolist()
    [['0', 'fine', 10, False], ['0', 'coarse', 4, True], ['1', 'fine', 10, True], ['1', 'coarse', 4, True]]
    """
    objectives = [_betas(choice, hierarchy) for choice in betas]
    if any(not len(values) or len(set(values)) < len(values) for values in (objectives, seeds)):
        raise ValueError(f"expected one β and seed or more, each once; got {list(betas)} and {list(seeds)}")
    _require_classes(data, hierarchy)
    finest = hierarchy.levels[0].name
    levels = [hierarchy.groups(level.name).tolist() for level in hierarchy.levels[:0:-1]]
    held_out = Samples(data.test.items, data.test.labels[finest])
    rows = []
    for seed in seeds:
        sample = data.train.sample(size or len(data.train), seed, evenly_over or finest)
        network = start(seed).with_new_head(hierarchy.levels[0].classes, seed)
        for objective in objectives:
            place = Path(folder, "-".join(["beta", *_words(objective)]), str(seed))
            series = models.train(
                network,
                Samples(sample.items, sample.labels[finest]),
                replace(recipe, seed=seed, levels=levels, betas=objective),
                folder=place,
                held_out=held_out,
                progress=progress,
            )
            # The table has no names of levels: they are no part of the settings of the series.
            table = read_or_make(
                place / "levels.csv", partial(_tested, network, series[-1], data.test, hierarchy)
            )
            rows.append(table.assign(**_level_columns(objective, hierarchy), seed=seed))
    return pd.concat(rows, ignore_index=True)[[*OBJECTIVE, "trained", "seed", *MEASURES]]


def objective_summary(runs: pd.DataFrame, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """Means over seeds, and over them the paired differences to β = 0, with intervals.

    accuracy_difference = accuracy(β) − accuracy(all β of 0), seed by seed, above 0 where the finer labels
    help; loss_difference likewise, below 0 where they help. Seeds are resampled with replacement: the
    interval is over samples, heads and orders, for these test samples, and with a handful of seeds it is too
    narrow. Levels that an objective does not train are left out: differences are of the coarsest level.

    Args:
        runs: of `objective_sweep`.

    Returns:
        betas, level, classes, quantity (accuracy, loss, accuracy_difference, loss_difference), value, low,
        high, seeds, and p and p_corrected of differences. NaN bounds for fewer than three seeds; no
        difference where a seed has no run with β = 0.

    Raises:
        ValueError: for a table without these columns, or a seed twice.

    >>> row = dict(level="coarse", classes=4, trained=True, loss=0.5)
    >>> runs = [{**row, "betas": "0", "seed": seed, "accuracy": 0.75} for seed in (0, 1)]
    >>> runs += [{**row, "betas": "1", "seed": seed, "accuracy": 1.0} for seed in (0, 1)]
    >>> table = objective_summary(pd.DataFrame(runs))
    >>> table[table.quantity == "accuracy_difference"][["betas", "value", "seeds"]].values.tolist()
    [['1', 0.25, 2]]
    """
    require_columns(runs, [*OBJECTIVE, "trained", "seed", *MEASURES])
    if runs.duplicated(["betas", "level", "seed"]).any():
        raise ValueError("expected one row of each β, level and seed: choose one network and one data set")
    long = runs[runs.trained].melt([*OBJECTIVE, "seed"], MEASURES, var_name="quantity")
    coarse = long.betas.map(lambda words: not any(betas_of(words)))
    pair = ["level", "seed", "quantity"]
    paired = long[~coarse].merge(long[coarse][[*pair, "value"]], on=pair, suffixes=("", "_of_coarse"))
    gains = paired.assign(
        value=paired.value - paired.value_of_coarse, quantity=paired.quantity + "_difference"
    )
    return over_seeds(pd.concat([long, gains[long.columns]]), by=OBJECTIVE, bootstrap=bootstrap)


def betas_of(words: str) -> Betas:
    """The numbers in a table's column betas.

    >>> betas_of("1 0.3")
    (1.0, 0.3)
    """
    return tuple(map(float, words.split()))


def _betas(choice: float | Sequence[float], hierarchy: LabelHierarchy) -> Betas:
    """One β for each level below the coarsest, or a ValueError."""
    betas = (float(choice),) if isinstance(choice, int | float) else tuple(map(float, choice))
    if len(betas) != len(hierarchy.levels) - 1 or not betas:
        raise ValueError(
            f"expected two levels or more and a β for each below the coarsest; got β = {choice} for "
            f"{', '.join(level.name for level in hierarchy.levels)}"
        )
    if not all(isfinite(beta) and beta >= 0 for beta in betas):
        raise ValueError(f"expected β of 0 or more, got {choice}")
    return betas


def _words(betas: Betas) -> list[str]:
    return [f"{beta:.15g}" for beta in betas]


def _require_classes(data: TransferData, hierarchy: LabelHierarchy) -> None:
    """Refuse samples whose labels are not numbers of the finest classes."""
    finest = hierarchy.levels[0]
    for name, inputs in (("training", data.train), ("test", data.test)):
        if inputs.level(finest.name)[1] != finest.classes:
            raise ValueError(
                f"expected {name} samples whose column {finest.name!r} has the hierarchy's "
                f"{len(finest.classes)} classes in its order: take the hierarchy from the training samples "
                "and number those that test with `renumber_labels`"
            )


def _level_columns(betas: Betas, hierarchy: LabelHierarchy) -> dict[str, Any]:
    """Columns of the levels, the finest first."""
    trained = np.cumprod([1, *(beta > 0 for beta in betas)]).astype(bool)
    return {
        "betas": " ".join(_words(betas)),
        "level": [level.name for level in hierarchy.levels],
        "classes": [len(level.classes) for level in hierarchy.levels],
        "trained": trained[::-1],
    }


def _tested(network: Network, weights: Path, test: Inputs, hierarchy: LabelHierarchy) -> pd.DataFrame:
    """Accuracy and loss on each level, the finest first, of these weights, on the inputs that they answer."""
    trained = models.load(network.name, weights).to(network.device)
    inputs_of = input_batches(trained, test.items, cache_bytes=0)
    answered, logits, failed = all_logits(trained, inputs_of, len(test), BATCH_SIZE)
    require_answers(trained, failed, len(test))
    labels = torch.from_numpy(test.labels[hierarchy.levels[0].name])[answered]
    rows = []
    for level in hierarchy.levels:
        group = torch.from_numpy(hierarchy.groups(level.name))
        scores, right = group_logits(logits, group), group[labels]
        accuracy = (scores.argmax(1) == right).double().mean().item()
        rows.append({"accuracy": accuracy, "loss": F.cross_entropy(scores, right).item()})
    return pd.DataFrame(rows)
