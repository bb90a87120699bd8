"""Operations of a network on the rows of its regions instead of on every place of every coalition.

An activation (batch, channels…, height, width) of all coalitions is a table `(games, rows, channels…)`, see
`interactions.regions`. Each operation that is understood is planned once: the regions of its result, which
rows it needs of what it is given, and what it costs. What is not understood raises NotApplicable.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int32
from torch import Tensor, fx

from interactions.plan import NotApplicable
from interactions.regions import OUTSIDE, Regions, places_of, places_taken, united
from interactions.traced import BATCH_NORM, CONVOLUTIONS

aten = torch.ops.aten

# What a matrix product gathers at once.
GATHERED_BYTES = 8 * 2**20
# Taken by themselves, element for element, though torch does not tag them as such.
POINTWISE = (aten.hardswish.default,)
# The cost of moving one element, in multiply-adds.
MOVE = 8.0
# How many times as long a multiply-add takes where each channel is by itself.
DEPTHWISE = 8.0


@dataclass(frozen=True, eq=False)
class Layout:
    """How an activation lies in a table.

    Attributes:
        regions: of its places.
        channels: the axes of one place.
        first: whether they come before the places, (channels…, height, width), or after them.
    """

    regions: Regions
    channels: tuple[int, ...]
    first: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input, without the batch."""
        places = self.regions.shape
        return (*self.channels, *places) if self.first else (*places, *self.channels)

    @property
    def width(self) -> int:
        """Numbers of one row."""
        return prod(self.channels)

    def axis(self, dim: int) -> int | None:
        """The axis among the channels that an axis of the activation is; None if it is none of them."""
        dim = dim % (1 + len(self.shape))
        start = 1 if self.first else 1 + len(self.regions.shape)
        return dim - start if start <= dim < start + len(self.channels) else None


@dataclass(frozen=True, eq=False)
class RowStep:
    """A planned operation.

    Attributes:
        layout: of the result; a tuple of them where it has several parts.
        apply: from the tables of the activations it is given, in their order, to that of the result.
        cost: on all rows of one game, in multiply-adds.
        index_bytes: of what it keeps to find rows.
        sources: the activations it is given, one that is given twice, twice.
    """

    layout: Layout | tuple[Layout, ...]
    apply: Callable[..., Any]
    cost: float
    index_bytes: int = 0
    sources: tuple[fx.Node, ...] = ()


@dataclass(frozen=True, eq=False)
class RowsSeen:
    """The rows that each row of a result sees; found when they are first asked for."""

    before: Regions
    after: Regions
    windows: np.ndarray

    @property
    def bytes(self) -> int:
        """Of the rows, once found."""
        return 4 * self.after.rows * self.windows.shape[1]

    @cached_property
    def rows(self) -> Int32[Tensor, "rows seen"]:
        return self.before.rows_seen_by(self.after, self.windows)

    def edged(self, table: Tensor, value: float) -> Tensor:
        """The table with a last row for what is beyond the edge, where that is seen."""
        if not (self.windows == OUTSIDE).any():
            return table
        return torch.cat([table, table.new_full((table.shape[0], 1, *table.shape[2:]), value)], 1)


@dataclass(frozen=True)
class Given:
    """What an operation is given: layouts in the place of activations, all else as it is."""

    args: tuple[Any, ...]
    options: Mapping[str, Any]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """By place or by name."""
        return self.args[place] if place < len(self.args) else self.options.get(name, default)

    @property
    def first(self) -> Layout:
        """The first argument, an activation."""
        if not isinstance(self.args[0], Layout):
            raise NotApplicable("its first argument is no activation over places")
        return self.args[0]


Planner = Callable[[fx.Node, Given], RowStep]
PLANNERS: dict[Any, Planner] = {}


