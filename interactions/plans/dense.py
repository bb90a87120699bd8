"""Every masked input by itself: the network traced, batch norms folded, a worker to each core."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.machine.batching import batch_fitting, in_rounds
from harsanyi.interactions.plans.graph.of_game import beside, traced_game
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Block, Plan, require_agreement


@dataclass(frozen=True, eq=False)
class DensePlan(Plan):
    """The traced network on every masked input.

    Attributes:
        traced: the network as a function of what is masked.
    """

    traced: Traced
    name = "dense"

    @property
    def share(self) -> float:
        """All of the dense plan's work, by definition."""
        return 1.0

    def describe(self) -> str:
        """What is saved, in words."""
        return "every masked input by itself, batch norms folded"

    def outputs(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """Numbers of pairs, and their outputs, in order. As `Plan.outputs`."""

        def asked(numbers: Tensor) -> Tensor:
            with torch.inference_mode():
                elements = self.game.masked_elements(games[numbers], coalitions[numbers], images_last=True)
                return self.traced(elements, beside(self.game, self.traced, games[numbers]))

        size = batch_size or batch_fitting(self.traced.largest(), games.device)
        if self.traced.result.meta["val"].ndim <= 2:
            yield from in_rounds(asked, len(games), size, games.device)
            return
        for numbers in torch.arange(len(games), device=games.device).split(size):
            yield numbers, asked(numbers)  # an output for every token: too large for a round of batches


def dense_plan(game: Game) -> DensePlan:
    """The dense plan for a network that can be traced, whose input or the output of a layer is masked.

    Inputs beside the masked one are given as they are, the rows of the games asked about.

    Raises:
        NotApplicable: saying why it cannot be traced; the network as it is does as well.
    """
    plan = DensePlan(*traced_game(game))
    with torch.inference_mode(), plan.game.prepared():
        require_agreement(plan)
    return plan
