"""t and bootstrap-t intervals of means, ratios of sums and their differences, many columns at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

# An interval that reaches further, in standard errors, tells nothing.
FARTHEST = 100.0
# A spread below this share of the values is rounding.
ROUNDING = 1e-13

# A numerator and a denominator by game and column; no denominator where each game counts once.
Pair = tuple[np.ndarray, np.ndarray | None]


class Studentised(NamedTuple):
    """Values with bounds, and how rarely they would be as far from 0 if the truth were 0; a column each."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def value_of(pairs: Sequence[Pair]) -> np.ndarray:
    """The ratio of the sums of the first pair, less that of the second if there is one."""
    return _less(_ratios(pairs))


def studentised(pairs: Sequence[Pair], confidence: float, draws: Iterable[np.ndarray] | None) -> Studentised:
    """The value of the pairs with its interval, and its p.

    The interval is value − t₊ s, value − t₋ s with the standard error s. Without draws t₋ and t₊ are
    quantiles of Student's t, and s is that of the jackknife. With draws they are those of t in the resamples.
    p is 1 less the highest confidence whose interval excludes 0, at least 1 / (resamples + 1).

    Args:
        pairs: one, or two whose ratios are subtracted.
        confidence: of the intervals.
        draws: how often each resample has each game, `(resamples, games)`, batch after batch.

    Returns:
        value, low, high and p of each column; NaN where there is none.
    """
    ratios = _ratios(pairs)
    values = _less(ratios)
    # Each numerator less its ratio times the denominator, so that resamples have ratios around 0.
    centred = [
        (above - ratio * (1.0 if below is None else below), below)
        for ratio, (above, below) in zip(ratios, pairs, strict=True)
    ]
    error, few, many, p = (
        _by_student(values, centred, confidence)
        if draws is None
        else _by_draws(values, centred, confidence, draws)
    )
    with np.errstate(invalid="ignore"):
        low, high = values - many * error, values - few * error
        # Where few games have something at all, many resamples lack it: no spread, an endless t.
        told = np.maximum(np.abs(few), np.abs(many)) < FARTHEST
    alike = error <= ROUNDING * np.max([np.abs(ratio) for ratio in ratios], axis=0)
    low, high = (np.where(alike, values, np.where(told, bound, np.nan)) for bound in (low, high))
    p = np.where(alike, np.where(values == 0, 1.0, 0.0), np.where(told, p, np.nan))
    return Studentised(values, low, high, np.where(np.isnan(low), np.nan, p))


# A standard error, the lowest and the highest t, and p.
Spread = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _by_student(values: np.ndarray, centred: Sequence[Pair], confidence: float) -> Spread:
    games = len(centred[0][0])
    error = jackknife_error(_without_each(centred))
    many = np.full_like(error, t_quantile(games, confidence))
    return error, -many, many, t_p_value(values, error, games)


