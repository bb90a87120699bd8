"""The sparse split against a general linear-program solver."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from data import planted
from interactions import coalition_masks, reconstruct, sparse_and_or
from interactions.sparse import _conjugate_gradients, _eigenvalues, _normal
from tests import reference

# Matching is exact up to rounding of sums of 2**n terms in float64.
MATCHING = 1e-9


def table(kind: str, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        return torch.randn(2**n, generator=generator, dtype=torch.float64)
    if kind == "network":
        first, second = torch.randn(n, 16, generator=generator), torch.randn(16, generator=generator)
        return (torch.relu(coalition_masks(n).float() @ first - 0.5) @ second).double()
    if kind == "spike":
        v = torch.zeros(2**n, dtype=torch.float64)
        v[2**n - 3] = 1.0
        return v
    return planted(n, 4, 4, seed=seed).table()


def optimum(v: torch.Tensor, noise: float) -> float:
    """The linear program as it is written, literally, for HiGHS."""
    n, size = len(v).bit_length() - 1, len(v)
    sums = np.zeros((2, size, size))
    for t in reference.subsets(tuple(range(n))):
        for s in reference.subsets(tuple(range(n))):
            if s:
                sums[0, reference.index(t, n), reference.index(s, n)] = set(s) <= set(t)
                sums[1, reference.index(t, n), reference.index(s, n)] = bool(set(s) & set(t))
    both = np.hstack([*sums, -sums[0], -sums[1], np.eye(size)])
    bound = np.full(size, noise * abs(v[-1] - v[0]))
    bound[0] = 0
    bounds = [(0, None)] * (4 * size) + [(-b, b) for b in bound]
    cost = np.r_[np.ones(4 * size), np.zeros(size)]
    return linprog(cost, A_eq=both, b_eq=(v - v[0]).numpy(), bounds=bounds).fun


@pytest.mark.parametrize("noise", [0.0, 0.04, 0.3])
@pytest.mark.parametrize("kind", ["random", "network", "spike", "planted"])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_objective_and_bound_enclose_the_optimum(n, kind, noise):
    v = torch.stack(
        [
            table(kind, n, seed) if n > 1 or kind != "planted" else table("random", n, seed)
            for seed in range(3)
        ]
    )
    fit = sparse_and_or(v, noise)
    for game in range(3):
        best = optimum(v[game], noise)
        rounding = 1e-8 * max(best, 1)  # HiGHS's own feasibility tolerance is 1e-7 of unit data
        assert fit.lower_bound[game] <= best + rounding
        assert fit.objective[game] >= best - rounding
        assert fit.objective[game] <= best * (1 + 2e-3) + rounding


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    noise=st.sampled_from([0.0, 0.02, 0.5]),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
)
def test_feasible_whatever_the_table(n, seed, noise, scale):
    v = scale * torch.stack([table("random", n, seed), table("network", n, seed)])
    fit = sparse_and_or(v, noise, max_steps=60)
    matched = reconstruct(fit.and_, fit.or_) + fit.residual
    assert (matched - v).abs().max() <= MATCHING * v.abs().max()
    limit = noise * (v[:, -1] - v[:, 0]).abs()
    assert (fit.residual.abs().amax(1) <= limit * (1 + 1e-12)).all()
    assert (fit.lower_bound <= fit.objective * (1 + 1e-9)).all()
    assert ((fit.gap >= 0) & (fit.gap <= 1)).all()


def test_planted_terms_come_back():
    """Five AND and five OR terms of order 2 and more over eight players: the sparsest split finds them."""
    game = planted(8, 5, 5, seed=1)
    fit = sparse_and_or(game.table()[None], noise=0.0, tolerance=1e-6, max_steps=20_000)
    joint = coalition_masks(8).sum(1) > 1  # of order 1, AND and OR are the same thing
    for found, planted_terms in ((fit.and_[0], game.and_effects), (fit.or_[0], game.or_effects)):
        expected = torch.zeros(256, dtype=torch.float64)
        for coalition, effect in planted_terms.items():
            expected[reference.index(coalition, 8)] = effect
        torch.testing.assert_close(found[joint], expected[joint], rtol=0, atol=1e-3)


def test_constant_games_are_solved_at_once():
    fit = sparse_and_or(torch.full((2, 16), 3.0), noise=0.04)
    assert fit.gap.tolist() == [0, 0]
    assert fit.objective.tolist() == [0, 0]
    assert fit.and_[:, 0].tolist() == [3, 3]


def test_a_tolerance_not_reached_is_told():
    fit = sparse_and_or(table("random", 6, 0)[None], noise=0.0, tolerance=1e-12, max_steps=40)
    assert fit.gap.item() > 1e-12
    assert fit.steps.item() == 40


def test_games_do_not_depend_on_their_batch():
    v = torch.stack([table("network", 5, seed) for seed in range(4)])
    together, alone = sparse_and_or(v), sparse_and_or(v[2:3])
    torch.testing.assert_close(together.or_[2:3], alone.or_, rtol=0, atol=1e-9)
    torch.testing.assert_close(together.gap[2:3], alone.gap, rtol=0, atol=1e-9)


def test_conjugate_gradients_solve_the_projection():
    """What serves above twelve players, checked against a dense solve at five."""
    r = torch.randn(3, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dense = _normal(torch.eye(32, dtype=torch.float64))
    found = _conjugate_gradients(r, torch.zeros_like(r), _eigenvalues(5, r.device))
    torch.testing.assert_close(found, torch.linalg.solve(dense, r.T).T, rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_more_players_than_the_dense_inverse_serves():
    v = planted(13, 5, 5, seed=0).table()[None]
    fit = sparse_and_or(v, noise=0.02, max_steps=100)
    assert fit.objective.item() < v.sub(v[:, :1]).abs().sum().item()
    assert (reconstruct(fit.and_, fit.or_) + fit.residual - v).abs().max() <= MATCHING * v.abs().max()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tables_that_are_not_finite_name_the_game(value):
    v = torch.zeros(3, 8, dtype=torch.float64)
    v[2, 5] = value
    with pytest.raises(ValueError, match="game 2"):
        sparse_and_or(v)


def test_negative_noise():
    with pytest.raises(ValueError, match="noise ≥ 0"):
        sparse_and_or(torch.zeros(1, 4), noise=-0.1)
