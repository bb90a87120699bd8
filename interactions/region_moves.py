"""Operations on the rows of regions that take places or channels from elsewhere, and change no number."""

import operator
from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from interactions.plan import NotApplicable
from interactions.region_steps import (
    MOVE,
    Given,
    Layout,
    RowsSeen,
    RowStep,
    aligned,
    planner,
    rearranged,
    require_plain,
    same,
)
from interactions.regions import places_taken

aten = torch.ops.aten


@planner(aten.pad.default, aten.constant_pad_nd.default)
def _pad(step: fx.Node, given: Given) -> RowStep:
    layout, sizes = given.first, list(given.args[1])
    require_plain(step, layout)
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
    return _taken(step, layout, lambda x: F.pad(x, spatial, mode=mode), value)


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
        index = (slice(None), slice(None), *(slice(None) for _ in range(axis)), chosen)
        channels = tuple(torch.empty(layout.channels)[index[2:]].shape)
        return rearranged(replace(layout, channels=channels), lambda table: table[index])
    require_plain(step, layout)
    taken = (slice(None),) * dim + (chosen,)
    return _taken(step, layout, lambda x: x[taken], 0.0)


@planner(aten.upsample_nearest2d.vec)
def _nearest(step: fx.Node, given: Given) -> RowStep:
    require_plain(step, given.first)
    rest = given.args[1:]
    return _taken(step, given.first, lambda x: step.target(x, *rest, **given.options), 0.0)  # type: ignore[operator]


def _taken(step: fx.Node, layout: Layout, take: Callable[[Tensor], Tensor], value: float) -> RowStep:
    """Places taken from others; new ones hold the value."""
    places, shape = places_taken(layout.regions.shape, take)
    regions = layout.regions.moved(places, shape)
    rows = RowsSeen(layout.regions, regions, places[:, None])

    def apply(table: Tensor) -> Tensor:
        return rows.edged(table, value).index_select(1, rows.rows[:, 0])

    cost = MOVE * regions.rows * layout.width
    return RowStep(Layout(regions, layout.channels), apply, cost, rows.bytes)


@planner(aten.permute.default)
def _permute(step: fx.Node, given: Given) -> RowStep:
    layout, order = given.first, [dim % 4 for dim in given.args[1]]
    if len(layout.channels) == 1 and order == ([0, 2, 3, 1] if layout.first else [0, 3, 1, 2]):
        return same(replace(layout, first=not layout.first))
    raise NotApplicable(f"{step.name} permutes {order}")


@planner(aten.view.default, aten.reshape.default, aten._unsafe_view.default)
def view(step: fx.Node, given: Given) -> RowStep:
    layout, after = given.first, tuple(step.meta["val"].shape)
    channels = after[1:-2]
    if layout.first and after[-2:] == layout.regions.shape and prod(channels) == layout.width:
        reshaped = replace(layout, channels=channels)
        return rearranged(reshaped, lambda table: table.reshape(*table.shape[:2], *channels))
    if after[1:] == layout.shape:
        return same(layout)
    raise NotApplicable(f"{step.name} mixes places and channels")


@planner(aten.transpose.int)
def _transpose(step: fx.Node, given: Given) -> RowStep:
    layout = given.first
    axes = [layout.axis(dim) for dim in given.args[1:3]]
    if None in axes:
        raise NotApplicable(f"{step.name} transposes places")
    left, right = (int(axis) for axis in axes if axis is not None)
    channels = list(layout.channels)
    channels[left], channels[right] = channels[right], channels[left]
    return rearranged(
        replace(layout, channels=tuple(channels)), lambda table: table.transpose(2 + left, 2 + right)
    )


@planner(aten.channel_shuffle.default)
def _shuffle(step: fx.Node, given: Given) -> RowStep:
    layout, groups = given.first, given.args[1]
    require_plain(step, layout)
    return rearranged(layout, lambda table: table.unflatten(2, (groups, -1)).transpose(2, 3).flatten(2))


@planner(aten.cat.default)
def _cat(step: fx.Node, given: Given) -> RowStep:
    layouts, dim = given.args[0], given.argument(1, "dim", 0)
    if not all(isinstance(layout, Layout) and len(layout.channels) == 1 for layout in layouts):
        raise NotApplicable(f"{step.name} joins more than activations")
    if layouts[0].axis(dim) is None or len({layout.first for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} joins places")
    regions, finders = aligned(layouts)
    width = sum(layout.width for layout in layouts)

    def apply(*tables: Tensor) -> Tensor:
        return torch.cat([find(table) for find, table in zip(finders, tables, strict=True)], -1)

    return RowStep(Layout(regions, (width,), layouts[0].first), apply, 2 * MOVE * regions.rows * width)


@planner(aten.split.Tensor, aten.split_with_sizes.default)
def _split(step: fx.Node, given: Given) -> RowStep:
    layout, sizes = given.first, given.args[1]
    axis = layout.axis(given.argument(2, "dim", 0))
    if axis is None:
        raise NotApplicable(f"{step.name} splits places")
    parts = [len(part) for part in torch.empty(layout.channels[axis]).split(sizes)]
    channels = [(*layout.channels[:axis], part, *layout.channels[axis + 1 :]) for part in parts]
    plan = rearranged(layout, lambda table: table.split(parts, 2 + axis))
    return replace(plan, layout=tuple(replace(layout, channels=one) for one in channels))


@planner(operator.getitem)
def _part(step: fx.Node, given: Given) -> RowStep:
    whole, place = given.args
    if isinstance(whole, tuple):
        return RowStep(whole[place], lambda table: table[place], 0.0)
    raise NotApplicable(f"{step.name} takes a part of what is not understood")


@planner(aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default)
def _copy(step: fx.Node, given: Given) -> RowStep:
    return same(given.first)


@planner(aten.dropout.default)
def _dropout(step: fx.Node, given: Given) -> RowStep:
    return same(given.first)  # one that is on was refused when it was traced
