"""The interior-point method against a general linear-program solver, dense matrices, and its certificate."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from harsanyi.data import planted
from harsanyi.interactions import coalition_masks, reconstruct
from harsanyi.interactions.effects.transforms import subset_sums, superset_sums
from harsanyi.interactions.sparse.interior_point import _pairs, _signs, _State, _System, interior_point
from harsanyi.interactions.sparse.program import Answer, Program, adjoint, remaining_and
from tests import reference

# Rounding of sums of 2**7 terms of size 1 in float64, with a margin.
SUM_ROUNDING = 1e-12


def table(kind: str, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    masks, noise = coalition_masks(n).double(), torch.randn(2**n, generator=generator, dtype=torch.float64)
    if kind == "random":
        return noise
    if kind == "network":
        first, second = torch.randn(n, 16, generator=generator), torch.randn(16, generator=generator)
        return torch.relu(masks @ first.double() - 0.5) @ second.double()
    if kind == "spike":
        return torch.eye(2**n, dtype=torch.float64)[-min(3, 2**n)]
    if kind == "magnitudes":  # ten decades
        return noise * 10 ** (-10 * torch.rand(2**n, generator=generator, dtype=torch.float64))
    if kind == "majority":  # all symmetric: optima are far from unique
        return (masks.sum(1) > n / 2).double()
    if kind == "additive":
        return masks @ noise[:n]
    if kind == "constant":
        return torch.full((2**n,), 3.0, dtype=torch.float64)
    return planted(n, min(4, n), min(4, n), seed=seed).table()


def program(v: Tensor, noise: float) -> Program:
    """In units of max|u|, as solvers are given it."""
    u = v - v[:, :1]
    u = u / u.abs().amax(-1, keepdim=True).clamp_min(1e-300)
    bound = noise * u[:, -1:].abs() * (torch.arange(u.shape[1]) > 0)
    return Program(u, bound)


def optima(program: Program) -> Tensor:
    """The linear program as it is written, literally, for HiGHS."""
    size = program.u.shape[1]
    n = size.bit_length() - 1
    coalitions = sorted(reference.subsets(tuple(range(n))), key=lambda s: reference.index(s, n))
    ands = np.array([[float(bool(s) and set(s) <= set(t)) for s in coalitions] for t in coalitions])
    ors = np.array([[float(bool(set(s) & set(t))) for s in coalitions] for t in coalitions])
    both = np.hstack([ands, ors, -ands, -ors, np.eye(size)])
    cost = np.r_[np.ones(4 * size), np.zeros(size)]
    precise = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = []
    for u, bound in zip(program.u.tolist(), program.bound.tolist(), strict=True):
        bounds = [(0, None)] * (4 * size) + [(-b, b) for b in bound]
        found.append(linprog(cost, A_eq=both, b_eq=u, bounds=bounds, options=precise).fun)
    return torch.tensor(found, dtype=torch.float64)


def check(program: Program, answer: Answer) -> None:
    """Feasible, and what the objective and the bound say they are."""
    and_ = remaining_and(program.u, answer.or_, answer.delta)
    matched = reconstruct(and_, answer.or_) + answer.delta
    assert (matched - program.u).abs().max() <= SUM_ROUNDING * max(1, and_.abs().max())
    assert (answer.delta.abs() <= program.bound).all()
    strength = and_[:, 1:].abs().sum(1) + answer.or_[:, 1:].abs().sum(1)
    torch.testing.assert_close(answer.objective, strength, rtol=SUM_ROUNDING, atol=SUM_ROUNDING)
    # Where both are the optimum, rounding may put either above the other.
    assert (answer.lower <= answer.objective * (1 + 1e-9)).all()


@pytest.mark.parametrize("noise", [0.0, 0.04, 0.3])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_optimum_is_that_of_highs(n, noise):
    kinds = ["random", "network", "spike", "planted", "constant"]
    problem = program(torch.stack([table(kind, n, seed) for kind in kinds for seed in range(2)]), noise)
    answer, _ = interior_point(problem, tolerance=1e-8, max_steps=30)
    check(problem, answer)
    # Ours is within 1e-8; HiGHS keeps 2**5 equations to 1e-10 each.
    torch.testing.assert_close(answer.objective, optima(problem), rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(answer.lower, optima(problem), rtol=1e-7, atol=1e-8)


# From a box of next to no use to one that leaves some tables nothing to explain.
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-6, 0.04, 0.3, 0.99, 1.0])
@pytest.mark.parametrize("n", [6, 7, 8])
def test_every_table_is_solved_and_certified(n, noise):
    """Also where the optimum is degenerate, or far from unique, or the table's entries differ by decades."""
    kinds = ["random", "network", "spike", "planted", "magnitudes", "majority", "additive"]
    problem = program(torch.stack([table(kind, n, seed) for kind in kinds for seed in range(2)]), noise)
    # 1e-8 is reached too, but for two of 4800 such games, at 1e-9: which of them is a matter of rounding.
    answer, steps = interior_point(problem, tolerance=1e-7, max_steps=40)
    check(problem, answer)
    assert problem.gap(answer).max() <= 1e-7
    assert steps.max() <= 25  # 20 was the most of the 4800


