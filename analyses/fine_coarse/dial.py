"""Rings with a dial of boundary redundancy, and the two parts of the fine loss through training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.fine_coarse.delta_map import draw_rows
from harsanyi.analyses.fine_coarse.pool import Pool, standardised
from harsanyi.analyses.statistics.bootstrap import positive_mean_interval
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.data.circles import Circles
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.digest import digest

POOL_POINTS, TEST_POINTS = 4000, 2000
# The prefix of a stack's history columns, for samples that train and samples that validate.
SPLITS = {"train": "train_", "held out": ""}


def ring_pool(
    redundancies: Sequence[float], rings: int = 6
) -> tuple[Pool, dict[str, tuple[int, ...]], dict[str, float]]:
    """Points on rings to train and to test, and coarse labels as near to each redundancy as rings allow.

    Returns:
        the pool of 4,000 and 2,000 points; the coarse label of each ring, by the redundancy in two decimals;
        the exact redundancy, by the same name.

    Raises:
        ValueError: for no redundancy, or what `Circles.with_redundancy` refuses.

    >>> pool, groupings, known = ring_pool([0.0, 0.6])
    >>> groupings, pool.classes
    ({'0.00': (0, 1, 0, 1, 0, 1), '0.60': (0, 0, 1, 1, 0, 0)}, 6)
    """
    if not redundancies:
        raise ValueError("expected one redundancy or more, got none")
    kinds = [Circles.with_redundancy(rings, redundancy) for redundancy in redundancies]
    draws = [kinds[0].sample(count, seed) for seed, count in ((0, POOL_POINTS), (1, TEST_POINTS))]
    pool = standardised("circles", *(part.numpy() for draw in draws for part in draw))
    names = [f"{kind.redundancy:.2f}" for kind in kinds]
    groupings = {name: kind.coarse for name, kind in zip(names, kinds, strict=True)}
    return pool, groupings, {name: kind.redundancy for name, kind in zip(names, kinds, strict=True)}


def dial_table(deltas: pd.DataFrame, known: Mapping[str, float]) -> pd.DataFrame:
    """Δ of fine training with the redundancy of its grouping, as `plot_redundancy` takes it.

    Args:
        deltas: of `delta_table`.
        known: the redundancy of each grouping; others are left out.

    Returns:
        data, width, size, redundancy, value, low, high, games, by redundancy.

    >>> row = dict(data="circles", width=2, size=9, quantity="delta", training="fine", games=3)
    >>> row |= dict(grouping="0.20", value=0.2, low=0.1, high=0.3)
    >>> dial_table(pd.DataFrame([row]), {"0.20": 0.2})[["redundancy", "value"]].values.tolist()
    [[0.2, 0.2]]
    """
    columns = ["data", "width", "size", "value", "low", "high", "games"]
    require_columns(deltas, [*columns, "grouping", "quantity", "training"])
    fine = deltas[(deltas.quantity == "delta") & (deltas.training == "fine") & deltas.grouping.isin(known)]
    table = fine[columns].copy()
    table.insert(3, "redundancy", fine.grouping.map(known).astype(float))
    return table.sort_values("redundancy", kind="stable", ignore_index=True)


def loss_split(
    pool: Pool,
    coarse: Sequence[int],
    betas: Mapping[str, float],
    size: int,
    seeds: Sequence[int],
    recipe: StackRecipe,
    folder: str | Path,
) -> pd.DataFrame:
    """L_coarse and L_intra by step under L_coarse + β L_intra, means over seeds; cached in a csv.

    −log p(fine) = −log p(coarse) − log p(fine | coarse) = L_coarse + L_intra, in nats. For whole curves give
    the recipe more patience than there are checks.

    Args:
        pool, coarse: the data, and the coarse label of each class.
        betas: β of each objective, by name.
        size, seeds: samples and seeds of the networks, as for `delta_cell`.
        recipe: the training.
        folder: for the csv, named by a fingerprint of data and settings.

    Returns:
        objective, part ("coarse", "intra"), split ("train", "held out"), step, value, low, high, games
        (seeds still in training).

    >>> from tempfile import TemporaryDirectory
    >>> from harsanyi.analyses.fine_coarse.pool import digits
    >>> with TemporaryDirectory() as folder:
    ...     table = loss_split(digits(), (0, 1) * 5, {"fine": 1.0}, 50, [0], StackRecipe(4, steps=50), folder)
    >>> table.groupby(["part", "split"]).step.max().unique().tolist()
    [50]
    """
    settings = [asdict(recipe), list(coarse), dict(betas), size, list(seeds)]
    name = f"{pool.name}-loss-{digest(*vars(pool).values(), settings)[:8]}.csv"
    return read_or_make(Path(folder) / name, lambda: _loss_split(pool, coarse, betas, size, seeds, recipe))


def _loss_split(
    pool: Pool,
    coarse: Sequence[int],
    betas: Mapping[str, float],
    size: int,
    seeds: Sequence[int],
    recipe: StackRecipe,
) -> pd.DataFrame:
    train, held = draw_rows(len(pool.labels), size, seeds)
    samples = StackSamples(pool.inputs, pool.labels, train, held)
    rows = []
    for objective, beta in betas.items():
        history = train_stack(samples, recipe, seeds, pool.classes, [torch.tensor(coarse)], [beta]).history
        for part in ("coarse", "intra"):
            for split, prefix in SPLITS.items():
                for step, values in history.groupby("step")[f"{prefix}{part}"]:
                    losses = values.to_numpy()[:, None].clip(0)  # float32 may round 0 to −1e−8
                    (interval,) = positive_mean_interval(losses)
                    row = {
                        "objective": objective,
                        "part": part,
                        "split": split,
                        "step": step,
                        **vars(interval),
                    }
                    rows.append({**row, "games": len(values)})
    return pd.DataFrame(rows)
