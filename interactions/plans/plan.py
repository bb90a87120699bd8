"""Plans: ways to the outputs of a game, all exact, that pay for what differs between masked inputs alone.

Whether a plan may serve a game is not read off a model's name: it is run on a few coalitions beside the dense
forward, and refused where the two differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.interactions.game.forward import same_to_rounding
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.machine.memory import is_out_of_memory

Block = tuple[Int64[Tensor, " some"], Float[Tensor, "some *outputs"]]


class NotApplicable(ValueError):  # noqa: N818, a reason to go the dense way and not a mistake
    """Why a plan cannot serve a game; the dense plan can."""


@dataclass(frozen=True)
class Plan(ABC):
    """A way to the outputs of a game.

    Attributes:
        game: what is asked.
        name: of the plan, as `evaluate` takes it.
    """

    game: MaskedModel
    name: ClassVar[str]

    @property
    @abstractmethod
    def share(self) -> float:
        """Estimated work for the whole tables of all games, as a share of the dense plan's."""

    @abstractmethod
    def describe(self) -> str:
        """What is saved, in words."""

    @abstractmethod
    def outputs(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """Numbers of pairs (game, coalition), and the outputs that `game.scored` reads; each pair once.

        To be gone through inside `game.prepared()` and `torch.inference_mode()`.

        Args:
            games, coalitions: what is asked, in any order.
            batch_size: rows of a dense batch; shorter rows go more at once. By default the game's.
        """

    def scores(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Float64[Tensor, " pairs"]:
        """The score of coalition `coalitions[i]` in game `games[i]`, as `evaluate_pairs` gives it."""
        games, coalitions = games.to(self.game.device), coalitions.to(self.game.device)
        v = torch.full((len(games),), torch.nan, dtype=torch.float64, device=self.game.device)
        with torch.inference_mode(), self.game.prepared():
            for pairs, outputs in self.outputs(games, coalitions, batch_size=batch_size):
                v[pairs] = self.game.scored(outputs, games[pairs])
        return v


def probes(game: MaskedModel) -> tuple[Int64[Tensor, " pairs"], Bool[Tensor, "pairs players"]]:
    """Pairs to try a plan on, with every player both there and not.

    The coalitions are none, all, every other player and the rest; the games the first, and of sentences those
    with most and with fewest attended tokens.
    """
    even = torch.arange(game.n, device=game.device) % 2 == 0
    coalitions = torch.stack([even & False, even | True, even, ~even])
    mask = None if isinstance(game.inputs, Tensor) else game.inputs.get("attention_mask")
    lengths = torch.zeros(game.games) if mask is None else mask.sum(1)
    games = torch.tensor(sorted({0, int(lengths.argmax()), int(lengths.argmin())}), device=game.device)
    return games.repeat_interleave(4), coalitions.repeat(len(games), 1)


def require_agreement(plan: Plan, read: Callable[[Tensor], Tensor] = lambda outputs: outputs) -> None:
    """Refuse a plan whose outputs are not the dense ones, of which `read` takes what the plan gives.

    To be called as `Plan.outputs` is.
    """
    pairs = probes(plan.game)
    with refusing_what_fails():
        found = list(plan.outputs(*pairs))
    for numbers, outputs in found:
        games, coalitions = pairs[0][numbers], pairs[1][numbers]
        if not agree(outputs, read(plan.game.forward(games, coalitions))):
            raise NotApplicable("on a few coalitions its outputs are not those of the dense forward")


def agree(found: Tensor, expected: Tensor) -> bool:
    """Whether two outputs are the same to rounding."""
    if expected.dtype not in (torch.float32, torch.float64):
        raise NotApplicable(f"in {expected.dtype} a difference cannot be told from rounding")
    return same_to_rounding(found, expected)


@contextmanager
def refusing_what_fails() -> Iterator[None]:
    """A model asked in a way that it may not know: what it raises is a reason to refuse."""
    try:
        yield
    except NotApplicable:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise NotApplicable(f"the model raises {type(error).__name__}: {error}") from error
