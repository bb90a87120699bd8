"""Operations that move places or channels and change no number, on tables of rows.

Padding, slices, upsampling, permutations, reshapes, joins and splits. Each rule takes a `LayoutStep` and
gives a `RowStep` (see `steps`). A move of places is a gather of rows; a move of channels is the same
operation on every row.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import Regions, moved_places
from harsanyi.interactions.plans.regions.steps import (
    MOVE_COST,
    LayoutStep,
    RowStep,
    TableLayout,
    each_row,
    gathered,
    unchanged,
    united_rows,
)

aten = torch.ops.aten


def pad(step: LayoutStep) -> RowStep:
    """Padding of places or of channels, not of both at once."""
    step.require_image()
    layout, sizes = step.layout, list(step.args[1])
    constant = step.target is aten.constant_pad_nd.default
    mode = "constant" if constant else step.argument(2, "mode", "constant")
    value = float(step.argument(2 if constant else 3, "value", 0.0) or 0.0)
    spatial, channels = sizes[:4], sizes[4:]
    if len(channels) > 2 or (any(channels) and any(spatial)):
        raise NotApplicable(f"{step.name} pads places and channels at once")
    if any(channels):
        width = layout.width + sum(channels)
        padded = TableLayout(layout.regions, (width,))
        return each_row(padded, lambda table: F.pad(table, channels, value=value))
    return _moved_places(layout, lambda x: F.pad(x, spatial, mode=mode), value)


def take_slice(step: LayoutStep) -> RowStep:
    """A slice of channels or of places; of the batch only the whole."""
    layout = step.layout
    start, stop = step.argument(2, "start"), step.argument(3, "end")
    chosen = slice(start, stop, step.argument(4, "step", 1))
    dim = (step.argument(1, "dim") or 0) % (1 + len(layout.shape))
    if dim == 0:
        if (start or 0) != 0 or (stop is not None and stop < 2**62) or chosen.step != 1:
            raise NotApplicable(f"{step.name} takes part of the batch")
        return unchanged(layout)
    if (axis := layout.channel_axis(dim)) is not None:
        index = (slice(None), *(slice(None) for _ in range(axis)), chosen)
        channels = tuple(torch.empty(layout.channels)[index[1:]].shape)
        return each_row(replace(layout, channels=channels), lambda table: table[index])
    step.require_image()
    index = (slice(None),) * dim + (chosen,)
    return _moved_places(layout, lambda x: x[index], 0.0)


def upsample_nearest(step: LayoutStep) -> RowStep:
    """Nearest-neighbour upsampling, which repeats places."""
    step.require_image()
    options = step.args[1:]
    return _moved_places(step.layout, lambda x: step.target(x, *options, **step.options), 0.0)


def _moved_places(layout: TableLayout, move: Callable[[Tensor], Tensor], fill: float) -> RowStep:
    """Each place of the result is a place of the input, or a new one with the value `fill`."""
    places, shape = moved_places(layout.regions.shape, move)
    regions = layout.regions.moved(places, shape)
    seen = RowsSeen(layout.regions, regions, places[:, None])
    return gathered(TableLayout(regions, layout.channels), seen, fill)


def permute(step: LayoutStep) -> RowStep:
    """The axes in another order."""
    return _permuted(step, step.args[1])


def transpose(step: LayoutStep) -> RowStep:
    """Two axes exchanged."""
    order = list(range(1 + len(step.layout.shape)))
    first, second = step.args[1:3]
    order[first], order[second] = order[second], order[first]
    return _permuted(step, order)


def _permuted(step: LayoutStep, order: Sequence[int]) -> RowStep:
    """The axes in another order, where those of the places stay together and in their order."""
    layout = step.layout
    order = [dim % (1 + len(layout.shape)) for dim in order]
    places = range(1 + layout.before, 1 + layout.before + len(layout.regions.shape))
    at = order.index(places[0])
    if order[0] != 0 or order[at : at + len(places)] != list(places):
        raise NotApplicable(
            f"{step.name} takes the axes of the places apart, or that of the batch from its place"
        )
    axes = [axis for dim in order[1:] if (axis := layout.channel_axis(dim)) is not None]
    channels = tuple(layout.channels[axis] for axis in axes)
    moved = TableLayout(layout.regions, channels, len(order) - at - len(places))
    if axes == sorted(axes):
        return unchanged(moved)
    return each_row(moved, lambda table: table.permute(0, *(1 + axis for axis in axes)))


def reshape(step: LayoutStep) -> RowStep:
    """Channels before the places, places, and channels after them split or joined, each among themselves."""
    layout, shape = step.layout, step.shape[1:]
    before, after = prod(layout.channels[: layout.before]), prod(layout.channels[layout.before :])
    count = prod(layout.regions.shape)
    for dims in (2, 1):
        for at in range(len(shape) - dims + 1):
            places, rest = shape[at : at + dims], shape[at + dims :]
            possible = dims == 1 or len(layout.regions.shape) == 1 or places == layout.regions.shape
            if possible and (prod(shape[:at]), prod(places), prod(rest)) == (before, count, after):
                regions = Regions(layout.regions.players, places)
                return _as_channels(TableLayout(regions, (*shape[:at], *rest), len(rest)))
    raise NotApplicable(f"{step.name} mixes places and channels")


def _as_channels(layout: TableLayout) -> RowStep:
    return each_row(layout, lambda table: table.reshape(len(table), *layout.channels))


def channel_shuffle(step: LayoutStep) -> RowStep:
    """Channels of several groups, interleaved."""
    step.require_image()
    groups = step.args[1]
    return each_row(step.layout, lambda table: table.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1))


def cat(step: LayoutStep) -> RowStep:
    """Several activations joined along channels, or along the first axis of their places."""
    parts, dim = step.args[0], step.argument(1, "dim", 0)
    whole = next((part for part in parts if isinstance(part, TableLayout)), None)
    if whole is None or dim % (1 + len(whole.shape)) == 0:
        raise NotApplicable(f"{step.name} joins no activations, or the inputs of a batch")
    axis = whole.channel_axis(dim)
    if axis is None:
        return _joined_places(step, parts, dim, whole)
    if not all(isinstance(part, TableLayout) and part.after == whole.after for part in parts):
        raise NotApplicable(f"{step.name} joins more than activations")
    regions, finders = united_rows(parts)
    channels = [
        sum(part.channels[k] if k == axis else 0 for part in parts) or length
        for k, length in enumerate(whole.channels)
    ]

    def apply(rows: slice, *tables: Tensor) -> Tensor:
        return torch.cat(
            [find(rows, table) if find else table for find, table in zip(finders, tables, strict=True)],
            1 + axis,
        )

    joined = TableLayout(regions, tuple(channels), whole.after)
    return RowStep(
        joined, apply, 2 * MOVE_COST * regions.rows * joined.width, tuple(find is None for find in finders)
    )


def _joined_places(step: LayoutStep, parts: Sequence[Any], dim: int, whole: TableLayout) -> RowStep:
    """Places after places, those of constants (a class token) among them."""
    if dim % (1 + len(whole.shape)) != 1 + whole.before:
        raise NotApplicable(f"{step.name} joins places along an axis that is not their first")
    layouts = [
        part if isinstance(part, TableLayout) else _layout_of_constant(step, part, whole) for part in parts
    ]
    if len({(layout.channels, layout.after, layout.regions.shape[1:]) for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} joins activations of different shapes")
    players = np.concatenate([layout.regions.players for layout in layouts])
    shape = (sum(layout.regions.shape[0] for layout in layouts), *whole.regions.shape[1:])
    constants = {
        k: part.movedim(
            tuple(range(1 + whole.before, 1 + whole.before + len(shape))), tuple(range(1, 1 + len(shape)))
        ).reshape(-1, *whole.channels)
        for k, part in enumerate(parts)
        if isinstance(part, Tensor)
    }

    def apply(rows: slice, *tables: Tensor) -> Tensor:
        unread = iter(tables)
        return torch.cat([constants[k] if k in constants else next(unread) for k in range(len(parts))])[rows]

    joined = TableLayout(Regions(players, shape), whole.channels, whole.after)
    cost = 2 * MOVE_COST * joined.regions.rows * joined.width
    return RowStep(joined, apply, cost, (False,) * (len(parts) - len(constants)), at_once=True)


def _layout_of_constant(step: LayoutStep, part: Any, whole: TableLayout) -> TableLayout:
    """How a constant, the same for all inputs, lies beside an activation."""
    if not isinstance(part, Tensor) or part.ndim != 1 + len(whole.shape) or len(part) != 1:
        raise NotApplicable(
            f"{step.name} joins neither an activation nor a constant that is the same for all inputs"
        )
    places = tuple(part.shape[1 + whole.before : 1 + whole.before + len(whole.regions.shape)])
    channels = (*part.shape[1 : 1 + whole.before], *part.shape[1 + whole.before + len(places) :])
    return TableLayout(Regions(np.zeros(prod(places), np.int64), places), channels, whole.after)


def split(step: LayoutStep) -> RowStep:
    """Channels in several parts."""
    layout, sizes = step.layout, step.args[1]
    axis = layout.channel_axis(step.argument(2, "dim", 0))
    if axis is None:
        raise NotApplicable(f"{step.name} splits places")
    parts = [len(part) for part in torch.empty(layout.channels[axis]).split(sizes)]
    channels = [(*layout.channels[:axis], part, *layout.channels[axis + 1 :]) for part in parts]
    plan = each_row(layout, lambda table: table.split(parts, 1 + axis))
    return replace(plan, layout=tuple(replace(layout, channels=part) for part in channels))


def getitem(step: LayoutStep) -> RowStep:
    """One part of a result that has several."""
    whole, number = step.args
    if isinstance(whole, tuple):
        return RowStep(whole[number], lambda rows, tables: tables[number], 0.0, kernels=0)
    raise NotApplicable(f"{step.name} reads a part of a result that is no tuple of activations")


def identity(step: LayoutStep) -> RowStep:
    """Copies, and dropout that is off: dropout that is on was refused by the trace."""
    return unchanged(step.layout)
