"""The question all packages are asked: one score of one network, on one input with n players.

Of an image, absent players are zeros and the score is a logit. Of a sentence they are one fixed token, and
the score is the log-odds of a class or of the next token. Weights and inputs are random. Packages call a
function of coalitions, which is made here. It counts the masked inputs and times their forwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import masked_images, sentences
from benchmarks.choice import networks
from benchmarks.masked_images import in_layout, masking, noise, players_of
from benchmarks.stopwatch import fastest, timed
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

FREE, SMALL = "free", ("small-cnn", "resnet20")
IMAGES, SENTENCES = (FREE, *SMALL, *masked_images.NETWORKS), tuple(sentences.NETWORKS)
NETWORKS = (*IMAGES, *SENTENCES)
TITLES = masked_images.TITLES | sentences.TITLES | {name: networks.CASES[name].title for name in SMALL}
LABEL, BATCHES = 0, (4, 8, 16)
# For images of fewer numbers.
SMALL_BATCHES, SMALL_INPUT = (16, 64, 256), 3 * 64 * 64

Values = Callable[[np.ndarray], np.ndarray]
Masking = Callable[[Tensor], Tensor]


class Free(nn.Module):
    """A network that costs nothing: the corner pixel's channels are its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Identity()  # an activation of the size of the inputs, which batch sizes follow

    def forward(self, images: Tensor) -> Tensor:
        return self.whole(images)[:, :, 0, 0]


@dataclass(frozen=True, eq=False)
class Question(ABC):
    """A network, one input and its players."""

    network: nn.Module
    input: Tensor
    players: Players

    @property
    def n(self) -> int:
        """How many players."""
        return self.players.n

    @abstractmethod
    def game(self) -> MaskedModel:
        """The question as a game of harsanyi's."""

    @abstractmethod
    def forward(self, layout: torch.memory_format, *, tuned: bool) -> Callable[[Tensor], Tensor]:
        """The network as a user of a package would call it: from masked inputs to outputs.

        Args:
            layout: of the network's weights.
            tuned: whether what nobody reads is left out.
        """

    @abstractmethod
    def masking(self, layout: torch.memory_format) -> Masking:
        """A function from coalitions to masked inputs in a memory layout."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """The score of each output."""


class ImageQuestion(Question):
    """Of an image `(1, channels, size, size)`, with zeros for absent players; the score is a logit."""

    @property
    def owner(self) -> Tensor:
        """The player of each pixel, 0 to n − 1."""
        return self.players.owner.reshape(self.input.shape[-2:])

    def game(self) -> MaskedModel:
        return MaskedModel(self.network, self.input, self.players, labels=[LABEL], score="logit")

    def forward(self, layout: torch.memory_format, *, tuned: bool) -> Callable[[Tensor], Tensor]:
        network = in_layout(self.network, layout)
        return lambda images: network(images.contiguous(memory_format=layout))

    def masking(self, layout: torch.memory_format) -> Masking:
        return masking(self.input, self.players, layout)

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs[:, LABEL]


class SentenceQuestion(Question):
    """Of a sentence's token ids `(1, tokens)`, with one token for absent players; the score is log-odds."""

    @property
    def is_causal(self) -> bool:
        """Whether the network gives the next token."""
        return sentences.is_causal(self.network)

    def game(self) -> MaskedModel:
        return sentences.game(self.network, "input_ids")

    def forward(self, layout: torch.memory_format, *, tuned: bool) -> Callable[[Tensor], Tensor]:
        # Of a language model a careful user asks for the last position alone.
        options = {"logits_to_keep": 1} if tuned and self.is_causal else {}
        return lambda ids: self.network(input_ids=ids, **options).logits

    def masking(self, layout: torch.memory_format) -> Masking:
        return lambda coalitions: sentences.masked(self.input, coalitions)

    def scores(self, outputs: Tensor) -> Tensor:
        logits = outputs[:, -1] if self.is_causal else outputs
        return logits[:, LABEL] - logits[:, LABEL + 1 :].logsumexp(1)  # the label is the first class


