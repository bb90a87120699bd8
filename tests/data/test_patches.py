"""Patch data: what every patch carries, how often, and what a hard sample lacks."""

from dataclasses import replace

import pytest
import torch

from harsanyi.data.patches import COMMON, DISTRACTING, FINE, NOISE, PatchTask

TASK = PatchTask(dimension=20, superclasses=3, subclasses=4, patches=7, common_patches=2, fine_patches=1)
EXACT = PatchTask(20, 3, 4, 7, 2, 1, noise=0.0, spread=0.0, distraction=(0.5, 0.5), dominant=0.0)


def test_literal_samples_without_noise():
    """Patch by patch: each is its feature times α, or nothing."""
    samples = EXACT.sample(60, seed=1, hard=0.5)
    assert 0 < samples.hard.sum() < 60
    for x, coarse, fine, hard, role in zip(
        samples.inputs,
        samples.coarse.tolist(),
        samples.fine.tolist(),
        samples.hard.tolist(),
        samples.role.tolist(),
        strict=True,
    ):
        assert coarse == fine // 4
        assert sorted(role) == [0] * 4 + ([FINE, *[DISTRACTING] * 2] if hard else [COMMON] * 2 + [FINE])
        others = set()
        for patch, carried in zip(x, role, strict=True):
            expected = torch.zeros(20)
            if carried == COMMON:
                expected[coarse] = 1
            elif carried == FINE:
                expected[3 + fine] = 1
            elif carried == DISTRACTING:
                others.add(patch.argmax().item())
                expected[patch.argmax()] = 0.5
            torch.testing.assert_close(patch, expected, rtol=0, atol=0)
        assert others <= {0, 1, 2} - {coarse}
        assert len(others) == hard


def test_literal_mirror_samples_without_noise():
    """The common patches stay; the fine ones carry half of a fine feature of one other superclass."""
    samples = EXACT.sample(60, seed=1, hard=0.3, mirror=0.4)
    assert 0 < samples.mirror.sum() < 60
    assert not (samples.mirror & samples.hard).any()
    plain = EXACT.sample(60, seed=1, hard=0.3)
    kept = ~samples.mirror
    torch.testing.assert_close(samples.inputs[kept], plain.inputs[kept], rtol=0, atol=0)
    for x, coarse, role in zip(
        samples.inputs[samples.mirror],
        samples.coarse[samples.mirror].tolist(),
        samples.role[samples.mirror].tolist(),
        strict=True,
    ):
        assert sorted(role) == [NOISE] * 4 + [COMMON] * 2 + [DISTRACTING]
        for patch, carried in zip(x, role, strict=True):
            if carried == COMMON:
                assert patch.tolist() == [float(axis == coarse) for axis in range(20)]
            if carried == DISTRACTING:
                axis = patch.argmax().item()
                assert patch.tolist() == [0.5 * (place == axis) for place in range(20)]
                assert (axis - 3) // 4 != coarse
                assert axis >= 3


def test_mirror_samples_are_hard_ones_with_the_roles_swapped():
    """With one subclass each, and as many fine as common patches, nothing else tells the two apart."""
    task = PatchTask(8, 4, 1, 5, 2, 2, noise=0.0, spread=0.0, distraction=(0.5, 0.5), dominant=0.0)
    hard, mirror = task.sample(50, 3, hard=1.0), task.sample(50, 3, mirror=1.0)
    swapped = torch.cat([mirror.inputs[..., 4:], mirror.inputs[..., :4]], 2)
    for one, other in zip(hard.inputs.tolist(), swapped.tolist(), strict=True):
        assert sorted(one) == sorted(other)
    assert torch.equal(hard.coarse, mirror.coarse)


def test_features_are_orthonormal():
    features = torch.cat([TASK.common_features, TASK.fine_features])
    torch.testing.assert_close(features @ features.T, torch.eye(15), rtol=0, atol=0)


