"""Whether answers agree with the match of outputs to classes."""

import itertools
from math import comb

import numpy as np
import pytest

from harsanyi.models.classes.agreement import agreement, best_outputs, probability


def test_the_best_assignment_is_that_of_all_permutations():
    """Kuhn's assignment against the literal maximum over all permutations."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        answers, labels = generator.integers(0, 4, 30), generator.integers(0, 4, 30)
        hits = {p: (np.array(p)[labels] == answers).sum() for p in itertools.permutations(range(4))}
        chosen = best_outputs(answers, labels, (0, 1, 2, 3))
        assert hits[chosen] == max(hits.values())
    identity = (0, 1, 2, 3)
    assert best_outputs(np.zeros(8, int), np.array([0, 1, 2, 3] * 2), identity) == identity  # a tie


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_a_network_in_another_order_is_seen(order):
    labels = np.tile([0, 1, 2], 6)
    agreed = agreement(np.array(order)[labels], labels, (0, 1, 2))
    assert (agreed.best_outputs, agreed.best_accuracy, agreed.other_order) == (order, 1.0, True)
    assert agreed.accuracy == np.mean(np.array(order) == np.arange(3))


def test_the_probability_of_so_many_hits():
    for hits, inputs, chance in ((0, 5, 0.3), (3, 7, 0.5), (7, 7, 0.9), (70, 100, 0.25)):
        literal = sum(
            comb(inputs, k) * chance**k * (1 - chance) ** (inputs - k) for k in range(hits, inputs + 1)
        )
        # A sum of at most 100 terms, of which the largest has rounding of some 1e-14.
        assert probability(hits, inputs, chance) == pytest.approx(literal, rel=1e-12)


def test_outputs_beyond_the_classes():
    labels = np.tile([0, 1], 10)
    agreed = agreement(np.array([7, 4])[labels], labels, (0, 1))
    assert (agreed.best_outputs, agreed.other_order) == ((7, 4), True)
    assert not agreement(np.array([7, 4])[labels], labels, (7, 4)).other_order


def test_false_alarms_are_as_rare_as_stated():
    """Networks that answer by lot: at most 1% alarms; 2.5% is three standard errors above that of 400."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), 20)
    alarms = [
        agreement(generator.integers(0, 5, 100), labels, tuple(range(5))).other_order for _ in range(400)
    ]
    assert np.mean(alarms) < 0.025


def test_a_good_network_gives_no_alarm():
    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(4), 25)
    answers = np.where(generator.random(100) < 0.8, labels, generator.integers(0, 4, 100))
    agreed = agreement(answers, labels, (0, 1, 2, 3))
    assert (agreed.other_order, agreed.above_chance, agreed.chance) == (False, True, 0.25)


def test_chance():
    labels = np.repeat(np.arange(4), 25)
    assert not agreement(np.zeros(100, int), labels, (0, 1, 2, 3)).above_chance
    assert agreement(np.array([0, 1]), np.array([0, 1]), (0, 1)).above_chance  # too few for a test
    assert not agreement(np.array([0, 0]), np.array([0, 1]), (0, 1)).above_chance
