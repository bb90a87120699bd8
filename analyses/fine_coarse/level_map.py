"""Fine against coarse training on every level of own data: accuracies, losses and their gain, by cell."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.fine_coarse.delta_map import delta_cell, delta_table, draw_rows
from harsanyi.analyses.fine_coarse.own_data import FineLevel, groups_of
from harsanyi.analyses.fine_coarse.redundancy import boundary_redundancy, sample_segments
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval
from harsanyi.analyses.statistics.comparisons import CORRECTED
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.digest import digest
from harsanyi.models.training.granular_loss import granular_losses, group_logits
from harsanyi.models.training.stack import Stack, accuracies

FINE, COARSE, MATCHED = "fine", "coarse", "coarse, equal parameters"
CELL = ["grouping", "width", "size"]
# Of the gains over coarse networks with as many parameters.
MATCHED_DELTA = "delta_equal_parameters"
SEGMENTS, POINTS = 2000, 100


def level_map(
    levels: Sequence[FineLevel],
    widths: Sequence[int],
    sizes: Sequence[int],
    seeds: Sequence[int],
    recipe: StackRecipe,
    folder: Path,
) -> pd.DataFrame:
    """`level_cell` of all levels, widths and sizes; each cell is a csv, which is read where it exists.

    Args:
        levels: of `fine_levels`.
        widths, sizes, seeds: of the map.
        recipe: of the training; its width is ignored.
        folder: for the cells, named by a fingerprint of data and settings.

    Returns:
        grouping (the level), width, size, and the columns of `level_cell`.
    """
    tables = []
    for level in levels:
        settings = [asdict(recipe) | {"width": 0}, list(level.groups), list(seeds)]
        fingerprint = digest(*vars(level.pool).values(), settings)[:8]
        for size in sizes:
            for width in widths:
                path = folder / f"cell-{fingerprint}-{width}-{size}.csv"
                of_width = replace(recipe, width=width)
                cell = read_or_make(path, partial(level_cell, level, size, of_width, seeds))
                tables.append(cell.assign(grouping=level.name, width=width, size=size))
    table = pd.concat(tables, ignore_index=True)
    return table[[*CELL, *table.columns.drop(CELL)]]


def level_cell(level: FineLevel, size: int, recipe: StackRecipe, seeds: Sequence[int]) -> pd.DataFrame:
    """Networks of one width and size, trained on a level and on the target, a row a training and seed.

    A coarse network with an output for each coarse class has fewer parameters than a fine one. One of equal
    parameters has the fine network's outputs and first weights, and is trained on L_coarse alone (β = 0).

    Args:
        level: the data.
        size: samples of each network, validation included.
        recipe: of the training, with the width.
        seeds: of samples, split, first weights and order.

    Returns:
        training ("fine", "coarse", "coarse, equal parameters"), seed, parameters (their number), accuracy of
        coarse answers on the test samples, train_accuracy on the samples that trained, and coarse_loss and
        intra_loss on those that validated, in nats; intra_loss is NaN where there are no fine outputs.

    >>> from harsanyi.analyses.fine_coarse.pool import digits
    >>> level = FineLevel("digit", digits(), (0, 1) * 5)
    >>> cell = level_cell(level, 50, StackRecipe(4, steps=50), [0])
    >>> cell[["training", "parameters"]].values.tolist()
    [['fine', 310], ['coarse', 270], ['coarse, equal parameters', 310]]
    """
    pool, groups = level.pool, groups_of(level)
    train, held = draw_rows(len(pool.labels), size, seeds)
    fine = StackSamples(pool.inputs, pool.labels, train, held)
    coarse = StackSamples(pool.inputs, groups[pool.labels], train, held)
    count, own = len(groups), torch.arange(int(groups.max()) + 1)
    trained = {
        FINE: (train_stack(fine, recipe, seeds, count).stack, groups, fine),
        COARSE: (train_stack(coarse, recipe, seeds, len(own)).stack, own, coarse),
        MATCHED: (train_stack(fine, recipe, seeds, count, [groups], [0.0]).stack, groups, fine),
    }
    target = groups[pool.test_labels]
    tables = []
    for training, (stack, group, samples) in trained.items():
        columns = {
            "training": training,
            "seed": list(seeds),
            "parameters": sum(part[0].numel() for part in stack.parameters),
            "accuracy": _accuracies(stack, pool.test_inputs, target, group),
            "train_accuracy": _by_network(stack, samples, samples.train, partial(_right, group=group)),
            "coarse_loss": _by_network(stack, samples, held, partial(_loss, group=group, part=0)),
            "intra_loss": _by_network(stack, samples, held, partial(_loss, group=group, part=1))
            if len(group) > len(own)
            else float("nan"),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def level_deltas(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of a map's accuracies, and gains over coarse training, with intervals.

    Args:
        cells: of `level_map`.

    Returns:
        grouping, width, size, quantity, training, value, low, high, games (seeds). Quantities: accuracy and
        train_accuracy of each training; delta, fine less coarse seed by seed; delta_equal_parameters, fine
        less the coarse networks with as many parameters.
    """
    fitted = delta_table(cells.assign(accuracy=cells.train_accuracy), CELL)
    fitted = fitted.query("quantity == 'accuracy'").assign(quantity="train_accuracy")
    gains = with_matched_gains(cells, delta_table(cells, CELL), CELL)
    return pd.concat([gains, fitted], ignore_index=True)