def plan_step(step: fx.Node, layouts: Mapping[fx.Node, Any], constants: Mapping[fx.Node, Any]) -> RowStep:
    """How a step is done on rows.

    Args:
        layouts: of all activations made before.
        constants: values of what is no activation.

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
    pointwise = step.target in POINTWISE or torch.Tag.pointwise in getattr(step.target, "tags", ())
    if planner is None and pointwise:
        planner = _pointwise
    if planner is None:
        raise NotApplicable(f"{step.target} is not understood on rows")
    if planner is _view:  # its sizes may be the batch's
        taken = Given((given(step.args[0]),), {})  # type: ignore[arg-type]
    else:
        args, options = fx.node.map_arg((step.args, step.kwargs), given)  # type: ignore[misc]
        taken = Given(tuple(args), options)  # type: ignore[arg-type]
    return replace(planner(step, taken), sources=tuple(sources))


def planner(*targets: Any) -> Callable[[Planner], Planner]:
    """Plans these operations."""

    def register(plan: Planner) -> Planner:
        PLANNERS.update(dict.fromkeys(targets, plan))
        return plan

    return register


# --- Operations that see windows ------------------------------------------------------------------------


@planner(*CONVOLUTIONS)
def _convolution(step: fx.Node, given: Given) -> RowStep:
    layout, weight, bias = given.first, given.args[1], given.argument(2, "bias")
    if not isinstance(weight, Tensor) or not layout.first or len(layout.channels) != 1:
        raise NotApplicable(f"{step.name} has weights that depend on the input")
    stride, dilation = _pair(given.argument(3, "stride", 1)), _pair(given.argument(5, "dilation", 1))
    padding = _padding(given.argument(4, "padding", 0), tuple(weight.shape[2:]), dilation)
    groups = given.argument(6, "groups", 1)
    shape = _places_after(step)
    windows = window_places(layout.regions.shape, shape, tuple(weight.shape[2:]), stride, padding, dilation)
    regions = layout.regions.seen_through(windows, shape)
    rows = _needed(layout.regions, regions, windows)
    seen, width = windows.shape[1], weight.shape[0]
    multiplied = weight.permute(2, 3, 1, 0).reshape(seen, weight.shape[1], width).contiguous()

    def apply(table: Tensor) -> Tensor:
        found = None if rows is None else rows.rows
        return convolved(table if rows is None else rows.edged(table, 0.0), found, multiplied, bias, groups)

    each = seen * weight.shape[1] * width * (DEPTHWISE if weight.shape[1] == 1 < groups else 1)
    gathered = 0 if rows is None else MOVE * seen * layout.width
    return RowStep(
        Layout(regions, (width,)),
        apply,
        regions.rows * (each + gathered + MOVE * width),
        0 if rows is None else rows.bytes,
    )


def convolved(table: Tensor, rows: Tensor | None, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """A convolution on rows.

    Args:
        table: `(games, rows, channels)`.
        rows: `(rows after, seen)`, the rows of each window; None where each window is the row itself.
        weight: `(seen, channels / groups, channels after)`.
    """
    seen, inner, width = weight.shape
    if rows is None and groups == 1:
        return F.linear(table, weight[0].T, bias)
    if rows is None:
        rows = torch.arange(table.shape[1], dtype=torch.int32, device=table.device)[:, None]
    flat = weight.reshape(seen * inner, width)
    size = max(1, GATHERED_BYTES // (seen * table.shape[2] * table.itemsize))
    found = table.new_empty(table.shape[0], len(rows), width)
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        for game in range(len(table)):
            window = table[game].index_select(0, chosen.reshape(-1)).view(len(chosen), seen, groups, inner)
            target = found[game, start : start + size]
            if groups == 1:
                _multiply(window.view(len(chosen), seen * inner), flat, bias, target)
            elif inner == 1 and width == groups:
                torch.sum(window[..., 0] * weight[:, 0], 1, out=target)
                if bias is not None:
                    target += bias
            else:
                _multiply_groups(window, weight, bias, target)
    return found


def _multiply(window: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor) -> None:
    if bias is None:
        torch.mm(window, weight, out=target)
    else:
        torch.addmm(bias, window, weight, out=target)


def _multiply_groups(window: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor) -> None:
    count, seen, groups, inner = window.shape
    left = window.permute(2, 0, 1, 3).reshape(groups, count, seen * inner)
    right = weight.view(seen, inner, groups, -1).permute(2, 0, 1, 3).reshape(groups, seen * inner, -1)
    target.copy_(torch.bmm(left, right).permute(1, 0, 2).reshape(count, -1))
    if bias is not None:
        target += bias


@planner(aten.max_pool2d.default)
def _max_pool(step: fx.Node, given: Given) -> RowStep:
    return _pool(step, given, given.argument(4, "dilation", 1), -torch.inf, lambda seen: seen.amax(2))


@planner(aten.avg_pool2d.default)
def _mean_pool(step: fx.Node, given: Given) -> RowStep:
    plan = _pool(step, given, 1, 0.0, lambda seen: seen.sum(2))
    assert isinstance(plan.layout, Layout)
    layout, regions = given.first, plan.layout.regions
    # Divisors differ at the edges, as the options say: what ones become tells them.
    ones = torch.ones(1, 1, *layout.regions.shape, dtype=torch.float64)
    means = aten.avg_pool2d.default(ones, *given.args[1:], **given.options).reshape(-1).numpy()
    inside = (_pool_windows(step, given, 1) != OUTSIDE).sum(1)
    scale = np.divide(means, inside, out=np.zeros_like(means), where=inside > 0)

    def apply(table: Tensor) -> Tensor:
        return plan.apply(table) * torch.from_numpy(np.repeat(scale, regions.counts))[:, None].to(table)

    return replace(plan, apply=apply)


def _pool(
    step: fx.Node, given: Given, dilation: Any, outside: float, reduce: Callable[[Tensor], Tensor]
) -> RowStep:
    layout = given.first
    _require_plain(step, layout)
    windows = _pool_windows(step, given, dilation)
    regions = layout.regions.seen_through(windows, _places_after(step))
    rows = RowsSeen(layout.regions, regions, windows)
    size = max(1, GATHERED_BYTES // (8 * windows.shape[1] * layout.width))

    def apply(table: Tensor) -> Tensor:
        table = rows.edged(table, outside)
        return torch.cat(
            [
                reduce(table.index_select(1, chosen.reshape(-1)).view(len(table), *chosen.shape, -1))
                for chosen in rows.rows.split(size)
            ],
            1,
        )

    cost = 2 * MOVE * regions.rows * windows.shape[1] * layout.width
    return RowStep(Layout(regions, layout.channels), apply, cost, rows.bytes)


def _pool_windows(step: fx.Node, given: Given, dilation: Any) -> np.ndarray:
    kernel = _pair(given.args[1])
    stride = _pair(given.argument(2, "stride", ()) or kernel)
    padding = _pair(given.argument(3, "padding", 0))
    before, after = given.first.regions.shape, _places_after(step)
    return window_places(before, after, kernel, stride, padding, _pair(dilation))


def window_places(
    before: tuple[int, ...],
    after: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> np.ndarray:
    """The places before, `(places after, kernel)`, that each place after sees; OUTSIDE beyond the edge."""
    along = []
    for axis in range(len(before)):
        starts = np.arange(after[axis]) * stride[axis] - padding[axis]
        along.append(starts[:, None] + np.arange(kernel[axis]) * dilation[axis])
    row, column = along[0][:, None, :, None], along[1][None, :, None, :]
    inside = (row >= 0) & (row < before[0]) & (column >= 0) & (column < before[1])
    places = np.where(inside, row * before[1] + column, OUTSIDE)
    return places.reshape(prod(after), prod(kernel))


# --- Operations that take places, or channels -----------------------------------------------------------


@planner(aten.pad.default, aten.constant_pad_nd.default)
def _pad(step: fx.Node, given: Given) -> RowStep:
    layout, sizes = given.first, list(given.args[1])
    _require_plain(step, layout)
    constant = step.target is aten.constant_pad_nd.default
    mode = "constant" if constant else given.argument(2, "mode", "constant")
    value = float(given.argument(2 if constant else 3, "value", 0.0) or 0.0)
    spatial, channels = sizes[:4], sizes[4:]
    if len(channels) > 2 or (any(channels) and any(spatial)):
        raise NotApplicable(f"{step.name} pads places and channels at once")
    if any(channels):
        width = layout.width + sum(channels)
        padded = Layout(layout.regions, (width,))
        return _rearranged(padded, lambda table: F.pad(table, channels, value=value))
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
        return _same(layout)
    if (axis := layout.axis(dim)) is not None:
        index = (slice(None), slice(None), *(slice(None) for _ in range(axis)), chosen)
        channels = tuple(torch.empty(layout.channels)[index[2:]].shape)
        return _rearranged(replace(layout, channels=channels), lambda table: table[index])
    _require_plain(step, layout)
    taken = (slice(None),) * dim + (chosen,)
    return _taken(step, layout, lambda x: x[taken], 0.0)


@planner(aten.upsample_nearest2d.vec)
def _nearest(step: fx.Node, given: Given) -> RowStep:
    _require_plain(step, given.first)
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
        return _same(replace(layout, first=not layout.first))
    raise NotApplicable(f"{step.name} permutes {order}")


@planner(aten.view.default, aten.reshape.default, aten._unsafe_view.default)
def _view(step: fx.Node, given: Given) -> RowStep:
    layout, after = given.first, tuple(step.meta["val"].shape)
    channels = after[1:-2]
    if layout.first and after[-2:] == layout.regions.shape and prod(channels) == layout.width:
        reshaped = replace(layout, channels=channels)
        return _rearranged(reshaped, lambda table: table.reshape(*table.shape[:2], *channels))
    if after[1:] == layout.shape:
        return _same(layout)
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
    return _rearranged(
        replace(layout, channels=tuple(channels)), lambda table: table.transpose(2 + left, 2 + right)
    )


@planner(aten.channel_shuffle.default)
def _shuffle(step: fx.Node, given: Given) -> RowStep:
    layout, groups = given.first, given.args[1]
    _require_plain(step, layout)
    return _rearranged(layout, lambda table: table.unflatten(2, (groups, -1)).transpose(2, 3).flatten(2))


@planner(aten.cat.default)
def _cat(step: fx.Node, given: Given) -> RowStep:
    layouts, dim = given.args[0], given.argument(1, "dim", 0)
    if not all(isinstance(layout, Layout) and len(layout.channels) == 1 for layout in layouts):
        raise NotApplicable(f"{step.name} joins more than activations")
    if layouts[0].axis(dim) is None or len({layout.first for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} joins places")
    regions, finders = _aligned(layouts)
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
    plan = _rearranged(layout, lambda table: table.split(parts, 2 + axis))
    return replace(plan, layout=tuple(replace(layout, channels=one) for one in channels))


@planner(operator.getitem)
def _part(step: fx.Node, given: Given) -> RowStep:
    whole, place = given.args
    if isinstance(whole, tuple):
        return RowStep(whole[place], lambda table: table[place], 0.0)
    raise NotApplicable(f"{step.name} takes a part of what is not understood")


@planner(aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default)
def _copy(step: fx.Node, given: Given) -> RowStep:
    return _same(given.first)


@planner(aten.dropout.default)
def _dropout(step: fx.Node, given: Given) -> RowStep:
    return _same(given.first)  # one that is on was refused when it was traced


def _same(layout: Layout) -> RowStep:
    return RowStep(layout, lambda table: table, 0.0)


def _rearranged(layout: Layout, apply: Callable[[Tensor], Any]) -> RowStep:
    """Channels put elsewhere; the places stay."""
    return RowStep(layout, apply, MOVE * layout.regions.rows * layout.width)


# --- Operations on each place by itself -----------------------------------------------------------------


@planner(BATCH_NORM)
def _batch_norm(step: fx.Node, given: Given) -> RowStep:
    layout, statistics = given.first, given.args[1:5]
    if not layout.first or not all(one is None or isinstance(one, Tensor) for one in statistics):
        raise NotApplicable(f"{step.name} depends on more than constants")
    gain, shift, mean, variance = statistics
    scale = (variance + given.args[6]).rsqrt() * (1.0 if gain is None else gain)
    offset = (0.0 if shift is None else shift) - mean * scale
    plan = _rearranged(layout, lambda table: (table * scale + offset,))
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
    return _rearranged(layout, lambda table: F.layer_norm(table, shape, weight, bias, epsilon))


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
    return _rearranged(layout, lambda table: torch.where(table >= 0, table, slope * table))


def _pointwise(step: fx.Node, given: Given) -> RowStep:
    """Any operation of torch's that takes each element by itself; several activations side by side."""
    layouts = [one for one in given.args if isinstance(one, Layout)]
    if not layouts or any(isinstance(one, Layout) for one in given.options.values()):
        raise NotApplicable(f"{step.name} has no activation among its arguments")
    if len({layout.first for layout in layouts}) > 1 or len({layout.shape for layout in layouts}) > 1:
        raise NotApplicable(f"{step.name} takes activations of different shapes")
    if tuple(step.meta["val"].shape[1:]) != layouts[0].shape:
        raise NotApplicable(f"{step.name} gives another shape")
    regions, finders = _aligned(layouts)
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


