"""Succession: the time at which each order appears in a training run, beside theory."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log10

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import Amount, measured
from harsanyi.analyses.knowledge.similarity import reached_amounts
from harsanyi.analyses.statistics.bootstrap import Bootstrap, sum_intervals
from harsanyi.analyses.training.theory import final_dividends, learned_dividends, theory_curve
from harsanyi.analyses.training.trajectory import Trajectory, crossing, least_share
from harsanyi.interactions import Interactions

# Shares of the final knowledge in theory at the largest and at the smallest variance above 0.
START_SHARE, END_SHARE = 0.05, 0.99
CORRELATIONS = ("order_with_step", "order_with_noise", "step_with_noise")
# Of four ranks even a perfect agreement comes by chance in 2 of 24 cases, of five in 2 of 120.
LEAST_RANKS = 5


def theory_variances(final: Interactions, count: int = 16) -> list[float]:
    """Variances σ² at which theory expects 5% to 99% of the final knowledge, in equal ratios, then 0.

    The share is that of `reached`, Σ min(ŵ, w*) / Σ w* over the effects split by sign, over all orders.

    Args:
        final: the last checkpoint of a run.
        count: number of variances with the 0, three or more.

    Returns:
        the variances, falling.

    Raises:
        ValueError: for a count below three, or a last checkpoint without interactions.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> variances = theory_variances(extract(torch.tensor([[0.0, 1.0, 1.0, 3.0]]), And()), count=4)
    >>> [f"{variance:.2g}" for variance in variances]
    ['6.9', '0.084', '0.001', '0']
    """
    from scipy.optimize import brentq  # here, since this import takes part of a second

    if count < 3:
        raise ValueError(f"expected a count of three variances or more, got {count}")
    end = _dividends(final)
    whole = end.effects.abs_().sum()
    if not whole > 0:
        raise ValueError("expected an end with interactions, got one whose score no player changes")

    def above(log_variance: float, share: float) -> float:
        reached = measured(partial(_reached, variances=[10**log_variance]), end)["reached"][0]
        return float(reached.sum() / whole) - share

    # log σ², far beyond the eigenvalues 0.22ⁿ to 2.28ⁿ to which `learned_dividends` adds 2ⁿσ².
    bounds = -12.0 - end.n, 12.0
    high, low = (brentq(above, *bounds, args=(share,), xtol=1e-3) for share in (START_SHARE, END_SHARE))
    return [*np.logspace(high, low, count - 1).tolist(), 0.0]


def theory_table(
    run: Trajectory, variances: list[float], *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Strength of each order at the checkpoints of a run, and in theory at each σ².

    Both are Σ|ŵ(S)| of dividends. Theory has AND interactions only, so an OR counts as the dividends of its
    subsets.

    Args:
        run: a training run; theory ends at its last checkpoint too.
        variances: σ², falling; see `theory_variances`.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, step (NaN for theory), variance (NaN for the run), and as in `theory_curve`: sign,
        order, strength, low, high, games.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 3.0)]
    >>> table = theory_table(Trajectory("run", (0, 10), tuple(states)), [10.0, 0.0])
    >>> table = table[(table.sign == "both") & (table.order == "2")]
    >>> table[["step", "variance", "strength"]].round(2).values.tolist()
    [[0.0, nan, 0.0], [10.0, nan, 1.0], [nan, 10.0, 0.02], [nan, 0.0, 1.0]]
    """
    tables = [
        theory_curve(checkpoint, [0.0], bootstrap=bootstrap).assign(step=float(step), variance=np.nan)
        for step, checkpoint in zip(run.steps, run.interactions, strict=True)
    ]
    tables.append(theory_curve(run.final, variances, bootstrap=bootstrap).assign(step=np.nan))
    columns = ["series", "step", "variance", "sign", "order", "strength", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True).assign(series=run.name)[columns]


