"""Pooling on tables of rows: each row of the result is the maximum or the mean of the rows in its window.

The rules take a `LayoutStep` and give a `RowStep` (see `steps`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import OUTSIDE
from harsanyi.interactions.plans.regions.steps import MOVE_COST, LayoutStep, RowStep, TableLayout
from harsanyi.interactions.plans.regions.windows import pair, window_places

aten = torch.ops.aten


def max_pool(step: LayoutStep) -> RowStep:
    """Max pooling; beyond the edge lies −∞, which is never the maximum."""
    return _pool(step, step.argument(4, "dilation", 1), -torch.inf, torch.maximum)


def mean_pool(step: LayoutStep) -> RowStep:
    """Mean pooling: sums over windows, times a scale for each place."""
    plan = _pool(step, 1, 0.0, torch.add)
    # At the edges divisors differ by the options. The means of an image of ones tell them.
    ones = torch.ones(1, 1, *step.layout.regions.shape, dtype=torch.float64)
    means = aten.avg_pool2d.default(ones, *step.args[1:], **step.options).reshape(-1).numpy()
    inside = (_windows(step, 1) != OUTSIDE).sum(1)
    scale = np.divide(means, inside, out=np.zeros_like(means), where=inside > 0)
    value = step.node.meta["val"]
    scales = torch.from_numpy(np.repeat(scale, plan.regions.counts))[:, None].to(value.device, value.dtype)

    def apply(rows: slice, table: Tensor) -> Tensor:
        sums: Tensor = plan.apply(rows, table)
        return sums.mul_(scales[rows])

    return replace(plan, apply=apply)


def _pool(step: LayoutStep, dilation: Any, neutral: float, join: Callable[..., Tensor]) -> RowStep:
    """The rows of a window joined one after another.

    Args:
        neutral: the value beyond the edge, which changes nothing.
        join: takes two tensors and `out`.
    """
    step.require_image()
    layout, windows = step.layout, _windows(step, dilation)
    regions = layout.regions.seen_through(windows, step.places_after)
    seen = RowsSeen(layout.regions, regions, windows)

    def apply(rows: slice, table: Tensor) -> Tensor:
        joined = table.new_full((rows.stop - rows.start, table.shape[1]), neutral)
        for numbers in seen.rows(table.device)[rows].unbind(1):
            values = table.index_select(0, numbers.clamp(max=len(table) - 1))
            if seen.leaves:
                values.masked_fill_((numbers == len(table))[:, None], neutral)
            join(joined, values, out=joined)
        return joined

    cost = 2 * MOVE_COST * regions.rows * windows.shape[1] * layout.width
    layout_after = TableLayout(regions, layout.channels)
    return RowStep(layout_after, apply, cost, aligned=(False,), index_bytes=seen.bytes)


def _windows(step: LayoutStep, dilation: Any) -> np.ndarray:
    kernel = pair(step.args[1])
    stride = pair(step.argument(2, "stride", ()) or kernel)
    padding = pair(step.argument(3, "padding", 0))
    before, after = step.layout.regions.shape, step.places_after
    return window_places(before, after, kernel, stride, padding, pair(dilation))
