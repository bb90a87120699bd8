"""Operations on the rows of regions that take each place by itself: norms, linear layers, sums."""

from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from interactions.plan import NotApplicable
from interactions.region_steps import MOVE, Given, Layout, RowStep, aligned, planner, rearranged
from interactions.traced import BATCH_NORM

aten = torch.ops.aten


@planner(BATCH_NORM)
def _batch_norm(step: fx.Node, given: Given) -> RowStep:
    layout, statistics = given.first, given.args[1:5]
    if not layout.first or not all(one is None or isinstance(one, Tensor) for one in statistics):
        raise NotApplicable(f"{step.name} depends on more than constants")
    gain, shift, mean, variance = statistics
    scale = (variance + given.args[6]).rsqrt() * (1.0 if gain is None else gain)
    offset = (0.0 if shift is None else shift) - mean * scale
    plan = rearranged(layout, lambda table: (table * scale + offset,))
    return replace(plan, layout=(layout,))


@planner(aten.layer_norm.default)
def _layer_norm(step: fx.Node, given: Given) -> RowStep:
    layout, shape = given.first, tuple(given.args[1])
    if layout.first or shape != layout.channels:
        raise NotApplicable(f"{step.name} norms over places")
    weight, bias, epsilon = (
        given.argument(2, "weight"),
        given.argument(3, "bias"),
        given.argument(4, "eps", 1e-5),
    )
    return rearranged(layout, lambda table: F.layer_norm(table, shape, weight, bias, epsilon))


@planner(aten.linear.default)
def _linear(step: fx.Node, given: Given) -> RowStep:
    layout, weight, bias = given.first, given.args[1], given.argument(2, "bias")
    if layout.first or len(layout.channels) != 1 or not isinstance(weight, Tensor):
        raise NotApplicable(f"{step.name} is over places")
    each = weight.numel() + MOVE * len(weight)
    return RowStep(
        replace(layout, channels=(len(weight),)),
        lambda table: F.linear(table, weight, bias),
        layout.regions.rows * each,
    )


@planner(aten.prelu.default)
def _prelu(step: fx.Node, given: Given) -> RowStep:
    layout, slope = given.first, given.args[1]
    if not layout.first or not isinstance(slope, Tensor):
        raise NotApplicable(f"{step.name} has slopes that are not of the channels")
    slope = slope.reshape(-1, *(1,) * (len(layout.channels) - 1))
    return rearranged(layout, lambda table: torch.where(table >= 0, table, slope * table))


def pointwise(step: fx.Node, given: Given) -> RowStep:
    """Any operation of torch's that takes each element by itself; several activations side by side."""
    layouts = [one for one in given.args if isinstance(one, Layout)]
    if not layouts or any(isinstance(one, Layout) for one in given.options.values()):
        raise NotApplicable(f"{step.name} has no activation among its arguments")
    if len({layout.first for layout in layouts}) > 1 or len({layout.shape for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} takes activations of different shapes")
    if tuple(step.meta["val"].shape[1:]) != layouts[0].shape:
        raise NotApplicable(f"{step.name} gives another shape")
    regions, finders = aligned(layouts)
    layout = replace(layouts[0], regions=regions)
    others = [one if isinstance(one, Layout) else _by_row(one, layout) for one in given.args]

    def apply(*tables: Tensor) -> Tensor:
        found = (find(table) for find, table in zip(finders, tables, strict=True))

        def argument(other: Any) -> Any:
            return next(found) if isinstance(other, Layout) else other

        return step.target(*map(argument, others), **given.options)  # type: ignore[operator,no-any-return]

    return RowStep(layout, apply, MOVE * regions.rows * layout.width * len(layouts))


def _by_row(constant: Any, layout: Layout) -> Any:
    """A constant as it meets the rows of a layout."""
    if not isinstance(constant, Tensor) or constant.ndim == 0:
        return constant
    if constant.ndim > 1 + len(layout.shape) or (constant.ndim > len(layout.shape) and len(constant) != 1):
        raise NotApplicable("a constant of another shape")
    whole = constant.reshape(
        (1,) * (len(layout.shape) - constant.ndim) + constant.shape[-len(layout.shape) :]
    )
    spatial = whole.shape[-2:] if layout.first else whole.shape[:2]
    channels = whole.shape[:-2] if layout.first else whole.shape[2:]
    if prod(spatial) == 1:
        return whole.reshape(channels)
    places = whole.expand(*channels, *layout.regions.shape).flatten(-2) if layout.first else None
    table = (
        places.movedim(-1, 0)
        if places is not None
        else whole.expand(*layout.regions.shape, *channels).flatten(0, 1)
    )
    return table.repeat_interleave(torch.from_numpy(layout.regions.counts), 0)