def succession_table(
    run: Trajectory,
    variances: list[float],
    share: float = 0.5,
    *,
    tolerance: float = 0.0,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """When each order reaches a share of its final dividends, in a run and in theory, and their agreement.

    The share is Σ min(x, x_final) / Σ x_final over the dividends of an order, split by sign, and over games.
    Its first crossing is interpolated linearly between checkpoints, and between values of log σ². The
    correlations are Spearman's over the orders: of order and step (1: low orders first), of order and falling
    σ², and of step and falling σ² (1: the run has the succession of theory). Orders with less than 1% of the
    strength at the end, or than `tolerance`, are left out: what hardly exists must not count like the first.
    Fewer than five orders have no correlation. The bootstrap computes crossings and ranks anew in every
    resample of the games, of the same orders.

    Args:
        run: a training run.
        variances: σ², falling to 0; see `theory_variances`. The 0 counts as one more step of log σ², as far
            from the last variance as that is from the one before.
        share: of the final dividends, above 0 and at most 1.
        tolerance: strength that a split alone may make, of all games together; see `least_share`.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, quantity ("step", "variance": of each order; and for order "all" the correlations
        "order_with_step", "order_with_noise", "step_with_noise"), order, share, value, low, high,
        least_share, strength_share (of each order, and of all orders that count), games. NaN where an order
        has no strength at the end, where fewer than five count, or all orders come at once.

    Raises:
        ValueError: for a share outside 0 to 1, or variances that do not fall to 0.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> tables = ([0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 1.0, 3.0])
    >>> states = tuple(extract(torch.tensor([table]), And()) for table in tables)
    >>> table = succession_table(Trajectory("run", (0, 10, 20), states), [10.0, 1.0, 0.1, 0.01, 0.0])
    >>> table[table.quantity != "variance"][["quantity", "order", "value"]].values.tolist()[:3]
    [['step', '1', 5.0], ['step', '2', 15.0], ['order_with_step', 'all', nan]]
    """
    falling = all(later < earlier for earlier, later in pairwise(variances))
    if len(variances) < 3 or not falling or variances[-1] != 0:
        raise ValueError(f"expected three variances or more, falling to 0; got {variances}")
    if not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and at most 1, got {share}")
    reached = measured(partial(_reached_by_both, variances=variances), run)["reached"]
    sums = tuple(amount.sum((1, 2))[:, 1:].cpu().numpy() for amount in reached)
    shares = sums[len(run.steps) - 1].sum(0) / max(sums[len(run.steps) - 1].sum(), np.finfo(float).tiny)
    least = float(least_share(sums[len(run.steps) - 1].sum(), tolerance))
    noise = [-log10(variance) for variance in variances[:-1]]
    times = partial(
        _times,
        steps=np.array(run.steps),
        noise=np.array([*noise, 2 * noise[-1] - noise[-2]]),
        share=share,
        counted=shares >= least,
    )
    table = pd.DataFrame(map(vars, sum_intervals(sums, times, bootstrap)))
    n = run.final.n
    orders = [str(order) for order in range(1, n + 1)]
    table.insert(0, "series", run.name)
    table.insert(1, "quantity", ["step"] * n + ["variance"] * n + list(CORRELATIONS))
    table.insert(2, "order", [*orders, *orders, *["all"] * len(CORRELATIONS)])
    table.insert(3, "share", share)
    variance = table.quantity == "variance"
    # Back from −log σ²: the bounds change places.
    logarithms = -table.loc[variance, ["value", "high", "low"]].to_numpy()
    table.loc[variance, ["value", "low", "high"]] = 10.0**logarithms
    together = shares[shares >= least].sum()
    table = table.assign(least_share=least)
    return table.assign(strength_share=[*shares, *shares, *[together] * len(CORRELATIONS)], games=run.games)


def _dividends(interactions: Interactions) -> Interactions:
    """The same knowledge as AND interactions only."""
    dividends = final_dividends(interactions)
    nothing = dividends.new_zeros(1, 1).expand_as(dividends)
    return Interactions(dividends, nothing, interactions.v, "dividends", about=interactions.about)


def _reached(end: Interactions, variances: Sequence[float]) -> dict[str, tuple[Amount, ...]]:
    """What is there of the dividends of the end where theory expects them, at each variance."""
    states = (replace(end, and_=learned_dividends(end.and_, variance)) for variance in variances)
    return {"reached": tuple(reached_amounts(state, end)[0] for state in states)}


def _reached_by_both(run: Trajectory, variances: Sequence[float]) -> dict[str, tuple[Amount, ...]]:
    """What is there of the dividends of the end at each checkpoint, then at each variance."""
    end = _dividends(run.final)
    in_run = (reached_amounts(_dividends(checkpoint), end)[0] for checkpoint in run.interactions)
    return {"reached": (*in_run, *_reached(end, variances)["reached"])}


def _times(
    *sums: np.ndarray, steps: np.ndarray, noise: np.ndarray, share: float, counted: np.ndarray
) -> np.ndarray:
    """Crossings of each order along the run and along theory, then the rank correlations of what counts."""
    run = crossing(*sums[: len(steps)], steps=steps, share=share)
    theory = crossing(*sums[len(steps) :], steps=noise, share=share)
    order = np.arange(1.0, len(run) + 1).reshape(-1, *[1] * (run.ndim - 1))
    order = np.broadcast_to(order, run.shape)
    order, timed, expected = (times[counted] for times in (order, run, theory))
    pairs = (order, timed), (order, expected), (timed, expected)
    return np.concatenate([run, theory, np.stack([_rank_correlation(*pair) for pair in pairs])])


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's along the first axis, over places where both are finite; NaN where few or constant."""
    from scipy.stats import rankdata  # here, since this import takes a second

    known = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(known.sum(0), 1)
    ranks = [rankdata(np.where(known, values, np.nan), axis=0, nan_policy="omit") for values in (x, y)]
    ranks = [np.where(known, values, 0) for values in ranks]
    x, y = (np.where(known, values - values.sum(0) / count, 0) for values in ranks)
    spread = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    defined = (spread > 0) & (known.sum(0) >= LEAST_RANKS)
    return np.divide((x * y).sum(0), spread, out=np.full(spread.shape, np.nan), where=defined)
