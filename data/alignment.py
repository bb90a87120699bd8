"""Agreement of two label vectors of the same samples: mutual information, purity, balance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def nmi(labels: Int64[np.ndarray, " samples"], target: Int64[np.ndarray, " samples"]) -> float:
    """Normalised mutual information, I(labels; target) / ½ (H(labels) + H(target)), from 0 to 1.

    1 where each label vector determines the other, also where both have one class only; 0 where they are
    independent. It describes these samples. With many small classes it is well above 0 by chance alone, so
    read it beside that of random labels of the same counts (`harsanyi.data.clusterings`).

    Raises:
        ValueError: for no samples, or label vectors that are not of one length.

    >>> fine, coarse = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])
    >>> round(nmi(fine, coarse), 4), nmi(coarse, np.array([0, 1, 0, 1]))
    (0.6667, 0.0)
    """
    _check(labels, target)
    from sklearn.metrics import normalized_mutual_info_score  # here, since this import takes a second

    return float(np.clip(normalized_mutual_info_score(target, labels), 0, 1))  # rounding leaves 0 and 1


def purity(labels: Int64[np.ndarray, " samples"], target: Int64[np.ndarray, " samples"]) -> float:
    """Share of samples in their class's most frequent target, Σ_c max_t n_ct / n, from 1/n to 1.

    1 where every class lies within one target, as the classes of a finer level do. It is not symmetric, and
    one class a sample always has purity 1.

    Raises:
        ValueError: for no samples, or label vectors that are not of one length.

    >>> fine, coarse = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])
    >>> purity(fine, coarse), purity(coarse, fine)
    (1.0, 0.5)
    """
    _check(labels, target)
    from sklearn.metrics.cluster import contingency_matrix  # here, since this import takes a second

    return float(contingency_matrix(labels, target).max(axis=1).sum() / len(labels))


def imbalance(labels: Int64[np.ndarray, " samples"], classes: int | None = None) -> float:
    """Samples of the largest class over those of the smallest, 1 or more.

    Args:
        labels: of 0 to classes − 1.
        classes: the number of classes; a class without samples makes the imbalance infinite. By default
            the classes that occur.

    Raises:
        ValueError: for no samples, or labels outside the classes.

    >>> imbalance(np.array([0, 0, 0, 2])), imbalance(np.array([0, 0, 0, 2]), classes=3)
    (3.0, inf)
    """
    counts = class_counts(labels, classes)
    if classes is None:
        counts = counts[counts > 0]
    return float(counts.max() / counts.min()) if counts.min() else float("inf")


def class_counts(
    labels: Int64[np.ndarray, " samples"], classes: int | None = None
) -> Int64[np.ndarray, " classes"]:
    """Samples of each class; without `classes`, as many as the largest label needs.

    Raises:
        ValueError: for no samples, or labels outside 0 to classes − 1.

    >>> class_counts(np.array([0, 0, 2]), classes=4).tolist()
    [2, 0, 1, 0]
    """
    _check(labels, labels)
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        largest = "" if classes is None else classes - 1
        raise ValueError(f"expected labels of 0..{largest}, got {labels.min()}..{labels.max()}")
    return np.bincount(labels, minlength=classes or 0).astype(np.int64)


def labels_row(
    name: str,
    labels: Int64[np.ndarray, " samples"],
    classes: int,
    target: Int64[np.ndarray, " samples"] | None = None,
) -> dict[str, str | int | float]:
    """A label set as a row of a table.

    Args:
        name: of the set.
        labels: of 0 to classes − 1.
        classes: the number of classes.
        target: other labels of the same samples.

    Returns:
        level (the name), classes, samples, least and most (samples of a class), imbalance; with a target
        also nmi and purity. All describe these samples, so they carry no interval.

    Raises:
        ValueError: for no samples, labels outside the classes, a target of another length.

    >>> labels_row("pets", np.array([0, 0, 1]), 2)
    {'level': 'pets', 'classes': 2, 'samples': 3, 'least': 1, 'most': 2, 'imbalance': 2.0}
    """
    counts = class_counts(labels, classes)
    row: dict[str, str | int | float] = {
        "level": name,
        "classes": classes,
        "samples": len(labels),
        "least": int(counts.min()),
        "most": int(counts.max()),
        "imbalance": imbalance(labels, classes),
    }
    return row if target is None else row | {"nmi": nmi(labels, target), "purity": purity(labels, target)}


def _check(labels: Int64[np.ndarray, " samples"], target: Int64[np.ndarray, " samples"]) -> None:
    if labels.ndim != 1 or labels.shape != target.shape or not len(labels):
        raise ValueError(
            "expected two label vectors of one length, at least 1, a label for each sample; got shapes "
            f"{labels.shape} and {target.shape}"
        )
