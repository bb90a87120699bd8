"""Alignment of label vectors against entropies and counts written out, and closed forms."""

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data.alignment import class_counts, imbalance, labels_row, nmi, purity

EXACT = 1e-12
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40)


def entropy(values: list) -> float:
    return -sum(times / len(values) * log(times / len(values)) for times in Counter(values).values())


@given(PAIRS)
def test_nmi_of_entropies(pairs):
    """I = H(a) + H(b) − H(a, b), over the mean entropy."""
    a, b = zip(*pairs, strict=True)
    whole = entropy(list(a)) + entropy(list(b))
    expected = 2 * (whole - entropy(pairs)) / whole if whole else 1.0
    # Differences of entropies of about 1: 1e-12 is thousands of their roundings.
    assert nmi(np.array(a), np.array(b)) == pytest.approx(expected, abs=EXACT)


@given(PAIRS)
def test_purity_of_counts(pairs):
    a, b = (np.array(one) for one in zip(*pairs, strict=True))
    most = [max(Counter(t for s, t in pairs if s == label).values()) for label in set(a.tolist())]
    assert purity(a, b) == pytest.approx(sum(most) / len(pairs), abs=EXACT)


def test_equal_classes_split_evenly():
    """k classes each split into r equal ones: NMI = 2 log k / (log k + log k r), purity 1 and 1/r."""
    fine = np.repeat(np.arange(20), 7)
    coarse = fine // 4
    assert nmi(fine, coarse) == pytest.approx(2 * log(5) / (log(5) + log(20)), abs=EXACT)
    assert purity(fine, coarse) == 1
    assert purity(coarse, fine) == 0.25


def test_names_of_labels_do_not_matter():
    rng = np.random.default_rng(0)
    a, b = rng.integers(6, size=100), rng.integers(4, size=100)
    renamed = rng.permutation(6)[a] * 10
    assert nmi(renamed, b) == pytest.approx(nmi(a, b), abs=EXACT)
    assert purity(renamed, b) == purity(a, b)


def test_imbalance_and_counts():
    labels = np.array([3, 3, 3, 3, 3, 3, 1, 1, 1, 0, 0])
    assert class_counts(labels).tolist() == [2, 3, 0, 6]
    assert imbalance(labels) == 3  # class 2 does not occur, so it is none
    assert imbalance(labels, 4) == float("inf")
    assert imbalance(np.zeros(5, np.int64), 1) == 1


def test_row():
    row = labels_row("level", np.array([0, 0, 0, 1]), 3, np.array([0, 0, 1, 1]))
    assert (row["classes"], row["samples"], row["least"], row["most"]) == (3, 4, 0, 3)
    assert row["purity"] == 0.75


@pytest.mark.parametrize("measure", [nmi, purity])
def test_vectors_of_other_samples(measure):
    with pytest.raises(ValueError, match=r"one length.*\(3,\) and \(2,\)"):
        measure(np.zeros(3, np.int64), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="at least 1"):
        measure(np.zeros(0, np.int64), np.zeros(0, np.int64))


@pytest.mark.parametrize("labels", [[-1, 0], [0, 2]])
def test_labels_outside(labels):
    with pytest.raises(ValueError, match=r"expected labels of 0\.\.1"):
        class_counts(np.array(labels), 2)
