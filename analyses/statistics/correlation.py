"""Correlation: how knowledge goes with accuracy, over inputs or over checkpoints.

Of the ways to relate the two it is the weakest: what goes together need not cause each other.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, bootstrap_intervals

COEFFICIENTS = ("pearson", "spearman")
COLUMNS = ["x", "y", "coefficient", "value", "low", "high", "points", "clusters", "left_out"]
# Values that differ by less than this share of the largest do so by rounding.
MIN_RELATIVE_SPREAD = 1e-12


def correlation_table(
    points: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    *,
    clusters: str | None = None,
    bootstrap: Bootstrap = Bootstrap(),
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
        bootstrap: of the intervals.

    Returns:
        tidy: x, y, coefficient ("pearson", "spearman"), value, low, high, points, clusters, left_out (points
        with NaN in x or y). The value is NaN where a column is constant, up to rounding; the bounds are NaN
        where that happens in a resample, and with one cluster.

    Raises:
        ValueError: for a column that is not there, holds text or infinite numbers, or clusters without name.

    >>> points = pd.DataFrame({"kept": [0.1, 0.2, 0.3, 0.4], "accuracy": [0.5, 0.6, 0.7, 0.9]})
    >>> table = correlation_table(points, [("kept", "accuracy")], bootstrap=Bootstrap(resamples=50))
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
            found = _interval(coefficient, len(names), bootstrap)
            rows.append({"x": x, "y": y, "coefficient": name, **vars(found), **counts})
    return pd.DataFrame(rows, columns=COLUMNS)


def require_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a table that lacks a column, naming it and those there."""
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"expected a table with the columns {missing}; it has {list(table.columns)}")


def _interval(coefficient: "partial[np.ndarray]", clusters: int, bootstrap: Bootstrap) -> Interval:
    """A coefficient of draws of cluster numbers."""
    if not clusters:
        return Interval(np.nan, np.nan, np.nan)
    (found,) = bootstrap_intervals((np.arange(clusters)[:, None],), coefficient, bootstrap)
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
    return np.asarray(highest - lowest > MIN_RELATIVE_SPREAD * np.abs(values).max())


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
