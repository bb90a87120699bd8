"""Pretraining labels of a granularity study: the levels of a kind, and what each sample is called there."""

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

Labels = Int64[np.ndarray, " samples"]
# Folder of the study where features are kept.
FEATURES = "features"
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
        return {
            level.name: len(level.classes)
            for hierarchy in _wordnet(study, inputs)
            for level in hierarchy.levels[1:]
        }
    if kind == "per-sample":
        return {"samples": size}
    assert kind in COUNTED
    target = len(inputs.level(study.target)[1])
    counts = [count for count in study.counts if kind != "kmeans-aligned" or count % target == 0]
    if not counts:
        raise ValueError(
            f"--counts has {', '.join(map(str, study.counts))}: kmeans-aligned makes equally many clusters "
            f"in each of {target} classes of {study.target}, so give multiples of {target}, too"
        )
    if beyond := [count for count in counts if count > size]:
        raise ValueError(f"--counts has {beyond[0]}: there are {size} training samples")
    return {str(count): count for count in counts}


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
    finest, _ = inputs.level(columns_of(study, inputs)[0])
    (found,) = (one for one in _wordnet(study, inputs) if level in [other.name for other in one.levels])
    (names,) = (one.classes for one in found.levels if one.name == level)
    return found.map(finest, level), names


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


def renumber_labels(inputs: Inputs, like: Inputs) -> Inputs:
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
    features = kept_features(study.out / FEATURES, clustered, inputs)
    found = kmeans_hierarchy(features, target, [count], aligned=kind == "kmeans-aligned", seed=seed)
    return found.labels[str(count)]


def kept_features(folder: Path, network: Network, inputs: Inputs) -> Float64[np.ndarray, "samples features"]:
    """`features_of`, from the folder where they are there: every number of clusters asks for the same."""
    key = digest(repr(network.preprocessing), network.model.state_dict(), list(inputs.items))
    path = folder / f"{key[:16]}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, features_of(network, inputs))
        partial.replace(path)
    found: Float64[np.ndarray, "samples features"] = np.load(path, allow_pickle=False)
    return found


def features_of(network: Network, inputs: Inputs) -> Float64[np.ndarray, "samples features"]:
    """What enters the network's head, sample by sample."""
    parts = [
        network.features(network.preprocess([inputs.items[i] for i in range(start, stop)]))
        for start in range(0, len(inputs), BATCH)
        if (stop := min(start + BATCH, len(inputs)))
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
    """Read once: every run asks for it."""
    return wordnet_hierarchy(classes, WordNet(folder), hops=sorted(hops), depths=sorted(depths)[::-1])
