"""The question of `benchmarks.peers`: a network's logit on one image, n players masked with zeros.

Weights and image are random. Packages call a function of coalitions, which is made here. It counts the masked
inputs and times their forwards.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import masked_images
from benchmarks.masked_images import SIZE, in_layout, masking, noise, players_of
from benchmarks.stopwatch import fastest, timed
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

FREE = "free"
NETWORKS = (FREE, *masked_images.NETWORKS)
LABEL, BATCHES = 0, (4, 8, 16)

Values = Callable[[np.ndarray], np.ndarray]


class Free(nn.Module):
    """A network that costs nothing: the corner pixel's channels are its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Identity()  # an activation of the size of the inputs, which batch sizes follow

    def forward(self, images: Tensor) -> Tensor:
        return self.whole(images)[:, :, 0, 0]


@dataclass(frozen=True, eq=False)
class Question:
    """A network, an image (1, 3, SIZE, SIZE) and its players."""

    network: nn.Module
    image: Tensor
    players: Players

    @property
    def n(self) -> int:
        """How many players."""
        return self.players.n

    @property
    def owner(self) -> Tensor:
        """The player of each pixel, 0 to n − 1."""
        return self.players.owner.reshape(SIZE, SIZE)

    def game(self) -> MaskedModel:
        """The question as a game of harsanyi's."""
        return MaskedModel(self.network, self.image, self.players, labels=[LABEL], score="logit")


def question_of(name: str, n: int) -> Question:
    """The question of a case: one of `NETWORKS`, and n players."""
    if name == FREE:
        network: nn.Module = Free()
    else:
        network = models.load(masked_images.NETWORKS[name], "random", seed=0).model
    return Question(network.eval(), noise(), players_of(name, n))


class Counted:
    """A question's network in a memory layout, which counts its inputs and its seconds.

    After `limit` seconds it gives zeros. A package then still does all work of its own; only forwards are
    left out, and each of them takes the same time.

    Attributes:
        inputs: masked inputs since `begin`.
        answered: those that a forward was made for.
    """

    def __init__(self, question: Question, layout: torch.memory_format = torch.channels_last) -> None:
        self.network, self.layout = in_layout(question.network, layout), layout
        self.begin()

    def begin(self, limit: float = inf) -> None:
        """Count from zero.

        Args:
            limit: seconds of forwards.
        """
        self.limit, self.seconds = limit, 0.0
        self.inputs = self.answered = self.classes = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.inputs += len(images)
        if self.seconds >= self.limit:
            return torch.zeros(len(images), self.classes)
        seconds, outputs = timed(lambda: self.network(images.contiguous(memory_format=self.layout)))
        self.seconds += seconds
        self.answered += len(images)
        self.classes = outputs.shape[1]
        return outputs

    @property
    def scaled(self) -> float:
        """The factor for the forwards' seconds: 1 where all were made."""
        return self.inputs / self.answered

    @property
    def left_out(self) -> float:
        """Seconds of the forwards that were not made."""
        return self.seconds * (self.scaled - 1)


def masked_logits(
    network: Counted, question: Question, batch: int, mode: Callable[[], AbstractContextManager[Any]]
) -> Values:
    """A function from coalitions to logits, as a user of a package would write it.

    Args:
        network: to call.
        question: its image and players.
        batch: masked inputs in a forward.
        mode: the context of forwards.
    """
    masked = masking(question.image, question.players, network.layout)

    def values(coalitions: np.ndarray) -> np.ndarray:
        with mode():
            batches = torch.from_numpy(coalitions).bool().split(batch)
            return torch.cat([network(masked(part))[:, LABEL] for part in batches]).numpy()

    return values


def tuned_logits(question: Question) -> tuple[Counted, Values]:
    """As `masked_logits`, on the channels-last network with the fastest batch in inference mode."""
    network = Counted(question)
    return network, masked_logits(network, question, fastest_batch(question), torch.inference_mode)


@cache
def fastest_batch(question: Question) -> int:
    """The fastest of `BATCHES` on the channels-last network."""
    network = Counted(question)
    coalitions = np.random.default_rng(0).random((max(BATCHES), question.n)) < 0.5
    values = {batch: masked_logits(network, question, batch, torch.inference_mode) for batch in BATCHES}
    return fastest({batch: partial(value, coalitions) for batch, value in values.items()})
