"""Pools of labelled samples for small networks, and their classes in two halves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import cross_val_predict
from torch import Tensor
from torch.nn.functional import avg_pool2d

from harsanyi.data import fashion_mnist

TORCHVISION = ("MNIST", "KMNIST", "FashionMNIST", "CIFAR10")
DIGITS_TEST = 597  # of the 1,797 digits, the last


@dataclass(frozen=True, eq=False)
class Pool:
    """Samples to draw training sets from, and test samples; labels are of the fine classes.

    Attributes:
        name: for files and tables.
        inputs: of the pool, with mean 0 and variance 1 over all of their numbers.
        labels: of the pool, numbered from 0.
        test_inputs, test_labels: shifted and scaled as the pool.
    """

    name: str
    inputs: Float32[Tensor, "pool features"]
    labels: Int64[Tensor, " pool"]
    test_inputs: Float32[Tensor, "test features"]
    test_labels: Int64[Tensor, " test"]

    @property
    def classes(self) -> int:
        """The number of fine classes."""
        return int(self.labels.max()) + 1


def standardised(
    name: str, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray, test_labels: np.ndarray
) -> Pool:
    """Shift and scale all inputs by two numbers, to mean 0 and variance 1 over the inputs of the pool.

    Args:
        name: of the pool.
        inputs: numbers `(pool, features)`.
        labels: of the inputs, numbers of fine classes `(pool,)`.
        test_inputs, test_labels: `(test, features)` and `(test,)`; shifted and scaled as the pool.

    Returns:
        the pool, inputs in float32 and labels in int64.

    >>> two = np.array([[0.0], [2.0]]), np.arange(2)
    >>> standardised("two", *two, np.array([[3.0]]), np.zeros(1)).test_inputs
    tensor([[2.]])
    """
    mean, scale = inputs.mean(), inputs.std()
    scaled = [torch.from_numpy((part - mean) / scale).float() for part in (inputs, test_inputs)]
    targets = [torch.from_numpy(np.asarray(part)).long() for part in (labels, test_labels)]
    return Pool(name, scaled[0], targets[0], scaled[1], targets[1])


def digits() -> Pool:
    """scikit-learn's 8 × 8 digits: 1,200 to draw from, the last 597, of other writers in part, to test.

    >>> digits().inputs.shape, digits().classes
    (torch.Size([1200, 64]), 10)
    """
    images, labels = load_digits(return_X_y=True)
    pool, test = slice(None, -DIGITS_TEST), slice(-DIGITS_TEST, None)
    return standardised("digits", images[pool], labels[pool], images[test], labels[test])


def clothes() -> Pool:
    """The bundled Fashion-MNIST, 14 × 14 by means of four pixels: 3,200 to draw from and 800 to test.

    >>> clothes().inputs.shape
    torch.Size([3200, 196])
    """
    parts: list[np.ndarray] = []
    for inputs in (fashion_mnist("train"), fashion_mnist("test")):
        images = np.stack([np.asarray(image, dtype=np.float32) for image in inputs.items])
        parts += [_quartered(images), inputs.labels["fine"]]
    return standardised("clothes", *parts)


def torchvision_pool(name: str, root: str | Path) -> Pool:
    """MNIST, KMNIST, FashionMNIST or CIFAR10 out of torchvision's files; nothing is downloaded.

    Four pixels become one, their mean; colours stay apart.

    Args:
        name: of the data set.
        root: torchvision's folder.

    Raises:
        ValueError: for another data set, or missing files.
    """
    if name not in TORCHVISION:
        raise ValueError(f"expected one of {', '.join(TORCHVISION)}, got {name!r}")
    import torchvision

    parts: list[np.ndarray] = []
    for train in (True, False):
        try:
            samples = getattr(torchvision.datasets, name)(str(root), train=train, download=False)
        except RuntimeError as error:
            raise ValueError(
                f"{name} is not under {root}: fetch it once with "
                f"torchvision.datasets.{name}({str(root)!r}, download=True)"
            ) from error
        images = np.asarray(samples.data, dtype=np.float32)
        parts += [_quartered(images), np.asarray(samples.targets)]
    return standardised(name, *parts)


def halvings(pool: Pool) -> dict[str, tuple[int, ...]]:
    """Two groupings of the classes into halves: the most confused classes together, and apart.

    Confusions are those of a logistic regression on the pool, five-fold cross-validated, counted both ways.
    Of all halvings "together" has the fewest confusions across the halves and "apart" the most. With an odd
    number of classes the first half is the smaller. Class 0 is in group 0.

    >>> groupings = halvings(digits())
    >>> {name: sum(coarse) for name, coarse in groupings.items()}
    {'together': 5, 'apart': 5}
    """
    probe = LogisticRegression(C=0.01, max_iter=500)
    labels = pool.labels.numpy()
    answers = cross_val_predict(probe, pool.inputs.numpy(), labels, cv=5)
    confusions = confusion_matrix(labels, answers)
    return {"together": _halving(confusions, -1), "apart": _halving(confusions, 1)}


def confused_across(confusions: np.ndarray, coarse: Sequence[int]) -> int:
    """Confusions of classes with different coarse labels.

    >>> confused_across(np.array([[9, 2], [3, 9]]), [0, 1])
    5
    """
    labels = np.asarray(coarse)
    return int(confusions[labels[:, None] != labels].sum())


def _halving(confusions: np.ndarray, sign: int) -> tuple[int, ...]:
    """The halving with the most (sign 1) or fewest (−1) confusions across; class 0 is in half 0."""
    classes = len(confusions)
    halves = combinations(range(classes), classes // 2)
    options = [tuple(int((k in half) != (0 in half)) for k in range(classes)) for half in halves]
    return max(options, key=lambda coarse: sign * confused_across(confusions, coarse))


def _quartered(images: np.ndarray) -> np.ndarray:
    """Means of four pixels of images (count, side, side) or (count, side, side, colours), flattened."""
    planes = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2)
    return avg_pool2d(planes, 2).flatten(1).numpy()
