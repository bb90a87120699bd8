"""An evaluation that can be interrupted: the interactions of a copy of a network, piece by piece."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from harsanyi.failing import NotFiniteError
from harsanyi.interactions import Interactions, MaskedModel, Method, coalition_masks, evaluate_pairs, extract
from harsanyi.reading import first_line


@dataclass
class Costs:
    """Seconds that pieces of work took when they were last done; 0 before they are known.

    Attributes:
        trial: of the games.
        forward: of one masked input in a batch.
        extraction: of one game among those that were extracted at once.
    """

    trial: float = 0.0
    forward: float = 0.0
    extraction: float = 0.0


class Evaluation:
    """The interactions of a network as it is now, evaluated piece by piece while it trains on.

    A piece is the trial of the games, a batch of masked inputs, or the extraction of some games. The network
    is copied, and what is trained is never run.

    Args:
        network: as it is at a training step.
        game_of: makes the games of a network.
        method: of extraction.
        costs: of pieces; each piece that is done is measured into them.
        clock: gives seconds.
    """

    def __init__(
        self,
        network: nn.Module,
        game_of: Callable[[nn.Module], MaskedModel],
        method: Method,
        costs: Costs,
        clock: Callable[[], float],
    ) -> None:
        self.costs, self.clock = costs, clock
        self._game_of, self._method = game_of, method
        self._network: nn.Module | None = _copy(network)
        self._game: MaskedModel | None = None
        self._v = torch.empty(0, dtype=torch.float64)
        self._pairs = 0
        self._games = 0  # that are extracted
        self._extracted: list[Interactions] = []

    @property
    def done(self) -> bool:
        """Whether all interactions are there."""
        return self._game is not None and self._games == self._game.games

    @property
    def interactions(self) -> Interactions:
        """Those of all games; to be asked for when they are `done`."""
        assert self.done
        parts = self._extracted
        gaps = [part.gap for part in parts if part.gap is not None]
        return replace(
            parts[0],
            and_=torch.cat([part.and_ for part in parts]),
            or_=torch.cat([part.or_ for part in parts]),
            v=torch.cat([part.v for part in parts]),
            gap=torch.cat(gaps) if gaps else None,
        )

    def piece(self, seconds: float) -> float:
        """Do the next piece, and measure it.

        Args:
            seconds: that it may take: batches are halved, down to one input or game, until they fit.

        Returns:
            the seconds that it took.
        """
        begin = self.clock()
        if self._game is None:
            self._begin()
            took = self.costs.trial = self.clock() - begin
        elif self._pairs < self._v.numel():
            count = self._batch(seconds)
            self._evaluate(count)
            took = self.clock() - begin
            self.costs.forward = took / count
        else:
            count = self._extractions(seconds)
            self._extract(count)
            took = self.clock() - begin
            self.costs.extraction = took / count
        return took

    def next_cost(self, seconds: float) -> float:
        """The seconds that the next piece is expected to take; 0 before the first of its kind."""
        if self._game is None:
            return self.costs.trial
        if self._pairs < self._v.numel():
            return self.costs.forward * self._batch(seconds)
        return self.costs.extraction * self._extractions(seconds)

    def _begin(self) -> None:
        """Make the games, and try them."""
        assert self._network is not None
        self._game = self._game_of(self._network)
        self._game.trial.require(self._game.batch_size())
        self._v = torch.empty(self._game.games, 2**self._game.n, dtype=torch.float64)

    def _batch(self, seconds: float) -> int:
        """How many masked inputs the next piece holds: a power of two that the time is enough for."""
        assert self._game is not None
        size = _fitting(self._game.batch_size(), self.costs.forward, seconds)
        return min(size, self._v.numel() - self._pairs)

    def _extractions(self, seconds: float) -> int:
        """How many games are extracted at once; several together take less time than one by one."""
        return _fitting(len(self._v) - self._games, self.costs.extraction, seconds)

    def _evaluate(self, count: int) -> None:
        assert self._game is not None
        numbers = torch.arange(self._pairs, self._pairs + count)
        games, coalitions = numbers // self._v.shape[1], numbers % self._v.shape[1]
        masks = coalition_masks(self._game.n, coalitions)
        scores = evaluate_pairs(self._game, games, masks, batch_size=count)
        if not scores.isfinite().all():
            raise NotFiniteError("its scores are NaN or infinite")
        self._v.view(-1)[self._pairs : self._pairs + count] = scores.cpu()
        self._pairs += count
        if self._pairs == self._v.numel():
            self._network = None

    def _extract(self, count: int) -> None:
        self._extracted.append(extract(self._v[self._games : self._games + count], self._method))
        self._games += count


def _fitting(count: int, cost: float, seconds: float) -> int:
    """The count, halved until it costs no more than the seconds, or is 1."""
    while count > 1 and cost * count > seconds:
        count //= 2
    return count


def _copy(network: nn.Module) -> nn.Module:
    """A copy of a network that shares nothing with it; a ValueError where there is none."""
    if sharded := [name for name, each in network.named_parameters() if _is_sharded(each)]:
        raise ValueError(
            f"{sharded[0]} is only a part of its weights: a network that is sharded over processes cannot be "
            "watched in one of them. Save checkpoints, and run harsanyi track on them"
        )
    try:
        return deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"a {type(network).__name__} cannot be copied ({first_line(error)}): name the part that "
            "can, as network="
        ) from error


def _is_sharded(parameter: Tensor) -> bool:
    return type(parameter).__name__ == "DTensor" or hasattr(parameter, "ds_id")
