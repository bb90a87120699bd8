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
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval
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
    the samples. All networks of a seed share draw, split and order, so that their differences are paired;
    the first weights of fine and coarse networks differ, as their numbers of outputs do.

    Args:
        pool: the data.
        groupings: names with the coarse label of each class.
        size: samples of each network, with those that validate.
        recipe: the training, the width too.
        seeds: of the networks.
        betas: also train on fine logits with L_coarse + β L_intra for each.

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
        found = {"fine": accuracies(stack, pool.test_inputs, pool.test_labels, coarse)}
        samples = StackSamples(pool.inputs, coarse[pool.labels], train, held)
        alone = train_stack(samples, recipe, seeds, int(coarse.max()) + 1).stack
        found["coarse"] = accuracies(alone, pool.test_inputs, coarse[pool.test_labels])
        for beta in betas:
            between = train_stack(fine, recipe, seeds, pool.classes, [coarse], [beta]).stack
            found[f"beta {beta:g}"] = accuracies(between, pool.test_inputs, pool.test_labels, coarse)
        for training, values in found.items():
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
    """`delta_cell` for all widths and sizes, a csv each in a folder; what is there is read, not done again.

    Args:
        widths, sizes: of the map; the width of the recipe is not used.
        folder: for the cells, named by a fingerprint of data and settings: other ones do not mix.

    Returns:
        data, width, size, and the columns of `delta_cell`.
    """
    settings = [asdict(recipe) | {"width": 0}, dict(groupings), list(seeds), list(betas)]
    made_of = digest(*(one for one in vars(pool).values()), settings)[:8]
    tables = []
    for size in sizes:
        for width in widths:
            path = Path(folder) / f"{pool.name}-{made_of}-{width}-{size}.csv"
            wide = replace(recipe, width=width)
            cell = read_or_make(path, partial(delta_cell, pool, groupings, size, wide, seeds, betas))
            tables.append(cell.assign(data=pool.name, width=width, size=size))
    table = pd.concat(tables, ignore_index=True)
    return table[["data", "width", "size", *table.columns.drop(["data", "width", "size"])]]


def delta_table(
    cells: pd.DataFrame,
    by: Sequence[str] = ("data", "grouping", "width", "size"),
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Mean accuracies of each training over seeds, and what each gains over coarse training, with intervals.

    Δ = accuracy(training) − accuracy(coarse), seed by seed; seeds are resampled. The interval speaks of other
    draws, first weights and orders, on these test samples.

    Args:
        cells: of `delta_map`.
        by: the columns that tell a cell.
        bootstrap: of the intervals.

    Returns:
        the columns of `by`, quantity ("accuracy", "delta"), training, value, low, high, games (seeds).

    Raises:
        ValueError: for a table without these columns, or a seed that is there twice or not in all trainings.

    >>> cells = pd.DataFrame({"data": "d", "training": ["fine", "coarse"], "seed": 0, "accuracy": [0.9, 0.8]})
    >>> delta_table(cells, by=["data"]).value.round(3).tolist()
    [0.9, 0.8, 0.1]
    """
    require_columns(cells, [*by, "training", "seed", "accuracy"])
    rows = []
    for key, cell in cells.groupby(list(by), sort=False):
        place = dict(zip(by, key, strict=True))
        if cell.duplicated(["training", "seed"]).any():
            raise ValueError(f"expected one accuracy of each training and seed; {place} has several")
        wide = cell.pivot(index="seed", columns="training", values="accuracy")[list(cell.training.unique())]
        if "coarse" not in wide or wide.isna().any(axis=None):
            raise ValueError(f"expected the same seeds of every training, coarse too; {place} has not")
        gains = wide.drop(columns="coarse").sub(wide["coarse"], axis=0)
        for quantity, values in (("accuracy", wide), ("delta", gains)):
            found = mean_interval(values.to_numpy(), bootstrap=bootstrap)
            for training, interval in zip(values, found, strict=True):
                row = {**place, "quantity": quantity, "training": training, **vars(interval)}
                rows.append({**row, "games": len(wide)})
    return pd.DataFrame(rows)


def draw_rows(pool: int, size: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows that train and rows that validate, a line a seed; a smaller size draws a part of a larger one's.

    >>> [tuple(rows.shape) for rows in draw_rows(100, 20, seeds=[0, 1])]
    [(2, 16), (2, 4)]
    """
    held = round(VALIDATION_SHARE * size)
    if not 0 < held < size <= pool:
        raise ValueError(f"expected 3 to {pool} samples, as many as there are to draw from; got {size}")
    drawn = np.stack([np.random.default_rng([seed, 1]).permutation(pool)[:size] for seed in seeds])
    # Every fifth validates, so that smaller draws keep their parts.
    validates = np.zeros(size, dtype=bool)
    validates[np.floor((np.arange(held) + 1) / VALIDATION_SHARE).astype(int).clip(max=size) - 1] = True
    return torch.from_numpy(drawn[:, ~validates]), torch.from_numpy(drawn[:, validates])


def _coarse(name: str, coarse: Sequence[int], classes: int) -> Tensor:
    if len(coarse) != classes or sorted(set(coarse)) != list(range(len(set(coarse)))) or max(coarse) < 1:
        raise ValueError(
            f"expected grouping {name!r} to give each of {classes} classes a coarse label, two or more "
            f"numbered from 0; got {tuple(coarse)}"
        )
    return torch.tensor(coarse)
