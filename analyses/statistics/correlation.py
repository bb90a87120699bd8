"""Correlation of knowledge and accuracy, over inputs or over checkpoints.

It is the weakest evidence of a relation: correlation is not cause.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from harsanyi.analyses.statistics.bootstrap import Bootstrap, Difference
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.analyses.statistics.studentised import ROUNDING, jackknife_error, t_p_value, t_quantile

COEFFICIENTS = ("pearson", "spearman")
COLUMNS = [
    "x",
    "y",
    "coefficient",
    "value",
    "low",
    "high",
    "p",
    "p_corrected",
    "points",
    "clusters",
    "left_out",
]
# With fewer clusters there is no interval.
LEAST_CLUSTERS = 5
# A coefficient as near to 1 as this is 1, up to rounding.
IN_LINE = 1 - 1e-12
# A column that varies by less than this share of its largest value is constant up to rounding.
MIN_RELATIVE_SPREAD = 1e-12


def correlation_table(
    points: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    *,
    clusters: str | None = None,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Pearson's and Spearman's coefficient of pairs of columns, with jackknife intervals.

    r = Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²). Spearman's coefficient is that of the ranks; ties have
    their mean rank. The interval is tanh(z ± t s), with z = artanh r, the t quantile t of k − 1 degrees of
    freedom for k clusters, and s = √((k − 1)/k Σ (z₋ᵢ − mean z₋)²) with z₋ᵢ of all clusters but i. A cluster
    is left out with all its points, since the points of one run or input are not independent. With fewer than
    five clusters there is no interval, nor where a coefficient is 1 or −1. It contains no error of the points
    themselves. Along a run nearly every quantity correlates with the step.

    Args:
        points: a row for each point, numbers or truth values in the paired columns; rows with NaN are left
            out.
        pairs: names of columns, x and y.
        clusters: name of the column with the cluster of each point ("series", "game"); by default each point
            is a cluster.
        bootstrap: of the intervals over clusters: its confidence.

    Returns:
        tidy: x, y, coefficient ("pearson", "spearman"), value, low, high, p (1 less the highest confidence
        whose interval excludes 0), p_corrected (`with_corrected`, over all pairs), points, clusters, left_out
        (number of points with NaN in x or y). The value is NaN where a column is constant, up to rounding.
        The bounds are NaN where it is constant without one cluster, where all points are in line, and with
        fewer than five clusters.

    Raises:
        ValueError: for a missing column, text or infinite numbers in a column, or points without a cluster.

    >>> points = pd.DataFrame({"share": [0.1, 0.2, 0.3, 0.4], "accuracy": [0.5, 0.6, 0.7, 0.9]})
    >>> table = correlation_table(points, [("share", "accuracy")], bootstrap=Bootstrap(resamples=50))
    >>> table.set_index("coefficient").value.round(3).to_dict()
    {'pearson': 0.983, 'spearman': 1.0}
    """
    rows = []
    for x, y in pairs:
        require_columns(points, [x, y, *([clusters] if clusters else [])])
        values = np.stack([_numbers(points, name) for name in (x, y)])
        complete = ~np.isnan(values).any(0)
        groups, named = _grouped(points, complete, clusters)
        counts = {"points": len(groups), "clusters": named, "left_out": int((~complete).sum())}
        for name in COEFFICIENTS:
            coefficient = partial(
                _coefficient, values=values[:, complete], groups=groups, ranked=name != "pearson"
            )
            interval = _interval(coefficient, named, bootstrap)
            rows.append({"x": x, "y": y, "coefficient": name, **vars(interval), **counts})
    return with_corrected(pd.DataFrame(rows, columns=COLUMNS), by=["coefficient"])[COLUMNS]


