"""Operations on the rows of regions that take each place by itself: norms, linear layers, sums, …"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from harsanyi.interactions.machine.onednn import linear
from harsanyi.interactions.plans.graph.traced import BATCH_NORM
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.steps import (
    MOVE,
    Given,
    Layout,
    RowStep,
    aligned,
    planner,
    rearranged,
)

aten = torch.ops.aten


@planner(BATCH_NORM)
def _batch_norm(step: fx.Node, given: Given) -> RowStep:
    layout, statistics = given.first, given.args[1:5]
    if not layout.before or not all(one is None or isinstance(one, Tensor) for one in statistics):
        raise NotApplicable(f"{step.name} depends on more than constants")
    gain, shift, mean, variance = statistics
    scale = (variance + given.args[6]).rsqrt() * (1.0 if gain is None else gain)
    offset = (0.0 if shift is None else shift) - mean * scale
    scale, offset = (one.reshape(-1, *(1,) * (len(layout.channels) - 1)) for one in (scale, offset))
    plan = rearranged(layout, lambda table: (table * scale + offset,))
    return replace(plan, layout=(layout,))


@planner(aten.layer_norm.default)
def _layer_norm(step: fx.Node, given: Given) -> RowStep:
    layout, shape = given.first, tuple(given.args[1])
    if not 0 < len(shape) <= layout.after:
        raise NotApplicable(f"{step.name} norms over places")
    names = (("weight", None), ("bias", None), ("eps", 1e-5))
    rest = [given.argument(2 + k, name, default) for k, (name, default) in enumerate(names)]
    return rearranged(layout, lambda table: F.layer_norm(table, shape, *rest))


@planner(aten.linear.default)
def _linear(step: fx.Node, given: Given) -> RowStep:
    layout, weight, bias = given.first, given.args[1], given.argument(2, "bias")
    if not layout.after or not isinstance(weight, Tensor):
        raise NotApplicable(f"{step.name} is over places")
    after = replace(layout, channels=(*layout.channels[:-1], len(weight)))
    products = layout.width * len(weight) + MOVE * after.width
    return RowStep(after, lambda rows, table: linear(table, weight, bias), layout.regions.rows * products)


@planner(aten.embedding.default)
def _embedding(step: fx.Node, given: Given) -> RowStep:
    weight, numbers = given.args[:2]
    if not isinstance(weight, Tensor) or not isinstance(numbers, Layout):
        raise NotApplicable(f"{step.name} has vectors that depend on the input")
    after = replace(numbers, channels=(*numbers.channels, weight.shape[1]), after=numbers.after + 1)
    cost = MOVE * after.regions.rows * after.width
    return RowStep(after, lambda rows, table: F.embedding(table, weight), cost)


@planner(aten.prelu.default)
def _prelu(step: fx.Node, given: Given) -> RowStep:
    layout, slope = given.first, given.args[1]
    if not layout.before or not isinstance(slope, Tensor):
        raise NotApplicable(f"{step.name} has slopes that are not of the channels")
    slope = slope.reshape(-1, *(1,) * (len(layout.channels) - 1))
    return rearranged(layout, lambda table: torch.where(table >= 0, table, slope * table))


def pointwise(step: fx.Node, given: Given) -> RowStep:
    """Any operation of torch's that takes each element by itself; several activations side by side."""
    layouts = [one for one in given.args if isinstance(one, Layout)]
    if not layouts or any(isinstance(one, Layout) for one in given.options.values()):
        raise NotApplicable(f"{step.name} has no activation among its arguments")
    if len({(one.after, one.shape) for one in layouts}) > 1:
        raise NotApplicable(f"{step.name} takes activations of different shapes")
    if tuple(step.meta["val"].shape[1:]) != layouts[0].shape:
        raise NotApplicable(f"{step.name} gives another shape")
    regions, finders = aligned(layouts)
    layout = replace(layouts[0], regions=regions)
    waiting = iter(finders)
    readers = [
        _of_a_table(next(waiting)) if isinstance(one, Layout) else _by_row(one, layout) for one in given.args
    ]

    def apply(rows: slice, *tables: Tensor) -> Tensor:
        left = iter(tables)
        arguments = (read(rows, left) for read in readers)
        return step.target(*arguments, **given.options)  # type: ignore[operator,no-any-return]

    cost = MOVE * regions.rows * layout.width * len(layouts)
    return RowStep(layout, apply, cost, tuple(find is None for find in finders))


# An argument of an operation for a slice of rows, from the tables that were not read before.
Reader = Callable[[slice, Iterator[Tensor]], Any]


def _of_a_table(find: Callable[[slice, Tensor], Tensor] | None) -> Reader:
    if find is None:
        return lambda rows, tables: next(tables)
    return lambda rows, tables: find(rows, next(tables))


def _by_row(constant: Any, layout: Layout) -> Reader:
    """A constant as it meets the rows of a layout."""
    if not isinstance(constant, Tensor) or constant.ndim == 0:
        return lambda rows, tables: constant
    shape, before, dims = layout.shape, layout.before, len(layout.regions.shape)
    if constant.ndim > 1 + len(shape) or (constant.ndim > len(shape) and len(constant) != 1):
        raise NotApplicable("a constant of another shape")
    whole = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape[-len(shape) :])
    places = whole.movedim(tuple(range(before, before + dims)), tuple(range(dims)))
    channels = places.shape[dims:]
    if prod(places.shape[:dims]) == 1:
        alike = places.reshape(channels)
        return lambda rows, tables: alike
    flat = places.expand(*layout.regions.shape, *channels).flatten(0, dims - 1)
    table = flat.repeat_interleave(torch.from_numpy(layout.regions.counts).to(flat.device), 0)
    return lambda rows, tables: table[rows]