def test_frequencies():
    """12,000 draws: a probability p is met to 5 standard errors, √(p(1 − p)/12000) each."""
    count = 12_000
    samples = TASK.sample(count, seed=0, hard=0.25)
    assert samples.hard.double().mean().item() == pytest.approx(0.25, abs=5 * (0.1875 / count) ** 0.5)
    for labels, classes in ((samples.coarse, 3), (samples.fine, 12)):
        p = 1 / classes
        shares = torch.bincount(labels, minlength=classes) / count
        assert (shares - p).abs().max().item() < 5 * (p * (1 - p) / count) ** 0.5
    places = (samples.role == FINE).double().mean(0)
    assert (places - 1 / 7).abs().max().item() < 5 * (6 / 49 / count) ** 0.5


def test_noise_and_coefficients():
    """Moments to 5 standard errors; α² of features lies within its spread."""
    task = replace(TASK, noise=0.2, dominant=0.6, spread=0.3)
    samples = task.sample(3000, seed=2, hard=1.0)
    quiet = samples.inputs[..., 15:]  # no feature lies along the last five numbers
    variance = quiet.square().mean().item()
    # One patch of seven has 0.2² + 0.6², the others 0.2²; the fourth moment of the mixture bounds its error.
    fourth = 3 * (0.4**2 / 7 + 0.04**2 * 6 / 7)
    assert variance == pytest.approx(0.04 + 0.36 / 7, abs=5 * (fourth / quiet.numel()) ** 0.5)
    strong = quiet.square().mean(2) > 0.15  # far above 0.04, well below 0.4: of χ² with 5 degrees
    assert (samples.role[strong] == NOISE).double().mean() > 0.95
    silent = replace(task, noise=0.0, dominant=0.0).sample(3000, seed=2)
    squares = silent.inputs[silent.role == COMMON].sum(1).square()
    assert squares.min() >= 0.7 - 1e-6
    assert squares.max() <= 1.3 + 1e-6
    assert squares.mean().item() == pytest.approx(1, abs=5 * (0.3**2 / 3 / len(squares)) ** 0.5)


def test_one_seed_one_sample():
    once, again, other = (TASK.sample(5, seed=seed, hard=0.5) for seed in (1, 1, 2))
    assert torch.equal(once.inputs, again.inputs)
    assert not torch.equal(once.inputs, other.inputs)
    assert torch.equal(once.labels("coarse"), once.coarse)
    assert torch.equal(once.labels("fine"), once.fine)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"superclasses": 1}, "two superclasses or more"),
        ({"subclasses": 0}, "a subclass or more"),
        ({"dimension": 14}, r"superclasses · \(1 \+ subclasses\) = 15"),
        ({"patches": 3}, "a patch of noise beside them; got 3 patches, 2 common and 1 fine"),
        ({"fine_patches": 0}, "common and fine patches"),
        ({"noise": -0.1}, "noise and dominant ≥ 0"),
        ({"dominant": -1.0}, "noise and dominant ≥ 0"),
        ({"spread": 1.5}, "spread from 0 to 1"),
        ({"distraction": (0.5, 0.3)}, "low ≤ high"),
        ({"distraction": (-0.1, 0.3)}, "0 ≤ low"),
    ],
)
def test_bad_tasks(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(TASK, **changed)


def test_bad_questions():
    for hard, mirror in ((0.0, -0.1), (0.0, 1.1), (0.6, 0.6)):
        with pytest.raises(ValueError, match="one of mirror samples that is no more than the rest"):
            TASK.sample(3, seed=0, hard=hard, mirror=mirror)
    for hard in (-0.1, 1.1):
        with pytest.raises(ValueError, match="share of hard samples from 0 to 1"):
            TASK.sample(3, seed=0, hard=hard)
    for ask in (TASK.classes, TASK.sample(1, seed=0).labels):
        with pytest.raises(ValueError, match='level "coarse" or "fine", got \'middle\''):
            ask("middle")
