"""Pictures of three shapes in class folders, and a small network with the loop that trains it."""

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

# The trainers' order of the classes; sorted by name, every class would have another number.
TRAINED = ("square", "circle", "cross")
SIDE = 16
MEAN, STD = 0.5, 0.25
NETWORK = f"""
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()
        )
        self.head = nn.Linear(8 * {SIDE // 4} ** 2, num_classes)

    def forward(self, pixels):
        return self.head(self.features(pixels))


def build(num_classes=3):
    return Net(num_classes)


preprocess = {{"size": ({SIDE}, {SIDE}), "crop": 1.0, "mean": ({MEAN},) * 3, "std": ({STD},) * 3}}
"""


@dataclass(frozen=True)
class Pictures:
    """Class folders `train` and `test` with names of classes, and net.py.

    Attributes:
        folder: of all of them.
    """

    folder: Path

    @property
    def test(self) -> Path:
        """Held-out pictures."""
        return self.folder / "test"

    @property
    def train(self) -> Path:
        """Pictures to train on."""
        return self.folder / "train"

    @property
    def model(self) -> str:
        """The network for --model."""
        return f"{self.folder / 'net.py'}:build"

    def network(self, seed: int = 0) -> nn.Module:
        """The network of net.py with random weights, as a training script imports it."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return runpy.run_path(str(self.folder / "net.py"))["Net"]()

    def files(self, split: str) -> list[tuple[Path, int]]:
        """The files of a split, with the trainers' numbers of their classes."""
        return [
            (file, number)
            for number, name in enumerate(TRAINED)
            for file in sorted((self.folder / split / name).iterdir())
        ]

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Normalised pixels and labels of a split, as a training script reads them."""
        files = self.files(split)
        pixels = [np.asarray(Image.open(file).convert("RGB"), np.float32) / 255 for file, _ in files]
        normalised = (torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) - MEAN) / STD
        return normalised, torch.tensor([number for _, number in files])


def draw_pictures(folder: Path) -> Pictures:
    """Write 60 noisy pictures to train on and 45 to test on; one in nine lies in a wrong folder."""
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    draws = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 45)):
        for i in range(count):
            shape = i % 3
            number = (shape + 1) % 3 if i // 3 % 9 == 4 else shape
            place = folder / split / TRAINED[number]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_picture(shape, draws)).save(place / f"{i:03}.png")
    return Pictures(folder)


def _picture(shape: int, draws: np.random.Generator) -> np.ndarray:
    """A shape somewhere, brighter in a colour of its own."""
    mask = np.zeros((SIDE, SIDE), bool)
    top, left = draws.integers(1, 7, 2)
    rows, columns = np.mgrid[:8, :8] - 3.5
    inside = (
        np.ones((8, 8), bool),
        rows**2 + columns**2 <= 14,
        (abs(rows) < 2) | (abs(columns) < 2),
    )
    mask[top : top + 8, left : left + 8] = inside[shape]
    pixels = draws.integers(40, 170, (SIDE, SIDE, 3))
    pixels[mask, shape] += 45
    return pixels.clip(0, 255).astype(np.uint8)


def train(model: nn.Module, samples: tuple[Tensor, Tensor], optimizer: Any = None, epochs: int = 6) -> Any:
    """A plain training loop; returns the optimiser."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, labels = samples
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(20):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    return optimizer


@torch.no_grad()
def right_answers(model: nn.Module, samples: tuple[Tensor, Tensor]) -> int:
    """How many held-out pictures the trainer's own network answers right."""
    inputs, labels = samples
    right = int((model.eval()(inputs).argmax(1) == labels).sum())
    assert 0.5 * len(labels) < right < len(labels)  # other numbers would show little
    return right
