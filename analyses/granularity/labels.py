"""Pretraining labels of a granularity study: the levels of a kind, and the label of each sample."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

from harsanyi import models
from harsanyi.analyses.granularity.settings import COUNTED, Granularity
from harsanyi.analyses.study.games import device_named
from harsanyi.data import Inputs
from harsanyi.data.clusterings import kmeans_hierarchy, misaligned, one_per_sample, random_labels
from harsanyi.data.hierarchies import LabelHierarchy
from harsanyi.data.wordnet import WordNet, wordnet_hierarchy
from harsanyi.models import Network
from harsanyi.models.digest import digest
from harsanyi.writing import whole

Labels = Int64[np.ndarray, " samples"]
# Folder of a study for cached features.
FEATURES = "features"
BATCH_SIZE = 64  # inputs a forward, for features


def levels_of(study: Granularity, inputs: Inputs, kind: str, size: int) -> dict[str, int]:
    """The levels of a kind of pretraining labels.

    Args:
        study: its columns, counts and target.
        inputs: the training samples.
        kind: of the labels.
        size: training samples of a run.

    Returns:
        the number of classes of each level, by the level's name.

    Raises:
        ValueError: for unknown columns, and for counts that do not fit the samples or the target.
    """
    if kind == "columns":
        return {name: len(inputs.level(name)[1]) for name in columns_of(study, inputs)}
    if kind == "wordnet":
        return {
            level.name: len(level.classes)
            for hierarchy in _wordnet(study, inputs)
            for level in hierarchy.levels[1:]
        }
    if kind == "per-sample":
        return {"samples": size}
    assert kind in COUNTED
    target = len(_target_classes(study, inputs, kind)[1])
    counts = [count for count in study.counts if kind != "kmeans-aligned" or count % target == 0]
    if not counts:
        raise ValueError(
            f"--counts has {', '.join(map(str, study.counts))}: kmeans-aligned makes equally many clusters "
            f"in each of the {target} classes of {study.target}: add multiples of {target}"
        )
    if too_many := [count for count in counts if count > size]:
        raise ValueError(f"--counts has {too_many[0]}: there are {size} training samples")
    return {str(count): count for count in counts}


def columns_of(study: Granularity, inputs: Inputs) -> list[str]:
    """The label columns to pretrain on, by default all, from many classes to few."""
    if study.columns is not None:
        return list(study.columns)
    return sorted(inputs.classes, key=lambda name: -len(inputs.classes[name]))


def stratum_of(study: Granularity, inputs: Inputs) -> str | None:
    """The column over whose classes pretraining samples are drawn evenly.

    The finest one of data of its own: evenly over the target's classes, those with few fine classes would
    give each of them more. Else the target, whose samples they are.
    """
    if not inputs.labels:
        return None
    own = study.pretrain_data is not None or study.target not in inputs.labels
    return columns_of(study, inputs)[0] if own else study.target


def labels_of_classes(
    study: Granularity, kind: str, level: str, inputs: Inputs
) -> tuple[Labels, tuple[str, ...]]:
    """The labels of a column or of a WordNet level.

    Args:
        study: its columns.
        kind: of the labels, "columns" or "wordnet".
        level: one of `levels_of`.
        inputs: the samples.

    Returns:
        the label of each sample, int64 `(samples,)`, and the names of the classes.
    """
    if kind == "columns":
        return inputs.level(level)
    finest, _ = inputs.level(columns_of(study, inputs)[0])
    hierarchies = _wordnet(study, inputs)
    ((hierarchy, classes),) = (
        (hierarchy, cut.classes) for hierarchy in hierarchies for cut in hierarchy.levels if cut.name == level
    )
    return hierarchy.map(finest, level), classes


def pretraining_labels(
    study: Granularity,
    kind: str,
    level: str,
    count: int,
    inputs: Inputs,
    network: Network,
    seed: int,
    misalignment: float = 0.0,
) -> tuple[Labels, tuple[str, ...]]:
    """The pretraining label of each training sample.

    Args:
        study: its target, embedding and folder.
        kind: of the labels.
        level, count: a level of `levels_of` and its number of classes.
        inputs: the training samples.
        network: at the start of the study; its features are clustered unless the study names an embedding.
        seed: of clusters, random labels and moved labels.
        misalignment: share of the labels that are moved to other classes.

    Returns:
        the labels, int64 `(samples,)`, and the names of the classes.
    """
    if kind in ("columns", "wordnet"):
        labels, classes = labels_of_classes(study, kind, level, inputs)
    else:
        labels = _of_samples(study, kind, count, inputs, network, seed)
        # Bare numbers could be mistaken for the target's own classes, where their number is the same.
        classes = tuple(f"{kind} {number}" for number in range(count))
    if misalignment:
        labels = misaligned(labels, misalignment, seed)
    return labels, classes


def renumber_labels(inputs: Inputs, like: Inputs) -> Inputs:
    """The inputs with the labels of each column numbered as in `like`; only common columns remain.

    Args:
        inputs: to test.
        like: to train.

    Raises:
        ValueError: for a class that `like` does not have, or no column in common.
    """
    labels, shared = {}, [name for name in like.labels if name in inputs.labels]
    for name in shared:
        classes, test_classes = like.classes[name], inputs.classes[name]
        if unknown := [label for label in test_classes if label not in classes]:
            raise ValueError(
                f"test samples have classes of {name!r} that training samples do not have: {unknown[:3]}"
            )
        numbers = np.array([classes.index(label) for label in test_classes], np.int64)
        labels[name] = numbers[inputs.labels[name]]
    if not shared:
        raise ValueError(
            f"no label column in common: {list(like.labels)} and, to test, {list(inputs.labels)}"
        )
    return replace(
        inputs,
        labels=labels,
        classes={name: like.classes[name] for name in shared},
        orders={name: like.orders[name] for name in shared},
    )


def _of_samples(
    study: Granularity, kind: str, count: int, inputs: Inputs, network: Network, seed: int
) -> Labels:
    """Labels of single samples, which the classes of other samples do not give."""
    if kind == "per-sample":
        return one_per_sample(len(inputs))
    target, _ = _target_classes(study, inputs, kind)
    if kind == "random":
        return random_labels(target, count, seed, aligned=False)
    if study.embedding is not None:
        network = models.load(study.embedding).to(device_named(study.device))
    features = cached_features(study.out / FEATURES, network, inputs)
    clusters = kmeans_hierarchy(features, target, [count], aligned=kind == "kmeans-aligned", seed=seed)
    return clusters.labels[str(count)]


def _target_classes(study: Granularity, inputs: Inputs, kind: str) -> tuple[Labels, tuple[str, ...]]:
    """The target's classes of the samples; one of all samples where the kind does not depend on them."""
    if kind == "kmeans-aligned" or study.target in inputs.labels:
        return inputs.level(study.target)
    return np.zeros(len(inputs), np.int64), ("",)


