"""Fine against coarse training: the gain on coarse answers by width and number of samples, by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.fine_coarse.pool import Pool
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_difference_interval, within
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.digest import digest
from harsanyi.models.training.stack import accuracies

Groupings = Mapping[str, tuple[int, ...]]
VALIDATION_SHARE = 0.2  # of the samples of a network


def delta_cell(
    pool: Pool,
    groupings: Groupings,
    size: int,
    recipe: StackRecipe,
    seeds: Sequence[int],
    betas: Sequence[float] = (),
) -> pd.DataFrame:
    """Accuracy on coarse answers of networks trained on fine and on coarse labels, a row a seed and grouping.

    A seed draws `size` samples of the pool, of which a fifth validates, the first weights and the order of
    the samples. All networks of a seed share samples, split and order, so that their differences are paired.
    The first weights of fine and coarse networks differ, as their numbers of outputs do.

    Args:
        pool: the data.
        groupings: names with the coarse label of each class.
        size: samples of each network, validation included.
        recipe: of the training, with the width.
        seeds: of the networks.
        betas: β of networks with fine outputs that are also trained, on L_coarse + β L_intra.

    Returns:
        grouping, training ("fine", "coarse", "beta 0.5", …), seed, accuracy (test samples whose coarse label
        is answered; a fine network sums the probabilities of each group).

    Raises:
        ValueError: for groupings that do not number the classes, or more samples than there are.

    >>> from harsanyi.analyses.fine_coarse.pool import digits
    >>> cell = delta_cell(digits(), {"odd": (0, 1) * 5}, 50, StackRecipe(4, steps=50), seeds=[0, 1])
    >>> cell.training.tolist()
    ['fine', 'fine', 'coarse', 'coarse']
    """
    train, held = draw_rows(len(pool.labels), size, seeds)
    labels_of = {name: _coarse(name, coarse, pool.classes) for name, coarse in groupings.items()}
    fine = StackSamples(pool.inputs, pool.labels, train, held)
    stack = train_stack(fine, recipe, seeds, pool.classes).stack
    rows = []
    for name, coarse in labels_of.items():
        answers = {"fine": accuracies(stack, pool.test_inputs, pool.test_labels, coarse)}
        samples = StackSamples(pool.inputs, coarse[pool.labels], train, held)
        coarse_stack = train_stack(samples, recipe, seeds, int(coarse.max()) + 1).stack
        answers["coarse"] = accuracies(coarse_stack, pool.test_inputs, coarse[pool.test_labels])
        for beta in betas:
            split_stack = train_stack(fine, recipe, seeds, pool.classes, [coarse], [beta]).stack
            answers[f"beta {beta:g}"] = accuracies(split_stack, pool.test_inputs, pool.test_labels, coarse)
        for training, values in answers.items():
            parts = {"grouping": name, "training": training, "seed": list(seeds), "accuracy": values.numpy()}
            rows.append(pd.DataFrame(parts))
    return pd.concat(rows, ignore_index=True)


def delta_map(
    pool: Pool,
    groupings: Groupings,
    widths: Sequence[int],
    sizes: Sequence[int],
    seeds: Sequence[int],
    recipe: StackRecipe,
    folder: str | Path,
    betas: Sequence[float] = (),
) -> pd.DataFrame:
    """`delta_cell` for all widths and sizes; each cell is a csv, which is read where it exists.

    Args:
        pool, groupings, seeds, betas: as for `delta_cell`.
        widths, sizes: of the map.
        recipe: of the training; its width is ignored.
        folder: for the cells, named by a fingerprint of data and settings.

    Returns:
        data, width, size, and the columns of `delta_cell`.
    """
    settings = [asdict(recipe) | {"width": 0}, dict(groupings), list(seeds), list(betas)]
    fingerprint = digest(*vars(pool).values(), settings)[:8]
    tables = []
    for size in sizes:
        for width in widths:
            path = Path(folder) / f"{pool.name}-{fingerprint}-{width}-{size}.csv"
            of_width = replace(recipe, width=width)
            cell = read_or_make(path, partial(delta_cell, pool, groupings, size, of_width, seeds, betas))
            tables.append(cell.assign(data=pool.name, width=width, size=size))
    table = pd.concat(tables, ignore_index=True)
    return table[["data", "width", "size", *table.columns.drop(["data", "width", "size"])]]


def delta_table(
    cells: pd.DataFrame,
    by: Sequence[str] = ("data", "grouping", "width", "size"),
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Mean accuracies of each training over seeds, and their gain over coarse training, with intervals.

    Δ = accuracy(training) − accuracy(coarse), seed by seed; seeds are resampled. The interval is over
    samples, first weights and orders, for these test samples.

    Args:
        cells: of `delta_map`.
        by: the columns that name a cell.
        bootstrap: of the intervals.

    Returns:
        the columns of `by`, quantity ("accuracy", "delta"), training, value, low, high, games (seeds), p of Δ
        and p_corrected (`with_corrected`, over the cells of a training).

    Raises:
        ValueError: for a table without these columns, or a seed twice or not in all trainings.

    >>> cells = pd.DataFrame({"data": "d", "training": ["fine", "coarse"], "seed": 0, "accuracy": [0.9, 0.8]})
    >>> delta_table(cells, by=["data"]).value.round(3).tolist()
    [0.9, 0.8, 0.1]
    """
    require_columns(cells, [*by, "training", "seed", "accuracy"])
    rows = []
    for key, cell in cells.groupby(list(by), sort=False):
        cell_name = dict(zip(by, key, strict=True))
        if cell.duplicated(["training", "seed"]).any():
            raise ValueError(f"expected one accuracy of each training and seed; {cell_name} has several")
        wide = cell.pivot(index="seed", columns="training", values="accuracy")[list(cell.training.unique())]
        if "coarse" not in wide or wide.isna().any(axis=None):
            raise ValueError(f"expected the same seeds of every training, coarse too; {cell_name} has not")
        gains = wide.drop(columns="coarse").sub(wide["coarse"], axis=0)
        for quantity, values, least in (("accuracy", wide, 0.0), ("delta", gains, -1.0)):
            intervals = mean_difference_interval(values.to_numpy(), bootstrap=bootstrap)
            for training, interval in zip(values, intervals, strict=True):
                row = {**cell_name, "quantity": quantity, "training": training}
                row |= {**vars(within(interval, least, 1.0)), "games": len(wide)}
                rows.append({**row, P: interval.p if quantity == "delta" else np.nan})
    return with_corrected(pd.DataFrame(rows), by=["training"])


