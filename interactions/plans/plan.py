"""The contract of plans: exact ways to the outputs of a game for less work than 2ⁿ forwards.

A plan computes once what masked inputs have in common. Whether it suits a network is not read off the model's
name: every plan is tried on a few coalitions beside the network's own forward, and refused where the outputs
differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.failing import is_out_of_memory
from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.forward import same_to_rounding
from harsanyi.interactions.game.masked_model import MaskedModel

# Where the engine's own code lies.
PACKAGE = Path(__file__).resolve().parents[1]
# Numbers of coalitions, and the network's outputs for them.
Block = tuple[Int64[Tensor, " block"], Float[Tensor, "block *outputs"]]


class NotApplicable(ValueError):  # noqa: N818, a reason to take the dense plan and not a mistake
    """Why a plan does not suit a game; the dense plan always does."""


class OwnFault(RuntimeError):  # noqa: N818, whose fault it is matters more than that it is an error
    """A plan's code raised what it should not: neither the game nor the network is to blame."""


@dataclass(frozen=True)
class Plan(ABC):
    """A way to the outputs of a game.

    Attributes:
        game: whose outputs it gives.
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
        """The saved work, in words."""

    @abstractmethod
    def outputs(
        self,
        game: int,
        coalitions: Bool[Tensor, "coalitions players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """The outputs of coalitions of one game, block by block, each coalition once.

        Iterate inside `self.game.prepared()` and `torch.inference_mode()`.

        Args:
            game: its number.
            coalitions: in any order, on the game's device.
            batch_size: inputs in a dense batch; shorter inputs make larger batches. By default the game's.

        Yields:
            Numbers of coalitions, and the outputs that `scored` of the game reads.
        """

    def scores(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Float64[Tensor, " pairs"]:
        """The score of coalition `coalitions[i]` in game `games[i]`, as `evaluate_pairs` gives it.

        Args:
            games: the game of each pair, in any order, on any device.
            coalitions: the coalition of each pair, on any device.
            batch_size: as for `outputs`.

        Returns:
            `(pairs,)` in float64 on the game's device.
        """
        device, owners = self.game.device, games.cpu()
        coalitions = coalitions.to(device)
        v = torch.full((len(games),), torch.nan, dtype=torch.float64, device=device)
        with torch.inference_mode(), self.game.prepared():
            for game in owners.unique().tolist():
                pairs = (owners == game).nonzero()[:, 0].to(device)
                for numbers, outputs in self.outputs(game, coalitions[pairs], batch_size=batch_size):
                    v[pairs[numbers]] = self.game.scored(outputs, one_game(game, len(numbers), device))
        return v


def probes(game: MaskedModel) -> tuple[tuple[int, ...], Bool[Tensor, "four players"]]:
    """The games, and the coalitions of each, that a plan is tried on.

    Coalitions: no player, all players, every other player, and the rest. Games: the first that is answered;
    of sentences also those with most and fewest attended tokens.
    """
    even = torch.arange(game.n, device=game.device) % 2 == 0
    coalitions = torch.stack([even & False, even | True, even, ~even])
    mask = None if isinstance(game.inputs, Tensor) else game.inputs.get("attention_mask")
    lengths = torch.zeros(game.games) if mask is None else mask.sum(1)
    return tuple(sorted({game.first, int(lengths.argmax()), int(lengths.argmin())})), coalitions


def require_agreement(plan: Plan, read: Callable[[Tensor], Tensor] = lambda outputs: outputs) -> None:
    """Refuse a plan whose outputs differ from those of the network's own forward, with NotApplicable.

    Call it inside `game.prepared()` and `torch.inference_mode()`.

    Args:
        plan: to try on `probes`.
        read: takes the outputs of the forward and gives the part that the plan computes.
    """
    games, coalitions = probes(plan.game)
    for game in games:
        for numbers, outputs in plan.outputs(game, coalitions):
            owners = one_game(game, len(numbers), plan.game.device)
            if not agree(outputs, read(plan.game.answered(owners, coalitions[numbers]))):
                raise NotApplicable("on a few coalitions its outputs are not those of the dense forward")


def agree(outputs: Tensor, expected: Tensor) -> bool:
    """Whether two outputs are equal up to rounding; NotApplicable in halves, where that cannot be told."""
    if expected.dtype not in (torch.float32, torch.float64):
        raise NotApplicable(f"in {expected.dtype} a difference cannot be told from rounding")
    return same_to_rounding(outputs, expected)


@contextmanager
def calling_the_network() -> Iterator[None]:
    """Turns an error of the network, called in a way that it may not support, into NotApplicable.

    It is for these calls alone: an error in a plan's own code is no reason to blame the network.
    """
    try:
        yield
    except NotApplicable:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise NotApplicable(f"the model raises {type(error).__name__}: {error}") from error


@contextmanager
def owning_faults(name: str) -> Iterator[None]:
    """Turns an error in the making of a plan that is nobody's reason into an `OwnFault`.

    Args:
        name: of the plan.
    """
    try:
        yield
    except (NotApplicable, OwnFault):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        *_, place = [frame for frame in extract_tb(error.__traceback__) if _is_ours(frame.filename)]
        raise OwnFault(
            f"plan {name!r} failed by a fault of harsanyi's own, which please report: at "
            f"{Path(place.filename).name}:{place.lineno} ({type(error).__name__}: {error})"
        ) from error


def _is_ours(file: str) -> bool:
    return PACKAGE in Path(file).resolve().parents
