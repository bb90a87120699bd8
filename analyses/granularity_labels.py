"""Pretraining labels of a granularity study: the levels of a kind, and what each sample is called there."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

import models
from analyses.games import device_named
from analyses.granularity import COUNTED, Granularity
from data import Inputs
from data.clusterings import kmeans_hierarchy, misaligned, one_per_sample, random_labels
from data.hierarchies import LabelHierarchy
from data.wordnet import WordNet, wordnet_hierarchy
from models import Network

Labels = Int64[np.ndarray, " samples"]
# Inputs at once, for features.
BATCH = 64


def levels_of(study: Granularity, inputs: Inputs, kind: str, size: int) -> dict[str, int]:
    """The levels of a kind of pretraining labels with their numbers of classes, for so many samples.

    Raises:
        ValueError: for columns that are not there, and counts that cannot be.
    """
    if kind == "columns":
        return {name: len(inputs.level(name)[1]) for name in columns_of(study, inputs)}
    if kind == "wordnet":
        return {level.name: len(level.classes) for level in _wordnet(study, inputs).levels[1:]}
    if kind == "per-sample":
        return {"samples": size}
    assert kind in COUNTED
    target = len(inputs.level(study.target)[1])
    if kind == "kmeans-aligned" and (odd := [count for count in study.counts if count % target]):
        raise ValueError(
            f"--counts has {odd[0]}: kmeans-aligned makes equally many clusters in each of {target} classes "
            f"of {study.target}, so give multiples of {target}"
        )
    if beyond := [count for count in study.counts if count > size]:
        raise ValueError(f"--counts has {beyond[0]}: there are {size} training samples")
    return {str(count): count for count in study.counts}


def columns_of(study: Granularity, inputs: Inputs) -> list[str]:
    """The label columns to pretrain on, by default all, from many classes to few."""
    if study.columns is not None:
        return list(study.columns)
    return sorted(inputs.classes, key=lambda name: -len(inputs.classes[name]))


def labels_of_classes(
    study: Granularity, kind: str, level: str, inputs: Inputs
) -> tuple[Labels, tuple[str, ...]]:
    """The labels of a column or of a WordNet level, and the names of their classes."""
    if kind == "columns":
        return inputs.level(level)
    hierarchy = _wordnet(study, inputs)
    finest, _ = inputs.level(columns_of(study, inputs)[0])
    (names,) = (one.classes for one in hierarchy.levels if one.name == level)
    return hierarchy.map(finest, level), names


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
    """What each training sample is called in pretraining, and the names of all such classes.

    Args:
        kind, level, count: as `levels_of` has them.
        inputs: the training samples.
        network: the study's own at its start, whose features are clustered where no other is named.
        seed: of clusters, lots and moves.
        misalignment: share of the labels that are moved to other classes.
    """
    if kind in ("columns", "wordnet"):
        labels, classes = labels_of_classes(study, kind, level, inputs)
    else:
        labels = _of_samples(study, kind, count, inputs, network, seed)
        # Bare numbers could be taken for the target's own classes, where there are as many of these.
        classes = tuple(f"{kind} {number}" for number in range(count))
    if misalignment:
        labels = misaligned(labels, misalignment, seed)
    return labels, classes


def numbered(inputs: Inputs, like: Inputs) -> Inputs:
    """The inputs with the labels of each column numbered as those of `like`; columns it has not are dropped.

    Raises:
        ValueError: for a class that `like` does not have, or no column in common.
    """
    labels, shared = {}, [name for name in like.labels if name in inputs.labels]
    for name in shared:
        classes, here = like.classes[name], inputs.classes[name]
        if unknown := [one for one in here if one not in classes]:
            raise ValueError(f"test samples have classes of {name!r} that training has not: {unknown[:3]}")
        places = np.array([classes.index(one) for one in here], np.int64)
        labels[name] = places[inputs.labels[name]]
    if not shared:
        raise ValueError(
            f"no label column in common: {list(like.labels)} and, to test, {list(inputs.labels)}"
        )
    return replace(inputs, labels=labels, classes={name: like.classes[name] for name in shared})


def _of_samples(
    study: Granularity, kind: str, count: int, inputs: Inputs, network: Network, seed: int
) -> Labels:
    """Labels that samples have and their classes have not."""
    if kind == "per-sample":
        return one_per_sample(len(inputs))
    target, _ = inputs.level(study.target)
    if kind == "random":
        return random_labels(target, count, seed, aligned=False)
    clustered = network
    if study.embedding is not None:
        clustered = models.load(study.embedding).to(device_named(study.device))
    features = features_of(clustered, inputs)
    found = kmeans_hierarchy(features, target, [count], aligned=kind == "kmeans-aligned", seed=seed)
    return found.labels[str(count)]


def features_of(network: Network, inputs: Inputs) -> Float64[np.ndarray, "samples features"]:
    """What enters the network's head, sample by sample."""
    parts = [
        network.features(network.preprocess([inputs.items[i] for i in range(start, stop)]))
        for start in range(0, len(inputs), BATCH)
        if (stop := min(start + BATCH, len(inputs)))
    ]
    return torch.cat(parts).cpu().double().numpy()


def _wordnet(study: Granularity, inputs: Inputs) -> LabelHierarchy:
    """The hypernyms of the finest column's classes."""
    _, classes = inputs.level(columns_of(study, inputs)[0])
    return _hypernyms(classes, study.hops, study.wordnet)


@cache
def _hypernyms(classes: tuple[str, ...], hops: tuple[int, ...], folder: Path) -> LabelHierarchy:
    """Read once: every run asks for it."""
    return wordnet_hierarchy(classes, WordNet(folder), hops=sorted(hops))
