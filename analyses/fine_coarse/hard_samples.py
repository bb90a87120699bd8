"""Hard samples of real data: does fine training answer more of what a coarse network gets wrong?

Chosen by one network and judged by the networks of other seeds: the network that chose errs on its samples
by construction, and any other, a second coarse one too, is right on more of them. That is regression to the
mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.fine_coarse.delta_map import delta_table, draw_rows
from harsanyi.analyses.fine_coarse.level_map import COARSE, FINE, MATCHED, with_matched_gains
from harsanyi.analyses.fine_coarse.own_data import FineLevel, groups_of
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.digest import digest
from harsanyi.models.training.granular_loss import group_logits
from harsanyi.models.training.stack import Stack

# Who chose the samples; EITHER is the mean of both choices, SAME is judged by the seed that chose.
BY_COARSE, BY_FINE, EITHER, SAME, ALL = "coarse", "fine", "either", "same seed", "all"
CHOSEN = (BY_COARSE, BY_FINE, EITHER, SAME, ALL)


def right_margins(
    logits: Float64[Tensor, "samples outputs"], group: Tensor, target: Tensor
) -> Float64[Tensor, " samples"]:
    """log p(right) − log p of the likeliest other coarse class, in nats: below 0 where the answer is wrong.

    Args:
        logits: of one network.
        group: the coarse class of each output.
        target: the right coarse class of each sample.

    Returns:
        the margin of each sample.

    >>> right_margins(torch.tensor([[2.0, 0.5]]).double(), torch.tensor([0, 1]), torch.tensor([1]))
    tensor([-1.5000], dtype=torch.float64)
    """
    grouped = group_logits(logits, group)
    own = grouped.gather(1, target[:, None])[:, 0]
    other = grouped.scatter(1, target[:, None], -torch.inf).amax(1)
    return own - other


def hardest_samples(
    margins: Float64[np.ndarray, "networks samples"], share: float
) -> Bool[np.ndarray, "networks samples"]:
    """Which samples each network answers wrong with the lowest margins: a share of all, or all wrong ones.

    Args:
        margins: of `right_margins`.
        share: above 0, at most 1.

    Returns:
        a line of truth values for each network.

    >>> hardest_samples(np.array([[-2.0, -1.0, 0.5, 3.0]]), 0.5).tolist()
    [[True, True, False, False]]
    >>> hardest_samples(np.array([[2.0, 1.0, 0.5, -3.0]]), 0.5).tolist()
    [[False, False, False, True]]
    """
    count = max(1, round(share * margins.shape[1]))
    places = margins.argsort(1, kind="stable").argsort(1, kind="stable")
    return (places < count) & (margins < 0)


def judged(margins: Mapping[str, np.ndarray], share: float) -> pd.DataFrame:
    """Accuracy of every training on hard samples, chosen by one seed's network and judged by other seeds'.

    With H_s the hard samples of the network of seed s, the accuracy of seed t is the mean over s ≠ t of the
    share of H_s that its network answers right.

    Args:
        margins: by training ("fine", "coarse" and any other), `(seeds, samples)`, of `right_margins`.
        share: of samples that are hard, as for `hardest_samples`.

    Returns:
        chosen (`CHOSEN`), training, network (the place of its seed), accuracy, samples (mean number of H_s).
        NaN where no other network errs.

    Raises:
        ValueError: for one seed.

    >>> coarse, fine = np.array([[-1.0, 2.0], [-1.0, 2.0]]), np.array([[1.0, -1.0], [1.0, 1.0]])
    >>> table = judged({"coarse": coarse, "fine": fine}, 0.5)
    >>> table[(table.chosen == "coarse") & (table.training == "fine")].accuracy.tolist()
    [1.0, 1.0]
    """
    seeds, count = margins[COARSE].shape
    if seeds < 2:
        raise ValueError("hard samples are chosen by one seed and judged by others: expected two or more")
    chosen = {by: hardest_samples(margins[by], share) for by in (BY_COARSE, BY_FINE)}
    sizes = {by: chosen[by].sum(1).astype(float) for by in chosen}
    sizes |= {EITHER: (sizes[BY_COARSE] + sizes[BY_FINE]) / 2, SAME: sizes[BY_COARSE]}
    sizes |= {ALL: np.full(seeds, float(count))}
    rows = []
    for training, own in margins.items():
        right = own > 0
        shares = {by: _shares(right, marked) for by, marked in chosen.items()}
        found = {by: _of_others(table) for by, table in shares.items()}
        found[EITHER] = (found[BY_COARSE] + found[BY_FINE]) / 2
        found[SAME], found[ALL] = np.diag(shares[BY_COARSE]), right.mean(1)
        for by in CHOSEN:
            columns = {"chosen": by, "training": training, "network": range(seeds), "accuracy": found[by]}
            rows.append(pd.DataFrame(columns | {"samples": sizes[by].mean()}))
    return pd.concat(rows, ignore_index=True)


def hard_cells(
    levels: Sequence[FineLevel],
    size: int,
    recipe: StackRecipe,
    seeds: Sequence[int],
    share: float,
    folder: Path,
) -> pd.DataFrame:
    """`judged` for every level, on its test samples; each level is a csv, which is read where it exists.

    Args:
        levels: the data.
        size, recipe, seeds: of the networks, as for `level_cell`.
        share: of test samples that are hard.
        folder: for the csv files.

    Returns:
        grouping (the level), chosen, training, seed, accuracy, samples.
    """
    tables = []
    for level in levels:
        settings = [asdict(recipe), list(level.groups), list(seeds), size, share]
        path = folder / f"hard-{digest(*vars(level.pool).values(), settings)[:8]}.csv"
        table = read_or_make(path, partial(_judged_level, level, size, recipe, seeds, share))
        tables.append(table.assign(grouping=level.name))
    table = pd.concat(tables, ignore_index=True)
    return table[["grouping", *table.columns.drop("grouping")]]


def hard_deltas(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over judging seeds of the accuracies on hard samples, and gains of fine over coarse training.

    Args:
        cells: of `hard_cells`.

    Returns:
        grouping, chosen, quantity ("accuracy", "delta", "delta_equal_parameters"), training, value, low,
        high, games (seeds), p, p_corrected, and samples, the mean number of those chosen. Intervals take the
        judging seeds as independent, which share the networks that chose.
    """
    known = cells.dropna(subset=["accuracy"])
    by = ["grouping", "chosen"]
    table = with_matched_gains(known, delta_table(known, by), by)
    sizes = cells.groupby(by, sort=False).samples.first().rename("samples").reset_index()
    return table.merge(sizes, on=by)


