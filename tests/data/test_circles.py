"""Rings: what is drawn lies where its label says, and redundancy is a share of arc length."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data.circles import Circles


def literal_redundancy(coarse):
    """Lengths of circles, one by one."""
    lengths = [2 * math.pi * k / len(coarse) for k in range(1, len(coarse))]
    shared = [length for k, length in enumerate(lengths, start=1) if coarse[k] == coarse[k - 1]]
    return sum(shared) / sum(lengths)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=9).filter(lambda one: 0 in one))
def test_redundancy_is_a_share_of_length(coarse):
    assert Circles(tuple(coarse)).redundancy == pytest.approx(literal_redundancy(coarse), abs=1e-12)


@given(st.integers(2, 10), st.floats(0, 1))
def test_the_dial_comes_within_half_a_step(rings, wanted):
    found = Circles.with_redundancy(rings, wanted)
    step = 2 / (rings * (rings - 1))
    # At least one circle stays coarse, the smallest of them: one step below 1.
    assert abs(found.redundancy - min(wanted, 1 - step)) <= step / 2 + 1e-9
    assert set(found.coarse) == {0, 1}


def test_of_equal_redundancy_the_evenest():
    found = Circles.with_redundancy(8, 0.5)
    assert sum(found.coarse) == 4
    assert Circles.with_redundancy(8, 1.0).coarse == (0, 1, 1, 1, 1, 1, 1, 1)


def test_points_lie_evenly_in_their_rings():
    circles = Circles((0, 0, 1, 1, 2))
    points, labels = circles.sample(40_000, seed=3)
    assert points.dtype == torch.float64
    radius = points.norm(dim=1)
    assert ((radius * 5).floor() == labels).all()
    # Shares of 8,000 draws have a standard error of 0.2% (rings) and 0.6% (halves); four of them.
    assert np.bincount(labels) / 40_000 == pytest.approx(np.full(5, 0.2), abs=0.008)
    for k in range(5):
        middle = math.sqrt((k**2 + (k + 1) ** 2) / 2) / 5  # as much area inside as outside
        assert (radius[labels == k] < middle).double().mean().item() == pytest.approx(0.5, abs=0.024)
    angle = torch.atan2(points[:, 1], points[:, 0])
    assert angle.cos().mean().item() == pytest.approx(0, abs=0.015)
    assert (angle > 0).double().mean().item() == pytest.approx(0.5, abs=0.01)


def test_one_seed_one_sample():
    one, again, other = (Circles((0, 1)).sample(9, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_outside_is_the_last_ring():
    assert Circles((0, 1, 0)).fine(torch.tensor([[3.0, 4.0], [0.0, 0.0]]).double()).tolist() == [2, 0]


def test_bad_rings():
    for coarse in ((), (0,), (0, 2), (1, 1), (-1, 0)):
        with pytest.raises(ValueError, match="two rings or more, numbered from 0"):
            Circles(coarse)
    for rings, redundancy in ((1, 0.5), (17, 0.5), (4, 1.1), (4, -0.1), (4, float("nan"))):
        with pytest.raises(ValueError, match="2 to 16 rings and a redundancy from 0 to 1"):
            Circles.with_redundancy(rings, redundancy)
