"""Inputs with labels, the bundled Fashion-MNIST subset, games and tasks with known answers."""

from data.circles import Circles
from data.fashion_mnist import fashion_mnist, fashion_mnist_path
from data.hierarchies import LabelHierarchy, Level
from data.inputs import Inputs
from data.load import load
from data.patches import PatchSamples, PatchTask
from data.patterns import Pattern, PatternTask
from data.synthetic import (
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
