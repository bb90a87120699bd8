"""Bootstrap intervals over games (inputs), many columns at once."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

# Resamples held in memory at once: columns × games × this many numbers.
RESAMPLES_AT_ONCE = 100


@dataclass(frozen=True)
class Interval:
    """A value and its percentile bootstrap interval; NaN bounds where resampling cannot tell."""

    value: float
    low: float
    high: float


def mean_interval(
    values: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> list[Interval]:
    """The mean over games (axis 0) of each column, games resampled with replacement.

    >>> mean_interval(np.ones((5, 2)))[0]
    Interval(value=1.0, low=1.0, high=1.0)
    """
    return bootstrap_intervals((values,), lambda x, axis: x.mean(axis), confidence, resamples, seed)


def ratio_interval(
    numerator: np.ndarray,
    denominator: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Interval]:
    """Σ numerator / Σ denominator over games (axis 0) of each column, games resampled with replacement.

    NaN where the denominators sum to zero; NaN bounds where they do so in some resample.

    >>> ratio_interval(np.ones((5, 1)), 2 * np.ones((5, 1)))[0]
    Interval(value=0.5, low=0.5, high=0.5)
    """
    return bootstrap_intervals((numerator, denominator), _ratio, confidence, resamples, seed)


def ratio_difference_interval(
    one: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Interval]:
    """The ratio Σ numerator / Σ denominator of one less that of the other, on the same games.

    Paired: both see the same games in every resample, so that what is hard in both cancels. NaN as in
    `ratio_interval`, where either is.

    >>> half, tenth = (np.ones((5, 1)), 2 * np.ones((5, 1))), (np.ones((5, 1)), 10 * np.ones((5, 1)))
    >>> ratio_difference_interval(half, tenth)[0]
    Interval(value=0.4, low=0.4, high=0.4)
    """
    return bootstrap_intervals((*one, *other), _ratio_difference, confidence, resamples, seed)


def _ratio_difference(
    above: np.ndarray, below: np.ndarray, other_above: np.ndarray, other_below: np.ndarray, axis: int
) -> np.ndarray:
    return _ratio(above, below, axis) - _ratio(other_above, other_below, axis)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int) -> np.ndarray:
    above, below = numerator.sum(axis), denominator.sum(axis)
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def bootstrap_intervals(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    resamples: int,
    seed: int,
) -> list[Interval]:
    values = np.asarray(statistic(*data, axis=0))
    if len(data[0]) < 2:  # one game says nothing about others
        low = high = np.full_like(values, np.nan)
    else:
        with warnings.catch_warnings():  # NaN bounds are the answer where nothing can be divided
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            result = stats.bootstrap(
                data,
                statistic,
                paired=len(data) > 1,
                vectorized=True,
                axis=0,
                n_resamples=resamples,
                batch=RESAMPLES_AT_ONCE,
                confidence_level=confidence,
                method="percentile",
                rng=np.random.default_rng(seed),
            )
        low, high = result.confidence_interval
    return [Interval(*map(float, triple)) for triple in zip(values, low, high, strict=True)]
