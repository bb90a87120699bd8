"""Boundary redundancy: known lengths of rings, by a true and a trained classifier, and crossings by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from harsanyi.analyses.fine_coarse.redundancy import (
    boundary_redundancy,
    crossing_counts,
    isotropic_chords,
    sample_segments,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.data.circles import Circles
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.training.stack import accuracies

# What the estimator promises on rings.
CLOSE = 0.05
RINGS = [Circles.with_redundancy(6, share) for share in (0.0, 0.2, 0.4, 0.6, 0.8)]


@pytest.mark.parametrize("circles", RINGS, ids=lambda one: f"{one.redundancy:.2f}")
def test_chords_with_the_true_classifier(circles):
    found = boundary_redundancy(circles.fine, isotropic_chords(2000, seed=0), torch.tensor(circles.coarse))
    row = found.iloc[0]
    assert row.value == pytest.approx(circles.redundancy, abs=CLOSE)
    assert row.low <= row.value <= row.high
    assert row.high - row.low < 2 * CLOSE
    assert row.games == 2000


@pytest.fixture(scope="module")
def trained():
    """A network that has learned six rings from the plane."""
    points, labels = RINGS[0].sample(3000, seed=1)
    rows = torch.arange(3000)[None]
    recipe = StackRecipe(64, rates=(0.2, 0.02), momentum=0.9, steps=5000, check=500)
    samples = StackSamples(points.float(), labels, rows[:, :2400], rows[:, 2400:])
    stack = train_stack(samples, recipe, [0], outputs=6).stack
    assert accuracies(stack, points.float(), labels).item() > 0.85
    return lambda x: stack.logits(x.float())[0].argmax(-1)


@pytest.mark.parametrize("circles", RINGS, ids=lambda one: f"{one.redundancy:.2f}")
def test_chords_with_a_trained_classifier(circles, trained):
    found = boundary_redundancy(trained, isotropic_chords(2000, seed=0), torch.tensor(circles.coarse))
    assert found.value[0] == pytest.approx(circles.redundancy, abs=CLOSE)


def test_pairs_of_samples_weigh_by_what_they_part():
    """Not by length: for a circle, by the mean number of crossings, by quadrature here."""
    circles = Circles((0, 0, 1))
    pairs = sample_segments(circles.sample(4000, seed=0)[0], 20_000, seed=0)
    found = boundary_redundancy(
        circles.fine, pairs, torch.tensor(circles.coarse), bootstrap=Bootstrap(resamples=200)
    ).value[0]
    assert found > circles.redundancy + 2 * CLOSE

    def density(r):  # of the radius, classes as likely
        return sum(2 * r / (2 * k + 1) * 3 for k in range(3) if k / 3 <= r < (k + 1) / 3)

    def crossings(circle, one, other):
        """Of a circle by the segment between radii, mean over the angle between them."""
        if (one < circle) != (other < circle):
            return 1.0
        if one < circle:
            return 0.0
        # Seen from outside: two crossings where the angle exceeds that of both tangents.
        return 2 * (1 - (math.acos(circle / one) + math.acos(circle / other)) / math.pi)

    nodes = (np.arange(240) + 0.5) / 240
    weights = np.array([density(r) for r in nodes]) / 240
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    inner, outer = (
        sum(
            weights[i] * weights[j] * crossings(circle, nodes[i], nodes[j])
            for i in range(240)
            for j in range(240)
        )
        for circle in (1 / 3, 2 / 3)
    )
    # Some 27,000 crossings: a standard error of 0.3%; four of them, and the midpoint rule's.
    assert found == pytest.approx(inner / (inner + outer), abs=0.015)


def test_crossings_of_uniform_lines_go_with_length():
    """A chord of the unit disc crosses a circle of radius r 2 r times in the mean, whatever the direction."""
    chords = isotropic_chords(20_000, seed=1)
    _, crossings = crossing_counts(lambda x: (x.norm(dim=1) < 0.7).long(), chords, torch.tensor([0, 1]), 400)
    assert crossings.mean() == pytest.approx(1.4, abs=0.03)  # error 0.9/√20000, and lines that graze
    shifted = torch.tensor([0.3, 0.4], dtype=torch.float64)
    _, aside = crossing_counts(
        lambda x: ((x - shifted).norm(dim=1) < 0.3).long(), chords, torch.tensor([0, 1]), 400
    )
    assert aside.mean() == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_chords_end_on_the_sphere_and_pass_as_far_as_uniform_lines_do(dimensions):
    chords = isotropic_chords(20_000, seed=2, dimensions=dimensions, radius=2.0)
    assert chords.norm(dim=-1).numpy() == pytest.approx(2.0, abs=1e-9)
    length = (chords[:, 1] - chords[:, 0]).norm(dim=1)
    # Mean chord of a ball: 2 ∫ √(1 − s²) (d − 1) s^(d−2) ds.
    mean, _ = integrate.quad(
        lambda s: 2 * math.sqrt(1 - s * s) * (dimensions - 1) * s ** (dimensions - 2), 0, 1
    )
    assert length.mean().item() == pytest.approx(2 * mean, abs=0.03)


def test_crossings_by_hand():
    ends = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [0.5, 9.0]], [[3.5, 0.0], [0.5, 0.0]]])
    redundant, crossings = crossing_counts(
        lambda x: x[:, 0].long().clamp(max=3), ends, torch.tensor([5, 5, 0, 5])
    )
    assert crossings.tolist() == [3, 0, 3]
    assert redundant.tolist() == [1, 0, 1]
    none = boundary_redundancy(
        lambda x: torch.zeros(len(x)).long(), ends, torch.tensor([0, 1]), bootstrap=Bootstrap(resamples=20)
    ).iloc[0]
    assert np.isnan([none.value, none.low, none.high]).all()
    assert none.crossings == 0


def test_pairs_are_different_samples():
    pairs = sample_segments(torch.arange(3.0)[:, None], 3000, seed=0)[..., 0]
    assert (pairs[:, 0] != pairs[:, 1]).all()
    ordered = [(i, j) for i in range(3) for j in range(3) if i != j]
    counts = [int(((pairs[:, 0] == i) & (pairs[:, 1] == j)).sum()) for i, j in ordered]
    assert counts == pytest.approx([500] * 6, abs=90)  # four standard errors


def test_bad_segments(unchecked):
    with pytest.raises(ValueError, match=r"expected segments \(count, 2, features\)"):
        boundary_redundancy(lambda x: x, torch.zeros(3, 1, 2), torch.tensor([0]))
    segments = torch.zeros(3, 2, 2)
    with pytest.raises(ValueError, match="2 points or more"):
        boundary_redundancy(lambda x: x[:, 0].long(), segments, torch.tensor([0]), points=1)
    with pytest.raises(ValueError, match="the classifier answered 7 to 7"):
        boundary_redundancy(lambda x: x[:, 0].long() + 7, segments, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="two samples"):
        sample_segments(torch.zeros(1, 2), 3, seed=0)
    with pytest.raises(ValueError, match="2 dimensions"):
        isotropic_chords(3, 0, dimensions=1)