def coefficient_difference(
    points: pd.DataFrame,
    xs: tuple[str, str],
    y: str,
    *,
    clusters: str | None = None,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """|ρ| of one column with y less |ρ| of another, by Spearman's coefficient: which ranks y better.

    The interval is a t interval of the difference, its error that of the jackknife over clusters, both
    coefficients without the same cluster. Signs are those of all points.

    Args:
        points: a row for each point; those with NaN in one of the three columns are left out.
        xs: names of the two columns.
        y: name of the column that both are set against.
        clusters: name of the column with the cluster of each point; by default each point is a cluster.
        bootstrap: of the interval: its confidence.

    Returns:
        one row as of `correlation_table`: x "ONE − OTHER", the coefficient "|spearman|". The value is NaN
        where a column is constant; bounds are NaN then, with fewer than five clusters, and where both
        coefficients stay as they are without any cluster.

    Raises:
        ValueError: as of `correlation_table`.

    >>> points = pd.DataFrame({"a": [1, 2, 3, 4, 5], "b": [2, 1, 3, 5, 4], "y": [5, 4, 3, 2, 1]})
    >>> row = coefficient_difference(points, ("a", "b"), "y").iloc[0]
    >>> row.x, float(round(row.value, 3))
    ('a − b', 0.2)
    """
    require_columns(points, [*xs, y, *([clusters] if clusters else [])])
    values = np.stack([_numbers(points, name) for name in (*xs, y)])
    complete = ~np.isnan(values).any(0)
    count, (groups, named) = int(complete.sum()), _grouped(points, complete, clusters)
    times = np.concatenate([np.ones((1, named)), 1 - np.eye(named)])
    coefficients = [
        _coefficient(times, values=values[[row, 2]][:, complete], groups=groups, ranked=True)
        for row in range(2)
        if count
    ]
    one, other = (np.sign(of_x[0]) * of_x for of_x in coefficients or np.full((2, 1), np.nan))
    row = {"x": " − ".join(xs), "y": y, "coefficient": "|spearman|", "points": count, "clusters": named}
    interval = _of_difference(one - other, bootstrap)
    return pd.DataFrame([row | vars(interval) | {"left_out": int((~complete).sum())}], columns=COLUMNS)


def _grouped(points: pd.DataFrame, complete: np.ndarray, clusters: str | None) -> tuple[np.ndarray, int]:
    """The number of each complete point's cluster, and how many clusters there are."""
    owners = points[clusters][complete] if clusters else pd.Series(np.arange(complete.sum()))
    groups, names = pd.factorize(owners)
    if (groups < 0).any():
        raise ValueError(f"expected a value of {clusters!r} for every point, {sum(groups < 0)} have none")
    return groups, len(names)


def _of_difference(found: np.ndarray, bootstrap: Bootstrap) -> Difference:
    """The interval of a value from itself and its values without each cluster."""
    value, without = float(found[0]), found[1:]
    error = float(jackknife_error(without)) if len(without) else np.nan
    if len(without) < LEAST_CLUSTERS or not error > ROUNDING:
        return Difference(value, np.nan, np.nan, np.nan)
    reach = float(t_quantile(len(without), bootstrap.confidence)) * error
    p = float(t_p_value(np.array(value), np.array(error), len(without)))
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0), p)


def require_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    """A ValueError for a table that lacks a column; it names the missing columns and those of the table."""
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"expected a table with the columns {missing}; it has {list(table.columns)}")


def _interval(coefficient: "partial[np.ndarray]", clusters: int, bootstrap: Bootstrap) -> Difference:
    """The interval of a coefficient, which takes the number of times that each cluster counts."""
    if not clusters:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    value = float(coefficient(np.ones(clusters)))
    if clusters < LEAST_CLUSTERS or not abs(value) < IN_LINE:
        return Difference(value, np.nan, np.nan, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # of all clusters but one, in line
        without = np.arctanh(coefficient(1 - np.eye(clusters)))
        error = jackknife_error(without)
    middle, reach = np.arctanh(value), t_quantile(clusters, bootstrap.confidence) * error
    low, high = (float(np.tanh(middle + sign * reach)) for sign in (-1, 1))
    return Difference(value, low, high, float(t_p_value(middle, error, clusters)))


def _coefficient(times: np.ndarray, *, values: np.ndarray, groups: np.ndarray, ranked: bool) -> np.ndarray:
    """The coefficient for each row of `times`; a point counts as often as its cluster."""
    weights = times[..., groups]
    varies = _varies(values[0], weights) & _varies(values[1], weights)
    x, y = (_ranks(column, weights) for column in values) if ranked else values
    return np.where(varies, _pearson(x, y, weights), np.nan)


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(-1, keepdims=True)
    x, y = (column - (weights * column).sum(-1, keepdims=True) / total for column in (x, y))
    xy, xx, yy = ((weights * a * b).sum(-1) for a, b in ((x, y), (x, x), (y, y)))
    with np.errstate(invalid="ignore", divide="ignore"):  # of constant columns, which `_varies` excludes
        return np.asarray(np.clip(xy / (np.sqrt(xx) * np.sqrt(yy)), -1, 1))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks of values that count `weights` times; equal values have their mean rank."""
    distinct, inverse = np.unique(values, return_inverse=True)
    starts = np.searchsorted(np.sort(values), distinct)
    counts = np.add.reduceat(weights[..., np.argsort(values)], starts, axis=-1)
    ranks: np.ndarray = counts.cumsum(-1) - (counts - 1) / 2
    return ranks[..., inverse]


def _varies(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether the values of weight above 0 differ."""
    highest = np.where(weights > 0, values, -np.inf).max(-1)
    lowest = np.where(weights > 0, values, np.inf).min(-1)
    return np.asarray(highest - lowest > MIN_RELATIVE_SPREAD * np.abs(values).max())


def _numbers(points: pd.DataFrame, name: str) -> np.ndarray:
    """A column in float64, NaN for missing values."""
    if not pd.api.types.is_numeric_dtype(points[name]):
        raise ValueError(f"expected numbers in column {name!r}, got {points[name].dtype}")
    numbers = points[name].to_numpy(float, na_value=np.nan)
    if np.isinf(numbers).any():
        raise ValueError(
            f"expected finite numbers in column {name!r}, {np.isinf(numbers).sum()} are infinite"
        )
    return numbers
