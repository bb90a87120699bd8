"""Operations on the rows of regions that take places or channels from elsewhere, and change no number."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import Regions, places_taken
from harsanyi.interactions.plans.regions.steps import (
    MOVE,
    Given,
    Layout,
    RowStep,
    aligned,
    planner,
    rearranged,
    require_image,
    same,
    taken,
)

aten = torch.ops.aten


@planner(aten.pad.default, aten.constant_pad_nd.default)
def _pad(step: fx.Node, given: Given) -> RowStep:
    layout, sizes = given.first, list(given.args[1])
    require_image(step, layout)
    constant = step.target is aten.constant_pad_nd.default
    mode = "constant" if constant else given.argument(2, "mode", "constant")
    value = float(given.argument(2 if constant else 3, "value", 0.0) or 0.0)
    spatial, channels = sizes[:4], sizes[4:]
    if len(channels) > 2 or (any(channels) and any(spatial)):
        raise NotApplicable(f"{step.name} pads places and channels at once")
    if any(channels):
        width = layout.width + sum(channels)
        padded = Layout(layout.regions, (width,))
        return rearranged(padded, lambda table: F.pad(table, channels, value=value))
    return _taken(layout, lambda x: F.pad(x, spatial, mode=mode), value)


@planner(aten.slice.Tensor)
def _slice(step: fx.Node, given: Given) -> RowStep:
    layout = given.first
    dim, start, stop = (given.argument(k, name) for k, name in ((1, "dim"), (2, "start"), (3, "end")))
    chosen = slice(start, stop, given.argument(4, "step", 1))
    dim = (dim or 0) % (1 + len(layout.shape))
    if dim == 0:
        if (start or 0) != 0 or (stop is not None and stop < 2**62) or chosen.step != 1:
            raise NotApplicable(f"{step.name} takes part of the batch")
        return same(layout)
    if (axis := layout.axis(dim)) is not None:
        index = (slice(None), *(slice(None) for _ in range(axis)), chosen)
        channels = tuple(torch.empty(layout.channels)[index[1:]].shape)
        return rearranged(replace(layout, channels=channels), lambda table: table[index])
    require_image(step, layout)
    taken = (slice(None),) * dim + (chosen,)
    return _taken(layout, lambda x: x[taken], 0.0)


@planner(aten.upsample_nearest2d.vec)
def _nearest(step: fx.Node, given: Given) -> RowStep:
    require_image(step, given.first)
    rest = given.args[1:]
    return _taken(given.first, lambda x: step.target(x, *rest, **given.options), 0.0)  # type: ignore[operator]


def _taken(layout: Layout, take: Callable[[Tensor], Tensor], value: float) -> RowStep:
    """Places taken from others; new ones hold the value."""
    places, shape = places_taken(layout.regions.shape, take)
    regions = layout.regions.moved(places, shape)
    return taken(Layout(regions, layout.channels), RowsSeen(layout.regions, regions, places[:, None]), value)


@planner(aten.permute.default)
def _permute(step: fx.Node, given: Given) -> RowStep:
    return _permuted(step, given.first, given.args[1])


@planner(aten.transpose.int)
def _transpose(step: fx.Node, given: Given) -> RowStep:
    order = list(range(1 + len(given.first.shape)))
    left, right = given.args[1:3]
    order[left], order[right] = order[right], order[left]
    return _permuted(step, given.first, order)


def _permuted(step: fx.Node, layout: Layout, order: Sequence[int]) -> RowStep:
    """The axes of an activation in another order, those of the places together and as they were."""
    order = [dim % (1 + len(layout.shape)) for dim in order]
    places = range(1 + layout.before, 1 + layout.before + len(layout.regions.shape))
    at = order.index(places[0])
    if order[0] != 0 or order[at : at + len(places)] != list(places):
        raise NotApplicable(
            f"{step.name} takes the axes of the places apart, or that of the batch from its place"
        )
    axes = [axis for dim in order[1:] if (axis := layout.axis(dim)) is not None]
    channels = tuple(layout.channels[axis] for axis in axes)
    moved = Layout(layout.regions, channels, len(order) - at - len(places))
    if axes == sorted(axes):
        return same(moved)
    return rearranged(moved, lambda table: table.permute(0, *(1 + axis for axis in axes)))


@planner(
    *(aten.view.default, aten.reshape.default, aten._unsafe_view.default),
    *(aten.flatten.using_ints, aten.unsqueeze.default, aten.squeeze.dim),
)
def view(step: fx.Node, given: Given) -> RowStep:
    return _reshaped(step, given.first, tuple(step.meta["val"].shape[1:]))


def _as_channels(layout: Layout) -> RowStep:
    return rearranged(layout, lambda table: table.reshape(len(table), *layout.channels))


def _reshaped(step: fx.Node, layout: Layout, shape: tuple[int, ...]) -> RowStep:
    """Channels before the places, places, and channels after them split or joined, each among themselves."""
    before, after = prod(layout.channels[: layout.before]), prod(layout.channels[layout.before :])
    count = prod(layout.regions.shape)
    for dims in (2, 1):
        for at in range(len(shape) - dims + 1):
            places, rest = shape[at : at + dims], shape[at + dims :]
            kept = dims == 1 or len(layout.regions.shape) == 1 or places == layout.regions.shape
            if kept and (prod(shape[:at]), prod(places), prod(rest)) == (before, count, after):
                regions = Regions(layout.regions.players, places)
                return _as_channels(Layout(regions, (*shape[:at], *rest), len(rest)))
    raise NotApplicable(f"{step.name} mixes places and channels")


@planner(aten.channel_shuffle.default)
def _shuffle(step: fx.Node, given: Given) -> RowStep:
    layout, groups = given.first, given.args[1]
    require_image(step, layout)
    return rearranged(layout, lambda table: table.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1))


@planner(aten.cat.default)
def _cat(step: fx.Node, given: Given) -> RowStep:
    parts, dim = given.args[0], given.argument(1, "dim", 0)
    whole = next((part for part in parts if isinstance(part, Layout)), None)
    if whole is None or dim % (1 + len(whole.shape)) == 0:
        raise NotApplicable(f"{step.name} joins no activations, or the inputs of a batch")
    if whole.axis(dim) is None:
        return _joined_places(step, parts, dim, whole)
    if not all(isinstance(part, Layout) and part.after == whole.after for part in parts):
        raise NotApplicable(f"{step.name} joins more than activations")
    regions, finders = aligned(parts)
    axis = whole.axis(dim)
    channels = [
        sum(part.channels[k] if k == axis else 0 for part in parts) or length
        for k, length in enumerate(whole.channels)
    ]

    def apply(rows: slice, *tables: Tensor) -> Tensor:
        found = [find(rows, table) if find else table for find, table in zip(finders, tables, strict=True)]
        return torch.cat(found, 1 + axis)  # type: ignore[operator]

    joined = Layout(regions, tuple(channels), whole.after)
    return RowStep(
        joined, apply, 2 * MOVE * regions.rows * joined.width, tuple(find is None for find in finders)
    )


def _joined_places(step: fx.Node, parts: Sequence[Any], dim: int, whole: Layout) -> RowStep:
    """Places after places, those of constants among them (a class token)."""
    if dim % (1 + len(whole.shape)) != 1 + whole.before:
        raise NotApplicable(f"{step.name} joins places along an axis that is not their first")
    layouts = [part if isinstance(part, Layout) else _of_a_constant(step, part, whole) for part in parts]
    if len({(one.channels, one.after, one.regions.shape[1:]) for one in layouts}) > 1:
        raise NotApplicable(f"{step.name} joins activations of different shapes")
    players = np.concatenate([one.regions.players for one in layouts])
    shape = (sum(one.regions.shape[0] for one in layouts), *whole.regions.shape[1:])
    constants = {
        k: part.movedim(
            tuple(range(1 + whole.before, 1 + whole.before + len(shape))), tuple(range(1, 1 + len(shape)))
        ).reshape(-1, *whole.channels)
        for k, part in enumerate(parts)
        if isinstance(part, Tensor)
    }

    def apply(rows: slice, *tables: Tensor) -> Tensor:
        given = iter(tables)
        return torch.cat([constants[k] if k in constants else next(given) for k in range(len(parts))])[rows]

    joined = Layout(Regions(players, shape), whole.channels, whole.after)
    cost = 2 * MOVE * joined.regions.rows * joined.width
    return RowStep(joined, apply, cost, (False,) * (len(parts) - len(constants)), at_once=True)


def _of_a_constant(step: fx.Node, part: Any, whole: Layout) -> Layout:
    """How what is the same for all inputs lies beside an activation."""
    if not isinstance(part, Tensor) or part.ndim != 1 + len(whole.shape) or len(part) != 1:
        raise NotApplicable(f"{step.name} joins what is neither an activation nor the same for all inputs")
    places = tuple(part.shape[1 + whole.before : 1 + whole.before + len(whole.regions.shape)])
    channels = (*part.shape[1 : 1 + whole.before], *part.shape[1 + whole.before + len(places) :])
    return Layout(Regions(np.zeros(prod(places), np.int64), places), channels, whole.after)


@planner(aten.split.Tensor, aten.split_with_sizes.default)
def _split(step: fx.Node, given: Given) -> RowStep:
    layout, sizes = given.first, given.args[1]
    axis = layout.axis(given.argument(2, "dim", 0))
    if axis is None:
        raise NotApplicable(f"{step.name} splits places")
    parts = [len(part) for part in torch.empty(layout.channels[axis]).split(sizes)]
    channels = [(*layout.channels[:axis], part, *layout.channels[axis + 1 :]) for part in parts]
    plan = rearranged(layout, lambda table: table.split(parts, 1 + axis))
    return replace(plan, layout=tuple(replace(layout, channels=one) for one in channels))


@planner(operator.getitem)
def _part(step: fx.Node, given: Given) -> RowStep:
    whole, place = given.args
    if isinstance(whole, tuple):
        return RowStep(whole[place], lambda rows, tables: tables[place], 0.0)
    raise NotApplicable(f"{step.name} takes a part of what is not understood")


@planner(aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default)
def _copy(step: fx.Node, given: Given) -> RowStep:
    return same(given.first)


@planner(aten.dropout.default)
def _dropout(step: fx.Node, given: Given) -> RowStep:
    return same(given.first)  # one that is on was refused when it was traced
