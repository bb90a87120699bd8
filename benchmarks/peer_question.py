"""What `benchmarks.peers` asks: a network's logit on one image, n players masked with zeros.

Random weights and a random image. The packages ask through a function of coalitions, made here; it counts
the masked inputs.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import models
from benchmarks.plan_cases import SIZE, grid
from benchmarks.plans import fastest
from interactions import MaskedModel

NETWORKS = {
    "free": "",
    "resnet18": "torchvision:resnet18",
    "vgg16": "torchvision:vgg16",
    "vit-tiny": "timm:vit_tiny_patch16_224",
}
# Rows and columns of so many players.
GRIDS = {4: (2, 2), 8: (2, 4), 10: (2, 5), 12: (3, 4)}
LABEL, BATCHES = 0, (4, 8, 16)

Values = Callable[[np.ndarray], np.ndarray]


class Free(nn.Module):
    """A network that costs nothing: the corner pixel's channels are its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Identity()  # so that batches are those of inputs of this size

    def forward(self, images: Tensor) -> Tensor:
        return self.seen(images)[:, :, 0, 0]


@dataclass(frozen=True, eq=False)
class Question:
    """A network, an image (1, 3, SIZE, SIZE) and the player of each pixel, 0 to n − 1."""

    network: nn.Module
    image: Tensor
    owner: Tensor
    n: int

    def game(self) -> MaskedModel:
        return MaskedModel(self.network, self.image, grid(*GRIDS[self.n]), labels=[LABEL], score="logit")


def asked(name: str, n: int) -> Question:
    """The question of a case: one of `NETWORKS`, and as many players as one of `GRIDS` has."""
    network = models.load(NETWORKS[name], "random", seed=0).model if NETWORKS[name] else Free()
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return Question(network.eval(), image, grid(*GRIDS[n]).owner.reshape(SIZE, SIZE), n)


class Counted:
    """A question's network in a memory layout, and how many inputs it was asked about."""

    def __init__(self, question: Question, layout: torch.memory_format = torch.channels_last) -> None:
        self.network: Any = deepcopy(question.network).to(memory_format=layout)
        self.layout, self.forwards = layout, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        return self.network(images.contiguous(memory_format=self.layout))


def masked_logits(
    network: Counted, question: Question, batch: int, mode: Callable[[], AbstractContextManager[Any]]
) -> Values:
    """The logit of coalitions, as a user of a package writes it."""

    def values(coalitions: np.ndarray) -> np.ndarray:
        with mode():
            return torch.cat(
                [
                    network(question.image * some[:, question.owner][:, None])[:, LABEL]
                    for some in torch.from_numpy(coalitions).bool().split(batch)
                ]
            ).numpy()

    return values


def tuned_logits(question: Question) -> tuple[Counted, Values]:
    """The same on the channels-last network, with the fastest batch and no gradients to be had."""
    network = Counted(question)
    return network, masked_logits(network, question, fastest_batch(question), torch.inference_mode)


@cache
def fastest_batch(question: Question) -> int:
    """Which of `BATCHES` takes least time on the channels-last network."""
    network = Counted(question)
    some = np.random.default_rng(0).random((max(BATCHES), question.n)) < 0.5
    values = {batch: masked_logits(network, question, batch, torch.inference_mode) for batch in BATCHES}
    return fastest({batch: partial(value, some) for batch, value in values.items()})
