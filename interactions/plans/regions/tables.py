"""Plan "tables": each place of an activation is computed once for each way it can be.

The first steps of the network run densely, on 2^colours coalitions that show every place with every subset of
its players. The middle steps run on rows, one for each place and each subset. The last steps run densely on
every coalition; there most places depend on most players anyway. `cuts` chooses where the parts begin. The
outputs are those of the dense plan up to rounding, for fewer multiply-adds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, fx

from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.elements import one_game
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.machine.batching import batch_fitting, in_rounds, in_workers
from harsanyi.interactions.machine.memory import gibibytes, plan_memory
from harsanyi.interactions.machine.prices import Prices
from harsanyi.interactions.plans.graph.of_game import beginning_of, beside, tried_plan
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Block, NotApplicable, Plan
from harsanyi.interactions.plans.regions.cuts import RegionPlan, plan_regions
from harsanyi.interactions.plans.regions.launches import share_with_launches
from harsanyi.interactions.plans.regions.regions import Regions
from harsanyi.interactions.plans.regions.steps import TableLayout

# Plans that stay in memory where every game has players of its own.
MAX_PLANS = 4


@dataclass(frozen=True, eq=False)
class RegionTables(Plan):
    """The outputs of a network by way of the rows of its regions.

    Attributes:
        traced: the network as a function of the masked elements.
        shape: of the masked elements of one input, (channels, height, width) or (tokens, …).
        memory: bytes for tables and all that computes them. Where one game needs more, its last players are
            fixed, present and absent in turn, until the rest fits.
        plans: of the games used last, by number; one plan where all games share their players.
        on_trial: whether the tables of the next call stay in `trial_tables`, as on a trial of the plan.
        trial_tables: tables of the trial, by game and fixed players.
    """

    traced: Traced
    shape: tuple[int, ...]
    memory: int
    plans: dict[int, RegionPlan] = field(default_factory=dict)
    on_trial: bool = False
    trial_tables: dict[tuple[int, ...], dict[fx.Node, Tensor]] = field(default_factory=dict)
    name = "tables"

    @property
    def share(self) -> float:
        """Multiply-adds of the first game, moves included, as a share of the dense plan's.

        On an accelerator launches and bandwidth are added to both.
        """
        plan, device = self.plan(0), self.game.device
        if device.type == "cpu":
            return plan.cost / plan.dense_cost
        return share_with_launches(plan, Prices.of(device), device)

    def describe(self) -> str:
        """Where the two cuts are, in words."""
        plan, fixed = self.plan(0), self.game.n - self.plan(0).n
        first = f"the first {plan.start} on {plan.covering_count} masked inputs, " if plan.start else ""
        return (
            f"of {len(self.traced.steps)} steps, {first}those up to {plan.stop} once for each way to mask "
            f"what a place sees, the rest on all {2**self.game.n:,} masked inputs"
            + (f"; {2**fixed} times, with {fixed} players fixed, to fit the memory" if fixed else "")
        )

    def plan(self, game: int) -> RegionPlan:
        """The plan of one game."""
        number = game if self.game.players.per_game else 0
        if number not in self.plans:
            if len(self.plans) >= MAX_PLANS:
                self.plans.pop(next(iter(self.plans)))
            self.plans[number] = self._planned(number)
        return self.plans[number]

    def outputs(
        self,
        game: int,
        coalitions: Bool[Tensor, "coalitions players"],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Block]:
        """As `Plan.outputs`. Workers share the last part; `batch_size` is that of each."""
        plan, device = self.plan(game), coalitions.device
        if plan.n == self.game.n:
            everything = torch.arange(len(coalitions), device=device)
            yield from self._outputs(game, plan, coalitions[0, :0], everything, coalitions, batch_size)
            return
        for fixed in coalition_masks(self.game.n - plan.n, device=device):
            chosen = (coalitions[:, plan.n :] == fixed).all(1).nonzero()[:, 0]
            if len(chosen):
                yield from self._outputs(game, plan, fixed, chosen, coalitions[chosen, : plan.n], batch_size)

    def _outputs(
        self,
        game: int,
        plan: RegionPlan,
        fixed: Tensor,
        numbers: Tensor,
        coalitions: Tensor,
        size: int | None,
    ) -> Iterator[Block]:
        """The outputs of one game, with its last players fixed.

        Args:
            game: its number.
            plan: of the other players.
            fixed: whether each of the last players is present.
            numbers: of the coalitions.
            coalitions: of the other players.
            size: of a batch; None for the largest that suits the device.
        """
        key = (game, *map(int, fixed))
        size = size or batch_fitting(self.traced.largest(plan.stop), fixed.device)
        run = beginning_of(self.game, self.traced).run(
            (plan.key, plan.stop, *key), coalitions, size, start=plan.stop, reserved=plan.bytes
        )
        tables = self.trial_tables.pop(key, {})
        self.trial_tables.clear()  # at most one, and none while others are made
        if not tables and run.left is None:
            tables = self._tables(game, plan, fixed)
        if self.on_trial:
            self.trial_tables[key] = tables

        def last(chosen: Tensor) -> Tensor:
            with torch.inference_mode():
                inputs = beside(self.game, self.traced, one_game(game, len(chosen), fixed.device))
                others = self.traced.values_beside(inputs)

                def first() -> dict[fx.Node, Tensor]:
                    return plan.activations(tables, coalitions[chosen], self.traced.images_last)

                return run.outputs(chosen, first, others)

        for chosen, outputs in in_rounds(last, len(numbers), size, fixed.device):
            yield numbers[chosen], outputs

    def _tables(self, game: int, plan: RegionPlan, fixed: Tensor) -> dict[fx.Node, Tensor]:
        """The tables of one game at the second cut."""
        beginning, key = beginning_of(self.game, self.traced), (plan.key, game, *map(int, fixed))
        if (left := beginning.rows_left(key, plan.edges)) is None:
            covering = plan.covering(fixed.device)
            coalitions = torch.cat([covering, fixed.expand(len(covering), -1)], 1)
            left = plan.start, plan.rows(self._first(game, plan, coalitions))
        place, tables = left
        leaving = {max((edge for edge in plan.edges if edge <= end), default=-1) for end in beginning.places}
        for stop in sorted({*leaving, plan.stop}):
            if stop >= place:
                tables = plan.advanced(tables, place, stop)
                place = stop
            if stop == place and stop in leaving:
                beginning.leave_rows(key, stop, tables, plan.bytes)
        return tables

    def _first(
        self, game: int, plan: RegionPlan, coalitions: Bool[Tensor, "coalitions players"]
    ) -> dict[fx.Node, Tensor]:
        """The activations at the first cut, for the covering coalitions."""

        def first(chosen: Tensor) -> dict[fx.Node, Tensor]:
            with torch.inference_mode():
                games = one_game(game, len(chosen), chosen.device)
                elements = self.game.masked_elements(games, chosen, images_last=self.traced.images_last)
                inputs = beside(self.game, self.traced, games)
                values = {self.traced.source: elements} | self.traced.values_beside(inputs)
                return self.traced.run(0, plan.start, values, len(chosen)) | {
                    node: values[node] for node in plan.beside
                }

        size = batch_fitting(self.traced.largest(0, plan.start), self.game.device)
        parts = in_workers(first, coalitions.split(size), self.game.device)
        return {node: torch.cat([part[node] for part in parts]) for node in parts[0]}

    def _planned(self, game: int) -> RegionPlan:
        """The plan for as many players as the memory allows, the last players fixed."""
        players = self.game.players.players_at(self.shape, game)
        least: int | None = None
        for n in range(self.game.n, 0, -1):
            seen = np.bitwise_and(players, (1 << n) - 1)
            try:
                plan = plan_regions(self.traced, _layout(seen, self.shape), n)
            except NotApplicable:  # so many players fixed that nothing is saved
                if least is None:
                    raise
                break
            if plan.bytes <= self.memory:
                return plan
            least = plan.bytes if least is None else min(least, plan.bytes)
        assert least is not None
        needed, there = gibibytes(least + least // 1000), gibibytes(self.memory)  # words are rounded
        raise NotApplicable(
            f"one game's tables need {needed} at least, and there are {there} for them: allow more memory"
        )


def _layout(players: np.ndarray, shape: tuple[int, ...]) -> TableLayout:
    """The layout of images (channels, height, width), or of tokens (tokens, …)."""
    if len(shape) == 3:
        return TableLayout(Regions(players, shape[1:]), shape[:1])
    return TableLayout(Regions(players, shape[:1]), shape[1:], len(shape) - 1)


def tables_plan(game: Game, *, memory: int | None = None) -> RegionTables:
    """The plan "tables" for a network with a masked input, or a masked output of a layer.

    Args:
        game: a `MaskedModel` of images or tokens.
        memory: bytes for tables; by default 2 GiB on a CPU and a quarter of a GPU's memory.

    Raises:
        NotApplicable: where rows are not possible or save no work, saying why.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> from torch import nn
    >>> body = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()]
    >>> net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    >>> game = MaskedModel(net, torch.randn(1, 1, 16, 16), Players.grid(16, 16, 2, 4), labels=[0])
    >>> tables_plan(game).share < 0.5
    True
    """

    def planned(masked: MaskedModel, traced: Traced) -> RegionTables:
        shape = tuple(masked.elements.values.shape[1:])
        if len(shape) > 3:
            raise NotApplicable(f"expected masked images or tokens, got elements of shape {shape}")
        bytes_of_tables = plan_memory(masked.device) if memory is None else memory
        tables = RegionTables(masked, traced, shape, bytes_of_tables, on_trial=True)
        tables.plan(0)  # where no rows pay, that is no fault of the trace
        return tables

    return replace(tried_plan(game, planned), on_trial=False)
