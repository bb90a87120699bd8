"""Inputs with labels, the bundled Fashion-MNIST subset, games and tasks with known answers."""

from harsanyi.data.circles import Circles
from harsanyi.data.fashion_mnist import fashion_mnist, fashion_mnist_path
from harsanyi.data.hierarchies import LabelHierarchy, Level
from harsanyi.data.inputs import Inputs
from harsanyi.data.load import load
from harsanyi.data.patches import PatchSamples, PatchTask
from harsanyi.data.patterns import Pattern, PatternTask
from harsanyi.data.synthetic import (
    SyntheticGame,
    constant,
    majority,
    or_of,
    planted,
    polynomial,
    product,
    xor,
)

__all__ = [
    "Circles",
    "Inputs",
    "LabelHierarchy",
    "Level",
    "PatchSamples",
    "PatchTask",
    "Pattern",
    "PatternTask",
    "SyntheticGame",
    "constant",
    "fashion_mnist",
    "fashion_mnist_path",
    "load",
    "majority",
    "or_of",
    "planted",
    "polynomial",
    "product",
    "xor",
]
