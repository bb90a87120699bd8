"""Synthetic games against literal loops over coalitions."""

import itertools

import pytest
import torch

from harsanyi.data import SyntheticGame, constant, majority, or_of, planted, polynomial, product, xor

GAMES = [
    polynomial(),
    or_of(3, 5),
    xor(5),
    majority(),
    product([0.5, -2.0, 3.0, 1.5]),
    constant(-1.5, 4),
    planted(6, seed=3),
    planted(3, and_terms=7, or_terms=7, seed=0),
]


def coalitions_in_index_order(n):
    """Player 0 is the most significant bit: the last player alternates fastest."""
    return [frozenset(i for i in range(n) if bits[i]) for bits in itertools.product([0, 1], repeat=n)]


def literal_value(game, present):
    return sum(w for s, w in game.and_effects.items() if set(s) <= present) + sum(
        w for s, w in game.or_effects.items() if set(s) & present
    )


@pytest.mark.parametrize("game", GAMES, ids=lambda game: f"{game.name}/{game.n}")
def test_table_is_the_literal_sum_of_terms(game):
    expected = [literal_value(game, present) for present in coalitions_in_index_order(game.n)]
    torch.testing.assert_close(
        game.table(), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("game", GAMES, ids=lambda game: f"{game.name}/{game.n}")
def test_dividends_are_the_moebius_transform_of_the_table(game):
    order = coalitions_in_index_order(game.n)
    v = dict(zip(order, game.table().tolist(), strict=True))
    expected = [sum((-1) ** (len(s) - len(t)) * v[t] for t in order if t <= s) for s in order]
    torch.testing.assert_close(
        game.dividends(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


def test_polynomial_term_by_term():
    x = dict(zip(coalitions_in_index_order(6), polynomial().table().tolist(), strict=True))
    assert x[frozenset({0})] == 3
    assert x[frozenset({1, 2})] == -2
    assert x[frozenset({2, 3, 4})] == -1
    assert x[frozenset({3, 5})] == 5
    assert polynomial().dividends().count_nonzero() == 4


def test_planted_effects_are_distinct_signed_and_far_from_zero():
    game = planted(8, and_terms=12, or_terms=5, seed=7)
    assert (len(game.and_effects), len(game.or_effects)) == (12, 5)
    effects = [*game.and_effects.values(), *game.or_effects.values()]
    assert all(0.5 <= abs(effect) <= 2 for effect in effects)
    assert {effect > 0 for effect in effects} == {True, False}
    assert game.and_effects == planted(8, 12, 5, seed=7).and_effects
    assert game.and_effects != planted(8, 12, 5, seed=8).and_effects


def test_scores_follow_the_game_protocol():
    game = or_of(2, 3)
    coalitions = torch.tensor([[False, True, False], [False, False, True]])
    scores = game.scores(torch.zeros(2, dtype=torch.int64), coalitions)
    assert scores.tolist() == [1.0, 0.0]
    assert scores.dtype == torch.float64
    assert (game.n, game.games, game.device) == (3, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SyntheticGame(2, {(0, 2): 1.0}), r"distinct players of 0\.\.1"),
        (lambda: SyntheticGame(2, {(0, 0): 1.0}), "distinct players"),
        (lambda: SyntheticGame(2, {}, {(): 1.0}), "OR effect of the empty coalition"),
        (lambda: planted(3), "at most 7 terms, the coalitions of 3 players; got 10"),
        (lambda: xor(3).value(torch.ones(1, 2, dtype=torch.bool)), r"expected bool coalitions \(batch, 3\)"),
        (lambda: xor(3).value(torch.ones(1, 3)), "got torch.float32"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
