"""Value tables of a convolutional network from the rows of its regions: exactly, for fewer multiply-adds.

The first steps run densely, on 2^colours coalitions that put every place in every way it can be; the middle
on rows, one for each way each place can be; the last densely again, on every coalition, where most places
depend on most players anyway. See `harsanyi.interactions.plans.regions.cuts` for where these begin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, fx

from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.machine.batching import batch_fitting, in_rounds, in_workers
from harsanyi.interactions.machine.memory import gibibytes, plan_memory
from harsanyi.interactions.plans.graph.of_game import beside, traced_game
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Block, NotApplicable, Plan, probes, require_agreement
from harsanyi.interactions.plans.regions.cuts import RegionPlan, plan_regions
from harsanyi.interactions.plans.regions.regions import Regions
from harsanyi.interactions.plans.regions.steps import Layout

# Of games with players of their own, the plans that are kept.
PLANS_KEPT = 4


@dataclass(frozen=True, eq=False)
class RegionTables(Plan):
    """Outputs by way of the rows of the regions of a convolutional network.

    Attributes:
        traced: the network as a function of what is masked.
        shape: of what is masked, (channels, height, width) or (tokens, …).
        memory: bytes that tables may take beside the dense parts. Where one game needs more, its last
            players are fixed, present and absent in turn, until what is left fits.
        plans: of the games that were asked for last; players that are the same for all have one.
        trying: whether tables are kept in `tried`, for whoever asks for them next.
        tried: tables, by their game and the fixed players.
    """

    traced: Traced
    shape: tuple[int, ...]
    memory: int
    plans: dict[int, RegionPlan] = field(default_factory=dict)
    trying: bool = False
    tried: dict[tuple[int, ...], dict[fx.Node, Tensor]] = field(default_factory=dict)
    name = "tables"

    @property
    def share(self) -> float:
        """Multiply-adds of the first game, moves counted as some, as a share of the dense plan's."""
        plan = self.plan(0)
        return plan.cost / plan.dense_cost

    def describe(self) -> str:
        """Where the parts begin, in words."""
        plan, fixed = self.plan(0), self.game.n - self.plan(0).n
        return (
            f"{plan.start} of {len(self.traced.steps)} steps on {len(plan.covering)} coalitions, on to step "
            f"{plan.stop} on rows, the rest on all {2**self.game.n:,}"
            + (f"; {2**fixed} times, with {fixed} players fixed, to fit the memory" if fixed else "")
        )

    def plan(self, game: int) -> RegionPlan:
        """The plan of one game."""
        number = game if self.game.players.per_game else 0
        if number not in self.plans:
            if len(self.plans) >= PLANS_KEPT:
                self.plans.pop(next(iter(self.plans)))
            self.plans[number] = self._planned(number)
        return self.plans[number]

    def outputs(
        self,
        games: Int64[Tensor, " pairs"],
        coalitions: Bool[Tensor, "pairs players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """Numbers of pairs, and their outputs; those of one game together.

        As `Plan.outputs`. Workers share the last part, so that `batch_size` is that of each.
        """
        for game in games.unique().tolist():
            plan = self.plan(game)
            numbers = (games == game).nonzero()[:, 0]
            for fixed in coalition_masks(self.game.n - plan.n, device=games.device):
                chosen = numbers[(coalitions[numbers, plan.n :] == fixed).all(1)]
                if len(chosen):
                    yield from self._outputs(
                        game, plan, fixed, chosen, coalitions[chosen, : plan.n], batch_size
                    )

    def _outputs(
        self,
        game: int,
        plan: RegionPlan,
        fixed: Tensor,
        numbers: Tensor,
        coalitions: Tensor,
        size: int | None,
    ) -> Iterator[Block]:
        """Those of one game, its last players present or absent as given."""
        key = (game, *map(int, fixed))
        tables = self.tried.pop(key) if key in self.tried else self._tables(game, plan, fixed)
        if self.trying:
            self.tried.clear()  # at most one
            self.tried[key] = tables
        size = size or batch_fitting(self.traced.largest(plan.stop), fixed.device)

        def last(chosen: Tensor) -> Tensor:
            with torch.inference_mode():
                given = beside(self.game, self.traced, torch.full_like(chosen, game))
                values = plan.activations(tables, coalitions[chosen]) | self.traced.values_beside(given)
                steps = len(self.traced.steps)
                outputs: Tensor = self.traced.run(plan.stop, steps, values, len(chosen))[self.traced.result]
                return outputs

        for chosen, outputs in in_rounds(last, len(numbers), size, fixed.device):
            yield numbers[chosen], outputs

    def _tables(self, game: int, plan: RegionPlan, fixed: Tensor) -> dict[fx.Node, Tensor]:
        """Those of one game at the second cut."""
        covering = plan.covering.to(fixed.device)
        return plan.tables(self._first(game, plan, torch.cat([covering, fixed.expand(len(covering), -1)], 1)))

    def _first(
        self, game: int, plan: RegionPlan, coalitions: Bool[Tensor, "coalitions players"]
    ) -> dict[fx.Node, Tensor]:
        """What lives at the first cut, on the covering coalitions."""

        def first(chosen: Tensor) -> dict[fx.Node, Tensor]:
            with torch.inference_mode():
                games = torch.full((len(chosen),), game, device=chosen.device)
                elements = self.game.masked_elements(games, chosen, images_last=True)
                given = beside(self.game, self.traced, games)
                values = {self.traced.source: elements} | self.traced.values_beside(given)
                return self.traced.run(0, plan.start, values, len(chosen)) | {
                    node: values[node] for node in plan.given
                }

        size = batch_fitting(self.traced.largest(0, plan.start), self.game.device)
        parts = in_workers(first, coalitions.split(size), self.game.device)
        return {node: torch.cat([part[node] for part in parts]) for node in parts[0]}

    def _planned(self, game: int) -> RegionPlan:
        """For as many players as the memory allows, the last of them fixed."""
        players = self.game.players.players_at(self.shape, game)
        for n in range(self.game.n, 0, -1):
            seen = np.bitwise_and(players, (1 << n) - 1)
            plan = plan_regions(self.traced, _layout(seen, self.shape), n)
            if plan.bytes <= self.memory:
                return plan
        raise NotApplicable(
            f"one game's tables need {gibibytes(plan.bytes)}, more than the {gibibytes(self.memory)} "
            "there are for them"
        )


def _layout(players: np.ndarray, shape: tuple[int, ...]) -> Layout:
    """Of images (channels, height, width), or of tokens and what they hold."""
    if len(shape) == 3:
        return Layout(Regions(players, shape[1:]), shape[:1])
    return Layout(Regions(players, shape[:1]), shape[1:], len(shape) - 1)


def tables_plan(game: Game, *, memory: int | None = None) -> RegionTables:
    """The plan for a convolutional network whose input, or the feature map of a layer, is masked.

    Args:
        memory: bytes for tables; 2 GiB on a CPU and a quarter of a GPU's without it.

    Raises:
        NotApplicable: saying why, where this is not possible or does not pay.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> from torch import nn
    >>> body = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()]
    >>> net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    >>> game = MaskedModel(net, torch.randn(1, 1, 16, 16), Players.grid(16, 16, 2, 4), labels=[0])
    >>> tables_plan(game).share < 0.5
    True
    """
    masked, traced = traced_game(game)
    shape = tuple(masked.masked_elements(*probes(masked)).shape[1:])
    if len(shape) > 3:
        raise NotApplicable(f"what is masked is neither an image nor tokens: {shape}")
    plan = RegionTables(masked, traced, shape, plan_memory(masked.device) if memory is None else memory)
    with torch.inference_mode(), masked.prepared():
        require_agreement(replace(plan, trying=True))
    return plan
