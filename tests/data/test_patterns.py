"""Pattern tasks against literal sums over patterns, and their samples against the shares asked for."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data.patterns import Pattern, PatternTask

TASK = PatternTask(
    7,
    (
        Pattern("and", (2, 0), 2.0, share=0.3),
        Pattern("and", (1, 3, 4), -1.5, share=0.02),
        Pattern("or", (4, 5, 6), 0.75),
        Pattern("xor", (0, 5, 6), 1.25),
        Pattern("and", (0, 2), 0.5),
    ),
)


def literal_target(patterns, x):
    """A sum over patterns of what the words all, any and odd say."""
    total = 0.0
    for pattern in patterns:
        present = [x[player] for player in pattern.players]
        holds = {"and": all(present), "or": any(present), "xor": sum(present) % 2 == 1}
        total += pattern.effect * holds[pattern.kind]
    return total


def literal_table(task):
    """Player 0 is the most significant bit: the last player alternates fastest."""
    states = itertools.product([0, 1], repeat=task.n)
    return torch.tensor([literal_target(task.patterns, x) for x in states], dtype=torch.float64)


PATTERNS = st.builds(
    Pattern,
    st.sampled_from(["and", "or", "xor"]),
    st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True).map(tuple),
    st.integers(-5, 5).map(float),
)


@given(patterns=st.lists(PATTERNS, max_size=5))
def test_game_is_the_literal_target(patterns):
    """Effects are integers, and so every sum is exact."""
    task = PatternTask(5, tuple(patterns))
    assert torch.equal(task.game.table(), literal_table(task))


def test_patterns_over_the_same_players_add_up():
    assert TASK.game.and_effects[0, 2] == 2.5
    # Sums of a dozen float64 terms of size 1.
    torch.testing.assert_close(TASK.game.table(), literal_table(TASK), rtol=0, atol=1e-13)


def test_targets_of_samples_are_literal():
    inputs, targets = TASK.sample(200, seed=3)
    assert inputs.dtype == torch.float32
    assert set(inputs.flatten().tolist()) == {0.0, 1.0}
    expected = [literal_target(TASK.patterns, x) for x in inputs.int().tolist()]
    assert targets.tolist() == pytest.approx(expected, abs=1e-13)


COUNT = 40_000


def within(share, p):
    """Five standard errors of a share of COUNT independent draws: one check in 2 million fails by chance."""
    return abs(share - p) < 5 * math.sqrt(p * (1 - p) / COUNT)


def test_states_have_the_shares_asked_for():
    inputs, _ = TASK.sample(COUNT, seed=0)
    for pattern, p in ((TASK.patterns[0], 0.3), (TASK.patterns[1], 0.02)):
        rows = inputs[:, list(pattern.players)]
        order = len(pattern.players)
        for state in itertools.product([0.0, 1.0], repeat=order):
            share = (rows == torch.tensor(state)).all(1).double().mean().item()
            assert within(share, p if all(state) else (1 - p) / (2**order - 1)), (pattern, state, share)


def test_other_players_are_independent_coin_flips():
    inputs, _ = TASK.sample(COUNT, seed=1)
    for state in itertools.product([0.0, 1.0], repeat=2):
        assert within((inputs[:, 5:] == torch.tensor(state)).all(1).double().mean().item(), 0.25)
    # And of the patterns: what is common and what a coin flip gives are present together by the product.
    together = inputs[:, [0, 2, 5]].all(1).double().mean().item()
    assert within(together, 0.15)


def test_one_seed_one_sample():
    once, again, other = (TASK.sample(50, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_never_and_always(share, expected):
    inputs, _ = PatternTask(3, (Pattern("and", (0, 2), 1.0, share),)).sample(1000, seed=0)
    assert inputs[:, [0, 2]].all(1).double().mean() == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pattern("nand", (0,), 1.0), "expected a pattern of kind and, or, xor; got 'nand'"),
        (lambda: Pattern("or", (), 1.0), 'one player or more in a pattern of kind "or"'),
        (lambda: Pattern("and", (0, 1), 1.0, share=1.5), r"share from 0 to 1 for pattern \(0, 1\), got 1.5"),
        (lambda: Pattern("and", (0, 1), 1.0, share=math.nan), "got nan"),
        (lambda: PatternTask(2, (Pattern("and", (0, 2), 1.0),)), r"distinct players of 0\.\.1"),
        (lambda: PatternTask(2, (Pattern("xor", (1, 1), 1.0),)), "distinct players"),
        (
            lambda: PatternTask(3, (Pattern("and", (0, 1), 1.0, 0.3), Pattern("or", (1, 2), 1.0, 0.1))),
            r"no player in common, got \[1\] in several",
        ),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
