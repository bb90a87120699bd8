"""The state from which an interrupted training goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harsanyi.models.loading.inert import refuse_archives
from harsanyi.reading import reading
from harsanyi.writing import whole

# Lies beside the checkpoints until the series is complete; models.series does not take it for a checkpoint.
UNFINISHED = "unfinished.pt"


@dataclass(frozen=True)
class Unfinished:
    """A series after some of its epochs.

    Attributes:
        settings: of the training, as in the checkpoints.
        history: a row for the start and for each whole epoch.
        state: of :meth:`harsanyi.models.training.gradient_steps.Training.state` after the last whole epoch.
    """

    settings: dict[str, Any]
    history: list[dict[str, Any]]
    state: dict[str, Any]


def save_unfinished(path: Path, unfinished: Unfinished) -> None:
    """Write the state, whole or not at all."""
    with whole(path) as partial:
        torch.save(vars(unfinished), partial)


def read_unfinished(
    path: Path, checkpoints: Sequence[Path], settings: dict[str, Any], processes: int
) -> Unfinished | None:
    """Read the state of an interrupted training, without running anything that the file contains.

    Args:
        path: of the file.
        checkpoints: of the whole series, in order.
        settings: of the training that is to go on.
        processes: their number.

    Returns:
        None where the series must start again: there is no such file, a checkpoint of its epochs is gone, or
        settings or number of processes are others.

    Raises:
        ValueError: the file is damaged, or something else.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / UNFINISHED
    >>> read_unfinished(path, [path], {}, 1) is None
    True
    >>> save_unfinished(path, Unfinished({}, [{"epoch": 0}], {"randomness": [torch.zeros(1, 8)]}))
    >>> read_unfinished(path, [path], {}, 1).history
    [{'epoch': 0}]
    """
    if not path.is_file():
        return None
    with reading(path, "an unfinished training", "delete it, and the series starts again"):
        refuse_archives(path)
        unfinished = Unfinished(**torch.load(path, map_location="cpu", weights_only=True))
        fits = unfinished.settings == settings and len(unfinished.state["randomness"][0]) == processes
        complete = all(checkpoint.is_file() for checkpoint in checkpoints[: len(unfinished.history)])
    return unfinished if fits and complete else None