def with_matched_gains(cells: pd.DataFrame, deltas: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Accuracies and gains of fine training over coarse, and over coarse networks with as many parameters.

    Args:
        cells: training (the three of `level_cell`), seed, accuracy and the columns of `by`.
        deltas: of `delta_table` for these cells.
        by: the columns that name a cell.

    Returns:
        the rows of `deltas` of accuracies and of fine training, and delta_equal_parameters below.
    """
    matched = cells[cells.training != COARSE].replace({"training": {MATCHED: COARSE}})
    over_matched = delta_table(matched, by).query("quantity == 'delta'").assign(quantity=MATCHED_DELTA)
    table = pd.concat([deltas, over_matched], ignore_index=True)
    of_fine = (table.training == FINE) | ~table.quantity.str.startswith("delta")
    return table[of_fine].reset_index(drop=True)


def gain_points(cells: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell and seed: L_intra of the fine network, its gain, and how well coarse training fits.

    Args:
        cells: of `level_map`.

    Returns:
        grouping, width, size, seed, cell, intra_loss, delta, coarse_train_accuracy.
    """
    keys = [*CELL, "seed"]
    wide = cells.pivot(index=keys, columns="training", values=["accuracy", "intra_loss", "train_accuracy"])
    points = pd.DataFrame(
        {
            "intra_loss": wide["intra_loss", FINE],
            "delta": wide["accuracy", FINE] - wide["accuracy", COARSE],
            "coarse_train_accuracy": wide["train_accuracy", COARSE],
        }
    ).reset_index()
    return points.assign(cell=[" ".join(map(str, row)) for row in points[CELL].to_numpy()])


def gain_correlation(points: pd.DataFrame) -> pd.DataFrame:
    """Correlation of the gain with the loss within coarse classes, and with how well coarse training fits.

    Args:
        points: of `gain_points`; the seeds of one cell are one cluster.

    Returns:
        as `correlation_table`, by grouping.
    """
    pairs = [("intra_loss", "delta"), ("coarse_train_accuracy", "delta")]
    return pd.concat(
        [
            correlation_table(rows, pairs, clusters="cell").assign(grouping=name)
            for name, rows in points.groupby("grouping", sort=False)
        ],
        ignore_index=True,
    )


def beta_sweep(
    level: FineLevel,
    size: int,
    recipe: StackRecipe,
    seeds: Sequence[int],
    betas: Sequence[float],
    folder: Path,
) -> pd.DataFrame:
    """Coarse answers under L_coarse + β L_intra: the accuracy of each β, and its gain over β = 0.

    Args:
        level: the data.
        size, recipe, seeds: of one cell.
        betas: beside 0 and 1, which are always there.
        folder: for the csv of the cell.

    Returns:
        grouping, quantity ("accuracy", "delta" over coarse labels, "over_zero" and "over_one", the gains over
        β = 0 and β = 1), training ("beta 0.5"; "fine" is β = 1), value, low, high, games (seeds), p of gains.
    """
    swept = sorted({0.0, *(beta for beta in betas if beta != 1)})
    settings = [asdict(recipe), list(level.groups), list(seeds), swept, size]
    path = folder / f"beta-{digest(*vars(level.pool).values(), settings)[:8]}.csv"
    make = partial(delta_cell, level.pool, {level.name: level.groups}, size, recipe, seeds, swept)
    cell = read_or_make(path, make)
    parts = [delta_table(cell, ["grouping"]).drop(columns=CORRECTED)]
    wide = cell.pivot(index="seed", columns="training", values="accuracy")
    for quantity, reference in (("over_zero", "beta 0"), ("over_one", FINE)):
        gains = wide.drop(columns=[reference, COARSE]).sub(wide[reference], axis=0)
        rows = [
            {"grouping": level.name, "quantity": quantity, "training": name, **vars(interval)}
            for name, interval in zip(gains, mean_difference_interval(gains.to_numpy()), strict=True)
        ]
        parts.append(pd.DataFrame(rows).assign(games=len(wide)))
    return pd.concat(parts, ignore_index=True)


def level_redundancy(
    levels: Sequence[FineLevel], size: int, recipe: StackRecipe, seed: int, folder: Path
) -> pd.DataFrame:
    """Boundary redundancy of a fine network of each level, along segments between test samples.

    Args:
        levels: the data.
        size, recipe, seed: of the network.
        folder: for the csv.

    Returns:
        grouping, and the columns of `boundary_redundancy`.
    """

    def measured(level: FineLevel) -> pd.DataFrame:
        train, held = draw_rows(len(level.pool.labels), size, [seed])
        samples = StackSamples(level.pool.inputs, level.pool.labels, train, held)
        stack = train_stack(samples, recipe, [seed], len(level.groups)).stack
        segments = sample_segments(level.pool.test_inputs, SEGMENTS, seed=0)
        return boundary_redundancy(
            lambda inputs: stack.logits(inputs)[0].argmax(-1), segments, groups_of(level), points=POINTS
        )

    tables = []
    for level in levels:
        settings = [asdict(recipe), list(level.groups), seed, size]
        path = folder / f"redundancy-{digest(*vars(level.pool).values(), settings)[:8]}.csv"
        tables.append(read_or_make(path, partial(measured, level)).assign(grouping=level.name))
    return pd.concat(tables, ignore_index=True)


def _accuracies(stack: Stack, inputs: Tensor, target: Tensor, group: Tensor) -> list[float]:
    """The share of coarse answers that are right, of each network."""
    one_of = torch.stack([(group == k).nonzero()[0, 0] for k in range(int(group.max()) + 1)])
    return [
        accuracies(stack.select(torch.tensor([k])), inputs, one_of[target], group).item()
        for k in range(len(stack.bias))
    ]


def _by_network(
    stack: Stack, samples: StackSamples, rows: Tensor, measure: Callable[[Tensor, Tensor], float]
) -> list[float]:
    """A measure of each network's logits on its own rows: one after another, since rows are many."""
    return [
        measure(stack.select(torch.tensor([k])).logits(samples.inputs[own])[0], samples.labels[own])
        for k, own in enumerate(rows)
    ]


def _right(logits: Tensor, labels: Tensor, group: Tensor) -> float:
    return (group_logits(logits, group).argmax(-1) == group[labels]).double().mean().item()


def _loss(logits: Tensor, labels: Tensor, group: Tensor, part: int) -> float:
    return granular_losses(logits.double(), labels, [group]).mean(0)[part].item()
