"""The joint split of several networks against a general linear-program solver; its prox and projection."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, linprog, minimize
from torch import Tensor

from harsanyi.interactions import (
    JointSparseAndOr,
    SparseAndOr,
    SparseFit,
    extract,
    reconstruct,
    sparse_and_or,
    sparse_and_or_joint,
)
from harsanyi.interactions.sparse.joint import JointProgram, onto_l1_ball
from tests import reference
from tests.interactions.sparse.test_fit import (
    CERTIFICATE_ROUNDING,
    FEASIBLE,
    HIGHS,
    MATCHING,
    maps,
    noise_bound,
    table,
)

SPECIFIC = [0.0, 0.3, 1.0]


def networks(n: int, count: int = 2, games: int = 4) -> Tensor:
    """Tables of networks that agree in part, the first of another size, `(games, networks, 2**n)`."""
    shared = torch.stack([table("network", n, game) for game in range(games)])
    own = [torch.stack([table("random", n, 10 * i + game) for game in range(games)]) for i in range(count)]
    tables = torch.stack([shared + 0.3 * each for each in own], dim=1)
    return tables * torch.linspace(2, 1, count, dtype=torch.float64)[:, None]


def joint_optimum(v: Tensor, noise: float, specific: float) -> float:
    """The linear program of one game, literally: Σ_{S≠∅} (1 − α) max_i |x_i(S)| + α Σ_i |x_i(S)| over all AND
    and OR interactions x, the maximum as a variable of its own."""
    count, size = v.shape
    u = (v - v[:, :1]).numpy()
    unit = np.abs(u).max() or 1.0
    effects = np.hstack(maps(size.bit_length() - 1))
    each = np.hstack([effects, -effects, np.eye(size)])  # x⁺, x⁻ and δ of one network
    equal = np.hstack([np.kron(np.eye(count), each), np.zeros((count * size, 2 * size))])
    parts = np.hstack([np.eye(2 * size), np.eye(2 * size), np.zeros((2 * size, size))])
    below = np.hstack([np.kron(np.eye(count), parts), -np.tile(np.eye(2 * size), (count, 1))])
    cost = np.r_[
        np.tile(np.r_[np.full(4 * size, specific), np.zeros(size)], count), np.full(2 * size, 1 - specific)
    ]
    bounds: list[tuple[float, float | None]] = []
    for box in (noise_bound(v, noise) / unit).tolist():
        bounds += [(0, None)] * (4 * size) + [(-b, b) for b in box]
    bounds += [(0, None)] * (2 * size)
    solved = linprog(
        cost, below, np.zeros(len(below)), equal, u.ravel() / unit, bounds, method="highs", options=FEASIBLE
    )
    assert solved.status == 0, solved.message
    return unit * solved.fun


def assert_feasible(fit: SparseFit, v: Tensor, noise: float, specific: float) -> None:
    """Each network explained, its residual in its own box, and the objective by its formula."""
    assert (fit.residual.abs() <= noise_bound(v, noise)).all()
    unexplained = (reconstruct(fit.and_, fit.or_) + fit.residual - v).abs()
    assert unexplained.max() <= MATCHING * v.abs().max()
    effects = torch.cat([fit.and_[..., 1:], fit.or_[..., 1:]], dim=-1).abs()
    strength = (1 - specific) * effects.amax(1).sum(-1) + specific * effects.sum((1, 2))
    torch.testing.assert_close(fit.objective, strength, rtol=CERTIFICATE_ROUNDING, atol=MATCHING)


def certified(y: Tensor, v: Tensor, noise: float, specific: float) -> float:
    """What the multipliers of one game's networks prove, by literal loops; the assertions are the dual's
    constraints. The unit ball of (1 − α) max|x| + α Σ|x| has as vertices, for any k of the networks, signs
    times 1 / (1 − α + α k): no slope over them may pass 1."""
    count, size = v.shape
    n = size.bit_length() - 1
    coalitions = list(reference.subsets(tuple(range(n))))
    assert y.sum(-1).abs().max() <= CERTIFICATE_ROUNDING * y.abs().sum()
    for s in coalitions[1:]:
        supersets = [reference.index(t, n) for t in coalitions if set(t) >= set(s)]
        complements = [size - 1 - index for index in supersets]
        for slopes in (y[:, supersets].sum(-1).abs(), y[:, complements].sum(-1).abs()):
            for k in range(1, count + 1):
                steepest = max(sum(slopes[i].item() for i in some) for some in combinations(range(count), k))
                assert steepest <= (1 - specific + specific * k) * (1 + CERTIFICATE_ROUNDING)
    return ((v - v[:, :1]) * y).sum().item() - (noise_bound(v, noise) * y.abs()).sum().item()


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("specific", SPECIFIC)
@pytest.mark.parametrize(("n", "count"), [(2, 2), (3, 2), (3, 3), (4, 2)])
def test_objective_and_bound_enclose_the_optimum(n, count, specific, noise):
    v = networks(n, count)
    best = v.new_tensor([joint_optimum(game, noise, specific) for game in v])
    unit = (v - v[..., :1]).abs().amax((1, 2))
    for tolerance, steps in ((1e-5, 5000), (0.0, 40)):
        fit = sparse_and_or_joint(v, noise, specific=specific, tolerance=tolerance, max_steps=steps)
        assert (fit.lower_bound <= best + HIGHS * unit).all()
        assert (fit.objective >= best - HIGHS * unit).all()
        assert steps == 40 or fit.gap.max() <= tolerance
        assert_feasible(fit, v, noise, specific)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("specific", SPECIFIC)
def test_the_multipliers_alone_prove_the_bound(specific, noise):
    v = networks(3, count=3)
    for steps in (40, 400):
        fit = sparse_and_or_joint(v, noise, specific=specific, max_steps=steps)
        proved = [certified(y, game, noise, specific) for y, game in zip(fit.multiplier, v, strict=True)]
        torch.testing.assert_close(
            fit.lower_bound, v.new_tensor(proved), rtol=CERTIFICATE_ROUNDING, atol=CERTIFICATE_ROUNDING
        )


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_wholly_specific_networks_are_split_apart(noise):
    v = networks(5, count=3)
    fit = sparse_and_or_joint(v, noise, specific=1.0, tolerance=1e-6)
    apart = sparse_and_or(v.flatten(0, 1), noise, tolerance=1e-6).objective.view(4, 3).sum(1)
    torch.testing.assert_close(fit.objective, apart, rtol=2e-6, atol=0)  # both within 1e-6 of the optimum


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("specific", SPECIFIC)
def test_one_network_is_split_as_always(specific, noise):
    v = networks(5, count=1)
    fit = sparse_and_or_joint(v, noise, specific=specific, tolerance=1e-6)
    alone = sparse_and_or(v[:, 0], noise, tolerance=1e-6)
    torch.testing.assert_close(fit.objective, alone.objective, rtol=2e-6, atol=0)


@pytest.mark.parametrize("specific", SPECIFIC)
def test_equal_networks_pay_for_one_and_the_share_of_the_others(specific):
    """The average of m splits of one table is no worse than they are: one is best for all of them."""
    v = networks(5, count=1).expand(-1, 3, -1)
    fit = sparse_and_or_joint(v, specific=specific, tolerance=1e-6)
    alone = sparse_and_or(v[:, 0], tolerance=1e-6).objective
    torch.testing.assert_close(fit.objective, (1 - specific + 3 * specific) * alone, rtol=2e-6, atol=0)


@pytest.mark.parametrize("specific", SPECIFIC)
def test_the_order_of_networks_does_not_matter(specific):
    v = networks(4, count=3)
    order = torch.tensor([2, 0, 1])
    fit = sparse_and_or_joint(v, specific=specific, tolerance=1e-6)
    other = sparse_and_or_joint(v[:, order], specific=specific, tolerance=1e-6)
    torch.testing.assert_close(fit.objective, other.objective, rtol=2e-6, atol=0)
    assert_feasible(other, v[:, order], 0.04, specific)


def test_a_shared_price_makes_networks_share_more():
    """What is counted at α = 0 falls from the separate splits to the joint one, and their sum rises."""
    v = networks(5)
    joint, apart = (sparse_and_or_joint(v, specific=specific, tolerance=1e-5) for specific in (0.0, 1.0))

    def strengths(fit: SparseFit) -> tuple[Tensor, Tensor]:
        effects = torch.cat([fit.and_[..., 1:], fit.or_[..., 1:]], dim=-1).abs()
        return effects.amax(1).sum(-1), effects.sum((1, 2))

    (shared, total), (shared_apart, total_apart) = strengths(joint), strengths(apart)
    assert (shared < shared_apart).all()
    assert (total > total_apart).all()


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_games_do_not_depend_on_their_batch(noise):
    v = torch.cat([networks(4), 1e6 * networks(4)])
    together = sparse_and_or_joint(v, noise, max_steps=400)
    for game in (1, 6):
        alone = sparse_and_or_joint(v[game : game + 1], noise, max_steps=400)
        unit = v[game].abs().max().item()
        assert alone.steps == together.steps[game]
        # Sums in another order differ by rounding, which some hundred steps carry on.
        torch.testing.assert_close(together.or_[game], alone.or_[0], rtol=0, atol=1e-7 * unit)


def test_a_constant_network_among_others_and_alone():
    v = networks(3)
    v[:, 1] = 3.0
    fit = sparse_and_or_joint(v, tolerance=1e-6)
    alone = sparse_and_or(v[:, 0], tolerance=1e-6)
    torch.testing.assert_close(fit.objective, alone.objective, rtol=2e-6, atol=0)
    assert sparse_and_or_joint(v[:, 1:]).objective.tolist() == [0] * 4


@pytest.mark.parametrize("radius", [0.0, 1e-3, 1.0, 5.0, 1e3])
@pytest.mark.parametrize("entries", [1, 2, 7, 40])
def test_the_nearest_point_of_an_l1_ball(entries, radius):
    """Its threshold is where Σ max(|x| − t, 0) meets the radius: found by bisection."""
    x = torch.randn(20, entries, dtype=torch.float64, generator=torch.Generator().manual_seed(entries))
    x[0], x[1] = 0.0, 1.0  # nothing, and ties
    answer = onto_l1_ball(x, torch.full((20, 1), radius, dtype=torch.float64))
    for row, projected in zip(x.numpy(), answer.numpy(), strict=True):
        threshold = 0.0
        if np.abs(row).sum() > radius:
            threshold = brentq(
                lambda t, row=row: np.maximum(np.abs(row) - t, 0).sum() - radius,
                0,
                np.abs(row).max(),
                xtol=1e-14,
            )
        expected = np.sign(row) * np.maximum(np.abs(row) - threshold, 0)
        # The bisection is to 1e-14, of 40 entries' sum; at radius 0 the root is flat to one side.
        np.testing.assert_allclose(projected, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("specific", SPECIFIC)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_prox_is_the_numeric_minimum(count, specific):
    """argmin step · ((1 − α) max|x| + α Σ|x|) + ½‖x − w‖², with x = x⁺ − x⁻ ≤ m as a smooth program."""
    split = torch.randn(2, 4, 2, count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    step = torch.tensor([[0.3], [1.0]], dtype=torch.float64)
    tables = torch.zeros(2, count, 4, dtype=torch.float64)
    program = JointProgram(tables, tables, torch.full((2,), specific, dtype=torch.float64))
    answer = program.prox(split, step)
    assert torch.equal(answer[:, 0], split[:, 0])  # the empty coalition is free
    for kind, coalition, game in np.ndindex(2, 3, 2):
        w = split[kind, coalition + 1, game].numpy()
        expected = _prox(w, step[game].item(), specific)
        # SLSQP ends when a step improves by less than 1e-14, half the square of what x is off by, or some.
        np.testing.assert_allclose(answer[kind, coalition + 1, game].numpy(), expected, rtol=0, atol=1e-5)


def _prox(w: np.ndarray, step: float, specific: float) -> np.ndarray:
    m = len(w)

    def objective(z: np.ndarray) -> float:
        plus, minus, largest = z[:m], z[m:-1], z[-1]
        strength = (1 - specific) * largest + specific * (plus + minus).sum()
        return step * strength + 0.5 * ((plus - minus - w) ** 2).sum()

    room = {"type": "ineq", "fun": lambda z: z[-1] - z[:m] - z[m:-1]}
    start = np.r_[np.maximum(w, 0), np.maximum(-w, 0), np.abs(w).max()]
    bounds = [(0, None)] * (2 * m + 1)
    solved = minimize(
        objective,
        start,
        method="SLSQP",
        bounds=bounds,
        constraints=[room],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return solved.x[:m] - solved.x[m:-1]


@pytest.mark.usefixtures("unchecked")
def test_tables_without_an_axis_of_networks():
    with pytest.raises(ValueError, match=r"\(games, networks, 2\*\*n\), got \(2, 8\)"):
        sparse_and_or_joint(torch.zeros(2, 8))


@pytest.mark.parametrize("specific", [-0.1, 1.1, float("nan")])
def test_specific_is_a_share(specific):
    with pytest.raises(ValueError, match="specific between 0 and 1"):
        sparse_and_or_joint(torch.zeros(1, 2, 8), specific=specific)


def test_other_arguments_are_checked_as_those_of_one_network():
    v = torch.zeros(3, 2, 8)
    with pytest.raises(ValueError, match="noise ≥ 0"):
        sparse_and_or_joint(v, noise=-0.1)
    with pytest.raises(ValueError, match="tolerance ≥ 0"):
        sparse_and_or_joint(v, tolerance=-1.0)
    v[1, 1, 3] = float("nan")
    with pytest.raises(ValueError, match="game 1"):
        sparse_and_or_joint(v)


def test_together_gives_each_network_its_part_by_name():
    v = networks(4)
    method = JointSparseAndOr(noise=0.02, specific=0.3, tolerance=1e-5, networks=("before", "after"))
    answer = method.together({"before": v[:, 0], "after": v[:, 1]})
    fit = sparse_and_or_joint(v, 0.02, specific=0.3, tolerance=1e-5)
    assert list(answer) == ["before", "after"]
    for i, part in enumerate(answer.values()):
        assert torch.equal(part.v, v[:, i])
        assert torch.equal(part.and_, fit.and_[:, i])
        assert torch.equal(part.or_, fit.or_[:, i])
        assert torch.equal(part.gap, fit.gap)
        assert (part.residual.abs() <= noise_bound(part.v, 0.02) + MATCHING).all()
        assert part.method == str(method)


def test_the_joint_method_of_one_game_is_the_sparse_one():
    v = networks(4)[:, 0]
    joint, sparse = (
        extract(v, method) for method in (JointSparseAndOr(tolerance=1e-6), SparseAndOr(tolerance=1e-6))
    )
    strengths = [answer.effects.abs().sum((1, 2)) for answer in (joint, sparse)]
    torch.testing.assert_close(*strengths, rtol=2e-6, atol=0)  # both within 1e-6 of the optimum
