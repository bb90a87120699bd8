"""Operations that work on each place by itself, on tables of rows: norms, linear layers, sums, ….

Each rule takes a `LayoutStep` and gives a `RowStep` (see `steps`). Rows stay in their order. Where two
activations with different regions meet, the result has the union of their regions, and each is looked up for
it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harsanyi.interactions.machine.onednn import PackedLinear
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.steps import (
    MOVE_COST,
    LayoutStep,
    RowFinder,
    RowStep,
    TableLayout,
    each_row,
    united_rows,
)


def batch_norm(step: LayoutStep) -> RowStep:
    """A batch norm with constant statistics: a scale and an offset for each channel."""
    layout, statistics = step.layout, step.args[1:5]
    if not layout.before or not all(value is None or isinstance(value, Tensor) for value in statistics):
        raise NotApplicable(f"{step.name} depends on more than constants")
    gain, shift, mean, variance = statistics
    scale = (variance + step.args[6]).rsqrt() * (1.0 if gain is None else gain)
    offset = (0.0 if shift is None else shift) - mean * scale
    scale, offset = (value.reshape(-1, *(1,) * (len(layout.channels) - 1)) for value in (scale, offset))
    plan = each_row(layout, lambda table: (table * scale + offset,))
    return replace(plan, layout=(layout,))


def layer_norm(step: LayoutStep) -> RowStep:
    """A layer norm over channels that come after the places."""
    layout, shape = step.layout, tuple(step.args[1])
    if not 0 < len(shape) <= layout.after:
        raise NotApplicable(f"{step.name} norms over places")
    names = (("weight", None), ("bias", None), ("eps", 1e-5))
    options = [step.argument(2 + k, name, default) for k, (name, default) in enumerate(names)]
    return each_row(layout, lambda table: F.layer_norm(table, shape, *options))


def linear_layer(step: LayoutStep) -> RowStep:
    """A linear layer over the last axis of the channels."""
    layout, weight, bias = step.layout, step.args[1], step.argument(2, "bias")
    if not layout.after or not isinstance(weight, Tensor):
        raise NotApplicable(f"{step.name} is over places")
    after = replace(layout, channels=(*layout.channels[:-1], len(weight)))
    products = layout.width * len(weight) + MOVE_COST * after.width
    multiply, cost = PackedLinear(weight), layout.regions.rows * products
    return RowStep(
        after, lambda rows, table: multiply(table, bias), cost, index_bytes=weight.nbytes, products=1
    )


def embedding(step: LayoutStep) -> RowStep:
    """The vector of each token id."""
    weight, numbers = step.args[:2]
    if not isinstance(weight, Tensor) or not isinstance(numbers, TableLayout):
        raise NotApplicable(f"{step.name} has vectors that depend on the input")
    after = replace(numbers, channels=(*numbers.channels, weight.shape[1]), after=numbers.after + 1)
    cost = MOVE_COST * after.regions.rows * after.width
    return RowStep(after, lambda rows, table: F.embedding(table, weight), cost)


def prelu(step: LayoutStep) -> RowStep:
    """A ReLU with a slope for each channel below zero."""
    layout, slope = step.layout, step.args[1]
    if not layout.before or not isinstance(slope, Tensor):
        raise NotApplicable(f"{step.name} has slopes that are not of the channels")
    slope = slope.reshape(-1, *(1,) * (len(layout.channels) - 1))
    return each_row(layout, lambda table: torch.where(table >= 0, table, slope * table))


def pointwise(step: LayoutStep) -> RowStep:
    """Any operation of torch's that works on each element by itself, of one or more activations."""
    layouts = [argument for argument in step.args if isinstance(argument, TableLayout)]
    if not layouts or any(isinstance(option, TableLayout) for option in step.options.values()):
        raise NotApplicable(f"{step.name} has no activation among its arguments")
    if len({(layout.after, layout.shape) for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} takes activations of different shapes")
    if step.shape[1:] != layouts[0].shape:
        raise NotApplicable(f"{step.name} gives another shape")
    regions, finders = united_rows(layouts)
    layout = replace(layouts[0], regions=regions)
    waiting = iter(finders)
    readers = [
        _read_table(next(waiting)) if isinstance(argument, TableLayout) else _read_constant(argument, layout)
        for argument in step.args
    ]

    def apply(rows: slice, *tables: Tensor) -> Any:
        unread = iter(tables)
        arguments = (read(rows, unread) for read in readers)
        return step.target(*arguments, **step.options)

    cost = MOVE_COST * regions.rows * layout.width * len(layouts)
    return RowStep(layout, apply, cost, tuple(find is None for find in finders))


# Gives an argument of an operation for a slice of rows, from the tables that no argument before has read.
Reader = Callable[[slice, Iterator[Tensor]], Any]


def _read_table(find: RowFinder | None) -> Reader:
    if find is None:
        return lambda rows, tables: next(tables)
    return lambda rows, tables: find(rows, next(tables))


def _read_constant(constant: Any, layout: TableLayout) -> Reader:
    """A constant in the shape that broadcasts over the rows of a layout."""
    if not isinstance(constant, Tensor) or constant.ndim == 0:
        return lambda rows, tables: constant
    shape, before, dims = layout.shape, layout.before, len(layout.regions.shape)
    if constant.ndim > 1 + len(shape) or (constant.ndim > len(shape) and len(constant) != 1):
        raise NotApplicable("a constant of another shape")
    whole = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape[-len(shape) :])
    places = whole.movedim(tuple(range(before, before + dims)), tuple(range(dims)))
    channels = places.shape[dims:]
    if prod(places.shape[:dims]) == 1:
        shared = places.reshape(channels)
        return lambda rows, tables: shared
    flat = places.expand(*layout.regions.shape, *channels).flatten(0, dims - 1)
    table = flat.repeat_interleave(torch.from_numpy(layout.regions.counts).to(flat.device), 0)
    return lambda rows, tables: table[rows]
