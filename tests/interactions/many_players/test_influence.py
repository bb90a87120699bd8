"""Influence beside its definition and the Walsh coefficients; sentences together beside each one alone."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data import SyntheticGame, planted
from harsanyi.interactions import coalition_masks
from harsanyi.interactions.many_players.influence import (
    Influences,
    exact_game_densities,
    exact_game_density,
    influences,
    most_influential,
    player_counts,
)
from tests import reference

# Sums of float64 terms of size 1, in batches of other sizes.
SAME = {"rtol": 1e-10, "atol": 1e-12}


def walsh(v: torch.Tensor, n: int, density: float) -> dict[tuple[int, ...], float]:
    """f̂(S) = E_T[v(T) Π_{i∈S} φ(T_i)], φ = (x − p)/√(p(1−p)), literally."""
    scale = (density * (1 - density)) ** 0.5
    effects = {}
    for s in reference.subsets(tuple(range(n))):
        total = 0.0
        for bits in product((0, 1), repeat=n):
            term = v[int("".join(map(str, bits)), 2)].item()
            for bit in bits:
                term *= density if bit else 1 - density
            for i in s:
                term *= (bits[i] - density) / scale
            total += term
        effects[s] = total
    return effects


@given(n=st.integers(1, 8), seed=st.integers(0, 1000))
def test_all_coalitions_give_the_walsh_coefficients(n, seed):
    game = planted(n, 3, 3, seed) if n > 2 else SyntheticGame(n, {(0,): 1.5, tuple(range(n)): -2.0})
    estimates = influences(game, coalition_masks(n)).influence[0]
    coefficients = walsh(game.table(), n, 0.5) if n <= 5 else _butterfly(game.table(), n)
    for i in range(n):
        literal = sum(c**2 for s, c in coefficients.items() if i in s)
        assert estimates[i].item() == pytest.approx(literal, rel=1e-12, abs=1e-12)


def _butterfly(v: torch.Tensor, n: int) -> dict[tuple[int, ...], float]:
    """The Walsh coefficients by a dense matrix of signs."""
    masks = coalition_masks(n).double()
    signs = (-1.0) ** (masks @ masks.T)
    return {
        tuple(mask.nonzero()[:, 0].tolist()): c
        for mask, c in zip(masks, (signs @ v / 2**n).tolist(), strict=True)
    }


def test_another_density_weighs_coalitions_as_they_are_drawn():
    n, density = 4, 0.8
    game = planted(n, 4, 4, seed=3)
    coefficients = walsh(game.table(), n, density)
    masks = coalition_masks(n)
    # One coalition at a time, so that each can be weighed by the probability that it is drawn.
    weights = (density * masks.double() + (1 - density) * (~masks).double()).prod(1)
    each = torch.stack([influences(game, mask[None], density=density).influence[0] for mask in masks])
    for i in range(n):
        literal = sum(c**2 for s, c in coefficients.items() if i in s)
        assert (weights @ each[:, i]).item() == pytest.approx(literal, rel=1e-12)


def test_estimates_lie_within_their_standard_error():
    game = planted(8, seed=1)
    exact = influences(game, coalition_masks(8)).influence
    off = []
    for seed in range(40):
        estimates = influences(game, 64, seed=seed)
        off.append((estimates.influence - exact) / estimates.standard_error.clamp_min(1e-9))
    z = torch.cat(off)
    assert z.shape == (40, 8)
    # 320 ratios, near standard normal: the mean of 40 is off by more than 4/√40 once in 16,000 players.
    assert z.mean(0).abs().max() < 4 / 40**0.5 + 0.1  # the skew of squares moves the ratio by 1/√64 or so
    assert 0.7 < z.std() < 1.4


def test_draws_are_of_the_density_and_the_seed():
    game = SyntheticGame(30, {(0,): 2.0})
    estimates = influences(game, 50, density=0.9, seed=4)
    assert estimates.influence[0, 0].item() == pytest.approx(0.9 * 0.1 * 4, rel=1e-12)  # the same in every T
    assert estimates.standard_error[0, 0].item() == pytest.approx(0, abs=1e-12)
    both = SyntheticGame(30, {(0, 1): 2.0})
    first, again, other = (influences(both, 50, density=0.9, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.influence, again.influence)
    assert not torch.equal(first.influence, other.influence)
    assert (first.coalitions, first.density.tolist(), first.counts.tolist(), first.seed) == (
        50,
        [0.9],
        [30],
        4,
    )


def test_players_of_several_networks_by_the_sum_of_their_shares():
    def made(*rows):
        table = torch.tensor(rows, dtype=torch.float64)
        n, half = torch.full((len(rows),), table.shape[1]), torch.full((len(rows),), 0.5).double()
        return Influences(table, torch.zeros_like(table), n, 4, half, 0)

    loud, quiet = made([100.0, 90.0, 0.0], [0.0, 0.0, 0.0]), made([0.0, 0.1, 0.1], [0.0, 0.2, 0.1])
    assert most_influential([loud, quiet], 1).tolist() == [[1], [1]]
    assert most_influential([loud, quiet], 2).tolist() == [[0, 1], [1, 2]]
    assert torch.equal(loud.share[1], torch.zeros(3, dtype=torch.float64))


def test_a_sentence_has_the_influences_that_it_has_alone(sentences):
    game, m, keep = sentences.together, 6, 4
    assert player_counts(game).tolist() == [18, 5, 70, 5]
    density = exact_game_densities(game, keep)
    assert density.tolist() == [exact_game_density(n, keep) for n in (18, 5, 70, 5)]
    assert game.trial.batch is None
    sentences.model.asked = 0
    estimates = influences(game, m, density=density, seed=3)
    assert sentences.model.asked == m * (18 + 5 + 70 + 5 + 4)  # no forward for those who own nothing
    for number, sentence in enumerate(sentences.alone):
        alone = influences(sentence, m, density=exact_game_density(sentence.n, keep), seed=3)
        torch.testing.assert_close(estimates.influence[number, : sentence.n], alone.influence[0], **SAME)
        torch.testing.assert_close(
            estimates.standard_error[number, : sentence.n], alone.standard_error[0], **SAME
        )
        assert alone.influence.min() > 0
        assert not estimates.influence[number, sentence.n :].any()
    assert torch.equal(estimates.counts, player_counts(game))


def test_given_coalitions_are_asked_of_every_sentence(sentences):
    drawn = torch.rand(5, 70, generator=torch.Generator().manual_seed(1)) < 0.7
    estimates = influences(sentences.together, drawn, density=0.7)
    for number, sentence in enumerate(sentences.alone):
        alone = influences(sentence, drawn[:, : sentence.n], density=0.7)
        torch.testing.assert_close(estimates.influence[number, : sentence.n], alone.influence[0], **SAME)


def test_null_players_are_never_chosen():
    nobody = torch.zeros(2, 3, dtype=torch.float64)
    estimates = Influences(nobody, nobody, torch.tensor([3, 2]), 4, torch.tensor([0.5, 0.5]).double(), 0)
    assert most_influential([estimates], 2).tolist() == [[0, 1], [0, 1]]
    with pytest.raises(ValueError, match="cannot keep 3 of 2 players: keep 1 to 2"):
        most_influential([estimates], 3)


def test_what_cannot_be_asked(unchecked):
    game = SyntheticGame(5, {(1,): 2.0})
    with pytest.raises(ValueError, match=r"expected coalitions of 5 players, got \(3, 4\)"):
        influences(game, torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="a density of more than 0 and less than 1, got 1"):
        influences(game, density=torch.tensor([1.0]).double())