def question_of(name: str, n: int) -> Question:
    """The question of a case: one of `NETWORKS`, and n players."""
    if name in sentences.NETWORKS:
        game = sentences.NETWORKS[name]()
        assert isinstance(game.model, nn.Module)
        return SentenceQuestion(game.model, game.inputs["input_ids"], game.players)
    if name in SMALL:
        image = networks.CASES[name].inputs(1)
        return ImageQuestion(networks.CASES[name].network(0), image, players_of(name, n, image.shape[-1]))
    if name == FREE:
        network: nn.Module = Free()
    else:
        network = models.load(masked_images.NETWORKS[name], "random", seed=0).model
    return ImageQuestion(network.eval(), noise(), players_of(name, n))


def sizes_of(name: str) -> tuple[int, ...]:
    """The numbers of players that a network can be asked with."""
    return (sentences.WORDS,) if name in sentences.NETWORKS else tuple(masked_images.GRIDS)


class Counted:
    """A question's network, which counts its inputs and its seconds.

    After `limit` seconds it gives zeros. A package then still does all work of its own; only forwards are
    left out, and each of them takes the same time.

    Attributes:
        inputs: masked inputs since `begin`.
        answered: those that a forward was made for.
    """

    def __init__(
        self, question: Question, layout: torch.memory_format = torch.channels_last, *, tuned: bool = True
    ) -> None:
        self.forward, self.layout = question.forward(layout, tuned=tuned), layout
        self.begin()

    def begin(self, limit: float = inf) -> None:
        """Count from zero.

        Args:
            limit: seconds of forwards.
        """
        self.limit, self.seconds = limit, 0.0
        self.inputs = self.answered = 0
        self.each: tuple[int, ...] = ()

    def __call__(self, masked: Tensor) -> Tensor:
        self.inputs += len(masked)
        if self.seconds >= self.limit:
            return torch.zeros(len(masked), *self.each)
        seconds, outputs = timed(lambda: self.forward(masked))
        self.seconds += seconds
        self.answered += len(masked)
        self.each = outputs.shape[1:]
        return outputs

    @property
    def scaled(self) -> float:
        """The factor for the forwards' seconds: 1 where all were made."""
        return self.inputs / self.answered

    @property
    def left_out(self) -> float:
        """Seconds of the forwards that were not made."""
        return self.seconds * (self.scaled - 1)


def masked_scores(
    network: Counted, question: Question, batch: int, mode: Callable[[], AbstractContextManager[Any]]
) -> Values:
    """A function from coalitions to scores, as a user of a package would write it.

    Args:
        network: to call.
        question: its input and players.
        batch: masked inputs in a forward.
        mode: the context of forwards.
    """
    masked = question.masking(network.layout)

    def values(coalitions: np.ndarray) -> np.ndarray:
        with mode():
            batches = torch.from_numpy(coalitions).bool().split(batch)
            return torch.cat([question.scores(network(masked(part))) for part in batches]).numpy()

    return values


def tuned_scores(question: Question) -> tuple[Counted, Values]:
    """As `masked_scores`, on the tuned network with the fastest batch in inference mode."""
    network = Counted(question)
    return network, masked_scores(network, question, fastest_batch(question), torch.inference_mode)


@cache
def fastest_batch(question: Question) -> int:
    """The fastest of three batches on the tuned network; of large ones for small images."""
    network, small = Counted(question), question.input.ndim == 4 and question.input.numel() < SMALL_INPUT
    batches = SMALL_BATCHES if small else BATCHES
    coalitions = np.random.default_rng(0).random((max(batches), question.n)) < 0.5
    values = {batch: masked_scores(network, question, batch, torch.inference_mode) for batch in batches}
    return fastest({batch: partial(value, coalitions) for batch, value in values.items()})