def _by_draws(
    values: np.ndarray, centred: Sequence[Pair], confidence: float, draws: Iterable[np.ndarray]
) -> Spread:
    measure = _distance_and_variance(centred)
    error = np.sqrt((_pulls(centred) ** 2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):  # of resamples without a denominator or a spread
        drawn = np.concatenate([distance / np.sqrt(variance) for distance, variance in map(measure, draws)])
        tail = (1 - confidence) / 2
        few, many = np.quantile(drawn, (tail, 1 - tail), axis=0)
        found = values / error
        beyond = np.minimum((drawn >= found).sum(0), (drawn <= found).sum(0))
    return error, few, many, np.minimum(2 * (beyond + 1) / (len(drawn) + 1), 1.0)


def _pulls(centred: Sequence[Pair]) -> np.ndarray:
    """How far each game pulls the value, `(games, columns)`: u of `_distance_and_variance`, each game once.

    Squares are taken of what is left of a difference, and not subtracted from each other: pairs that cancel
    in every game leave rounding alone.
    """
    return _less(
        [
            above / len(above) if below is None else _ratio(above, np.broadcast_to(below.sum(0), above.shape))
            for above, below in centred
        ]
    )


def _distance_and_variance(
    centred: Sequence[Pair],
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """How far each resample is from the value, and its squared standard error, both `(resamples, columns)`.

    The error is that of the delta method: Σ u² over the games drawn, where u = (a − d b) / Σ b of the first
    pair, less that of the second, and d is the resample's Σ a / Σ b.
    """
    games, width = centred[0][0].shape
    parts = [part for pair in centred for part in pair if part is not None]
    if len(parts) == 1:
        (above,) = parts
        columns = np.concatenate([above, above**2], axis=1)

        def of_mean(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            sums = times @ columns / games
            distance, squares = sums[:, :width], sums[:, width:]
            return distance, np.maximum(squares - distance**2, 0) / games

        return of_mean

    pairs = [(i, j) for i in range(len(parts)) for j in range(i, len(parts))]
    columns = np.concatenate([*parts, *(parts[i] * parts[j] for i, j in pairs)], axis=1)

    def of_ratios(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums = np.split(times @ columns, len(parts) + len(pairs), axis=1)
        products = dict(zip(pairs, sums[len(parts) :], strict=True))
        distances, weights = [], []
        for above, below, sign in zip(
            sums[0 : len(parts) : 2], sums[1 : len(parts) : 2], (1, -1), strict=False
        ):
            distances.append(_ratio(above, below))
            scale = _ratio(np.full_like(below, sign), below)
            weights += [scale, -distances[-1] * scale]
        variance = sum(
            (1 if i == j else 2) * weights[i] * weights[j] * product for (i, j), product in products.items()
        )
        return _less(distances), np.maximum(variance, 0)

    return of_ratios


def _without_each(centred: Sequence[Pair]) -> np.ndarray:
    """The value without each game, `(games, columns)`."""
    games = len(centred[0][0])
    return _less(
        [
            (above.sum(0) - above) / (games - 1)
            if below is None
            else _ratio(above.sum(0) - above, below.sum(0) - below)
            for above, below in centred
        ]
    )


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """√((n − 1)/n Σ (θ₋ᵢ − mean θ₋)²) over axis 0, with θ₋ᵢ the value without game i.

    >>> float(jackknife_error(np.array([1.5, 1.0, 0.5])))  # of the mean of 0, 1 and 2: 1 / √3
    0.577...
    """
    return np.asarray(np.sqrt((len(without) - 1) * without.var(0)))


def t_quantile(games: Any, confidence: float) -> Any:
    """How many standard errors a t interval of so many games reaches to either side.

    >>> float(t_quantile(3, 0.95))
    4.302...
    """
    from scipy.special import stdtrit

    return stdtrit(games - 1, (1 + confidence) / 2)


def t_p_value(values: np.ndarray, errors: np.ndarray, games: float) -> np.ndarray:
    """How rarely a t of so many games is further from 0 than values / errors, to either side.

    Args:
        values: differences from 0.
        errors: their standard errors.
        games: degrees of freedom + 1.

    Returns:
        p of each value; NaN for 0 / 0.

    >>> float(t_p_value(np.array(4.302652729911275), np.array(1.0), 3).round(6))
    0.05
    """
    from scipy.special import stdtr

    with np.errstate(invalid="ignore", divide="ignore"):  # without a spread: endlessly far, or 0 / 0
        return np.asarray(2 * stdtr(games - 1, -np.abs(np.asarray(values) / np.asarray(errors))))


def _ratios(pairs: Sequence[Pair]) -> list[np.ndarray]:
    return [above.mean(0) if below is None else _ratio(above.sum(0), below.sum(0)) for above, below in pairs]


def _less(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The first, less the second if there is one."""
    return parts[0] if len(parts) == 1 else parts[0] - parts[1]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
