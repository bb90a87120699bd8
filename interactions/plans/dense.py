"""Plan "dense": a forward for every masked input, on the traced network.

It saves no forwards. It is faster than the network as it is: batch norms are folded into convolutions,
weights are packed once, and on a CPU every core has a worker of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, fx

from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.machine.batching import batch_fitting, in_rounds
from harsanyi.interactions.plans.graph.of_game import beginning_of, beside, tried_plan
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Block, Plan


@dataclass(frozen=True, eq=False)
class DensePlan(Plan):
    """The traced network on every masked input.

    Attributes:
        traced: the network as a function of the masked elements.
    """

    traced: Traced
    name = "dense"

    @property
    def share(self) -> float:
        """1: the dense plan is the unit of work."""
        return 1.0

    def describe(self) -> str:
        """The saved work, in words."""
        return "every masked input by itself, batch norms folded"

    def outputs(
        self,
        game: int,
        coalitions: Bool[Tensor, "coalitions players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """As `Plan.outputs`, in the order of the coalitions."""
        device = coalitions.device
        size = batch_size or batch_fitting(self.traced.largest(), device)
        run = beginning_of(self.game, self.traced).run(game, coalitions, size)

        def forward(numbers: Tensor) -> Tensor:
            with torch.inference_mode():
                games = one_game(game, len(numbers), device)
                others = self.traced.values_beside(beside(self.game, self.traced, games))

                def first() -> dict[fx.Node, Tensor]:
                    elements = self.game.masked_elements(
                        games, coalitions[numbers], images_last=self.traced.images_last
                    )
                    return {self.traced.source: elements}

                return run.outputs(numbers, first, others)

        if self.traced.result.meta["val"].ndim <= 2:
            yield from in_rounds(forward, len(coalitions), size, device)
            return
        for numbers in torch.arange(len(coalitions), device=device).split(size):
            yield numbers, forward(numbers)  # an output for every token: too large for a round of batches


def dense_plan(game: Game) -> DensePlan:
    """The dense plan for a game whose network can be traced.

    Raises:
        NotApplicable: where the network cannot be traced, saying why; then evaluate it as it is.
    """
    return tried_plan(game, DensePlan)
