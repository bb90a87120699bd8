"""The published recipe against a literal loop of it."""

import pytest
import torch
from torch import Tensor

from harsanyi.data import planted
from harsanyi.interactions.sparse.gradient_descent import gradient_descent
from harsanyi.interactions.sparse.program import Answer, Program, remaining_and
from tests import reference

# Rounding of fifty steps of sums of at most 2**n terms near 1 in float64, in another order.
DESCENT_ROUNDING = 1e-9


def program(n: int, noise: float, games: int = 3) -> Program:
    """Random tables: no interaction is exactly zero, where rounding would choose the subgradient."""
    u = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    u[:, 0] = 0
    u /= u.abs().amax(1, keepdim=True)
    bound = noise * u[:, -1:].abs().expand_as(u).clone()
    bound[:, 0] = 0
    return Program(u, bound)


def planted_program(noise: float) -> Program:
    u = planted(6, 4, 4, seed=0).table()[None]
    u = u / u.abs().max()
    bound = torch.full_like(u, noise)
    bound[:, 0] = 0
    return Program(u, bound)


def recipe(u: Tensor, bound: Tensor, steps: int, rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """I_and, I_or and δ of one game: dense matrices, autograd, the update of SGD with momentum spelt out."""
    n = len(u).bit_length() - 1
    unit = torch.eye(2**n, dtype=torch.float64)
    to_and = torch.stack([reference.and_interactions(v) for v in unit], dim=1)
    to_or = torch.stack([reference.or_interactions(v) for v in unit], dim=1)
    gamma, delta = (torch.zeros_like(u, requires_grad=True) for _ in range(2))
    velocity = [torch.zeros_like(u), torch.zeros_like(u)]
    for step in range(steps):
        and_, or_ = to_and @ ((u - delta) / 2 + gamma), to_or @ ((u - delta) / 2 - gamma)
        gradients = torch.autograd.grad(and_[1:].abs().sum() + or_[1:].abs().sum(), [gamma, delta])
        velocity = [0.9 * old + new for old, new in zip(velocity, gradients, strict=True)]
        with torch.no_grad():
            gamma -= rate * 0.1 ** (step / steps) * velocity[0]
            delta -= rate * 0.1 ** (step / steps) * velocity[1]
            delta.copy_(torch.maximum(torch.minimum(delta, bound), -bound))
    half, gamma, delta = (u - delta.detach()) / 2, gamma.detach(), delta.detach()
    return to_and @ (half + gamma), to_or @ (half - gamma), delta


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("n", [3, 4])
def test_the_recipe_as_it_is_written(n, noise, dense):
    tables = program(n, noise)
    answer, steps = gradient_descent(tables, 50, learning_rate=1e-3, dense=dense)
    found_and = remaining_and(tables.u, answer.or_, answer.delta)
    single = torch.tensor([index.bit_count() == 1 for index in range(2**n)])
    for game in range(3):
        and_, or_, delta = recipe(tables.u[game], tables.bound[game], 50, rate=1e-3)
        and_[single] += or_[single]  # the two say the same
        or_[single] = and_[0] = or_[0] = 0
        torch.testing.assert_close(found_and[game], and_, rtol=0, atol=DESCENT_ROUNDING)
        torch.testing.assert_close(answer.or_[game], or_, rtol=0, atol=DESCENT_ROUNDING)
        torch.testing.assert_close(answer.delta[game], delta, rtol=0, atol=DESCENT_ROUNDING)
        assert answer.objective[game].item() == pytest.approx((and_.abs() + or_.abs()).sum().item())
    assert steps.tolist() == [50, 50, 50]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_delta_stays_within_its_box(optimizer):
    tables = program(5, noise=0.05)
    answer, _ = gradient_descent(tables, 30, learning_rate=0.01, optimizer=optimizer)
    assert (answer.delta.abs() <= tables.bound).all()  # exactly: it is clamped
    assert (answer.delta.abs() == tables.bound)[:, 1:].any(1).all()  # and reached, or this tests nothing


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_games_do_not_depend_on_their_batch(optimizer):
    tables = program(5, noise=0.05, games=4)
    together, _ = gradient_descent(tables, 50, optimizer=optimizer)
    alone, _ = gradient_descent(tables.select(torch.tensor([2])), 50, optimizer=optimizer)
    torch.testing.assert_close(together.or_[2:3], alone.or_, rtol=0, atol=DESCENT_ROUNDING)
    torch.testing.assert_close(together.delta[2:3], alone.delta, rtol=0, atol=DESCENT_ROUNDING)
    torch.testing.assert_close(together.lower[2:3], alone.lower, rtol=0, atol=DESCENT_ROUNDING)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(("optimizer", "steps", "rate"), [("sgd", 2000, 1e-4), ("adam", 500, 3e-3)])
def test_a_planted_game_gets_sparser(optimizer, steps, rate, noise):
    tables = planted_program(noise)
    start, _ = gradient_descent(tables, 1, learning_rate=0.0)
    answer, _ = gradient_descent(tables, steps, learning_rate=rate, optimizer=optimizer)
    assert (answer.objective < start.objective / 2).all()  # eight terms, at first spread over all coalitions
    assert (answer.lower > 0).all()
    assert (answer.lower <= answer.objective).all()


def test_the_last_iterate_counts_even_where_it_is_worse():
    tables = planted_program(noise=0.0)
    answer, _ = gradient_descent(tables, 10, learning_rate=1.0)
    assert (answer.objective > Answer.start(tables).objective).all()
