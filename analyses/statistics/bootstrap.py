"""Bootstrap intervals over games (inputs), many columns at once."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# Held in memory at once: games × this many numbers, and for any statistic as many for each column.
RESAMPLES_PER_BATCH = 100


@dataclass(frozen=True)
class Bootstrap:
    """How bootstrap intervals are computed: percentiles of a statistic over resamples of the games.

    Games are drawn with replacement, as many as there are. The interval says how the statistic would vary
    over other inputs of the same kind, not over other training runs.

    Attributes:
        confidence: share of the resamples between the two bounds, above 0 and below 1.
        resamples: number of draws.
        seed: of the draws, 0 or more. Statistics of the same number of games with the same seed use the
            same draws.

    Raises:
        ValueError: for values outside these ranges.

    >>> mean_interval(np.arange(5.0)[:, None], bootstrap=Bootstrap(confidence=0.8, seed=1))
    [Interval(value=2.0, low=1.2, high=2.8)]
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.confidence < 1 and self.resamples >= 1 and self.seed >= 0):
            raise ValueError(
                "expected a confidence above 0 and below 1, 1 resample or more and a seed of 0 or more; got "
                f"{self}"
            )


@dataclass(frozen=True)
class Interval:
    """A value and its percentile bootstrap interval; NaN bounds where resampling cannot tell."""

    value: float
    low: float
    high: float


def mean_interval(values: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()) -> list[Interval]:
    """The mean over games (axis 0) of each column, with a bootstrap interval over the games.

    >>> mean_interval(np.ones((5, 2)))[0]
    Interval(value=1.0, low=1.0, high=1.0)
    """
    return sum_intervals((values,), lambda total: total / len(values), bootstrap)


def ratio_interval(
    numerator: np.ndarray, denominator: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()
) -> list[Interval]:
    """Σ numerator / Σ denominator over games of each column, with a bootstrap interval over the games.

    Args:
        numerator, denominator: `(games, columns)`; each resample draws the same games from both.
        bootstrap: of the intervals.

    Returns:
        an interval for each column: NaN where the denominators sum to zero, NaN bounds where they do so in a
        resample.

    >>> ratio_interval(np.ones((5, 1)), 2 * np.ones((5, 1)))[0]
    Interval(value=0.5, low=0.5, high=0.5)
    """
    return sum_intervals((numerator, denominator), _ratio, bootstrap)


def ratio_difference_interval(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> list[Interval]:
    """The ratio Σ numerator / Σ denominator of the first pair less that of the second, on the same games.

    Paired: each resample draws the same games for both ratios, so that what is hard in both cancels.

    Args:
        first, second: a numerator and a denominator each, `(games, columns)`.
        bootstrap: of the intervals.

    Returns:
        an interval for each column, NaN as in `ratio_interval` where either ratio is.

    >>> half, tenth = (np.ones((5, 1)), 2 * np.ones((5, 1))), (np.ones((5, 1)), 10 * np.ones((5, 1)))
    >>> ratio_difference_interval(half, tenth)[0]
    Interval(value=0.4, low=0.4, high=0.4)
    """
    return sum_intervals((*first, *second), _ratio_difference, bootstrap)


def sum_intervals(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], bootstrap: Bootstrap
) -> list[Interval]:
    """A statistic of sums over games, with percentile bootstrap intervals.

    A resample is how often it has each game, and its sums are one product of matrices. So thousands of
    resamples of many columns take a moment.

    Args:
        data: `(games, columns)` arrays; each resample draws the same games from all of them.
        statistic: called with the sums of each array, `(columns, *resamples)`; it returns one value for each
            column of its own, `(values, *resamples)`.
        bootstrap: of the intervals.

    Returns:
        those of `bootstrap_intervals` for `statistic(*(part.sum(axis) for part in data))`, up to rounding.

    >>> sum_intervals((np.array([[1.0], [3.0]]),), lambda total: total, Bootstrap(resamples=50))
    [Interval(value=4.0, low=2.0, high=6.0)]
    """
    # Each array has a product of its own, all of one form: equal columns then have equal sums, bit for bit.
    columns = [np.ascontiguousarray(part, dtype=np.float64) for part in data]
    games = len(columns[0])
    values = np.asarray(statistic(*(part.sum(0) for part in columns)))
    if games < 2:
        low = high = np.full_like(values, np.nan)
    else:
        resampled = [
            statistic(*((times @ part).T for part in columns)) for times in _times_drawn(games, bootstrap)
        ]
        tail = (1 - bootstrap.confidence) / 2
        low, high = np.quantile(np.concatenate(resampled, axis=-1), (tail, 1 - tail), axis=-1)
    return _intervals(values, low, high)


def _times_drawn(games: int, bootstrap: Bootstrap) -> Iterator[np.ndarray]:
    """How often each resample has each game, `(resamples, games)`, batch after batch."""
    random = np.random.default_rng(bootstrap.seed)
    for start in range(0, bootstrap.resamples, RESAMPLES_PER_BATCH):
        count = min(RESAMPLES_PER_BATCH, bootstrap.resamples - start)
        drawn = random.integers(0, games, (count, games)) + games * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * games).reshape(count, games).astype(np.float64)


def bootstrap_intervals(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], bootstrap: Bootstrap
) -> list[Interval]:
    """Any statistic of games, with percentile bootstrap intervals.

    Args:
        data: arrays whose axis 0 is the games; each resample draws the same games from all of them.
        statistic: called as `statistic(*data, axis=axis)`, where `axis` is that of the games; it returns one
            value for each column.
        bootstrap: of the intervals.

    Returns:
        an interval for each value of the statistic; NaN bounds for a single game, which says nothing about
        others, and where the statistic of a resample is NaN.

    >>> bootstrap_intervals((np.array([[1.0], [3.0]]),), lambda x, axis: x.max(axis), Bootstrap(resamples=50))
    [Interval(value=3.0, low=1.0, high=3.0)]
    """
    from scipy import stats  # here, since this import takes most of a second

    values = np.asarray(statistic(*data, axis=0))
    if len(data[0]) < 2:
        low = high = np.full_like(values, np.nan)
    else:
        with warnings.catch_warnings():  # NaN bounds are the answer where a denominator is zero
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            result = stats.bootstrap(
                data,
                statistic,
                paired=len(data) > 1,
                vectorized=True,
                axis=0,
                n_resamples=bootstrap.resamples,
                batch=RESAMPLES_PER_BATCH,
                confidence_level=bootstrap.confidence,
                method="percentile",
                rng=np.random.default_rng(bootstrap.seed),
            )
        low, high = result.confidence_interval
    return _intervals(values, low, high)


def _intervals(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Interval]:
    return [Interval(*map(float, bounds)) for bounds in zip(values, low, high, strict=True)]


def _ratio_difference(
    numerator: np.ndarray, denominator: np.ndarray, other_numerator: np.ndarray, other_denominator: np.ndarray
) -> np.ndarray:
    return _ratio(numerator, denominator) - _ratio(other_numerator, other_denominator)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
