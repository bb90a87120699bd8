"""Games: what is asked for the score of a coalition."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor


@runtime_checkable
class Game(Protocol):
    """A batch of cooperative games over the same number of players.

    Attributes:
        n: players of each game.
        games: how many games.
        device: where `scores` takes and gives its tensors.

    A game may also have `prepared()`, a context manager entered around all calls of `scores`,
    `batch_size()`, the number of coalitions it likes to be asked about at once, and `outputs` with `scored`,
    for those who want the outputs of all classes and read the scores off them (see `MaskedModel`).
    """

    @property
    def n(self) -> int: ...
    @property
    def games(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The score of coalition `coalitions[b]` in game `games[b]`."""
        ...


def of_classes(outputs: Float[Tensor, "batch *outputs"]) -> Float[Tensor, "batch classes"]:
    """The outputs, if they are a classifier's; else a ValueError."""
    if outputs.ndim != 2:
        raise ValueError(
            "expected a classifier's outputs (batch, classes) to keep those of all classes, got shape "
            f"{tuple(outputs.shape)}"
        )
    return outputs
