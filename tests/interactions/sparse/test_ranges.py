"""Ranges of effects against a general linear-program solver and by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from harsanyi.data import SyntheticGame
from harsanyi.interactions import EffectRanges, Interactions, SparseAndOr, effect_ranges, extract
from tests.interactions.sparse.test_fit import FEASIBLE, maps, noise_bound, table

# A share of max|u|: HiGHS is feasible to 1e-10 of it, and a vertex is off by that times the condition of its
# equations, at most 16 of them with entries 0 and 1. What is found is compared with itself to 1e-9.
HIGHS = 1e-7
TOLERANCE = 1e-3
GAMES = ["random", "network", "planted", "far"]


def true_range(split: Interactions, game: int, place: int, noise: float, slack: float) -> tuple[float, float]:
    """Least and greatest effect by the literal linear program: x⁺, x⁻ ≥ 0 of all AND and OR, and δ in its
    box, explain the table with Σ x⁺ + x⁻ within the limit. Of one player it is AND and OR together."""
    v = split.v[game]
    u = (v - v[0]).numpy()
    size, unit = len(u), np.abs(u).max() or 1.0
    effects = np.hstack(maps(split.n))
    equal = np.hstack([effects, -effects, np.eye(size)])
    strength = np.r_[np.ones(4 * size), np.zeros(size)]
    strength[[0, size, 2 * size, 3 * size]] = 0  # the empty coalition adds to no entry and counts for nothing
    limit = (1 + slack) * split.effects[game].abs().sum().item()
    box = (noise_bound(v, noise) / unit).tolist()
    bounds = [(0, None)] * (4 * size) + [(-b, b) for b in box]
    at = np.zeros(5 * size)
    for p in (place, place + size) if (place % size).bit_count() == 1 else (place,):
        at[p % (2 * size)], at[2 * size + p % (2 * size)] = 1, -1
    ends = []
    for sign in (1, -1):
        solved = linprog(sign * at, strength[None], [limit / unit], equal, u / unit, bounds, options=FEASIBLE)
        assert solved.status == 0, solved.message
        ends.append(unit * sign * solved.fun)
    return ends[0], ends[1]


def places(ranges: EffectRanges, size: int) -> Tensor:
    return ranges.kind * size + ranges.coalition


def assert_ordered(ranges: EffectRanges, split: Interactions) -> None:
    """lowest ≤ low ≤ effect ≤ high ≤ highest, and the effects are the strongest that were found."""
    unit = (split.v - split.v[:, :1]).abs().amax(1, keepdim=True)
    ends = [ranges.lowest, ranges.low, ranges.effect, ranges.high, ranges.highest]
    for lower, upper in pairwise(ends):
        assert (lower <= upper + 1e-9 * unit).all(), (upper - lower) / unit
    effects = split.effects.flatten(1)
    assert torch.equal(ranges.effect, effects.gather(1, places(ranges, split.v.shape[1])))
    strongest = effects.abs().topk(ranges.effect.shape[1]).values
    assert torch.equal(ranges.effect.abs(), strongest)


@pytest.mark.parametrize("slack", [0.01, 0.2])
@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_ranges_enclose_what_is_possible_and_are_enclosed_by_it(n, noise, slack):
    v = torch.stack([table(kind, n, seed) for kind in GAMES for seed in range(2)])
    split = extract(v, SparseAndOr(noise, tolerance=1e-6))
    ranges = effect_ranges(split, noise, top=3, slack=slack, tolerance=TOLERANCE, max_steps=10_000)
    assert_ordered(ranges, split)
    for game, row in enumerate(places(ranges, 2**n).tolist()):
        rounding = HIGHS * (v[game] - v[game, 0]).abs().max().item()
        near = TOLERANCE * ranges.effect[game].abs().max().item() + rounding
        for i, place in enumerate(row):
            least, greatest = true_range(split, game, place, noise, slack)
            assert least - near <= ranges.lowest[game, i] <= least + rounding
            assert least - rounding <= ranges.low[game, i] <= least + near
            assert greatest - near <= ranges.high[game, i] <= greatest + rounding
            assert greatest - rounding <= ranges.highest[game, i] <= greatest + near


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("steps", [1, 40])
def test_few_steps_give_wider_ranges_and_no_wrong_ones(steps, noise):
    v = torch.stack([table(kind, 3, seed) for kind in GAMES for seed in range(3)])
    split = extract(v, SparseAndOr(noise, tolerance=1e-6))
    ranges = effect_ranges(split, noise, top=2, tolerance=0.0, max_steps=steps)
    assert_ordered(ranges, split)
    for game, row in enumerate(places(ranges, 8).tolist()):
        rounding = HIGHS * (v[game] - v[game, 0]).abs().max().item()
        for i, place in enumerate(row):
            least, greatest = true_range(split, game, place, noise, slack=0.01)
            assert ranges.lowest[game, i] - rounding <= least <= ranges.low[game, i] + rounding
            assert ranges.high[game, i] - rounding <= greatest <= ranges.highest[game, i] + rounding


@pytest.mark.parametrize("scale", [2.0**-27, 2.0**27])
def test_the_unit_of_the_score_does_not_matter(scale):
    v = torch.stack([table(kind, 3, 0) for kind in GAMES])
    plain, scaled = (effect_ranges(extract(tables, SparseAndOr()), top=2) for tables in (v, scale * v))
    for name in ("low", "high", "lowest", "highest"):
        # Powers of two round nothing. With others a step may go another way, to other certified ends.
        assert torch.equal(scale * getattr(plain, name), getattr(scaled, name))


def test_two_players_may_as_well_be_an_and_and_an_or():
    """x₁ + x₂ = (1 − c)(x₁ + x₂) + c AND + c OR, of strength 2|1 − c| + 2|c|: 2 for every c between 0 and 1,
    and within a hundredth of it up to 0.005 beyond."""
    v = torch.tensor([[0.0, 1.0, 1.0, 2.0]], dtype=torch.float64)
    split = extract(v, SparseAndOr(noise=0.0, tolerance=1e-9))
    ranges = effect_ranges(split, 0.0, top=3, slack=0.01, tolerance=1e-6, max_steps=10_000)
    for ends, end in (
        (ranges.lowest, -0.005),
        (ranges.low, -0.005),
        (ranges.high, 1.005),
        (ranges.highest, 1.005),
    ):
        assert ends[0].tolist() == pytest.approx(
            [end] * 3, abs=1e-5
        )  # the tolerance of 1e-6, and that of found


@pytest.mark.parametrize("slack", [1e-6, 1e-3])
def test_an_only_optimum_has_hardly_a_range(slack):
    """An AND of three players and an OR of three others: all else takes strength that the slack must pay."""
    game = SyntheticGame(6, {(0, 1, 2): 2.0}, {(3, 4, 5): -1.0})
    split = extract(game.table()[None], SparseAndOr(noise=0.0, tolerance=1e-9))
    ranges = effect_ranges(split, 0.0, top=2, slack=slack, tolerance=1e-5, max_steps=10_000)
    assert ranges.kind.tolist() == [[0, 1]]
    assert ranges.coalition.tolist() == [[0b111000, 0b000111]]
    assert ranges.effect[0].tolist() == pytest.approx([2, -1], abs=1e-7)
    # What an effect gives up must be explained by at least as much strength elsewhere.
    width = (ranges.highest - ranges.lowest)[0]
    assert (width <= 3 * slack * 10 + 4e-5).all()


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_no_slack_at_all(noise):
    """Only splits of the strength that was found, so that the one found is at the limit, to rounding."""
    v = torch.stack([table(kind, 3, seed) for kind in GAMES for seed in range(3)])
    split = extract(v, SparseAndOr(noise, tolerance=1e-6))
    ranges = effect_ranges(split, noise, top=2, slack=0.0, max_steps=400)
    assert_ordered(ranges, split)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_constant_games_have_no_effects_to_vary(noise):
    split = extract(torch.full((2, 8), 3.0), SparseAndOr(noise))
    ranges = effect_ranges(split, noise, top=3)
    for ends in (ranges.effect, ranges.low, ranges.high, ranges.lowest, ranges.highest):
        assert not ends.any()


def test_effects_of_zero_are_chosen_among_those_that_can_vary():
    """Where the strongest run out: not the empty coalition, nor an OR of one player, which counts as AND."""
    split = extract(table("spike", 3, 0)[None], SparseAndOr(noise=0.0, tolerance=1e-6))
    ranges = effect_ranges(split, 0.0, top=7)
    orders = torch.tensor([coalition.bit_count() for coalition in ranges.coalition[0].tolist()])
    assert (orders > ranges.kind[0]).all()


@pytest.mark.parametrize("kind", [*GAMES, "spike"])
def test_games_do_not_depend_on_their_batch(kind):
    others = torch.stack([table(scaled, 4, 1) for scaled in GAMES])
    v = table(kind, 4, 0)[None]
    alone, together = (
        effect_ranges(extract(tables, SparseAndOr()), top=2) for tables in (v, torch.cat([others, v]))
    )
    for name in ("low", "high", "lowest", "highest"):
        # Sums in another order differ by rounding, which some hundred steps carry on.
        torch.testing.assert_close(getattr(together, name)[-1], getattr(alone, name)[0], rtol=1e-7, atol=1e-7)


def test_extract_adds_the_ranges_it_is_asked_for():
    v = table("network", 4, 0)[None]
    split = extract(v, SparseAndOr(noise=0.02, ranges=3))
    ranges = effect_ranges(extract(v, SparseAndOr(noise=0.02)), 0.02, top=3)
    assert extract(v, SparseAndOr(noise=0.02)).ranges is None
    for name, value in vars(ranges).items():
        assert torch.equal(getattr(split.ranges, name), value)


@pytest.mark.parametrize("top", [0, -1, 8])
def test_a_top_that_is_no_number_of_interactions(top):
    split = extract(table("random", 3, 0)[None], SparseAndOr())
    with pytest.raises(ValueError, match=f"top between 1 and 7.*got {top}"):
        effect_ranges(split, top=top)


def test_noise_that_is_less_than_the_split_leaves():
    split = extract(table("random", 3, 0)[None], SparseAndOr(noise=0.1))
    with pytest.raises(ValueError, match="more unexplained than a noise of 0.05 allows"):
        effect_ranges(split, noise=0.05)


@pytest.mark.parametrize("slack", [-0.1, float("nan")])
def test_a_slack_that_is_no_share(slack):
    split = extract(table("random", 3, 0)[None], SparseAndOr())
    with pytest.raises(ValueError, match="slack"):
        effect_ranges(split, slack=slack, max_steps=40 if slack < 0 else 0)
