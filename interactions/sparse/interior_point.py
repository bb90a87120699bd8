"""The sparse AND-OR program to the last digits: the reference solver, a primal-dual interior-point method.

Z⁻¹ takes the tables of the program to dividends. There, without the row of ∅, the free constants are gone,
and with σ(T) = −(−1)^{|T|} put into a, h = Z⁻¹u and δ = ε s no sign is left:

    minimise  Σ |a| + |b|   subject to   a + Zᵀb + Z(ε s) = h   and   |s| ≤ 1.

Its dual, to maximise Σ h w − Σ ε |Zᵀw| subject to |w| ≤ 1 and |Zw| ≤ 1, is the program's, with y = σ Zᵀw.
So three blocks of values are in a box, c = (w, Zw, s), and the two sides of each box have multipliers x⁺ and
x⁻ ≥ 0, which differ by x⁺ − x⁻ = (a, b, ε Zᵀw). At the optimum the products x⁺(1 − c) and x⁻(1 + c) vanish.

Each step is Newton's, towards equal and smaller products, by the predictor, the corrector and the lengths of
Mehrotra, "On the Implementation of a Primal-Dual Interior Point Method" (1992). With D = x⁺/(1 − c) +
x⁻/(1 + c) it solves a system in w, whose matrix is gathered from two tables of sums, without cancellation:

    K(T, T′) = D_w(T) [T = T′] + (Zᵀ D_Zw)(T ∪ T′) + (Z ε²/D_s)(T ∩ T′).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.transforms import (
    and_interactions,
    coalition_orders,
    player_count,
    subset_sums,
    superset_sums,
)
from harsanyi.interactions.sparse.program import Answer, Program, Tables

Equations = Float64[Tensor, "games 2 coalitions"]
Blocks = Float64[Tensor, "games 3 coalitions"]
Sides = Float64[Tensor, "games 3 2 coalitions"]
Matrices = Float64[Tensor, "games rows rows"]
Pairs = Int64[Tensor, " pairs"]

# The share of the way to the nearest side that a step goes.
REACH = 0.995
# Bounds D, as if a step dx also cost this times x dx, which fades as the steps do. Unbounded, the sides that
# are met drown the others in the rounding of K. 1e-7 is too little for tables of few terms and a narrow ε,
# 3e-6 stalls on tables of many magnitudes.
PROXIMAL = 1e-6
# Each finds three more digits of the equations, at less than a tenth of a step's cost.
REFINEMENTS = 2
# What 1 − c resolves; no value comes nearer to a side.
NEAREST = 1e-16
# How much heavier the diagonal of K becomes, in turn, while rounding leaves it without a Cholesky factor.
SHIFTS = (1e-14, 1e-12, 1e-10, 1e-8)
# In the matrices of the games that are solved together: 128 MiB, one game of 12 players.
ENTRIES = 2**24


def interior_point(
    program: Program, tolerance: float, max_steps: int
) -> tuple[Answer, Int64[Tensor, " games"]]:
    """Solve the programs of all games, each step at the cost of a Cholesky factor of 2ⁿ rows.

    Args:
        program: in units of max|u|, of up to 12 players or so.
        tolerance: on `Program.gap`; 1e-7 has always been reached so far, 1e-8 nearly always.
        max_steps: after which a game is left with the gap that it has; 40 are plenty.

    Returns:
        the best feasible answer and the best bound of each game, and the steps taken for it.
    """
    answer = Answer.start(program)
    unsolved = (program.gap(answer) > tolerance).nonzero()[:, 0]
    steps = torch.zeros(len(program.u), dtype=torch.int64, device=program.u.device)
    pairs = _pairs(player_count(program.u), program.u.device)
    for games in unsolved.split(max(1, ENTRIES // program.u.shape[1] ** 2)):
        state = _State.start(games, program.select(games), answer.select(games))
        while len(state.game) and steps[state.game[0]] < max_steps:
            _advance(state, pairs)
            answer.put(state.game, state.answer)
            steps[state.game] += 1
            state = state.select(state.program.gap(state.answer) > tolerance)
    return answer, steps


@dataclass
class _State:
    """The games still being solved."""

    game: Int64[Tensor, " games"]
    program: Program
    answer: Answer
    values: Blocks  # c
    sides: Sides  # x

    @classmethod
    def start(cls, game: Tensor, program: Program, answer: Answer) -> "_State":
        """The middle of the box, with multipliers as of an answer that is neither sparse nor dense."""
        values = torch.zeros_like(program.u)[:, None].expand(-1, 3, -1)
        sides = torch.full_like(_both(values), program.u.shape[1] ** -0.5)
        return cls(game, program, answer, values, sides)

    def select(self, kept: Tensor) -> "_State":
        program, answer = self.program.select(kept), self.answer.select(kept)
        return _State(self.game[kept], program, answer, self.values[kept], self.sides[kept])


def _advance(state: _State, pairs: tuple[Pairs, Pairs]) -> None:
    """A predictor, towards products of zero; a corrector, towards as equal ones as the predictor suggests."""
    system = _System(state, pairs)
    products = system.sides * system.slack
    values, sides = system.eliminate(system.residual, -products)
    along_values, along_sides = system.lengths(values, sides, reach=1.0)
    predicted = (system.sides + along_sides * sides) * (system.slack - along_values * _both(values))
    mean, predicted = (each.mean((1, 2, 3), keepdim=True) for each in (products, predicted))
    target = mean * (predicted / mean) ** 3
    values, sides = system.solve(target - products + sides * _both(values))
    along_values, along_sides = system.lengths(values, sides, REACH)
    state.values = state.values + along_values[..., 0] * values
    state.sides = state.sides + along_sides * sides
    _certify(state)


def _certify(state: _State) -> None:
    """Offer b and δ = σ ε s, and the bound of y = σ Zᵀw."""
    signs = _signs(state.program.u)
    or_ = _difference(state.sides)[:, 1]
    state.answer.offer(state.program, or_, signs * state.program.bound * state.values[:, 2])
    state.answer.bound(state.program, signs * superset_sums(state.values[:, 0]))


class _System:
    """Newton's equations: those between the blocks, and slack · dx − x · dc = target for each side."""

    def __init__(self, state: _State, pairs: tuple[Pairs, Pairs]) -> None:
        self.bound, self.sides = state.program.bound, state.sides
        self.slack = (1 - _both(state.values)).clamp_min(NEAREST)
        self.cost = self.slack + PROXIMAL * self.sides
        self.weights = (self.sides / self.cost).sum(2)  # D
        self.residual = -self.equations(state.values, state.sides)
        self.residual[:, 0] += _signs(state.program.u) * and_interactions(state.program.u)
        self.factor = _factor(self.matrix(*pairs))

    def equations(self, values: Blocks, sides: Sides) -> Equations:
        """a + Zᵀb + Z(ε s), to be h, and the third x⁺ − x⁻ less ε Zᵀw, to be zero."""
        a, b, slope = _difference(sides).unbind(1)
        explained = a + superset_sums(b) + subset_sums(self.bound * values[:, 2])
        return torch.stack([explained, slope - self.bound * superset_sums(values[:, 0])], dim=1)

    def matrix(self, unions: Pairs, meets: Pairs) -> Matrices:
        """K, without the row and the column of ∅."""
        rows = self.bound.shape[1] - 1
        matrix = superset_sums(self.weights[:, 1]).index_select(1, unions)
        matrix += subset_sums(self.bound**2 / self.weights[:, 2]).index_select(1, meets)
        matrix = matrix.view(-1, rows, rows)
        matrix.diagonal(dim1=1, dim2=2).add_(self.weights[:, 0, 1:])
        return matrix

    def solve(self, target: Sides) -> tuple[Blocks, Sides]:
        """The step in c and x, refined: what dx = D dc loses where D is large, solves of the rest find."""
        values, sides = self.eliminate(self.residual, target)
        for _ in range(REFINEMENTS):
            rest = self.residual - self.equations(values, sides)
            more_values, more_sides = self.eliminate(rest, torch.zeros_like(target))
            values, sides = values + more_values, sides + more_sides
        return values, sides

    def eliminate(self, residual: Equations, target: Sides) -> tuple[Blocks, Sides]:
        """Put dx⁺ − dx⁻ = fixed + D dc into the equations, and solve them for w."""
        fixed = _difference(target / self.cost)
        share = (residual[:, 1] - fixed[:, 2]) / self.weights[:, 2]
        right = residual[:, 0] - fixed[:, 0] - superset_sums(fixed[:, 1]) - subset_sums(self.bound * share)
        w = torch.zeros_like(right)
        w[:, 1:] = torch.cholesky_solve(right[:, 1:, None], self.factor)[..., 0]
        share = share + self.bound * superset_sums(w) / self.weights[:, 2]
        values = torch.stack([w, subset_sums(w), share], dim=1)
        return values, (target + self.sides * _both(values)) / self.cost

    def lengths(self, values: Blocks, sides: Sides, reach: float) -> tuple[Tensor, Tensor]:
        """How far to go along a step in c, and in x: one length for all that is dual, one for the primal."""
        speeds = _exchanged((_both(values) / self.slack).amax((2, 3)), (-sides / self.sides).amax((2, 3)))
        dual, primal = (reach / speed.amax(1, keepdim=True).clamp_min(reach) for speed in speeds)
        along_values, along_sides = _exchanged(dual.expand(-1, 3), primal.expand(-1, 3))
        return along_values[..., None, None], along_sides[..., None, None]


