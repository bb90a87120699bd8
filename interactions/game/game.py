"""`Game`, the contract of the engine: it gives the score of a coalition in a game."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor


@runtime_checkable
class Game(Protocol):
    """A batch of cooperative games over the same number of players.

    A game may also have `prepared()`, a context manager around all calls of `scores`; `batch_size()`, the
    number of coalitions that suits a batch; and `outputs` with `scored`, the outputs for all classes and the
    scores that follow from them (see `MaskedModel`).

    A score must follow from its game and coalition alone. Every game is tried on this, in several batches,
    before it is evaluated.
    """

    @property
    def n(self) -> int:
        """Players of each game."""
        ...

    @property
    def games(self) -> int:
        """How many games."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of the tensors that `scores` takes and gives."""
        ...

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The score of coalition `coalitions[b]` in game `games[b]`."""
        ...


def of_classes(outputs: Float[Tensor, "batch *outputs"]) -> Float[Tensor, "batch classes"]:
    """The outputs, if they are those of a classifier; else a ValueError."""
    if outputs.ndim != 2:
        raise ValueError(
            "expected a classifier's outputs (batch, classes) to keep those of all classes, got shape "
            f"{tuple(outputs.shape)}"
        )
    return outputs
