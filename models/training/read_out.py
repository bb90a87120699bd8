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
from harsanyi.models.training.probes import (
    FIT_METHODS,
    fit_probe,
    hold_out,
    measure_probe,
    require_samples,
)
from harsanyi.models.training.tasks import Labels, Task, check_target
from harsanyi.reading import parse_json, reading

# Layers in the user's cache folder, and their bytes together. 1000 classes of 2048 features take 16 MiB.
MAX_FILES, MAX_BYTES = 500, 2**28


class NotFiniteFeaturesError(ValueError):
    """A network gives NaN for a sample that a read-out is to be fitted on."""


@dataclass(frozen=True)
class ReadOut:
    """A network that answers new classes through a linear layer on its frozen features.

    Attributes:
        network: the backbone with its head replaced.
        accuracy: on the held-out samples, which the layer was not fitted to: the share of right answers; of
            right labels for sets of labels; R² for numbers.
        train_accuracy: the same on the samples it was fitted to.
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
    labels: Labels,
    classes: Sequence[str],
    *,
    task: Task = "classification",
    held_out: float = 0.2,
    seed: int = 0,
    batch_size: int = 64,
    cache: str | os.PathLike[str] | None = None,
    kept: str | os.PathLike[str] | None = None,
) -> ReadOut:
    """Fit a linear probe on what enters the network's head, and put it in the head's place.

    It is a logistic regression (C = 1); for sets of labels one for each label; for numbers a ridge regression
    (alpha = 1). The features are standardised over the training samples, in float64; the standardisation is
    folded into the layer. Of every class the share ``held_out`` (at least one sample) only measures the
    accuracy. Layers are cached as safetensors; in the user's cache folder stay those used last, at most 500
    and 256 MiB. Their key covers the weights, the features of the first batch (which stand for the code of
    the model), the preprocessed inputs, the labels and the settings.

    Args:
        network: the backbone.
        items: PIL images or sentences.
        labels: numbers into the classes, one an item; for other tasks 0 and 1 (items, classes), or numbers.
        classes: names, at least two; one for numbers.
        task: what the labels are: "classification", "multi-label" or "regression".
        held_out: share of the samples that only measure the accuracy, between 0 and 1.
        seed: of the draw of these samples.
        batch_size: items a forward.
        cache: a folder, instead of harsanyi/read-outs in the user's cache folder (``XDG_CACHE_HOME``).
        kept: a file of `ReadOut.save`. Its layer is taken, bit for bit, if it was fitted by the same recipe.

    Returns:
        a copy of the network with the layer as its head, and its accuracies.

    Raises:
        ValueError: a class has fewer than two samples, a label is nearly always there or never, or labels,
            items and classes do not fit together.
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
    target = check_target(task, items, labels, classes)
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}: expected a share between 0 and 1")
    require_samples(task, target, classes)
    settings = {"held_out": held_out, "seed": seed, "batch_size": batch_size, "classes": list(classes)}
    recipe = _recipe(network, items, target, settings, FIT_METHODS[task])
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
        held = hold_out(target, held_out, seed)
        weight, bias = fit_probe(task, features.double().numpy()[~held], target[~held])
        outputs = features.double() @ weight.T + bias
        facts: dict[str, Any] = {
            "accuracy": measure_probe(task, outputs[held], target[held]),
            "train_accuracy": measure_probe(task, outputs[~held], target[~held]),
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


def _batches(network: Network, items: Sequence[Any], batch_size: int) -> Iterator[NetworkInputs]:
    for start in range(0, len(items), batch_size):
        yield network.preprocess(items[start : start + batch_size])


def _recipe(
    network: Network, items: Sequence[Any], target: np.ndarray, settings: dict[str, Any], method: str
) -> str:
    """Of all that a read-out is fitted by, whatever the machine."""
    inputs = [digest(batch) for batch in _batches(network, items, settings["batch_size"])]
    weights = network.model.state_dict()
    return digest(method, repr(network.model), network.head, weights, inputs, target, json.dumps(settings))


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
