"""Correlation: how knowledge goes with accuracy, over inputs or over checkpoints.

Of the ways to relate the two it is the weakest: what goes together need not cause each other.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Bool
from torch import Tensor

from harsanyi.analyses.amounts import Amount
from harsanyi.analyses.bootstrap import Interval, bootstrap_intervals
from harsanyi.analyses.knowledge import SCRATCH_SHARES, SHARES, KnowledgeChange

COEFFICIENTS = ("pearson", "spearman")
COLUMNS = ["x", "y", "coefficient", "value", "low", "high", "points", "clusters", "left_out"]
# Values that differ by less than this share of the largest do so by rounding.
ROUNDING = 1e-12


def correlation_table(
    points: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    *,
    clusters: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pearson's and Spearman's coefficient of pairs of columns, with bootstrap intervals.

    r = Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²); Spearman's is that of the ranks, ties at their mean.
    A cluster is resampled with all its points, as often as it is drawn, so that points of one run or input
    do not count as so many witnesses. With fewer than some twenty clusters the intervals are too narrow.
    They hold the values of the points for exact, and along a run nearly all goes with the step.

    Args:
        points: a row a point, numbers or truth values in the columns that are paired; NaN is left out.
        pairs: names of columns, x and y.
        clusters: the column that says whose point it is ("series", "game"); by default each is its own.
        confidence, resamples, seed: of the bootstrap.

    Returns:
        tidy: x, y, coefficient ("pearson", "spearman"), value, low, high, points, clusters, left_out (points
        with NaN in x or y). The value is NaN where a column is constant, up to rounding; the bounds are NaN
        where that happens in a resample, and with one cluster.

    Raises:
        ValueError: for a column that is not there, holds text or infinite numbers, or clusters without name.

    >>> points = pd.DataFrame({"kept": [0.1, 0.2, 0.3, 0.4], "accuracy": [0.5, 0.6, 0.7, 0.9]})
    >>> table = correlation_table(points, [("kept", "accuracy")], resamples=50)
    >>> table.set_index("coefficient").value.round(3).to_dict()
    {'pearson': 0.983, 'spearman': 1.0}
    """
    rows = []
    for x, y in pairs:
        require_columns(points, [x, y, *([clusters] if clusters else [])])
        values = np.stack([_numbers(points, name) for name in (x, y)])
        known = ~np.isnan(values).any(0)
        owners = points[clusters][known] if clusters else pd.Series(np.arange(known.sum()))
        groups, names = pd.factorize(owners)
        if (groups < 0).any():
            raise ValueError(f"expected a value of {clusters!r} for every point, {sum(groups < 0)} have none")
        counts = {"points": len(groups), "clusters": len(names), "left_out": int((~known).sum())}
        for name in COEFFICIENTS:
            coefficient = partial(
                _coefficient, values=values[:, known], groups=groups, ranked=name != "pearson"
            )
            found = _interval(coefficient, len(names), confidence, resamples, seed)
            rows.append({"x": x, "y": y, "coefficient": name, **vars(found), **counts})
    return pd.DataFrame(rows, columns=COLUMNS)


def input_points(change: KnowledgeChange, correct: Bool[Tensor, " inputs"] | None = None) -> pd.DataFrame:
    """A row for each input: what was kept and learned on it, and how well it is answered.

    Args:
        change: the comparison.
        correct: whether `after` answers each unmasked input rightly. A score above 0 does not say so: the
            log-odds of the most likely of many classes can be below 0.

    Returns:
        game; the shares of `KnowledgeChange.table()` of this input alone (NaN where there is nothing to
        share; those beside scratch where there is one); strength_before and strength_after, Σ|I| of salient
        interactions; score_after, of the label of the unmasked input, v(N); correct where it is given.

    >>> import torch
    >>> from harsanyi.analyses.knowledge import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (4.0, 5.0))
    >>> points = input_points(compare(before, after), correct=torch.tensor([True]))
    >>> points[["preserved_share", "new_share", "score_after", "correct"]].values.tolist()
    [[1.0, 0.2, 5.0, True]]
    """
    if correct is not None and len(correct) != change.games:
        raise ValueError(f"expected `correct` of {change.games} games, one each; got {len(correct)}")
    columns = {"game": np.arange(change.games)}
    for share, (part, whole) in (SHARES | (SCRATCH_SHARES if change.scratch else {})).items():
        above, below = _by_game(change, part), _by_game(change, whole)
        columns[share] = np.divide(above, below, out=np.full(change.games, np.nan), where=below > 0)
    columns["strength_before"] = _by_game(change, "all_before")
    columns["strength_after"] = _by_game(change, "all_after")
    columns["score_after"] = change.after.v[:, -1].cpu().numpy()
    if correct is not None:
        columns["correct"] = correct.cpu().numpy()
    return pd.DataFrame(columns)