def _aligned(layouts: Sequence[Layout]) -> tuple[Regions, list[Callable[[Tensor], Tensor]]]:
    """The regions of several activations together, and for each how its rows are found there."""
    regions = united(*(layout.regions for layout in layouts))
    return regions, [_finder(layout.regions, regions) for layout in layouts]


def _finder(own: Regions, regions: Regions) -> Callable[[Tensor], Tensor]:
    if own.key == regions.key:
        return lambda table: table
    rows = RowsSeen(own, regions, places_of(own.shape)[:, None])
    return lambda table: table.index_select(1, rows.rows[:, 0])


def _needed(own: Regions, regions: Regions, windows: np.ndarray) -> RowsSeen | None:
    """The rows that windows see; None where each sees its own place and no other."""
    if windows.shape[1] == 1 and own.key == regions.key and (windows[:, 0] == places_of(own.shape)).all():
        return None
    return RowsSeen(own, regions, windows)


def _require_plain(step: fx.Node, layout: Layout) -> None:
    if not layout.first or len(layout.channels) != 1:
        raise NotApplicable(f"{step.name} takes places of an activation that is not (channels, …)")


def _places_after(step: fx.Node) -> tuple[int, ...]:
    return tuple(step.meta["val"].shape[-2:])


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Before the first place of each axis; "same" puts what is odd behind the last."""
    if value == "same":
        return tuple(apart * (size - 1) // 2 for size, apart in zip(kernel, dilation, strict=True))
    return (0, 0) if value == "valid" else _pair(value)


def _pair(value: Any) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value, value)
    return (*value,) * 2 if len(value) == 1 else tuple(value)
