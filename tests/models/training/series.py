"""A small training run that writes a checkpoint after every epoch, and what its checkpoints hold."""

from pathlib import Path

import torch

from harsanyi.models import Recipe, Samples, read_checkpoint, train


def train_series(network, samples, folder: Path, **recipe) -> list[Path]:
    """The checkpoints of a run on `samples`, (items, labels), that measures itself on them too."""
    both = Samples(*samples)
    return train(network, both, Recipe(**recipe), folder=folder, held_out=both, progress=False)


def states(paths: list[Path]) -> list[dict]:
    return [read_checkpoint(path).state for path in paths]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
