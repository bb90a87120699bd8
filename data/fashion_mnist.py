"""The bundled part of Fashion-MNIST: real photographs of clothes, 28 × 28, grey, with two levels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harsanyi.data.inputs import Inputs
from harsanyi.data.load import load

Split = Literal["train", "test"]


def fashion_mnist_path(split: Split) -> Path:
    """The parquet file of a split, for `load` and the command line. ValueError for another split.

    >>> fashion_mnist_path("test").name
    'test.parquet'
    """
    if split not in ("train", "test"):
        raise ValueError(f"the bundled Fashion-MNIST has the splits 'train' and 'test', not {split!r}")
    return Path(__file__).parent / "fashion_mnist_subset" / f"{split}.parquet"


def fashion_mnist(split: Split) -> Inputs:
    """3,200 training or 800 test images of Fashion-MNIST, levels "fine" (10) and "coarse" (4).

    Drawn at random, equally many of each fine class; see data/fashion_mnist_subset/README.md.

    >>> fashion_mnist("train").classes["fine"][:3]
    ('T-shirt/top', 'Trouser', 'Pullover')
    """
    return load(fashion_mnist_path(split))
