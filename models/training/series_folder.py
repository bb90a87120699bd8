"""The folder of a series in training: its checkpoints with their settings, and what may continue it."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harsanyi.models.loading.checkpoints import read_checkpoint
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.weights import save_checkpoint

HISTORY = "history.csv"


def checkpoint_paths(folder: Path, epochs: int) -> list[Path]:
    """Where the checkpoints of a series go, that before training first.

    >>> [path.name for path in checkpoint_paths(Path(), 1)]
    ['epoch-000.safetensors', 'epoch-001.safetensors']
    """
    return [folder / f"epoch-{epoch:03d}.safetensors" for epoch in range(epochs + 1)]


def is_complete(folder: Path, checkpoints: Sequence[Path], settings: dict[str, Any]) -> bool:
    """Look for all checkpoints of a series, and its history.

    Args:
        folder: of the series; it need not exist.
        checkpoints: the paths of `checkpoint_paths`.
        settings: of this training, in JSON's types.

    Returns:
        whether all of these files exist.

    Raises:
        ValueError: the folder holds a checkpoint of other settings.
    """
    for path in sorted(folder.glob("epoch-*.safetensors")):
        settings_there = read_checkpoint(path).facts.get("settings", {})
        differing = [
            f"{name} ({reprlib.repr(settings_there.get(name))} there, {reprlib.repr(settings.get(name))} now)"
            for name in {**settings, **settings_there}
            if settings_there.get(name) != settings.get(name)
        ]
        if differing:
            raise ValueError(
                f"{folder} holds a series of other settings: {'; '.join(differing)}. "
                "Give another folder, or delete it"
            )
    return all(path.is_file() for path in [*checkpoints, folder / HISTORY])


def save_epoch(path: Path, network: Network, settings: dict[str, Any], row: dict[str, Any]) -> None:
    """Write a checkpoint with its settings and its row of the history.

    Args:
        path: of the checkpoint.
        network: after the epoch.
        settings: of the training, in JSON's types.
        row: of the history, by column.
    """
    # The loss before training is nan, which JSON does not have.
    facts = {name: value for name, value in row.items() if not (isinstance(value, float) and np.isnan(value))}
    save_checkpoint(
        path,
        network.model,
        classes=network.classes,
        preprocessing=network.preprocessing,
        settings=settings,
        **facts,
    )
