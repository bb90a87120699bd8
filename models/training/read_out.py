"""Read-outs: linear probes by which a pretrained backbone answers the labels of another task."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harsanyi.folders import cache_folder, trim
from harsanyi.models.digest import digest
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.loading.weights import save_checkpoint
from harsanyi.reading import parse_json, reading
from harsanyi.shown import first_few

# Enters the key of the cache: change it whenever the same samples would give another read-out.
FIT_METHOD = "logistic regression, lbfgs, C=1, standardised features, 1"
# Layers in the user's cache folder, and their bytes together. 1000 classes of 2048 features take 16 MiB.
MAX_FILES, MAX_BYTES = 500, 2**28


class NotFiniteFeaturesError(ValueError):
    """A network gives NaN for a sample that a read-out is to be fitted on."""


@dataclass(frozen=True)
class ReadOut:
    """A network that answers new classes through a linear layer on its frozen features.

    Attributes:
        network: the backbone with its head replaced.
        accuracy: on the held-out samples, which the layer was not fitted to.
        train_accuracy: on the samples it was fitted to.
        samples: the number of both together.
        cached: whether the layer comes from the cache.
        kept: whether it comes from the file in which it was kept.
        recipe: a digest of all that it was fitted by: weights, inputs, labels and settings. Its last bits
            also depend on the number of threads, of which the recipe knows nothing.
    """

    network: Network
    accuracy: float
    train_accuracy: float
    samples: int
    cached: bool
    kept: bool
    recipe: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the layer as safetensors, for `kept` of :func:`fit_read_out`.

        Args:
            path: of the file.
        """
        head = self.network.require_head()
        layer = nn.Module()
        layer.weight, layer.bias = nn.Parameter(head.weight.flatten(1)), nn.Parameter(head.bias)
        save_checkpoint(
            path,
            layer,
            classes=self.network.classes,
            accuracy=self.accuracy,
            train_accuracy=self.train_accuracy,
            recipe=self.recipe,
        )


def fit_read_out(
    network: Network,
    items: Sequence[Any],
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    *,
    held_out: float = 0.2,
    seed: int = 0,
    batch_size: int = 64,
    cache: str | os.PathLike[str] | None = None,
    kept: str | os.PathLike[str] | None = None,
) -> ReadOut:
    """Fit a logistic regression on what enters the network's head, and put it in the head's place.

    The features are standardised over the training samples, in float64; the standardisation is folded into
    the layer. Of every class the share ``held_out`` (at least one sample) only measures the accuracy. Layers
    are cached as safetensors; in the user's cache folder stay those used last, at most 500 and 256 MiB. Their
    key covers the weights, the features of the first batch (which stand for the code of the model), the
    preprocessed inputs, the labels and the settings.

    Args:
        network: the backbone.
        items: PIL images or sentences.
        labels: numbers into the classes, one an item.
        classes: names, at least two.
        held_out: share of the samples that only measure the accuracy, between 0 and 1.
        seed: of the draw of these samples.
        batch_size: items a forward.
        cache: a folder, instead of harsanyi/read-outs in the user's cache folder (``XDG_CACHE_HOME``).
        kept: a file of `ReadOut.save`. Its layer is taken, bit for bit, if it was fitted by the same recipe.

    Returns:
        a copy of the network with the layer as its head, and its accuracies.

    Raises:
        ValueError: a class has fewer than two samples, or labels, items and classes do not fit together.
        NotFiniteFeaturesError: what enters the head is NaN or infinite for some samples.

    >>> import tempfile
    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> pictures = [Image.new("L", (28, 28), grey) for grey in (0, 10, 20, 230, 240, 250)]
    >>> read_out = fit_read_out(load("small:cnn", "random"), pictures, [0, 0, 0, 1, 1, 1], ["dark", "light"],
    ...                         cache=tempfile.mkdtemp())
    >>> read_out.network.classes, read_out.accuracy
    (('dark', 'light'), 1.0)
    """
    target = check_labels(items, labels, classes)
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}: expected a share between 0 and 1")
    _check_counts(target, classes)
    settings = {"held_out": held_out, "seed": seed, "batch_size": batch_size, "classes": list(classes)}
    recipe = _recipe(network, items, target, settings)
    file = _cache_folder(cache) / f"{_key(recipe, network, items, batch_size)}.safetensors"
    own = None if kept is None else _read_cached(Path(kept), recipe)
    cached = None if own else _read_cached(file)
    if (there := own or cached) is None:
        features = torch.cat(
            [network.features(batch).cpu() for batch in _batches(network, items, batch_size)]
        )
        if count := int((~features.isfinite().flatten(1).all(1)).sum()):
            raise NotFiniteFeaturesError(
                f"{network.name} gives NaN or infinite features for {count} of {len(items)} samples: leave "
                "them out of its read-out"
            )
        held = _hold_out(target, held_out, seed)
        weight, bias = _fit(features.double().numpy()[~held], target[~held])
        right = (features.double() @ weight.T + bias).argmax(dim=1).numpy() == target
        facts: dict[str, Any] = {
            "accuracy": float(right[held].mean()),
            "train_accuracy": float(right[~held].mean()),
        }
        layer = nn.Module()
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        save_checkpoint(file, layer, classes=classes, **facts)
        if cache is None:  # a folder of the user's own may hold other files
            trim(file.parent, MAX_FILES, MAX_BYTES)
    else:
        weight, bias, facts = there
    return ReadOut(
        network.with_head(weight, bias, classes),
        facts["accuracy"],
        facts["train_accuracy"],
        samples=len(items),
        cached=cached is not None,
        kept=own is not None,
        recipe=recipe,
    )


