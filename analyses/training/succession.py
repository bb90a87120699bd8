"""Succession: which orders a training run knows first, beside the succession that theory expects."""

from functools import partial
from itertools import pairwise
from math import log10

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.stats import rankdata

from harsanyi.analyses.knowledge.similarity import reached_amounts
from harsanyi.analyses.statistics.bootstrap import Bootstrap, bootstrap_intervals
from harsanyi.analyses.training.theory import final_dividends, learned, theory_curve
from harsanyi.analyses.training.trajectory import Trajectory, crossing
from harsanyi.interactions import Interactions

# Of the final knowledge: theory is followed from the first share to the second, and then to the end.
FIRST, NEARLY_ALL = 0.05, 0.99
CORRELATIONS = ("order_with_step", "order_with_noise", "step_with_noise")


def telling_variances(final: Interactions, count: int = 16) -> list[float]:
    """σ² from where theory expects 5% of the final knowledge to where it expects 99%, equal ratios, then 0.

    The share is that of `reached`, Σ min(ŵ, w*) / Σ w* over the effects split by sign, of all orders.

    Args:
        final: the end of a run.
        count: variances, 0 among them; three or more.

    Raises:
        ValueError: for fewer than three, or an end without interactions, which are at no σ² on their way.

    >>> from harsanyi.interactions import And, extract
    >>> variances = telling_variances(extract(torch.tensor([[0.0, 1.0, 1.0, 3.0]]), And()), count=4)
    >>> [f"{variance:.2g}" for variance in variances]
    ['6.9', '0.084', '0.001', '0']
    """
    if count < 3:
        raise ValueError(f"expected a count of three variances or more, got {count}")
    end = _dividends(final)
    whole = end.effects.abs().sum()
    if not whole > 0:
        raise ValueError("expected an end with interactions, got one whose score no player changes")

    def above(log_variance: float, share: float) -> float:
        return float(reached_amounts(_expected(end, 10**log_variance), end)[0].sum() / whole) - share

    # Far beyond the eigenvalues 0.22ⁿ and 2.28ⁿ that 2ⁿσ² is compared with, by `learned`.
    far = -12.0 - end.n, 12.0
    high, low = (brentq(above, *far, args=(share,), xtol=1e-3) for share in (FIRST, NEARLY_ALL))
    return [*np.logspace(high, low, count - 1).tolist(), 0.0]


