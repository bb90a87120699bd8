"""Intervals over games, many columns at once: of which kind, and for how few games there is none.

| of | fewer than 3 games | 3 to 9 | 10 and more |
| --- | --- | --- | --- |
| a mean, a ratio of sums, a difference of two ratios | none | t, error by jackknife | bootstrap-t |
| a mean of numbers above 0 on a logarithmic axis | none | t of its logarithm | bootstrap-t |
| a rate: the share of games of which something is true | none | Wilson's | Wilson's |
| anything else | none | none | expanded percentiles |

Percentiles of the resamples of three games are the range of the games, which misses the mean of a normal
population once in four times. The t interval is exact for means of normal numbers. The bootstrap-t interval
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 12) takes the distribution of t from
resamples and so follows the skewness of effects. Wilson's interval (1927) has a width where all games agree.
Expanded percentiles (Hesterberg, "What teachers should know about the bootstrap", 2015) are as wide as a t
interval. benchmarks/README.md says how often each holds the truth.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Literal

import numpy as np

from harsanyi.analyses.statistics.studentised import Pair, studentised, t_quantile, value_of

# Held in memory at once: games × this many numbers, and for any statistic as many for each column.
RESAMPLES_PER_BATCH = 100
# With fewer games, or seeds, there is no interval: the t quantile of two is 12.7.
LEAST_GAMES = 3
# With fewer, resamples are too much alike for a bootstrap.
LEAST_RESAMPLED = 10


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed.

    Games are drawn with replacement, as many as there are. The interval says how the statistic would vary
    over other inputs of the same kind, not over other training runs.

    Attributes:
        confidence: how often the interval should hold the truth, above 0 and below 1.
        resamples: number of draws, where there are games enough to draw from.
        seed: of the draws, 0 or more. Statistics of the same number of games with the same seed use the
            same draws.

    Raises:
        ValueError: for values outside these ranges.

    >>> mean_interval(np.arange(5.0)[:, None], bootstrap=Bootstrap(confidence=0.8))  # 2 ± 1.533 · √(2.5 / 5)
    [Interval(value=2.0, low=0.915..., high=3.084...)]
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
    """A value and its interval; NaN bounds where there is none: few games, or resamples that cannot tell."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """A difference, or a coefficient, beside 0: with p, 1 less the highest confidence that excludes 0.

    NaN where there is no interval. Of many in one table some p are small by chance: `with_corrected`.
    """

    p: float


# What an interval is of: means and ratios of sums; means of losses and the like; all else but rates.
Kind = Literal["means", "means above 0", "anything else"]


def interval_kind(games: int, *, of: Kind = "means") -> str:
    """The kind of the intervals over so many games, in words; "" where there is none.

    Args:
        games: their number.
        of: means and ratios of sums; means of numbers above 0; or anything else but rates, such as times and
            rank correlations.

    >>> interval_kind(2), interval_kind(3), interval_kind(30)
    ('', 't intervals', 'bootstrap-t intervals')
    >>> interval_kind(9, of="anything else"), interval_kind(10, of="anything else")
    ('', 'intervals by expanded percentiles')
    """
    if of == "anything else":
        return "intervals by expanded percentiles" if games >= LEAST_RESAMPLED else ""
    if games < LEAST_GAMES:
        return ""
    if games >= LEAST_RESAMPLED:
        return "bootstrap-t intervals"
    return "t intervals of the logarithm" if of == "means above 0" else "t intervals"


def mean_interval(
    values: np.ndarray, *, least: float = -np.inf, bootstrap: Bootstrap = Bootstrap()
) -> list[Interval]:
    """The mean over games (axis 0) of each column, with an interval over the games.

    For truth values use `rate_interval`.

    Args:
        values: `(games, columns)`.
        least: what no value can be below, 0 for counts and strengths; no bound is below it either.
        bootstrap: of the intervals.

    Returns:
        an interval for each column; NaN bounds for fewer than three games, and where resamples cannot tell.

    >>> mean_interval(np.array([[0.0], [1.0], [2.0]]))[0]  # 1 ± 4.303 / √3
    Interval(value=1.0, low=-1.484..., high=3.484...)
    >>> mean_interval(np.array([[0.0], [1.0]]))[0]
    Interval(value=0.5, low=nan, high=nan)
    """
    return [within(each, least) for each in mean_difference_interval(values, bootstrap=bootstrap)]


def positive_mean_interval(values: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()) -> list[Interval]:
    """The mean over games of each column of numbers above 0, such as losses, with bounds above 0 too.

    With fewer than ten games the t interval is that of the logarithm of the mean, mean · exp(± t s / mean)
    with the standard error s (the delta method): a symmetric one of three unequal losses reaches below 0.
    With more it is that of `mean_interval`, which follows the skewness itself, with no bound below 0. Of
    lognormal numbers of spread 1 it holds the mean in 92%, 89% and 87% of draws of 3, 5 and 9, the
    symmetric one in 84%, 82% and 83%.

    Args:
        values: `(games, columns)`, none below 0.
        bootstrap: of the intervals.

    Returns:
        as `mean_interval`.

    >>> positive_mean_interval(np.array([[1.0], [2.0], [9.0]]))[0]  # 4 · exp(± 4.303 · 2.517 / 4)
    Interval(value=4.0, low=0.266..., high=59.93...)
    >>> mean_interval(np.array([[1.0], [2.0], [9.0]]))[0].low
    -6.828...
    """
    assert not (np.asarray(values) < 0).any(), "expected losses, strengths or counts"
    found = mean_interval(values, bootstrap=bootstrap)
    if len(values) >= LEAST_RESAMPLED:
        return [within(one, 0.0) for one in found]
    factors = [exp((one.high - one.value) / one.value) if one.value else 1.0 for one in found]
    return [
        Interval(one.value, one.value / factor, one.value * factor)
        for one, factor in zip(found, factors, strict=True)
    ]


def mean_difference_interval(
    differences: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()
) -> list[Difference]:
    """The mean over games, or seeds, of paired differences, with an interval and its p.

    Args:
        differences: `(games, columns)`.
        bootstrap: of the intervals.

    Returns:
        a difference for each column, NaN as in `mean_interval`.

    >>> mean_difference_interval(np.array([[0.0], [1.0], [2.0]]))[0]  # t = √3 with 2 degrees of freedom
    Difference(value=1.0, low=-1.484..., high=3.484..., p=0.225...)
    """
    return _studentised([(np.asarray(differences, dtype=np.float64), None)], bootstrap)


def rate_interval(truths: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()) -> list[Interval]:
    """The share of games (axis 0) of which each column is true, with Wilson's score interval.

    With z the normal quantile and p the share, the interval is
    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        truths: `(games, columns)`, 0 or 1.
        bootstrap: of the intervals: its confidence.

    Raises:
        ValueError: for other values.

    >>> rate_interval(np.ones((8, 1)))[0]
    Interval(value=1.0, low=0.675..., high=1.0)
    """
    from scipy.special import ndtri

    columns = np.asarray(truths, dtype=np.float64)
    if not np.isin(columns, (0.0, 1.0)).all():
        raise ValueError("expected truth values, 0 or 1, for a rate; for other numbers use `mean_interval`")
    games, share = len(columns), columns.mean(0)
    if games < LEAST_GAMES:
        return _intervals(share, *_no_bounds(share))
    z = ndtri((1 + bootstrap.confidence) / 2)
    middle = (share + z**2 / (2 * games)) / (1 + z**2 / games)
    half = z * np.sqrt(share * (1 - share) / games + z**2 / (4 * games**2)) / (1 + z**2 / games)
    low = np.where(share == 0, 0.0, middle - half)
    return _intervals(share, low, np.where(share == 1, 1.0, middle + half))


def ratio_interval(
    numerator: np.ndarray,
    denominator: np.ndarray,
    *,
    least: float = -np.inf,
    bootstrap: Bootstrap = Bootstrap(),
) -> list[Interval]:
    """Σ numerator / Σ denominator over games of each column, with an interval over the games.

    Args:
        numerator, denominator: `(games, columns)`; each resample draws the same games from both.
        least: what no ratio can be below; no bound is below it either.
        bootstrap: of the intervals.

    Returns:
        an interval for each column: NaN where the denominators sum to zero, NaN bounds where they do so
        without one game or in a resample.

    >>> ratio_interval(np.ones((5, 1)), 2 * np.ones((5, 1)))[0]
    Interval(value=0.5, low=0.5, high=0.5)
    """
    above, below = (np.asarray(part, dtype=np.float64) for part in (numerator, denominator))
    return [within(interval, least) for interval in _studentised([(above, below)], bootstrap)]


def share_interval(
    part: np.ndarray, whole: np.ndarray, *, bootstrap: Bootstrap = Bootstrap()
) -> list[Interval]:
    """The ratio of a part to the whole that it is a part of, in every game: no bound is beyond 0 or 1.

    Args:
        part, whole, bootstrap: as numerator and denominator of `ratio_interval`.

    Returns:
        an interval for each column, as `ratio_interval` gives it.

    >>> share_interval(np.ones((5, 1)), 2 * np.ones((5, 1)))[0]
    Interval(value=0.5, low=0.5, high=0.5)
    """
    return [within(interval, 0.0, 1.0) for interval in ratio_interval(part, whole, bootstrap=bootstrap)]


def ratio_difference_interval(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> list[Difference]:
    """The ratio Σ numerator / Σ denominator of the first pair less that of the second, on the same games.

    Paired: each resample draws the same games for both ratios, so that what is hard in both cancels.

    Args:
        first, second: a numerator and a denominator each, `(games, columns)`.
        bootstrap: of the intervals.

    Returns:
        a difference for each column, with its p; NaN as in `ratio_interval` where either ratio is.

    >>> half, tenth = (np.ones((5, 1)), 2 * np.ones((5, 1))), (np.ones((5, 1)), 10 * np.ones((5, 1)))
    >>> ratio_difference_interval(half, tenth)[0]
    Difference(value=0.4, low=0.4, high=0.4, p=0.0)
    """
    pairs = [
        (np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
        for above, below in (first, second)
    ]
    return _studentised(pairs, bootstrap)


def within(interval: Interval, least: float, most: float = np.inf) -> Interval:
    """The interval without what no value can be.

    Args:
        interval: of a value.
        least, most: what no value can be below and above.

    Returns:
        the same value, with bounds from `least` to `most`; NaN bounds stay NaN.

    >>> within(Interval(0.1, -0.1, 0.3), 0.0)
    Interval(value=0.1, low=0.0, high=0.3)
    """
    # A NaN stays, as it is neither above nor below: of two equal numbers `max` and `min` take the first.
    low, high = (min(max(bound, least), most) for bound in (interval.low, interval.high))
    return Interval(interval.value, low, high)


def sum_intervals(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], bootstrap: Bootstrap
) -> list[Interval]:
    """A statistic of sums over games, with expanded percentile intervals.

    The share of resamples beyond a bound is that of a normal curve beyond √(n / (n − 1)) t, t the t quantile,
    so that the interval is as wide as a t interval where the resamples are normal.

    Args:
        data: `(games, columns)` arrays; each resample draws the same games from all of them.
        statistic: called with the sums of each array, `(columns, *resamples)`; it returns one value for each
            column of its own, `(values, *resamples)`.
        bootstrap: of the intervals.

    Returns:
        those of `bootstrap_intervals` for `statistic(*(part.sum(axis) for part in data))`, up to rounding.

    >>> sum_intervals((np.array([[1.0], [3.0]]),), lambda total: total, Bootstrap(resamples=50))
    [Interval(value=4.0, low=nan, high=nan)]
    """
    # Each array has a product of its own, all of one form: equal columns then have equal sums, bit for bit.
    columns = [np.ascontiguousarray(part, dtype=np.float64) for part in data]
    games = len(columns[0])
    values = np.asarray(statistic(*(part.sum(0) for part in columns)))
    if games < LEAST_RESAMPLED:
        return _intervals(values, *_no_bounds(values))
    resampled = [
        statistic(*((times @ part).T for part in columns)) for times in _times_drawn(games, bootstrap)
    ]
    tail = _expanded_tail(games, bootstrap.confidence)
    low, high = np.quantile(np.concatenate(resampled, axis=-1), (tail, 1 - tail), axis=-1)
    return _intervals(values, low, high)


def bootstrap_intervals(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], bootstrap: Bootstrap
) -> list[Interval]:
    """Any statistic of games, with expanded percentile intervals.

    Args:
        data: arrays whose axis 0 is the games; each resample draws the same games from all of them.
        statistic: called as `statistic(*data, axis=axis)`, where `axis` is that of the games; it returns one
            value for each column.
        bootstrap: of the intervals.

    Returns:
        an interval for each value of the statistic; NaN bounds for fewer than ten games, and where the
        statistic of a resample is NaN.

    >>> data = (np.arange(10.0)[:, None],)
    >>> bootstrap_intervals(data, lambda x, axis: x.max(axis), Bootstrap(resamples=50))[0].high
    9.0
    """
    from scipy import stats  # here, since this import takes most of a second

    games = len(data[0])
    values = np.asarray(statistic(*data, axis=0))
    if games < LEAST_RESAMPLED:
        low, high = _no_bounds(values)
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
                confidence_level=1 - 2 * _expanded_tail(games, bootstrap.confidence),
                method="percentile",
                rng=np.random.default_rng(bootstrap.seed),
            )
        low, high = result.confidence_interval
    return _intervals(values, low, high)


def _studentised(pairs: Sequence[Pair], bootstrap: Bootstrap) -> list[Difference]:
    """The value of one pair, or of two, with its t or bootstrap-t interval."""
    games = len(pairs[0][0])
    if games < LEAST_GAMES:
        values = value_of(pairs)
        none, _ = _no_bounds(values)
        found: tuple[np.ndarray, ...] = (values, none, none, none)
    else:
        draws = None if games < LEAST_RESAMPLED else _times_drawn(games, bootstrap)
        found = studentised(pairs, bootstrap.confidence, draws)
    return [Difference(*map(float, column)) for column in zip(*found, strict=True)]


def _expanded_tail(games: int, confidence: float) -> float:
    """The share of resamples beyond each bound."""
    from scipy.special import ndtr

    return float(ndtr(-t_quantile(games, confidence) * sqrt(games / (games - 1))))


def _times_drawn(games: int, bootstrap: Bootstrap) -> Iterator[np.ndarray]:
    """How often each resample has each game, `(resamples, games)`, batch after batch."""
    random = np.random.default_rng(bootstrap.seed)
    for start in range(0, bootstrap.resamples, RESAMPLES_PER_BATCH):
        count = min(RESAMPLES_PER_BATCH, bootstrap.resamples - start)
        drawn = random.integers(0, games, (count, games)) + games * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * games).reshape(count, games).astype(np.float64)


def _intervals(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Interval]:
    return [Interval(*map(float, bounds)) for bounds in zip(values, low, high, strict=True)]


def _no_bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    none = np.full(np.shape(values), np.nan)
    return none, none
