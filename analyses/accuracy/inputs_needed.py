"""Planning: how many inputs it takes until a share of knowledge settles."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import group_sums
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.statistics.correlation import require_columns

# The fit beyond the curve rests on its end, counts above this part of the largest: few inputs follow no law.
END = 0.2


def planning_curve(
    change: KnowledgeChange,
    quantities: Sequence[str] = ("preserved_share", "new_share"),
    counts: Sequence[int] | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How far a share would scatter if it were measured on m inputs, for growing m.

    Of `draws` samples of m inputs each, the share Σ part / Σ whole, and its percentiles. Samples are drawn
    with replacement from the games at hand: the bootstrap's estimate of what m fresh inputs of the same
    population would give. (Without replacement the scatter would fall to 0 at m = games, as if there were no
    other inputs.) It knows no more of the population than these games show, and with few of them it is too
    small, by about √(1 − 1/games) or more. Inputs are drawn whatever their class.

    Args:
        change: the comparison, of two games or more.
        quantities: shares of `KnowledgeChange.table()`, of both kinds, signs and all orders.
        counts: the m, from 1 to the number of games; by default 2, 4, 8, … and all games.
        draws, seed: of the samples. A count's samples do not depend on the other counts.
        confidence: between the percentiles.

    Returns:
        tidy: quantity, inputs (m), value (the share over all games), low, high, half_width, (high − low) / 2,
        and games. low, high and half_width are NaN where some sample has nothing to share.

    Raises:
        ValueError: for fewer than two games, counts out of range, other quantities.

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
            f"games and counts {list(counts)}. `inputs_needed` goes beyond the games at hand"
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
    """The smallest number of inputs whose interval is at most so wide, half_width either side.

    Between two counts of the curve the half width falls as 1/√m from the first. Beyond the largest count it
    falls as c/√m, log c being the mean of log(half_width · √m) over the last counts, those above a fifth of
    the largest: a straight line of slope −½ on log–log paper. The number goes with the square of the half
    width, so its own error is twice that of the curve; further than a few times the games at hand it is an
    order of magnitude. The inputs to come must be drawn like those at hand, and more inputs narrow nothing
    but the scatter over inputs: other seeds, read-outs or splits may move the share further.

    Args:
        curve: of `planning_curve`, or the change to make it from.
        half_width: as the curve's, for shares 0.05 are 5 points.

    Returns:
        quantity, half_width, inputs (the curve's least count where that is enough; NaN where the curve's end
        is not known), extrapolated (beyond the largest count), games.

    >>> curve = pd.DataFrame({"quantity": "new_share", "inputs": [4, 16], "half_width": [0.4, 0.2]})
    >>> curve = curve.assign(games=16)
    >>> for wanted in (0.2, 0.3, 0.1):
    ...     print(inputs_needed(curve, wanted)[["inputs", "extrapolated"]].values.tolist())
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
    for quantity, one in curve.groupby("quantity", sort=False):
        one = one.sort_values("inputs")
        inputs = _needed(one.inputs.to_numpy(), one.half_width.to_numpy(), half_width)
        games, beyond = one.games.iloc[0], bool(inputs > one.inputs.max())
        rows.append((quantity, half_width, inputs, beyond, games))
    return pd.DataFrame(rows, columns=["quantity", "half_width", "inputs", "extrapolated", "games"])


def _needed(counts: np.ndarray, widths: np.ndarray, wanted: float) -> float:
    """The number of inputs; counts rise."""
    if np.isnan(widths[-1]):
        return np.nan
    # From the end: a curve of few draws may dip below and rise again.
    enough = sum(1 for _ in takewhile(lambda width: width <= wanted, widths[::-1]))
    if enough == len(counts):
        return int(counts[0])
    if enough:
        before, after = -enough - 1, -enough
        least = counts[before] * (widths[before] / wanted) ** 2
        return int(counts[after]) if np.isnan(least) else min(_whole(least), int(counts[after]))
    end = (counts > END * counts[-1]) & (widths > 0)
    scale = np.exp(np.log(widths[end] * np.sqrt(counts[end])).mean())
    return max(_whole((scale / wanted) ** 2), int(counts[-1]) + 1)


def _whole(number: float) -> int:
    """Rounded up, but for what is above a whole number by rounding."""
    return int(np.ceil(number * (1 - 1e-12)))


def _counts(games: int) -> list[int]:
    """2, 4, 8, … below the number of games, and that."""
    powers = takewhile(lambda m: m < games, (2**k for k in range(1, 64)))
    return [*powers, games]


def _totals(change: KnowledgeChange, quantities: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Part and whole of each share, `(games, quantities)`."""
    known = SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if change.scratch else {})
    wrong = [quantity for quantity in quantities if quantity not in known]
    if wrong or not quantities:
        raise ValueError(f"expected shares out of {list(known)}, got {list(quantities)}")
    # The first of the groups is all kinds, signs and orders.
    parts, wholes = (
        np.stack([group_sums(getattr(change, known[quantity][i]))[:, 0] for quantity in quantities], axis=1)
        for i in (0, 1)
    )
    return parts, wholes


def _shares(times: np.ndarray, parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Shares `(samples, quantities)` where each game is there so many times, `(samples, games)`."""
    above, below = times @ parts, times @ wholes
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))
