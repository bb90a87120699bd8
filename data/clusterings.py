"""Label sets without a taxonomy: clusters of embeddings, random labels, one class a sample, moved labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from harsanyi.data.alignment import class_counts, labels_row
from harsanyi.data.hierarchies import LabelHierarchy


@dataclass(frozen=True, eq=False)
class SampleLevels:
    """Several label sets of the same samples, to pretrain on; they need not nest.

    Clusters of a whole data set cut across its classes, so there is no map of classes from one level to the
    next as a `LabelHierarchy` has.

    Attributes:
        labels: name → int64 (samples,), of 0 to the number of classes − 1, each of them used.

    Raises:
        ValueError: for no label sets, sets of different lengths, or a class without samples.

    >>> levels = SampleLevels({"2": np.array([0, 0, 1, 1]), "4": np.array([2, 0, 1, 3])})
    >>> dict(levels.classes)
    {'2': 2, '4': 4}
    """

    labels: Mapping[str, Int64[np.ndarray, " samples"]]

    def __post_init__(self) -> None:
        if not self.labels or len({labels.shape for labels in self.labels.values()}) > 1:
            shapes = {name: labels.shape for name, labels in self.labels.items()}
            raise ValueError(f"expected label sets of the same samples, one or more; got {shapes}")
        for name, labels in self.labels.items():
            if len(empty := np.flatnonzero(class_counts(labels) == 0)):
                raise ValueError(f"class {empty[0]} of label set {name!r} has no samples: number them anew")

    @property
    def classes(self) -> dict[str, int]:
        """The number of classes of each label set."""
        return {name: int(labels.max()) + 1 for name, labels in self.labels.items()}

    def table(self, target: Int64[np.ndarray, " samples"] | None = None) -> pd.DataFrame:
        """A row a label set, with the columns of `LabelHierarchy.table`.

        ValueError for a target of another length.

        >>> levels = SampleLevels({"2": np.array([0, 0, 1, 1]), "4": one_per_sample(4)})
        >>> levels.table(np.array([0, 0, 1, 1]))[["classes", "imbalance", "purity"]].to_numpy().tolist()
        [[2.0, 1.0, 1.0], [4.0, 1.0, 1.0]]
        """
        return pd.DataFrame(
            [labels_row(name, labels, self.classes[name], target) for name, labels in self.labels.items()]
        )

    @classmethod
    def from_hierarchy(cls, hierarchy: LabelHierarchy, labels: Int64[np.ndarray, " samples"]) -> SampleLevels:
        """The labels of the samples on every level of a hierarchy; only classes with samples are numbered.

        ValueError for labels outside the finest level.
        """
        names = [level.name for level in hierarchy.levels]
        return cls({name: renumber(hierarchy.map(labels, name)) for name in names})


def kmeans_hierarchy(
    features: Float[np.ndarray, "samples dimensions"],
    labels: Int64[np.ndarray, " samples"],
    counts: Sequence[int],
    *,
    aligned: bool,
    seed: int,
) -> SampleLevels:
    """Label sets from k-means on embeddings, one for each number of clusters, called "100" and so on.

    Each is fitted by itself, so a set of 200 clusters need not refine that of 100. Distances are Euclidean:
    scale embeddings to length 1 first where their angle is what counts. Features are converted to float64.
    The same seed gives the same clusters on the same machine.

    Args:
        features: of the samples.
        labels: their classes in the task.
        counts: numbers of clusters over all samples.
        aligned: clusters within each class, equally many in each, so that a cluster determines the class;
            else over all samples, whatever their class.
        seed: of k-means++; one start, the best of several trials a centre.

    Returns:
        a label set for each number of clusters.

    Raises:
        ValueError: where a class has too few samples for its clusters, or counts do not divide among the
            classes; for features that are not finite or not of these samples.

    >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> halves = np.array([0, 1, 0, 1])
    >>> across, within = (kmeans_hierarchy(features, halves, [2], aligned=a, seed=0) for a in (False, True))
    >>> across.table(halves).purity.tolist(), within.table(halves).purity.tolist()
    ([0.5], [1.0])
    """
    if features.ndim != 2 or len(features) != len(labels) or not np.isfinite(features).all():
        raise ValueError(
            f"expected finite features (samples, dimensions) of {len(labels)} samples; got shape "
            f"{features.shape}: look for NaN and infinities where the shape is right"
        )
    features = features.astype(np.float64)
    return SampleLevels({str(count): _clusters(features, labels, count, aligned, seed) for count in counts})


def random_labels(
    labels: Int64[np.ndarray, " samples"], count: int, seed: int, aligned: bool
) -> Int64[np.ndarray, " samples"]:
    """Random labels of `count` classes, whose sizes differ by one at most.

    Args:
        labels: the samples' classes in the task.
        count: number of random classes.
        seed: of the draw.
        aligned: draw within each class of the task, equally many random classes in each, whose sizes then
            differ by one at most within it only; else over all samples, and the labels hold no information on
            the task.

    Returns:
        the random label of each sample.

    Raises:
        ValueError: where a class has fewer samples than random classes, or these do not divide among the
            classes.

    >>> random_labels(np.array([0, 0, 0, 1, 1, 1]), 2, seed=0, aligned=True).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    rng = np.random.default_rng(seed)
    random = np.empty(len(labels), np.int64)
    for first, rows, each in _pools(labels, count, aligned):
        random[rng.permutation(rows)] = first + np.arange(len(rows)) % each
    return random


