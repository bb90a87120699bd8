"""Where the rows of regions begin and end in a traced network: counted, and the cheapest two cuts taken."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, fx

from harsanyi.interactions.plans.graph.traced import CONVOLUTIONS, Traced, call, is_pointwise
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions import convolutions, pools  # noqa: F401  plan what sees windows
from harsanyi.interactions.plans.regions.moves import view
from harsanyi.interactions.plans.regions.pointwise import pointwise
from harsanyi.interactions.plans.regions.regions import Regions, colours_of
from harsanyi.interactions.plans.regions.runs import in_runs
from harsanyi.interactions.plans.regions.steps import DONE, MOVE, PLANNERS, Given, Layout, RowStep

aten = torch.ops.aten
# The share of the dense cost from which on two cuts are not worth it: counts are no better than that.
PAYS = 0.98


@dataclass(frozen=True, eq=False)
class RegionPlan:
    """Where the dense parts end and begin, and how the part between runs on rows.

    Attributes:
        traced: the network.
        n: players.
        start, stop: the steps that run on rows.
        layouts: of what is understood, by node.
        steps: the planned steps from start to stop.
        colours: of the players, for the first part.
        cost: of one game in all coalitions, in multiply-adds.
        dense_cost: of the same, densely.
        bytes: that a game's tables and the indices need at most, beside the dense parts.
    """

    traced: Traced
    n: int
    start: int
    stop: int
    layouts: dict[fx.Node, Layout]
    steps: tuple[RowStep, ...]
    colours: tuple[int, ...]
    cost: float
    dense_cost: float
    bytes: int

    @property
    def given(self) -> set[fx.Node]:
        """The inputs beside what is masked that are read on rows."""
        read = {node for step in self.steps for node in step.sources}
        return read & set(self.traced.beside.values())

    @property
    def covering(self) -> Bool[Tensor, "coalitions players"]:
        """The coalitions of the first part."""
        numbers = torch.arange(1 << (1 + max(self.colours)))[:, None]
        return (numbers >> torch.tensor(self.colours)) & 1 == 1

    def tables(self, live: dict[fx.Node, Tensor]) -> dict[fx.Node, Tensor]:
        """Rows at `stop`, from the activations of the covering coalitions at `start`.

        Args:
            live: `(coalitions, …)`, of one game.
        """
        count = 1 << (1 + max(self.colours))
        found = {
            node: _rows_among(value, self.layouts[node], count, list(self.colours))
            for node, value in live.items()
        }
        planned = dict(zip(self.traced.steps[self.start : self.stop], self.steps, strict=True))
        tables = in_runs(planned, found, set(self.traced.live(self.stop)))
        return cast(dict[fx.Node, Tensor], tables)  # cuts are where nothing has several parts

    def activations(
        self, tables: dict[fx.Node, Tensor], coalitions: Bool[Tensor, "coalitions players"]
    ) -> dict[fx.Node, Tensor]:
        """What lives at `stop` on some coalitions, from the tables of one game."""
        found, rows = {}, {}
        for node, table in tables.items():
            layout = self.layouts[node]
            key = layout.regions.key
            if key not in rows:
                rows[key] = layout.regions.rows_of(coalitions).reshape(-1)
            places = table.index_select(0, rows[key])
            whole = places.view(len(coalitions), *layout.regions.shape, *layout.channels)
            found[node] = whole.permute(_order(layout))
        return found


def plan_step(step: fx.Node, layouts: Mapping[fx.Node, Any], constants: Mapping[fx.Node, Any]) -> RowStep:
    """How a step is done on rows.

    Args:
        layouts: of all activations made before.
        constants: values of what is no activation, those that are the same for all inputs as for one.

    Raises:
        NotApplicable: naming the step and why.
    """

    sources: list[fx.Node] = []

    def given(node: fx.Node) -> Any:
        if node in layouts:
            sources.append(node)
            return layouts[node]
        if node in constants:
            return constants[node]
        raise NotApplicable(f"{node.name} is no activation over places")

    planner = PLANNERS.get(step.target)
    if planner is None and is_pointwise(step.target):
        planner = pointwise
    if planner is None:
        raise NotApplicable(f"{step.target} is not understood on rows")
    if planner is view:  # its sizes may be the batch's
        taken = Given((given(step.args[0]),), {})  # type: ignore[arg-type]
    else:
        args, options = fx.node.map_arg((step.args, step.kwargs), given)  # type: ignore[misc]
        taken = Given(tuple(args), options)  # type: ignore[arg-type]
    return replace(planner(step, taken), sources=tuple(sources))


def plan_regions(traced: Traced, source: Layout, n: int, cuts: tuple[int, int] | None = None) -> RegionPlan:
    """The cheapest two cuts.

    Args:
        source: how players lie on what is masked.
        cuts: the first step on rows and the first after them, in place of the cheapest.

    Raises:
        NotApplicable: if nothing is won, or nothing is understood, naming the first step that is not.
    """
    layouts: dict[fx.Node, Any] = {traced.source: source} | _beside(traced, source)
    constants = dict(traced.constants)
    planned: list[RowStep] = []
    stumbled = "all steps are understood"
    for step in traced.steps:
        try:
            if layouts.keys().isdisjoint(step.all_input_nodes):
                constants[step] = _alike(step, traced, constants)
                planned.append(DONE)
                continue
            planned.append(plan_step(step, layouts, constants))
        except NotApplicable as error:
            stumbled = f"from {step.name} on ({error})"
            break
        layouts[step] = planned[-1].layout
    dense = np.array([dense_cost(step, traced) for step in traced.steps])
    costs = _costs(traced, layouts, planned, dense, n)
    if cuts is not None and cuts not in costs:
        raise NotApplicable(f"no rows from step {cuts[0]} to {cuts[1]}; {stumbled}")
    start, stop = cuts or min(costs, key=costs.__getitem__)
    everything = float(dense.sum()) * 2**n
    if cuts is None and costs[start, stop] > PAYS * everything:
        raise NotApplicable(f"no cut pays; {stumbled}")
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
        everything,
        _bytes(traced, layouts, planned, start, stop),
    )


def _beside(traced: Traced, source: Layout) -> dict[fx.Node, Layout]:
    """How further inputs lie beside tokens: a row for each place, whoever is present."""
    players, places = np.zeros_like(source.regions.players), source.regions.shape
    shapes = {node: tuple(node.meta["val"].shape[1:]) for node in traced.beside.values()}
    return {
        node: Layout(Regions(players, places), shape[1:], len(shape) - 1)
        for node, shape in shapes.items()
        if not source.before and shape[:1] == places
    }


def _alike(step: fx.Node, traced: Traced, constants: Mapping[fx.Node, Any]) -> Any:
    """What a step makes that is the same for all inputs, for one."""

    def made(batch: int) -> Any:
        sizes = {node: size(batch) for node, size in traced.sizes.items()}
        if not all(node in constants or node in sizes for node in step.all_input_nodes):
            raise NotApplicable("it is of the batch and no activation")
        return call(
            step, fx.node.map_arg((step.args, step.kwargs), lambda node: sizes.get(node, constants.get(node)))
        )  # type: ignore[arg-type]

    one, two = made(1), made(2)
    alike = isinstance(one, Tensor) and one.shape[1:] == two.shape[1:] and bool((two == one).all())
    if not alike or len(one) != 1:
        raise NotApplicable("it differs from input to input")
    return one


def _costs(
    traced: Traced, layouts: dict[fx.Node, Any], planned: list[RowStep], dense: np.ndarray, n: int
) -> dict[tuple[int, int], float]:
    """What the whole costs with each possible pair of cuts."""
    before = np.concatenate([[0.0], np.cumsum(dense)])
    rows = np.concatenate([[0.0], np.cumsum([step.cost for step in planned])])
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for place in range(len(planned) + 1):
        nodes = traced.live(place)
        live = [layouts[node] for node in nodes if isinstance(layouts.get(node), Layout)]
        if len(live) < len(nodes):
            continue
        count = 2 ** (1 + max(colours_of([layout.regions for layout in live], n)))
        width = sum(prod(layout.shape) for layout in live)
        taken = sum(layout.regions.rows * layout.width for layout in live)
        first[place] = count * (before[place] + MOVE * width) + MOVE * taken - rows[place]
        last[place] = 2**n * (before[-1] - before[place] + MOVE * width) + rows[place]
    return {
        (start, stop): float(first[start] + last[stop]) for start in first for stop in last if start <= stop
    }


def _bytes(traced: Traced, layouts: dict[fx.Node, Any], planned: list[RowStep], start: int, stop: int) -> int:
    """Of the tables that live at once, with what is made of them, and of the indices."""
    itemsize = traced.source.meta["val"].dtype.itemsize
    peak = max(
        sum(
            itemsize * layouts[node].regions.rows * layouts[node].width
            for node in traced.live(place)
            if isinstance(layouts.get(node), Layout)
        )
        for place in range(start, stop + 1)
    )
    return 2 * peak + sum(step.index_bytes for step in planned[start:stop])


def dense_cost(step: fx.Node, traced: Traced) -> float:
    """Multiply-adds of a step on one input, moves counted as `MOVE`."""
    shape = getattr(step.meta.get("val"), "shape", None)
    if shape is None:
        return 0.0
    size = float(prod(int(length) for length in shape[1:]))
    multiplied = 0.0
    if step.target in CONVOLUTIONS:
        weight = traced.constants[step.args[1]]  # type: ignore[index]
        multiplied = size * prod(weight.shape[1:])
    elif step.target is aten.linear.default:
        weight = step.args[1]
        inner = traced.constants[weight].shape[1] if weight in traced.constants else 1  # type: ignore[operator,index]
        multiplied = size * inner
    elif step.target is aten.matmul.default:
        multiplied = size * int(step.args[0].meta["val"].shape[-1])  # type: ignore[union-attr]
    elif step.target is aten.scaled_dot_product_attention.default:
        multiplied = 2 * size * int(step.args[1].meta["val"].shape[-2])  # type: ignore[union-attr]
    return multiplied + MOVE * size


def _rows_among(value: Tensor, layout: Layout, count: int, colours: list[int]) -> Shaped[Tensor, "rows ..."]:
    """The rows of an activation, out of those of the covering coalitions."""
    dims = range(1, 1 + len(layout.regions.shape))
    places = value.movedim(tuple(layout.before + dim for dim in dims), tuple(dims))
    flat = places.reshape(count * len(layout.regions.players), *layout.channels)
    return flat.index_select(0, layout.regions.rows_among(colours).to(flat.device))


def _order(layout: Layout) -> tuple[int, ...]:
    """The axes of an activation among (batch, places…, channels…)."""
    places = len(layout.regions.shape)
    channels = range(1 + places, 1 + places + len(layout.channels))
    return (0, *channels[: layout.before], *range(1, 1 + places), *channels[layout.before :])
