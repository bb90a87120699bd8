"""Designs and decoders of group testing, against loops over players and tests."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.interactions.many_players.group_testing import (
    certain_players,
    constant_weight_design,
    outcomes,
    possible_players,
    usual_weight,
)


@given(st.integers(1, 8), st.integers(1, 9), st.integers(0, 10**6), st.data())
def test_decoders_bound_the_coalition_from_both_sides(tests, players, seed, data):
    design = constant_weight_design(tests, players, data.draw(st.integers(1, tests)), seed)
    members = data.draw(st.sets(st.integers(0, players - 1)))
    coalition = torch.tensor([i in members for i in range(players)])
    found = outcomes(design, coalition[None])[0]
    groups = [{i for i in range(players) if row[i]} for row in design.tolist()]
    assert found.tolist() == [bool(group & members) for group in groups]
    possible = {i for i in range(players) if not any(i in g and not g & members for g in groups)}
    assert set(possible_players(design, found).nonzero().flatten().tolist()) == possible
    certain = {next(iter(g & possible)) for g in groups if g & members and len(g & possible) == 1}
    assert set(certain_players(design, found).nonzero().flatten().tolist()) == certain
    assert certain <= members <= possible


def test_each_player_is_in_equally_many_tests():
    design = constant_weight_design(12, 50, 3, seed=4)
    assert design.sum(0).tolist() == [3] * 50
    assert torch.equal(design, constant_weight_design(12, 50, 3, seed=4))
    assert not torch.equal(design, constant_weight_design(12, 50, 3, seed=5))


def test_usual_tests_find_half_of_the_coalitions():
    weight = usual_weight(30, 3)
    design = constant_weight_design(30, 200, weight)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(500, 200, generator=generator).argsort(1) < 3
    assert outcomes(design, drawn).double().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("weight", [0, 5])
def test_weights_beyond_the_tests(weight):
    with pytest.raises(ValueError, match=f"expected a weight of 1 to 4, .* got {weight}"):
        constant_weight_design(4, 6, weight)