def shuffled_labels(
    labels: Int64[np.ndarray, " samples"], seed: int, within: Int64[np.ndarray, " samples"] | None = None
) -> Int64[np.ndarray, " samples"]:
    """A permutation of the labels over the samples; every class keeps its size.

    Args:
        labels: to permute, as clusters.
        seed: of the permutation.
        within: permute within each of these classes, as those of the task; by default over all samples.

    Returns:
        the new label of each sample.

    Raises:
        ValueError: for classes of another number of samples.

    >>> shuffled_labels(np.array([0, 0, 1, 1]), seed=0, within=np.array([0, 0, 1, 1])).tolist()
    [0, 0, 1, 1]
    """
    if within is not None and within.shape != labels.shape:
        raise ValueError(f"expected classes of {len(labels)} samples to permute within, got {within.shape}")
    rng = np.random.default_rng(seed)
    permuted = labels.copy()
    pools = np.zeros_like(labels) if within is None else within
    for pool in np.unique(pools):
        rows = np.flatnonzero(pools == pool)
        permuted[rows] = rng.permutation(labels[rows])
    return permuted


def one_per_sample(n: int) -> Int64[np.ndarray, " samples"]:
    """Labels 0 to n − 1: every sample is a class of its own. ValueError for n below 1.

    >>> one_per_sample(3).tolist()
    [0, 1, 2]
    """
    if n < 1:
        raise ValueError(f"expected one sample or more, got {n}")
    return np.arange(n, dtype=np.int64)


def misaligned(
    groups: Int64[np.ndarray, " members"], share: float, seed: int
) -> Int64[np.ndarray, " members"]:
    """Moves a share of the members to other groups; every group keeps its size.

    The members that move are drawn in proportion to the groups' sizes. They exchange their groups at random,
    and none gets its own back. So `share` is the degree of misalignment, from 0 (the groups) to 1 (no member
    in its group), and neither the number of classes nor the imbalance changes with it. Alignment with the old
    groups
    need not be lowest at 1: with two groups, exchanging all members gives the same partition as exchanging
    none.

    Args:
        groups: of classes (their superclass) or of samples (their label).
        share: of the members to move, 0 to 1, rounded to whole members, to one fewer where a single member
            would remain.
        seed: of the draw.

    Returns:
        the new group of each member.

    Raises:
        ValueError: for a share outside 0 to 1; where too few members move, or more than half of them are of
            one group.

    >>> groups = np.array([0, 0, 0, 1, 1, 1])
    >>> misaligned(groups, 1.0, seed=0).tolist(), int((misaligned(groups, 0.4, seed=0) != groups).sum())
    ([1, 1, 1, 0, 0, 0], 2)
    """
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share of members to move from 0 to 1, got {share}")
    most = round(share * len(groups))
    if not most:
        return groups.copy()
    rng = np.random.default_rng(seed)
    moved, start = groups.copy(), rng.integers(len(groups))
    ordered = np.lexsort((rng.random(len(groups)), groups))
    for count in (most, most - 1):
        rows = ordered[_evenly(len(groups), count, int(start))]
        if count and 2 * np.unique(groups[rows], return_counts=True)[1].max() <= count:
            moved[rows] = _exchange(groups[rows], rng)
            return moved
    raise ValueError(
        f"{most} of {len(groups)} members cannot all move to other groups and keep the groups' sizes: "
        "no group may have more than half of those that move. Choose another share, or more groups"
    )


def renumber(labels: Int64[np.ndarray, " samples"]) -> Int64[np.ndarray, " samples"]:
    """The labels numbered from 0 without gaps, in the same order.

    >>> renumber(np.array([7, 2, 7])).tolist()
    [1, 0, 1]
    """
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _pools(
    labels: Int64[np.ndarray, " samples"], count: int, aligned: bool
) -> list[tuple[int, Int64[np.ndarray, " rows"], int]]:
    """The sets of samples to divide: first new label, rows, and number of new labels of each."""
    pools = renumber(labels) if aligned else np.zeros(len(labels), np.int64)
    sizes = class_counts(pools)
    each, remainder = divmod(count, len(sizes))
    if count < 1 or remainder:
        raise ValueError(
            f"expected a number of classes that {len(sizes)} classes of the task divide, got {count}"
        )
    if sizes.min() < each:
        raise ValueError(
            f"{count} classes are too many: {each} of them would have to share {sizes.min()} samples"
        )
    return [(i * each, np.flatnonzero(pools == i), each) for i in range(len(sizes))]


def _clusters(
    features: Float[np.ndarray, "samples dimensions"],
    labels: Int64[np.ndarray, " samples"],
    count: int,
    aligned: bool,
    seed: int,
) -> Int64[np.ndarray, " samples"]:
    from sklearn.cluster import KMeans  # here, since this import takes a second

    clusters = np.empty(len(labels), np.int64)
    for first, rows, each in _pools(labels, count, aligned):
        if (points := len(np.unique(features[rows], axis=0))) < each:
            raise ValueError(f"expected {each} clusters or fewer of {points} different points, got {count}")
        clusters[rows] = first + KMeans(each, n_init=1, random_state=seed).fit(features[rows]).labels_
    return clusters


def _evenly(n: int, count: int, start: int) -> Int64[np.ndarray, " count"]:
    """`count` of n places, evenly spaced; the start, below n, shifts them by a part of a spacing."""
    return (np.arange(count) * n + start) // max(count, 1)


def _exchange(groups: Int64[np.ndarray, " rows"], rng: np.random.Generator) -> Int64[np.ndarray, " rows"]:
    """Permutes the groups so that every row gets another; no group has more than half of the rows."""
    new = rng.permutation(groups)
    while len(same := np.flatnonzero(new == groups)):
        row = same[0]
        # A partner exists: at most half of the rows are of this group before, as many after, `row` in both.
        partners = np.flatnonzero((new != groups[row]) & (groups != new[row]))
        partner = rng.choice(partners)
        new[[row, partner]] = new[[partner, row]]
    return new