def theory_beside(
    run: Trajectory, variances: list[float], *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Strength of each order at the checkpoints of a run, and as theory expects it at each σ².

    Both are Σ|ŵ(S)| of the dividends of all that the network uses, an OR being dividends of all its subsets:
    theory knows no other interactions.

    Args:
        run: its last checkpoint is the end of the theory, too.
        variances: σ², falling; see `telling_variances`.
        bootstrap: of the intervals.

    Returns:
        tidy: series, step (NaN of theory), variance (NaN of the run), and as `theory_curve`: sign, order,
        strength, low, high, games.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 3.0)]
    >>> table = theory_beside(Trajectory("run", (0, 10), tuple(states)), [10.0, 0.0])
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
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """When each order reaches a share of its final dividends, in a run and in theory, and how these agree.

    Reached is Σ min(x, x_final) / Σ x_final over an order's dividends, split by sign, and over the games; its
    first crossing is on a straight line between checkpoints, and between log σ². Rank correlations are
    Spearman's, over the orders: of the order and its step (1: low orders first), of the order and the fall of
    σ², and of the step and the fall of σ² (1: the run keeps to the theory's succession). With n players they
    rest on n ranks. The bootstrap finds crossings and ranks again in every resample of the games.

    Args:
        run: a training run.
        variances: σ², falling to 0; see `telling_variances`. What is reached below the last but one is given
            as if the logarithm fell as far again.
        share: of the final dividends, above 0 and at most 1.

    Returns:
        tidy: series, quantity ("step", "variance": of each order; and for order "all" the correlations
        "order_with_step", "order_with_noise", "step_with_noise"), order, share, value, low, high, games. NaN
        where an order has nothing in the end, or all come at once.

    Raises:
        ValueError: for a share, or variances, that cannot be meant.

    >>> from harsanyi.interactions import And, extract
    >>> tables = ([0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 1.0, 3.0])
    >>> states = tuple(extract(torch.tensor([table]), And()) for table in tables)
    >>> found = succession_table(Trajectory("run", (0, 10, 20), states), [10.0, 1.0, 0.1, 0.01, 0.0])
    >>> found[found.quantity != "variance"][["quantity", "order", "value"]].values.tolist()[:3]
    [['step', '1', 5.0], ['step', '2', 15.0], ['order_with_step', 'all', 1.0]]
    """
    falling = all(later < earlier for earlier, later in pairwise(variances))
    if len(variances) < 3 or not falling or variances[-1] != 0:
        raise ValueError(f"expected three variances or more, falling to 0; got {variances}")
    if not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and at most 1, got {share}")
    end = _dividends(run.final)
    states = [_dividends(one) for one in run.interactions] + [_expected(end, one) for one in variances]
    sums = tuple(reached_amounts(one, end)[0].sum((1, 2))[:, 1:].cpu().numpy() for one in states)
    noise = [-log10(variance) for variance in variances[:-1]]
    times = partial(
        _times, steps=np.array(run.steps), noise=np.array([*noise, 2 * noise[-1] - noise[-2]]), share=share
    )
    found = pd.DataFrame(map(vars, bootstrap_intervals(sums, times, bootstrap)))
    orders = [str(order) for order in range(1, end.n + 1)]
    found.insert(0, "series", run.name)
    found.insert(1, "quantity", ["step"] * end.n + ["variance"] * end.n + list(CORRELATIONS))
    found.insert(2, "order", [*orders, *orders, *["all"] * len(CORRELATIONS)])
    found.insert(3, "share", share)
    noisy = found.quantity == "variance"
    found.loc[noisy, ["value", "low", "high"]] = (
        10.0 ** -found.loc[noisy, ["value", "high", "low"]].to_numpy()
    )
    return found.assign(games=end.games)


def _dividends(found: Interactions) -> Interactions:
    """The same as AND interactions only."""
    dividends = final_dividends(found)
    return Interactions(dividends, torch.zeros_like(dividends), found.v, "dividends")


def _expected(end: Interactions, variance: float) -> Interactions:
    """What theory expects to be learned of the end's dividends."""
    dividends = learned(end.and_, variance)
    return Interactions(dividends, end.or_, end.v, "dividends")


def _times(*sums: np.ndarray, steps: np.ndarray, noise: np.ndarray, share: float, axis: int) -> np.ndarray:
    """Crossings of each order along the run, then along the theory, then their rank correlations."""
    run = crossing(*sums[: len(steps)], steps=steps, share=share, axis=axis)
    theory = crossing(*sums[len(steps) :], steps=noise, share=share, axis=axis)
    order = np.arange(1.0, len(run) + 1).reshape(-1, *[1] * (run.ndim - 1))
    order = np.broadcast_to(order, run.shape)
    pairs = (order, run), (order, theory), (run, theory)
    return np.concatenate([run, theory, np.stack([_rank_correlation(*pair) for pair in pairs])])


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's along the first axis, over what is known in both; NaN where either is constant."""
    known = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(known.sum(0), 1)
    ranks = [rankdata(np.where(known, one, np.nan), axis=0, nan_policy="omit") for one in (x, y)]
    ranks = [np.where(known, one, 0) for one in ranks]
    x, y = (np.where(known, one - one.sum(0) / count, 0) for one in ranks)
    spread = np.sqrt((x**2).sum(0) * (y**2).sum(0))
    return np.divide((x * y).sum(0), spread, out=np.full(spread.shape, np.nan), where=spread > 0)
