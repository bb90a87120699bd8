"""The solvers that the splitting is compared with: the published recipe, Adam, HiGHS, near optima."""

from collections.abc import Sequence
from functools import cache, reduce
from typing import Literal

import numpy as np
import scipy.optimize
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.sparse.tables import DEFAULT_NOISE, PLAYERS
from harsanyi.interactions import Interactions, SparseFit, and_interactions, or_interactions, sparse_and_or
from harsanyi.interactions.effects.transforms import player_count
from harsanyi.interactions.sparse.fit import in_units, solve_tables, sparsest
from harsanyi.interactions.sparse.gradient_descent import gradient_descent, rates_to_try
from harsanyi.interactions.sparse.program import Program

Optimizer = Literal["sgd", "adam"]
STEPS: dict[Optimizer, int] = {"sgd": 10_000, "adam": 3000}
# Four rates by number of players. The best falls with the condition number of the transforms; wider sweeps
# showed that it is among these.
RATES: dict[Optimizer, dict[int, tuple[float, ...]]] = {
    "sgd": {n: rates_to_try(n) for n in PLAYERS},
    "adam": dict.fromkeys(PLAYERS, (3e-4, 1e-3, 3e-3, 1e-2)),
}


def descent(
    v: Tensor, noise: float, steps: int, optimizer: Optimizer = "sgd", rate: float = 1e-6
) -> SparseFit:
    """The last iterate of a gradient descent for each game."""
    return solve_tables(v, noise, 0, Program, lambda p, _: gradient_descent(p, steps, rate, optimizer))


def descents(
    v: Tensor, noise: float, steps: int, optimizer: Optimizer = "sgd", rates: Sequence[float] = ()
) -> SparseFit:
    """The sparsest last iterate of each game over several rates."""
    rates = rates or RATES[optimizer][player_count(v)]
    return sparsest([descent(v, noise, steps, optimizer, rate) for rate in rates])


def programs(v: Tensor, noise: float) -> Program:
    """The programs of value tables, in units of max|u|."""
    u, bound, unit = in_units(v, noise)
    return Program(u / unit, bound / unit)


def published_steps(program: Program, steps: int, rate: float = 1e-6) -> None:
    """The published loop on one game, in the program's precision: autograd through dense matrices."""
    u, bound = program.u[0], program.bound[0]
    to_and, to_or = dense_matrices(player_count(u), u.dtype)
    p, q = (torch.zeros_like(u, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([p, q], lr=rate, momentum=0.9)
    for current in np.geomspace(rate, rate / 10, steps):
        q.data = torch.max(torch.min(q.data, bound), -bound)
        half = 0.5 * (u + q)
        loss = (to_and @ (half + p)).abs().sum() + (to_or @ (half - p)).abs().sum()
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = current
        loss.backward()
        optimizer.step()


@cache
def dense_matrices(n: int, dtype: torch.dtype) -> list[Tensor]:
    """The AND and OR transforms as 2ⁿ×2ⁿ matrices."""
    unit = torch.eye(2**n, dtype=torch.float64)
    return [transform(unit).T.contiguous().to(dtype) for transform in (and_interactions, or_interactions)]


def highs(v: Tensor, noise: float) -> list[float]:
    """The optimum of each game's linear program, by HiGHS."""
    sums = reduce(sparse.kron, [sparse.csr_array([[1.0, 0.0], [1.0, 1.0]])] * player_count(v)).tocsr()
    maps, zeros = sparse.hstack([sums, -sums[::-1]]), np.zeros(4 * v.shape[1])
    equations = sparse.hstack([maps, -maps, sparse.eye_array(v.shape[1])])
    costs = np.ones(2 * v.shape[1])
    costs[[0, v.shape[1]]] = 0
    costs, optima = np.r_[costs, costs, zeros[: v.shape[1]]], []
    for u, bound, unit in zip(*(part.numpy() for part in in_units(v, noise)), strict=True):
        limits = np.stack([np.r_[zeros, -bound / unit], np.r_[zeros + np.inf, bound / unit]], axis=1)
        result = scipy.optimize.linprog(costs, A_eq=equations, b_eq=u / unit, bounds=limits, method="highs")
        optima.append(result.fun * unit.item())
    return optima


def optimum(v: Tensor, noise: float) -> tuple[SparseFit, Tensor]:
    """A split much nearer to the optimum than the others; and the optimum, or a bound close below it."""
    n = player_count(v)
    if n == 12:
        fit = sparse_and_or(v, noise, tolerance=1e-4, max_steps=20_000)
    else:
        fit = sparse_and_or(v, noise, method="interior-point", tolerance=1e-6)
    return fit, torch.tensor(highs(v, noise), dtype=torch.float64) if n == 8 else fit.lower_bound


def with_gap(v: Tensor, tolerance: float) -> Interactions:
    """Sparse interactions to a certified gap."""
    fit = sparse_and_or(v, DEFAULT_NOISE, tolerance=tolerance, max_steps=20_000)
    return Interactions(fit.and_, fit.or_, v, f"sparse to a gap of {tolerance:g}", fit.gap)