def test_planted_terms_come_back():
    """Few terms of order 2 and more are the optimum themselves, and the optimum is found to all digits."""
    game = planted(7, 4, 4, seed=1)
    problem = Program(game.table()[None], torch.zeros(1, 2**7, dtype=torch.float64))
    answer, _ = interior_point(problem, tolerance=1e-8, max_steps=30)
    joint = coalition_masks(7).sum(1) > 1
    expected = torch.zeros(2**7, dtype=torch.float64)
    for coalition, effect in game.or_effects.items():
        expected[reference.index(coalition, 7)] = effect
    # A gap of 1e-8 of about 10 leaves that much in place of the terms, times the margin of the next best.
    torch.testing.assert_close(answer.or_[0][joint], expected[joint], rtol=0, atol=1e-6)


def test_nothing_to_explain():
    """Constant tables, no players at all, and a box with room for the whole table: 0 in no step."""
    for u, bound in [(torch.zeros(2, 16), 0.1), (torch.zeros(2, 1), 0.0), (torch.rand(2, 16), 1.0)]:
        u = u.double() * (torch.arange(u.shape[1]) > 0)
        problem = Program(u, torch.full_like(u, bound) * (torch.arange(u.shape[1]) > 0))
        answer, steps = interior_point(problem, tolerance=1e-8, max_steps=30)
        assert [answer.objective.tolist(), problem.gap(answer).tolist(), steps.tolist()] == [[0, 0]] * 3


def test_a_tolerance_not_reached_is_told():
    problem = program(torch.stack([table("network", 5), table("random", 5)]), 0.04)
    answer, steps = interior_point(problem, tolerance=1e-8, max_steps=3)
    check(problem, answer)
    assert steps.tolist() == [3, 3]
    assert (problem.gap(answer) > 1e-8).all()
    assert (answer.lower < optima(problem)).all()
    assert (optima(problem) < answer.objective).all()


def test_a_tolerance_out_of_reach_does_no_harm():
    """Beyond what float64 resolves, steps go nowhere, and the best answer stays."""
    problem = program(torch.stack([table("random", 4), table("planted", 4)]), 0.04)
    answer, steps = interior_point(problem, tolerance=0.0, max_steps=100)
    check(problem, answer)
    assert steps.max() == 100
    assert problem.gap(answer).max() <= 1e-8


def test_games_do_not_depend_on_their_batch(monkeypatch):
    problem = program(torch.stack([table("network", 5, seed) for seed in range(5)]), 0.04)
    together, steps = interior_point(problem, tolerance=1e-6, max_steps=30)
    monkeypatch.setattr(
        "harsanyi.interactions.sparse.interior_point.MATRIX_ENTRIES", 2 * 2**10
    )  # two games at a time
    apart, apart_steps = interior_point(problem, tolerance=1e-6, max_steps=30)
    assert steps.tolist() == apart_steps.tolist()
    # The rounding of a product of matrices depends on their shapes, and grows over some steps.
    torch.testing.assert_close(together.objective, apart.objective, rtol=1e-9, atol=0)
    torch.testing.assert_close(together.or_, apart.or_, rtol=0, atol=1e-6)


def test_the_dividends_have_the_same_dual():
    """y = σ Zᵀw has Zᵀy = σ w and ZᵀJy = ± Zw off ∅, and a sum of zero."""
    w = torch.randn(3, 2**5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w[:, 0] = 0
    signs = _signs(w)
    y = signs * superset_sums(w)
    of_and, of_or = adjoint(y)
    torch.testing.assert_close(y.sum(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=SUM_ROUNDING)
    torch.testing.assert_close(of_and[:, 1:], (signs * w)[:, 1:], rtol=0, atol=SUM_ROUNDING)
    torch.testing.assert_close(of_or[:, 1:], subset_sums(w)[:, 1:], rtol=0, atol=SUM_ROUNDING)


def test_the_gathered_matrix_is_the_product():
    """K = D_w + Zᵀ D_Zw Z + Z ε D_s⁻¹ ε Zᵀ, by dense products."""
    n, generator = 4, torch.Generator().manual_seed(0)
    problem = program(table("random", n)[None], 0.3)
    state = _State.start(torch.arange(1), problem, Answer.start(problem))
    state.sides = torch.rand(1, 3, 2, 2**n, generator=generator, dtype=torch.float64)
    pairs = _pairs(n, problem.u.device)
    system = _System(state, pairs)
    zeta = subset_sums(torch.eye(2**n, dtype=torch.float64)).T
    of_w, of_sums, of_share = (torch.diag(block) for block in system.weights[0])
    box = torch.diag(problem.bound[0])
    dense = of_w + zeta.T @ of_sums @ zeta + zeta @ box @ torch.linalg.inv(of_share) @ box @ zeta.T
    torch.testing.assert_close(system.matrix(*pairs)[0], dense[1:, 1:], rtol=SUM_ROUNDING, atol=SUM_ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_ten_players(noise):
    problem = program(torch.stack([table(kind, 10) for kind in ("random", "network", "planted")]), noise)
    answer, steps = interior_point(problem, tolerance=1e-8, max_steps=40)
    check(problem, answer)
    assert problem.gap(answer).max() <= 1e-8
    assert steps.max() < 40
