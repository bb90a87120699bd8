"""A device to measure on: its clock, its memory, its name, and the sizes of what is measured there."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Sizes:
    """How large the measured work is.

    Attributes:
        pixels: a side of the images.
        grid: rows and columns of their players.
        networks: of torchvision's, by name.
        tokens: of a sentence, players among them.
        layers, width: of the networks of sentences.
        games: value tables of a batch of transforms.
        players: of these tables.
        rounds: of each measurement.
    """

    pixels: int
    grid: tuple[int, int]
    networks: tuple[str, ...]
    tokens: int
    layers: int
    width: int
    games: int
    players: tuple[int, ...]
    rounds: int


FULL = Sizes(
    224,
    (3, 4),
    ("vgg16", "resnet18", "resnet50", "convnext_tiny", "efficientnet_b0", "vit_b_16"),
    24,
    12,
    768,
    2000,
    (8, 10, 12, 16),
    3,
)
SMALL = Sizes(32, (2, 2), ("squeezenet1_1",), 6, 1, 24, 20, (4,), 1)


@dataclass(frozen=True)
class There:
    """A device and the sizes of the work on it."""

    device: torch.device
    sizes: Sizes

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of work until the device has finished it: the median of the rounds, after a first."""
        work()
        return statistics.median(self.once(work) for _ in range(self.sizes.rounds))

    def once(self, work: Callable[[], Any]) -> float:
        """Seconds of work until the device has finished it."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        """Until the device has finished."""
        torch.get_device_module(self.device).synchronize(self.device)

    def peak_mebibytes(self, work: Callable[[], Any]) -> float | None:
        """The most memory that torch takes on the device meanwhile; None where it is not counted."""
        module: Any = torch.get_device_module(self.device)
        if not hasattr(module, "reset_peak_memory_stats"):
            return None
        module.reset_peak_memory_stats(self.device)
        before = module.memory_allocated(self.device)
        work()
        self.wait()
        return float(module.max_memory_allocated(self.device) - before) / 2**20


def name_of(device: torch.device) -> str:
    """The device in words."""
    module: Any = torch.get_device_module(device)
    return str(module.get_device_name(device)) if hasattr(module, "get_device_name") else str(device)