def cached_features(
    folder: Path, network: Network, inputs: Inputs
) -> Float64[np.ndarray, "samples features"]:
    """`features_of`, cached in the folder: every number of clusters needs the same features.

    Args:
        folder: of the cache.
        network: whose features are computed.
        inputs: the samples.

    Returns:
        the features, float64 `(samples, features)`.
    """
    key = digest(repr(network.preprocessing), network.model.state_dict(), inputs.items)
    path = folder / f"{key[:16]}.npy"
    if not path.is_file():
        with whole(path) as partial, partial.open("wb") as file:
            np.save(file, features_of(network, inputs))
    features: Float64[np.ndarray, "samples features"] = np.load(path, allow_pickle=False)
    return features


def features_of(network: Network, inputs: Inputs) -> Float64[np.ndarray, "samples features"]:
    """The inputs of the network's head, a row a sample."""
    parts = [
        network.features(network.preprocess([inputs.items[i] for i in range(start, stop)]))
        for start in range(0, len(inputs), BATCH_SIZE)
        if (stop := min(start + BATCH_SIZE, len(inputs)))
    ]
    return torch.cat(parts).cpu().double().numpy()


def _wordnet(study: Granularity, inputs: Inputs) -> list[LabelHierarchy]:
    """The hypernyms of the finest column's classes, by hops and by depth."""
    _, classes = inputs.level(columns_of(study, inputs)[0])
    cuts = [(study.hops, ()), ((), study.depths)]
    return [_hypernyms(classes, *cut, study.wordnet) for cut in cuts if any(cut)]


@cache
def _hypernyms(
    classes: tuple[str, ...], hops: tuple[int, ...], depths: tuple[int, ...], folder: Path
) -> LabelHierarchy:
    """The hierarchy is read once: every run needs it."""
    return wordnet_hierarchy(classes, WordNet(folder), hops=sorted(hops), depths=sorted(depths)[::-1])
