"""Label sets without a taxonomy: clusters planted in space, lots and moves counted."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data.alignment import nmi
from harsanyi.data.clusterings import (
    SampleLevels,
    kmeans_hierarchy,
    misaligned,
    one_per_sample,
    random_labels,
    renumber,
    shuffled_labels,
)
from harsanyi.data.hierarchies import LabelHierarchy


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of 6 blobs far apart, the blob of each sample, and a target of 3 classes, 2 blobs each."""
    rng = np.random.default_rng(0)
    blobs = rng.permutation(np.repeat(np.arange(6), 20))
    centres = 100 * np.eye(6)
    return centres[blobs] + rng.normal(size=(120, 6)), blobs, blobs // 2


def same_parting(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label vectors part the samples alike, compared pair by pair."""
    return bool(((a[:, None] == a) == (b[:, None] == b)).all())


@pytest.mark.parametrize("aligned", [False, True])
def test_planted_blobs_are_found(planted, aligned):
    features, blobs, target = planted
    levels = kmeans_hierarchy(features, target, [6, 3], aligned=aligned, seed=0)
    assert levels.classes == {"6": 6, "3": 3}
    assert same_parting(levels.labels["6"], blobs)
    if aligned:
        assert same_parting(levels.labels["3"], target)


def test_aligned_clusters_lie_within_classes(planted):
    features, blobs, _ = planted
    target = blobs % 2  # the classes cut across space
    levels = kmeans_hierarchy(features, target, [4, 12], aligned=True, seed=1)
    table = levels.table(target)
    assert table.purity.tolist() == [1, 1]
    for labels in levels.labels.values():
        inside = pd.DataFrame({"label": labels, "target": target}).groupby("target").label.nunique()
        assert inside.nunique() == 1


def test_unaligned_clusters_do_not_know_the_classes(planted):
    features, blobs, target = planted
    across = kmeans_hierarchy(features, np.zeros_like(target), [5], aligned=False, seed=3)
    knowing = kmeans_hierarchy(features, target, [5], aligned=False, seed=3)
    assert (across.labels["5"] == knowing.labels["5"]).all()
    assert across.table(blobs).purity[0] < 1  # five clusters of six blobs


def test_seeds_and_single_precision(planted):
    features, _, target = planted
    first, again = (kmeans_hierarchy(features, target, [9], aligned=True, seed=s).labels["9"] for s in (0, 0))
    assert (first == again).all()
    single = kmeans_hierarchy(features.astype(np.float32), target, [6], aligned=True, seed=0).labels["6"]
    double = kmeans_hierarchy(features, target, [6], aligned=True, seed=0).labels["6"]
    assert same_parting(single, double)


def test_clusters_that_cannot_be(planted):
    features, _, target = planted
    with pytest.raises(ValueError, match="that 3 classes of the task divide, got 4"):
        kmeans_hierarchy(features, target, [4], aligned=True, seed=0)
    with pytest.raises(ValueError, match="121 classes are too many"):
        kmeans_hierarchy(features, target, [121], aligned=False, seed=0)
    with pytest.raises(ValueError, match="2 clusters or fewer of 1 different points"):
        kmeans_hierarchy(np.ones((4, 2)), np.zeros(4, np.int64), [2], aligned=False, seed=0)
    with pytest.raises(ValueError, match="of 119 samples; got shape"):
        kmeans_hierarchy(features, target[1:], [3], aligned=False, seed=0)
    with pytest.raises(ValueError, match="look for NaN"):
        kmeans_hierarchy(np.full((4, 2), np.nan), np.zeros(4, np.int64), [2], aligned=False, seed=0)


@given(st.lists(st.integers(0, 2), min_size=9, max_size=60), st.integers(1, 9), st.integers(0, 99))
def test_lots_are_even(labels, count, seed):
    drawn = random_labels(np.array(labels), count, seed, aligned=False)
    sizes = np.bincount(drawn, minlength=count)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1


@given(st.integers(0, 99))
def test_aligned_lots_lie_within_classes(seed):
    target = np.array([5, 2] * 7 + [5] * 3)  # 10 and 7 samples
    drawn = random_labels(target, 6, seed, aligned=True)
    assert sorted(np.bincount(drawn[target == 2], minlength=6)) == [0, 0, 0, 2, 2, 3]
    assert sorted(np.bincount(drawn[target == 5], minlength=6)) == [0, 0, 0, 3, 3, 4]


def test_lots_say_nothing_of_the_task():
    """For independent labels the expected NMI is about (K − 1)(T − 1) / n (log K + log T): chi-squared."""
    target = np.repeat(np.arange(4), 2500)
    values = [nmi(random_labels(target, 5, seed, aligned=False), target) for seed in range(20)]
    expected = 4 * 3 / 10_000 / (np.log(5) + np.log(4))
    # χ² of 12 degrees of freedom scatters by √(24)/12 = 41%, its mean over 20 seeds by 9%; three times that.
    assert np.mean(values) == pytest.approx(expected, rel=0.28)


def test_lots_that_cannot_be():
    target = np.array([0, 0, 0, 1])
    with pytest.raises(ValueError, match="that 2 classes of the task divide, got 3"):
        random_labels(target, 3, 0, aligned=True)
    with pytest.raises(ValueError, match="2 of them would have to share 1 samples"):
        random_labels(target, 4, 0, aligned=True)
    with pytest.raises(ValueError, match="got 0"):
        random_labels(target, 0, 0, aligned=False)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40), st.integers(0, 9))
def test_shuffled_labels_keep_sizes(pairs, seed):
    labels, within = (np.array(one) for one in zip(*pairs, strict=True))
    assert sorted(shuffled_labels(labels, seed)) == sorted(labels)
    dealt = shuffled_labels(labels, seed, within)
    for one in set(within.tolist()):
        assert sorted(dealt[within == one]) == sorted(labels[within == one])


def test_shuffled_labels_move():
    labels = np.repeat(np.arange(10), 10)
    kept = np.mean([(shuffled_labels(labels, seed) == labels).mean() for seed in range(50)])
    # A sample keeps its label by chance 0.1; 5,000 samples leave ±0.004.
    assert kept == pytest.approx(0.1, abs=0.015)
    with pytest.raises(ValueError, match=r"classes of 100 samples to permute within, got \(99,\)"):
        shuffled_labels(labels, 0, labels[1:])


@given(st.integers(2, 6), st.integers(2, 12), st.floats(0, 1), st.integers(0, 99))
def test_moves_are_counted_and_sizes_kept(groups, each, share, seed):
    before = np.random.default_rng(seed).permutation(np.repeat(np.arange(groups), each))
    wanted = round(share * len(before))
    if wanted == 1:
        with pytest.raises(ValueError, match="1 of .* members cannot all move"):
            misaligned(before, share, seed)
        return
    after = misaligned(before, share, seed)
    moved = int((after != before).sum())
    # With two equal groups an odd number cannot move, so one stays.
    assert moved == wanted or (groups == 2 and moved == wanted - 1)
    assert sorted(after) == sorted(before)


def test_moves_of_uneven_groups_are_in_proportion():
    before = np.repeat([0, 1, 2], [50, 30, 20])
    for seed in range(10):
        after = misaligned(before, 0.4, seed)
        assert np.bincount(before[after != before]).tolist() == [20, 12, 8]


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.6, 0.9])
def test_alignment_after_moves(share):
    """K equal groups, of which 1 − s stay and s go evenly to the others: I = Σ p log (p K)."""
    before = np.repeat(np.arange(20), 500)
    stay, go = 1 - share, share / 19
    information = sum(p * np.log(20 * p) for p in [stay, *[go] * 19] if p)
    # Chance adds (K − 1)² / 2n = 0.018 to the information at most, 0.006 after division by log K.
    assert nmi(misaligned(before, share, 0), before) == pytest.approx(information / np.log(20), abs=0.01)


def test_every_group_is_as_likely_to_be_moved_to():
    """Of four equal groups, a member of one that moves goes to each of the three others alike."""
    before = np.repeat(np.arange(4), 30)
    goals = sum(np.bincount(misaligned(before, 1.0, seed)[before == 0], minlength=4) for seed in range(200))
    assert goals[0] == 0
    # 6,000 moves: ±0.006 is one standard error of a share of a third.
    assert goals[1:] / goals.sum() == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_moves_that_cannot_be():
    before = np.repeat([0, 1], [9, 3])
    with pytest.raises(ValueError, match="12 of 12 members cannot all move"):
        misaligned(before, 1.0, 0)
    with pytest.raises(ValueError, match="from 0 to 1, got 1.5"):
        misaligned(before, 1.5, 0)
    assert misaligned(before, 0.0, 0) is not before


def test_one_per_sample():
    assert SampleLevels({"samples": one_per_sample(7)}).table(np.array([0, 0, 1, 1, 1, 2, 2])).purity[0] == 1
    with pytest.raises(ValueError, match="one sample or more, got 0"):
        one_per_sample(0)


def test_levels_of_a_hierarchy():
    hierarchy = LabelHierarchy.from_maps("abcd", {"half": dict(zip("abcd", "xxyy", strict=True))})
    levels = SampleLevels.from_hierarchy(hierarchy, np.array([3, 0, 0, 2]))
    assert {name: one.tolist() for name, one in levels.labels.items()} == {
        "fine": [2, 0, 0, 1],
        "half": [1, 0, 0, 1],
    }
    expected = hierarchy.table(np.array([0, 1, 2, 3])).columns
    assert levels.table().columns.tolist() == expected.tolist()


def test_label_sets_that_are_none():
    with pytest.raises(ValueError, match="class 1 of label set 'a' has no samples"):
        SampleLevels({"a": np.array([0, 2])})
    with pytest.raises(ValueError, match=r"of the same samples.*\(2,\).*\(1,\)"):
        SampleLevels({"a": np.array([0, 1]), "b": np.array([0])})
    with pytest.raises(ValueError, match="one or more; got {}"):
        SampleLevels({})


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_renumber_leaves_no_gaps(labels):
    closed = renumber(np.array(labels))
    assert sorted(set(closed.tolist())) == list(range(len(set(labels))))
    order = sorted(set(labels))
    assert [order[k] for k in closed] == labels