def check_labels(
    items: Sequence[Any], labels: Sequence[int] | np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Refuse labels that are not one for each item, or not the number of a class.

    Args:
        items: PIL images or sentences.
        labels: whole numbers (items,).
        classes: names of the classes.

    Returns:
        the labels, int64 (items,).

    Raises:
        ValueError: for no labels, labels of another shape or type, or outside the classes.
    """
    target = np.asarray(labels)
    if target.shape != (len(items),) or not np.issubdtype(target.dtype, np.integer):
        raise ValueError(
            f"expected {len(items)} whole numbers as labels, one an item, "
            f"but got {target.dtype} {target.shape}"
        )
    if len(target) == 0 or target.min() < 0 or target.max() >= len(classes):
        labels_range = f"{target.min()} to {target.max()}" if len(target) else "none"
        raise ValueError(
            f"expected labels from 0 to {len(classes) - 1} for {len(classes)} classes, but got {labels_range}"
        )
    return target.astype(np.int64)


def _check_counts(target: np.ndarray, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise ValueError(f"a read-out chooses between classes: expected at least 2, but got {len(classes)}")
    counts = np.bincount(target, minlength=len(classes))
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if few:
        raise ValueError(
            f"every class needs 2 samples, one to fit and one to hold out; too few of: {first_few(few)}. "
            "Add samples or leave the class out"
        )


def _hold_out(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which samples are held out: of each class the share, at least one, and never all."""
    generator = np.random.default_rng(seed)
    held = np.zeros(len(target), dtype=bool)
    for label in np.unique(target):
        members = generator.permutation(np.flatnonzero(target == label))
        held[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return held


def _fit(features: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
    """Weight (classes, features) and bias (classes,) in float64, for features that are not standardised."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # A feature that is constant up to rounding holds no information; divided by its spread it would be noise.
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    scale[scale == 0] = np.inf
    from sklearn.linear_model import LogisticRegression  # here, since this import takes a second

    probe = LogisticRegression(max_iter=5000).fit((features - mean) / scale, target)
    weight, bias = probe.coef_, probe.intercept_
    if len(weight) == 1:  # two classes: scikit-learn keeps only the difference of their scores
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scale
    return torch.from_numpy(weight), torch.from_numpy(bias - weight @ mean)


def _batches(network: Network, items: Sequence[Any], batch_size: int) -> Iterator[NetworkInputs]:
    for start in range(0, len(items), batch_size):
        yield network.preprocess(items[start : start + batch_size])


def _recipe(network: Network, items: Sequence[Any], target: np.ndarray, settings: dict[str, Any]) -> str:
    """Of all that a read-out is fitted by, whatever the machine."""
    inputs = [digest(batch) for batch in _batches(network, items, settings["batch_size"])]
    weights = network.model.state_dict()
    return digest(
        FIT_METHOD, repr(network.model), network.head, weights, inputs, target, json.dumps(settings)
    )


def _key(recipe: str, network: Network, items: Sequence[Any], batch_size: int) -> str:
    """Of a recipe, of the code of the model and of the machine's way to add, by the features of a batch."""
    first = network.features(next(_batches(network, items, batch_size)))
    return digest(recipe, version("scikit-learn"), torch.__version__, first)


def _cache_folder(folder: str | os.PathLike[str] | None) -> Path:
    if folder is not None:
        return Path(folder)
    return cache_folder("read-outs")


def _read_cached(file: Path, recipe: str | None = None) -> tuple[Tensor, Tensor, dict[str, Any]] | None:
    """Weight, bias and accuracies of a layer; None for no file, a damaged one, or one of another recipe.

    Args:
        file: of the cache folder, or with a recipe of a study's own.
        recipe: that the layer must be fitted by.
    """
    try:
        with reading(file, "a kept read-out"):
            with safetensors.safe_open(file, "pt") as opened:
                metadata = opened.metadata()
            facts = {n: parse_json(metadata[n]) for n in ("accuracy", "train_accuracy")}
            if recipe is not None and parse_json(metadata["recipe"]) != recipe:
                return None
            layer = load_file(file)
            if recipe is None:  # a file of the cache folder, used now, so that others are removed first
                os.utime(file)
            return layer["weight"], layer["bias"], facts
    except (OSError, ValueError):
        return None
