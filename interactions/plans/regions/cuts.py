"""Chooses the two cuts between dense and row-wise execution of a traced network, by estimated cost.

Steps before the first cut run densely, on few coalitions. Steps between the cuts run on rows, one for each
way each place can be. Steps after the second cut run densely, on every coalition. `plan_regions` counts the
multiply-adds of every pair of cuts and gives the cheapest as a `RegionPlan`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, fx

from harsanyi.interactions.plans.graph.step import Step, numbers_of, shape_of
from harsanyi.interactions.plans.graph.traced import CONVOLUTIONS, Traced
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.chains import chain_starts, run_chains
from harsanyi.interactions.plans.regions.moves import reshape
from harsanyi.interactions.plans.regions.peak import peak_bytes
from harsanyi.interactions.plans.regions.regions import Regions, colours_of
from harsanyi.interactions.plans.regions.rules import rule_of
from harsanyi.interactions.plans.regions.steps import DONE, MOVE_COST, LayoutStep, RowStep, TableLayout

aten = torch.ops.aten
# The largest share of the dense cost that is worth two cuts: counts are not more exact than that.
MAX_SHARE = 0.98


@dataclass(frozen=True, eq=False)
class RegionPlan:
    """Two cuts of a traced network, and how the steps between them run on rows.

    Attributes:
        traced: the network.
        n: players.
        start, stop: the numbers of the first step on rows and of the first step after them.
        layouts: of the activations, by node.
        steps: the planned steps from start to stop.
        colours: of the players, for the coalitions of the first part.
        cost: multiply-adds of one game in all coalitions.
        dense_cost: multiply-adds of the same on the whole network.
        bytes: the most memory for a game's tables, the indices, and all that computes them (`peak_bytes`).
        indices: numbers of rows that every game looks up, by what they are for and their device.
    """

    traced: Traced
    n: int
    start: int
    stop: int
    layouts: dict[fx.Node, TableLayout]
    steps: tuple[RowStep, ...]
    colours: tuple[int, ...]
    cost: float
    dense_cost: float
    bytes: int
    indices: dict[tuple[Hashable, torch.device], Tensor] = field(default_factory=dict)

    @property
    def beside(self) -> set[fx.Node]:
        """The inputs beside the masked one that the steps on rows read."""
        read = {node for step in self.steps for node in step.sources}
        return read & set(self.traced.beside.values())

    @property
    def covering_count(self) -> int:
        """How many coalitions the first part has."""
        return 1 << (1 + max(self.colours))

    def covering(self, device: torch.device) -> Bool[Tensor, "coalitions players"]:
        """The coalitions of the first part: they show every place with every subset of its players."""
        return self._kept("covering", device, lambda: _members_by_colour(self.colours))

    def _kept(self, name: Hashable, device: torch.device, compute: Callable[[], Tensor]) -> Tensor:
        """An index on a device, computed and copied once for all games."""
        if (name, device) not in self.indices:
            self.indices[name, device] = compute().to(device)
        return self.indices[name, device]

    def tables(self, live: dict[fx.Node, Tensor]) -> dict[fx.Node, Tensor]:
        """The tables at the second cut, for one game.

        Args:
            live: the activations at the first cut, `(covering coalitions, …)` each.
        """
        return self.advanced(self.rows(live), self.start, self.stop)

    def rows(self, live: Mapping[fx.Node, Tensor]) -> dict[fx.Node, Tensor]:
        """The tables at the first cut, of the activations there."""
        return {node: self._rows(value, self.layouts[node]) for node, value in live.items()}

    def advanced(self, tables: Mapping[fx.Node, Tensor], start: int, stop: int) -> dict[fx.Node, Tensor]:
        """The tables at a later one of `edges`.

        Args:
            tables: at the edge `start`.
            start, stop: two of `edges`.

        Returns:
            The tables at the edge `stop`.
        """
        wanted = set(self.traced.live(stop)) | (self.beside if stop < self.stop else set())
        steps = slice(start - self.start, stop - self.start)
        planned = dict(zip(self.traced.steps[start:stop], self.steps[steps], strict=True))
        advanced = run_chains(planned, tables, wanted)
        return cast(dict[fx.Node, Tensor], advanced)  # no activation at an edge has several parts

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """The places where all tables are whole: the two cuts, and between them the starts of chains."""
        planned = dict(zip(self.traced.steps[self.start : self.stop], self.steps, strict=True))
        numbers = {node: number for number, node in enumerate(planned, self.start)}
        starts = (numbers[first] for first in chain_starts(planned))
        whole = (
            place
            for place in starts
            if all(isinstance(self.layouts.get(node), TableLayout) for node in self.traced.live(place))
        )
        return tuple(sorted({self.start, *whole, self.stop}))

    @property
    def key(self) -> tuple[Hashable, ...]:
        """What tables depend on beside the steps before them."""
        return self.n, self.start, self.colours

    def _rows(self, value: Tensor, layout: TableLayout) -> Shaped[Tensor, "rows ..."]:
        """The rows of an activation, from its values in the covering coalitions."""
        dims = range(1, 1 + len(layout.regions.shape))
        places = value.movedim(tuple(layout.before + dim for dim in dims), tuple(dims))
        flat = places.reshape(self.covering_count * len(layout.regions.players), *layout.channels)
        numbers = self._kept(
            layout.regions.key, flat.device, lambda: layout.regions.rows_among(list(self.colours))
        )
        return flat.index_select(0, numbers)

    def activations(
        self,
        tables: dict[fx.Node, Tensor],
        coalitions: Bool[Tensor, "coalitions players"],
        images_last: bool,
    ) -> dict[fx.Node, Tensor]:
        """The activations at the second cut for a batch of coalitions, `(coalitions, …)` each.

        Args:
            tables: of one game, as `tables` gives them.
            coalitions: of that game.
            images_last: whether images have their channels last in memory, as rows have.

        Returns:
            Activations by node.
        """
        activations, rows = {}, {}
        for node, table in tables.items():
            layout = self.layouts[node]
            key = layout.regions.key
            if key not in rows:
                rows[key] = layout.regions.rows_of(coalitions).reshape(-1)
            places = table.index_select(0, rows[key])
            whole = places.view(len(coalitions), *layout.regions.shape, *layout.channels)
            value = whole.permute(_axes_in_order(layout))
            activations[node] = value.contiguous() if layout.is_image and not images_last else value
        return activations


def _plan_step(node: fx.Node, layouts: Mapping[fx.Node, Any], constants: Mapping[fx.Node, Any]) -> RowStep:
    """How one operation runs on rows.

    Args:
        node: the operation.
        layouts: of all activations computed before.
        constants: the values of all other nodes; what is the same for all inputs has a batch of one.

    Raises:
        NotApplicable: naming the step and why.
    """
    sources: list[fx.Node] = []

    def value_of(node: fx.Node) -> Any:
        if node in layouts:
            sources.append(node)
            return layouts[node]
        if node in constants:
            return constants[node]
        raise NotApplicable(f"{node.name} is no activation over places")

    rule = rule_of(node.target)
    if rule is None:
        raise NotApplicable(f"{node.target} has no rule for rows")
    if rule is reshape:  # its sizes may be of the batch; the rule reads them off the result
        step = LayoutStep(node, (value_of(Step.of(node).input),), {})
    else:
        step = LayoutStep.with_values(node, value_of)
    return replace(rule(step), sources=tuple(sources))


def plan_regions(
    traced: Traced, source: TableLayout, n: int, cuts: tuple[int, int] | None = None
) -> RegionPlan:
    """The plan with the cheapest two cuts.

    Args:
        traced: the network.
        source: the layout of the masked input, with the players of each place.
        n: players.
        cuts: the numbers of the first step on rows and of the first step after them, instead of the cheapest.

    Returns:
        The two cuts, the steps between them, and the cost of one game in multiply-adds.

    Raises:
        NotApplicable: where no pair of cuts saves work; it names the first step that has no rule.
    """
    layouts: dict[fx.Node, Any] = {traced.source: source} | _beside(traced, source)
    constants = dict(traced.constants)
    planned: list[RowStep] = []
    obstacle = "all steps have a rule"
    for step in traced.steps:
        try:
            if layouts.keys().isdisjoint(step.all_input_nodes):
                constants[step] = _same_for_all(step, traced, constants)
                planned.append(DONE)
                continue
            planned.append(_plan_step(step, layouts, constants))
        except NotApplicable as error:
            obstacle = f"from {step.name} on ({error})"
            break
        layouts[step] = planned[-1].layout
    dense = np.array([dense_cost(step, traced) for step in traced.steps])
    costs = _costs(traced, layouts, planned, dense, n)
    if cuts is not None and cuts not in costs:
        raise NotApplicable(f"no rows from step {cuts[0]} to {cuts[1]}; {obstacle}")
    start, stop = cuts or min(costs, key=costs.__getitem__)
    dense_total = float(dense.sum()) * 2**n
    if cuts is None and costs[start, stop] > MAX_SHARE * dense_total:
        raise NotApplicable(f"no cut pays; {obstacle}")
    colours = colours_of([layouts[node].regions for node in traced.live(start)], n)
    return RegionPlan(
        traced,
        n,
        start,
        stop,
        layouts,
        tuple(planned[start:stop]),
        tuple(colours),
        costs[start, stop],
        dense_total,
        peak_bytes(traced, layouts, planned, (start, stop), n, 1 << (1 + max(colours))),
    )


def _beside(traced: Traced, source: TableLayout) -> dict[fx.Node, TableLayout]:
    """The layouts of further inputs beside tokens: one row a place, since no player owns them."""
    players, places = np.zeros_like(source.regions.players), source.regions.shape
    shapes = {node: tuple(node.meta["val"].shape[1:]) for node in traced.beside.values()}
    return {
        node: TableLayout(Regions(players, places), shape[1:], len(shape) - 1)
        for node, shape in shapes.items()
        if not source.before and shape[:1] == places
    }


def _same_for_all(node: fx.Node, traced: Traced, constants: Mapping[fx.Node, Any]) -> Any:
    """The result of a step that is the same for all inputs, for a batch of one."""
    of_the_batch = set(traced.steps)

    def result(batch: int) -> Any:
        sizes = {length: size(batch) for length, size in traced.sizes.items()}
        if not all(source in constants or source in sizes for source in node.all_input_nodes):
            raise NotApplicable("it is of the batch and no activation")

        def value_of(source: fx.Node) -> Any:
            value: Any = sizes.get(source, constants.get(source))
            # What steps before gave for a batch of one is the same for all inputs of this batch.
            return value.expand(batch, *value.shape[1:]) if source in of_the_batch else value

        return Step.with_values(node, value_of).run()

    row, rows = result(1), result(2)
    same = isinstance(row, Tensor) and row.shape[1:] == rows.shape[1:] and bool((rows == row).all())
    if not same or len(row) != 1:
        raise NotApplicable("it differs from input to input")
    return row


def _costs(
    traced: Traced, layouts: dict[fx.Node, Any], planned: list[RowStep], dense: np.ndarray, n: int
) -> dict[tuple[int, int], float]:
    """Multiply-adds of one game in all coalitions, for each possible pair of cuts."""
    before = np.concatenate([[0.0], np.cumsum(dense)])
    rows = np.concatenate([[0.0], np.cumsum([step.cost for step in planned])])
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for place in range(len(planned) + 1):
        nodes = traced.live(place)
        live = [layouts[node] for node in nodes if isinstance(layouts.get(node), TableLayout)]
        if len(live) < len(nodes):
            continue
        count = 2 ** (1 + max(colours_of([layout.regions for layout in live], n)))
        width = sum(prod(layout.shape) for layout in live)
        gathered = sum(layout.regions.rows * layout.width for layout in live)
        first[place] = count * (before[place] + MOVE_COST * width) + MOVE_COST * gathered - rows[place]
        last[place] = 2**n * (before[-1] - before[place] + MOVE_COST * width) + rows[place]
    return {
        (start, stop): float(first[start] + last[stop]) for start in first for stop in last if start <= stop
    }


def dense_cost(node: fx.Node, traced: Traced) -> float:
    """Multiply-adds of a step on one input, moves counted as `MOVE_COST`."""
    if getattr(node.meta.get("val"), "shape", None) is None:
        return 0.0
    step = Step.of(node)
    size = float(numbers_of(node))
    multiplied = 0.0
    if step.target in CONVOLUTIONS:
        multiplied = size * prod(traced.constants[step.input_at(1)].shape[1:])
    elif step.target is aten.linear.default:
        weight = step.input_at(1)
        multiplied = size * (traced.constants[weight].shape[1] if weight in traced.constants else 1)
    elif step.target is aten.matmul.default:
        multiplied = size * int(shape_of(step.input)[-1])
    elif step.target is aten.scaled_dot_product_attention.default:
        multiplied = 2 * size * int(shape_of(step.input_at(1))[-2])
    return multiplied + MOVE_COST * size


def _members_by_colour(colours: Sequence[int]) -> Bool[Tensor, "coalitions players"]:
    """All sets of colours, as the coalitions of the players of these colours."""
    numbers = torch.arange(1 << (1 + max(colours)))[:, None]
    return (numbers >> torch.tensor(colours)) & 1 == 1


def _axes_in_order(layout: TableLayout) -> tuple[int, ...]:
    """Where each axis of the activation is among (batch, places…, channels…)."""
    places = len(layout.regions.shape)
    channels = range(1 + places, 1 + places + len(layout.channels))
    return (0, *channels[: layout.before], *range(1, 1 + places), *channels[layout.before :])