def draw_rows(pool: int, size: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Draw the training set of each network from a pool; a smaller size draws a part of a larger draw.

    Args:
        pool: samples in the pool.
        size: samples to draw for each network; a fifth of them validates.
        seeds: one for each network.

    Returns:
        the rows that train, int64 `(seeds, samples)`, and the rows that validate, int64 `(seeds, held)`.

    Raises:
        ValueError: for fewer than 3 samples, or more than the pool has.

    >>> [tuple(rows.shape) for rows in draw_rows(100, 20, seeds=[0, 1])]
    [(2, 16), (2, 4)]
    """
    validation = round(VALIDATION_SHARE * size)
    if not 0 < validation < size <= pool:
        raise ValueError(f"expected 3 to {pool} samples, the size of the pool; got {size}")
    rows = np.stack([np.random.default_rng([seed, 1]).permutation(pool)[:size] for seed in seeds])
    # Every fifth row validates: then a smaller draw has the same parts.
    validates = np.zeros(size, dtype=bool)
    validates[np.floor((np.arange(validation) + 1) / VALIDATION_SHARE).astype(int).clip(max=size) - 1] = True
    return torch.from_numpy(rows[:, ~validates]), torch.from_numpy(rows[:, validates])


def _coarse(name: str, coarse: Sequence[int], classes: int) -> Tensor:
    if len(coarse) != classes or sorted(set(coarse)) != list(range(len(set(coarse)))) or max(coarse) < 1:
        raise ValueError(
            f"expected grouping {name!r} to give each of {classes} classes a coarse label, two or more "
            f"numbered from 0; got {tuple(coarse)}"
        )
    return torch.tensor(coarse)