def checkpoint_points(trajectories: pd.DataFrame) -> pd.DataFrame:
    """A row for each checkpoint, a column for each quantity, both kinds and all orders together.

    Args:
        trajectories: of `trajectory_table`, or the trajectories that `harsanyi track` writes, which also have
            "accuracy held out", "loss held out" and those of the training inputs.

    Returns:
        series, step, then the quantities in the order of the table, NaN where a run lacks one. A checkpoint's
        value is that over its games, taken as it is: its own interval is left behind.

    >>> row = dict(series="run", kind="both", order="all")
    >>> rows = [{**row, "step": 0, "quantity": q, "value": v} for q, v in (("strength", 2), ("reached", 1))]
    >>> checkpoint_points(pd.DataFrame(rows)).to_dict("records")
    [{'series': 'run', 'step': 0, 'strength': 2, 'reached': 1}]
    """
    require_columns(trajectories, ["series", "step", "quantity", "kind", "order", "value"])
    totals = trajectories[(trajectories.kind == "both") & (trajectories.order == "all")]
    if totals.duplicated(["series", "step", "quantity"]).any():
        raise ValueError("expected one value of each quantity at each step of a run; a run is there twice")
    wide = totals.pivot(index=["series", "step"], columns="quantity", values="value")
    found = pd.MultiIndex.from_frame(totals[["series", "step"]].drop_duplicates())
    return wide.loc[found, list(dict.fromkeys(totals.quantity))].rename_axis(columns=None).reset_index()


def require_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a table that lacks a column, naming it and those there."""
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"expected a table with the columns {missing}; it has {list(table.columns)}")


def _interval(
    coefficient: "partial[np.ndarray]", clusters: int, confidence: float, resamples: int, seed: int
) -> Interval:
    """A coefficient of draws of cluster numbers."""
    if not clusters:
        return Interval(np.nan, np.nan, np.nan)
    (found,) = bootstrap_intervals((np.arange(clusters)[:, None],), coefficient, confidence, resamples, seed)
    return found


def _coefficient(
    drawn: np.ndarray, *, values: np.ndarray, groups: np.ndarray, ranked: bool, axis: int
) -> np.ndarray:
    """Of the clusters whose numbers are along `axis`; a point counts as often as its cluster is there."""
    times = np.apply_along_axis(np.bincount, axis, drawn, minlength=groups.max() + 1)
    weights = np.moveaxis(times, axis, -1)[..., groups]
    varies = _varies(values[0], weights) & _varies(values[1], weights)
    x, y = (_ranks(one, weights) for one in values) if ranked else values
    return np.where(varies, _pearson(x, y, weights), np.nan)


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(-1, keepdims=True)
    x, y = (one - (weights * one).sum(-1, keepdims=True) / total for one in (x, y))
    both, first, second = ((weights * one * other).sum(-1) for one, other in ((x, y), (x, x), (y, y)))
    with np.errstate(invalid="ignore", divide="ignore"):  # constant columns, which `_varies` sorts out
        return np.asarray(np.clip(both / (np.sqrt(first) * np.sqrt(second)), -1, 1))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks where each value is there `weights` times: those below, and the middle of those that tie."""
    distinct, ties = np.unique(values, return_inverse=True)
    starts = np.searchsorted(np.sort(values), distinct)
    among = np.add.reduceat(weights[..., np.argsort(values)], starts, axis=-1)
    ranks: np.ndarray = among.cumsum(-1) - (among - 1) / 2
    return ranks[..., ties]


def _varies(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether the values that are there differ."""
    highest = np.where(weights > 0, values, -np.inf).max(-1)
    lowest = np.where(weights > 0, values, np.inf).min(-1)
    return np.asarray(highest - lowest > ROUNDING * np.abs(values).max())


def _by_game(change: KnowledgeChange, name: str) -> np.ndarray:
    """An amount of each game, over kinds, signs and orders."""
    amount: Amount = getattr(change, name)
    return amount.sum((1, 2, 3)).cpu().numpy()


def _numbers(points: pd.DataFrame, name: str) -> np.ndarray:
    """A column in float64, NaN for what is missing."""
    if not pd.api.types.is_numeric_dtype(points[name]):
        raise ValueError(f"expected numbers in column {name!r}, got {points[name].dtype}")
    numbers = points[name].to_numpy(float, na_value=np.nan)
    if np.isinf(numbers).any():
        raise ValueError(
            f"expected finite numbers in column {name!r}, {np.isinf(numbers).sum()} are infinite"
        )
    return numbers
