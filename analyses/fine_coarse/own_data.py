"""A user's own data for small networks: inputs as numbers, and every finer level of the target's classes."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from harsanyi import models
from harsanyi.analyses.fine_coarse.pool import Pool, standardised
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.granularity.labels import cached_features, renumber_labels
from harsanyi.analyses.study.games import device_named
from harsanyi.data import Inputs, load
from harsanyi.data.clusterings import kmeans_hierarchy
from harsanyi.data.hierarchies import LabelHierarchy

FEATURES = "features"  # the folder of cached features


@dataclass(frozen=True, eq=False)
class FineLevel:
    """Samples labelled on a level below the target.

    Attributes:
        name: of the level: its column, or "k-means".
        pool: the samples. A test sample has the first class of this level within its class of the target:
            only the latter is asked for, and the data need not say the former.
        groups: the target's class of each class of the level.
    """

    name: str
    pool: Pool
    groups: tuple[int, ...]


def fine_levels(study: FineCoarse) -> list[FineLevel]:
    """Every level of a study that is finer than its target, from many classes to few.

    Raises:
        ValueError: for columns that are not there, are no finer than the target or do not lie within its
            classes; for sizes larger than the data, and for no level at all.
    """
    train, test = _loaded(study)
    if too_many := [size for size in study.sizes if size > len(train)]:
        raise ValueError(f"--sizes has {too_many[0]}: {study.data} holds {len(train)} samples")
    columns = _finer_columns(study, train)
    grouped = {
        name: (train.labels[name], LabelHierarchy.from_columns(train, [name, study.target]))
        for name in columns
    }
    levels = [(name, labels, level.groups(study.target)) for name, (labels, level) in grouped.items()]
    inputs, test_inputs = _numbers(study, train, test)
    if study.subclasses:
        levels.append(("k-means", *_subclasses(study, train, inputs)))
    target = test.labels[study.target]
    return [
        FineLevel(
            name,
            standardised(name, inputs, labels, test_inputs, _first_within(groups)[target]),
            tuple(groups.tolist()),
        )
        for name, labels, groups in levels
    ]


def _loaded(study: FineCoarse) -> tuple[Inputs, Inputs]:
    """Training and test samples, whose target is numbered alike."""
    names = {name: getattr(study, name) for name in ("image_column", "text_column", "label_columns")}
    train, test = (load(path, **names) for path in (study.data, study.test_data))
    _, classes = train.level(study.target)
    if len(classes) < 2:
        raise ValueError(f"{study.target!r} has one class, {classes[0]}: expected two or more to tell apart")
    target, classes = test.level(study.target)
    alone = replace(
        test,
        labels={study.target: target},
        classes={study.target: classes},
        orders={study.target: test.orders[study.target]},
    )
    return train, renumber_labels(alone, train)


def _finer_columns(study: FineCoarse, train: Inputs) -> list[str]:
    """The columns to train on, from many classes to few."""
    target = len(train.classes[study.target])
    columns = study.columns if study.columns is not None else tuple(train.classes)
    finer = [name for name in columns if len(train.level(name)[1]) > target]
    if study.columns is not None and (coarse := [name for name in columns if name not in finer]):
        raise ValueError(
            f"--columns has {coarse[0]} of {len(train.classes[coarse[0]])} classes, and {study.target} has "
            f"{target}: expected more"
        )
    if not finer and not study.subclasses:
        raise ValueError(
            f"no label column of {study.data} is finer than {study.target}, which has {target} classes (of "
            f"{', '.join(train.classes)}): give --subclasses 5 to find fine classes by k-means"
        )
    return sorted(finer, key=lambda name: -len(train.classes[name]))


def _first_within(groups: np.ndarray) -> np.ndarray:
    """The first fine class of each class of the target."""
    return np.unique(groups, return_index=True)[1]


def _subclasses(study: FineCoarse, train: Inputs, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """k-means clusters within the target's classes: the labels, and the class of each cluster."""
    target, classes = train.level(study.target)
    smallest = np.bincount(target, minlength=len(classes)).min()
    if smallest < study.subclasses:
        raise ValueError(
            f"--subclasses is {study.subclasses}, and a class of {study.target} has {smallest} training "
            "samples: expected as many as clusters, or more"
        )
    count = study.subclasses * len(classes)
    found = kmeans_hierarchy(inputs, target, [count], aligned=True, seed=0)
    labels = found.labels[str(count)]
    first = np.unique(labels, return_index=True)[1]
    return labels, target[first]


def _numbers(study: FineCoarse, train: Inputs, test: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """The training and the test samples as numbers `(samples, features)`."""
    if train.kind != test.kind:
        raise ValueError(
            f"{study.data} holds {train.kind} and {study.test_data} {test.kind}: expected one kind"
        )
    if study.features is not None:
        network = models.load(study.features).to(device_named(study.device))
        folder = study.out / FEATURES
        return cached_features(folder, network, train), cached_features(folder, network, test)
    if train.kind != "image":
        raise ValueError("sentences have no pixels: give --features, a network that reads them")
    images, test_images = (_pixels(part, study.pixels) for part in (train, test))
    if all((part == part[..., :1]).all() for part in (images, test_images)):  # grey
        images, test_images = images[..., :1], test_images[..., :1]
    return images.reshape(len(images), -1) / 255, test_images.reshape(len(test_images), -1) / 255


def _pixels(inputs: Inputs, side: int) -> np.ndarray:
    """Images resized by the means of areas, `(samples, side, side, colours)`, float32 from 0 to 255."""
    resized = (image.convert("RGB").resize((side, side), Image.Resampling.BOX) for image in inputs.items)
    return np.stack([np.asarray(image) for image in resized]).astype(np.float32)


def groups_of(level: FineLevel) -> torch.Tensor:
    """The target's class of each class of a level, as a tensor."""
    return torch.tensor(level.groups)
