"""Inputs needed: the number of inputs at which the interval of a share is narrow enough."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import group_sums
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.statistics.correlation import require_columns

# The curve is extended from its counts above this share of the largest: with few inputs, 1/√m does not hold.
EXTRAPOLATION_SHARE = 0.2


def planning_curve(
    change: KnowledgeChange,
    quantities: Sequence[str] = ("preserved_share", "new_share"),
    counts: Sequence[int] | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The percentiles of a share that is measured on m inputs, for growing m.

    A sample is m inputs, drawn with replacement from the games of `change`; its share is Σ part / Σ whole.
    This is the bootstrap's estimate for m new inputs of the same population. (Without replacement the spread
    would fall to 0 at m = games, as if there were no other inputs.) With few games the spread is too small:
    about √(1 − 1/games) of the true spread, or less. Samples do not balance classes.

    Args:
        change: the comparison, of two games or more.
        quantities: shares of `KnowledgeChange.table()`, of both kinds and signs and all orders together.
        counts: the values of m, from 1 to the number of games; by default 2, 4, 8, … and all games.
        draws: number of samples for each m.
        seed: of the samples. The samples of one count do not depend on the other counts.
        confidence: share of the samples between the two percentiles.

    Returns:
        tidy: quantity, inputs (m), value (the share over all games), low, high, half_width,
        (high − low) / 2, games. low, high and half_width are NaN where the denominator of some sample is 0.

    Raises:
        ValueError: for fewer than two games, counts out of range, or quantities that are no shares.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...
    >>> before, after = (extract(torch.rand(20, 8).double(), And()) for _ in range(2))
    >>> curve = planning_curve(compare(before, after), ["new_share"])
    >>> curve.inputs.tolist(), bool(curve.half_width.is_monotonic_decreasing)
    ([2, 4, 8, 16, 20], True)
    """
    counts = _counts(change.games) if counts is None else sorted(set(counts))
    if not counts or change.games < 2 or not 1 <= counts[0] <= counts[-1] <= change.games:
        raise ValueError(
            f"expected two games or more and counts of inputs from 1 to their number; got {change.games} "
            f"games and counts {list(counts)}. For more inputs than games use `inputs_needed`"
        )
    if draws < 2 or not 0 < confidence < 1:
        raise ValueError(f"expected 2 draws or more and a confidence in (0, 1); got {draws} and {confidence}")
    parts, wholes = _totals(change, quantities)
    values = _shares(np.ones((1, change.games)), parts, wholes)[0]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    rows = []
    for m in counts:
        times = np.random.default_rng([seed, m]).multinomial(
            m, np.full(change.games, 1 / change.games), draws
        )
        bounds = np.quantile(_shares(times, parts, wholes), ends, axis=0)
        for quantity, value, low, high in zip(quantities, values, *bounds, strict=True):
            rows.append({"quantity": quantity, "inputs": m, "value": value, "low": low, "high": high})
    curve = pd.DataFrame(rows)
    return curve.assign(half_width=(curve.high - curve.low) / 2, games=change.games)


def inputs_needed(curve: pd.DataFrame | KnowledgeChange, half_width: float = 0.05) -> pd.DataFrame:
    """The smallest number of inputs at which the interval is no wider than `half_width` on either side.

    Between two counts of the curve the half width falls as 1/√m from the first. Beyond the largest count it
    falls as c/√m, where log c is the mean of log(half_width · √m) over the counts above a fifth of the
    largest. The number of inputs grows with the inverse square of the half width, so its relative error is
    twice that of the curve; beyond a few times the number of games it is only an order of magnitude. It holds
    for further inputs of the same population. More inputs reduce only the variation over inputs: other seeds,
    read-outs or splits may change the share more.

    Args:
        curve: of `planning_curve`, or the change from which to compute it.
        half_width: in the unit of the curve; for shares 0.05 is 5 percentage points.

    Returns:
        quantity, half_width, inputs (the curve's smallest count where that is enough; NaN where the half
        width of the largest count is NaN), extrapolated (whether beyond the largest count), games.

    >>> curve = pd.DataFrame({"quantity": "new_share", "inputs": [4, 16], "half_width": [0.4, 0.2]})
    >>> curve = curve.assign(games=16)
    >>> for half_width in (0.2, 0.3, 0.1):
    ...     print(inputs_needed(curve, half_width)[["inputs", "extrapolated"]].values.tolist())
    [[16, False]]
    [[8, False]]
    [[64, True]]
    """
    if not half_width > 0:
        raise ValueError(f"expected a half width above 0, got {half_width}")
    if isinstance(curve, KnowledgeChange):
        curve = planning_curve(curve)
    require_columns(curve, ["quantity", "inputs", "half_width", "games"])
    rows = []
    for quantity, points in curve.groupby("quantity", sort=False):
        points = points.sort_values("inputs")
        inputs = _smallest_count(points.inputs.to_numpy(), points.half_width.to_numpy(), half_width)
        extrapolated = bool(inputs > points.inputs.max())
        rows.append((quantity, half_width, inputs, extrapolated, points.games.iloc[0]))
    return pd.DataFrame(rows, columns=["quantity", "half_width", "inputs", "extrapolated", "games"])


def _smallest_count(counts: np.ndarray, widths: np.ndarray, target: float) -> float:
    """The smallest number of inputs whose half width is at most `target`; counts rise."""
    if np.isnan(widths[-1]):
        return np.nan
    # From the largest count down: a curve of few draws may fall below the target and rise again.
    enough = sum(1 for _ in takewhile(lambda width: width <= target, widths[::-1]))
    if enough == len(counts):
        return int(counts[0])
    if enough:
        before, after = -enough - 1, -enough
        between = counts[before] * (widths[before] / target) ** 2
        return int(counts[after]) if np.isnan(between) else min(_round_up(between), int(counts[after]))
    end = (counts > EXTRAPOLATION_SHARE * counts[-1]) & (widths > 0)
    scale = np.exp(np.log(widths[end] * np.sqrt(counts[end])).mean())
    return max(_round_up((scale / target) ** 2), int(counts[-1]) + 1)


def _round_up(number: float) -> int:
    """The next whole number; a rounding error above a whole number does not count."""
    return int(np.ceil(number * (1 - 1e-12)))


def _counts(games: int) -> list[int]:
    """2, 4, 8, … below the number of games, and that number."""
    powers = takewhile(lambda m: m < games, (2**k for k in range(1, 64)))
    return [*powers, games]


def _totals(change: KnowledgeChange, quantities: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Part and whole of each share, `(games, quantities)`."""
    shares = SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if change.scratch else {})
    unknown = [quantity for quantity in quantities if quantity not in shares]
    if unknown or not quantities:
        raise ValueError(f"expected shares out of {list(shares)}, got {list(quantities)}")
    # The first group holds all kinds, signs and orders.
    parts, wholes = (
        np.stack([group_sums(getattr(change, shares[quantity][i]))[:, 0] for quantity in quantities], axis=1)
        for i in (0, 1)
    )
    return parts, wholes


def _shares(times: np.ndarray, parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Shares `(samples, quantities)`; `times` counts each game in each sample, `(samples, games)`."""
    above, below = times @ parts, times @ wholes
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))