def _factor(matrix: Matrices) -> Matrices:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    for shift in SHIFTS:
        if not failed.any():
            break
        matrix.diagonal(dim1=1, dim2=2).mul_(1 + shift * (failed[:, None] > 0).double())
        factor, failed = torch.linalg.cholesky_ex(matrix)
    return factor


def _pairs(n: int, device: torch.device) -> tuple[Pairs, Pairs]:
    """T ∪ T′ and T ∩ T′, for each T ≠ ∅ and in it each T′ ≠ ∅."""
    coalitions = torch.arange(1, 2**n, device=device)
    return (coalitions[:, None] | coalitions).flatten(), (coalitions[:, None] & coalitions).flatten()


def _signs(like: Tables) -> Float64[Tensor, " coalitions"]:
    """σ(T) = −(−1)^{|T|}."""
    return (2 * (coalition_orders(player_count(like), like.device) % 2) - 1).double()


def _both(values: Blocks) -> Sides:
    """c and −c: what the two sides of a box see."""
    return torch.stack([values, -values], dim=2)


def _difference(sides: Sides) -> Blocks:
    """x⁺ − x⁻."""
    return sides[:, :, 0] - sides[:, :, 1]


def _exchanged(of_values: Tensor, of_sides: Tensor) -> tuple[Tensor, Tensor]:
    """What is dual, w, Zw and the third x, and what is primal, a, b and s; also the way back."""
    return (
        torch.cat([of_values[:, :2], of_sides[:, 2:]], dim=1),
        torch.cat([of_sides[:, :2], of_values[:, 2:]], dim=1),
    )