def _judged_level(
    level: FineLevel, size: int, recipe: StackRecipe, seeds: Sequence[int], share: float
) -> pd.DataFrame:
    pool, groups = level.pool, groups_of(level)
    target = groups[pool.test_labels]
    train, held = draw_rows(len(pool.labels), size, seeds)
    fine = StackSamples(pool.inputs, pool.labels, train, held)
    coarse = StackSamples(pool.inputs, groups[pool.labels], train, held)
    own = torch.arange(int(groups.max()) + 1)
    trained = {
        FINE: (train_stack(fine, recipe, seeds, len(groups)).stack, groups),
        COARSE: (train_stack(coarse, recipe, seeds, len(own)).stack, own),
        MATCHED: (train_stack(fine, recipe, seeds, len(groups), [groups], [0.0]).stack, groups),
    }
    margins = {
        training: _margins(stack, pool.test_inputs, group, target)
        for training, (stack, group) in trained.items()
    }
    table = judged(margins, share)
    return table.assign(seed=[seeds[place] for place in table.network]).drop(columns="network")


def _margins(stack: Stack, inputs: Tensor, group: Tensor, target: Tensor) -> np.ndarray:
    """Of each network: one after another, since samples are many."""
    return np.stack(
        [
            right_margins(stack.select(torch.tensor([k])).logits(inputs)[0].double(), group, target).numpy()
            for k in range(len(stack.bias))
        ]
    )


def _shares(right: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The share of the samples of each network (columns) that each network (rows) answers right."""
    with np.errstate(invalid="ignore"):  # a network that errs nowhere chooses nothing
        return np.asarray((right.astype(float) @ chosen.T.astype(float)) / chosen.sum(1))


def _of_others(shares: np.ndarray) -> np.ndarray:
    """The mean of each row without its own place, and without networks that chose nothing."""
    own = np.eye(len(shares), dtype=bool)
    kept = ~own & ~np.isnan(shares)
    total, count = np.where(kept, shares, 0.0).sum(1), kept.sum(1)
    return np.divide(total, count, out=np.full(len(shares), np.nan), where=count > 0)
