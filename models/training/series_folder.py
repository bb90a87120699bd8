"""The folder of a series in training: its checkpoints with their settings, and what may continue it."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.models.loading.checkpoints import read_checkpoint
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.weights import save_checkpoint

HISTORY = "history.csv"
# Of the history: the loss of the validation samples, by which training stops early.
VALIDATION_LOSS = "validation_loss"


def checkpoint_paths(folder: Path, epochs: int) -> list[Path]:
    """Where the checkpoints of a series go, that before training first.

    >>> [path.name for path in checkpoint_paths(Path(), 1)]
    ['epoch-000.safetensors', 'epoch-001.safetensors']
    """
    return [folder / f"epoch-{epoch:03d}.safetensors" for epoch in range(epochs + 1)]


def chosen_epoch(folder: Path) -> int:
    """The last epoch of a series, or that with the lowest validation loss where its history has one."""
    history = pd.read_csv(folder / HISTORY)
    if VALIDATION_LOSS in history:
        return best_epoch(history[VALIDATION_LOSS].tolist())
    return len(history) - 1


def complete_series(folder: Path, checkpoints: Sequence[Path], settings: dict[str, Any]) -> list[Path] | None:
    """The checkpoints of a finished series.

    Args:
        folder: of the series; it need not exist.
        checkpoints: the paths of `checkpoint_paths`; a series that stopped early has the first of them.
        settings: of this training, in JSON's types.

    Returns:
        the checkpoints of its history; None where one of them, or the history, is missing.

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
    if not (folder / HISTORY).is_file():
        return None
    trained = list(checkpoints[: len(pd.read_csv(folder / HISTORY))])
    return trained if all(path.is_file() for path in trained) else None


def best_epoch(losses: Sequence[float]) -> int:
    """The epoch of the lowest loss, the first of several; that before training where none is a number.

    >>> best_epoch([2.0, 1.0, 1.0, 3.0])
    1
    """
    return int(np.argmin(np.nan_to_num(losses, nan=np.inf)))


def save_epoch(
    path: Path, network: Network, settings: dict[str, Any], row: dict[str, Any], *, head: bool = True
) -> None:
    """Write a checkpoint with its settings and its row of the history.

    Args:
        path: of the checkpoint.
        network: after the epoch.
        settings: of the training, in JSON's types.
        row: of the history, by column.
        head: whether the checkpoint has the network's head, and the names of its classes.
    """
    # The loss before training is nan, which JSON does not have.
    facts = {name: value for name, value in row.items() if not (isinstance(value, float) and np.isnan(value))}
    save_checkpoint(
        path,
        network.model,
        classes=network.classes if head else None,
        without=None if head else network.head,
        preprocessing=network.preprocessing,
        settings=settings,
        **facts,
    )
