"""Convolutions and pools on the rows of regions: what each place sees through a window."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
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
    places_after,
    planner,
    require_plain,
)
from interactions.regions import OUTSIDE, Regions, places_of
from interactions.traced import CONVOLUTIONS

aten = torch.ops.aten

# What a matrix product gathers at once.
GATHERED_BYTES = 8 * 2**20
# How many times as long a multiply-add takes where each channel is by itself.
DEPTHWISE = 8.0


@planner(*CONVOLUTIONS)
def _convolution(step: fx.Node, given: Given) -> RowStep:
    layout, weight, bias = given.first, given.args[1], given.argument(2, "bias")
    if not isinstance(weight, Tensor) or not layout.first or len(layout.channels) != 1:
        raise NotApplicable(f"{step.name} has weights that depend on the input")
    stride, dilation = _pair(given.argument(3, "stride", 1)), _pair(given.argument(5, "dilation", 1))
    padding = _padding(given.argument(4, "padding", 0), tuple(weight.shape[2:]), dilation)
    groups = given.argument(6, "groups", 1)
    shape = places_after(step)
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
    require_plain(step, layout)
    windows = _pool_windows(step, given, dilation)
    regions = layout.regions.seen_through(windows, places_after(step))
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
    before, after = given.first.regions.shape, places_after(step)
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


def _needed(own: Regions, regions: Regions, windows: np.ndarray) -> RowsSeen | None:
    """The rows that windows see; None where each sees its own place and no other."""
    if windows.shape[1] == 1 and own.key == regions.key and (windows[:, 0] == places_of(own.shape)).all():
        return None
    return RowsSeen(own, regions, windows)


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Before the first place of each axis; "same" puts what is odd behind the last."""
    if value == "same":
        return tuple(apart * (size - 1) // 2 for size, apart in zip(kernel, dilation, strict=True))
    return (0, 0) if value == "valid" else _pair(value)


def _pair(value: Any) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value, value)
    return (*value,) * 2 if len(value) == 1 else tuple(value)
