"""Pools on the rows of regions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import OUTSIDE
from harsanyi.interactions.plans.regions.steps import (
    MOVE,
    Given,
    Layout,
    RowStep,
    places_after,
    planner,
    require_image,
)
from harsanyi.interactions.plans.regions.windows import pair, window_places

aten = torch.ops.aten


@planner(aten.max_pool2d.default)
def _max_pool(step: fx.Node, given: Given) -> RowStep:
    return _pool(step, given, given.argument(4, "dilation", 1), -torch.inf, torch.maximum)


@planner(aten.avg_pool2d.default)
def _mean_pool(step: fx.Node, given: Given) -> RowStep:
    plan = _pool(step, given, 1, 0.0, torch.add)
    # Divisors differ at the edges, as the options say: what ones become tells them.
    ones = torch.ones(1, 1, *given.first.regions.shape, dtype=torch.float64)
    means = aten.avg_pool2d.default(ones, *given.args[1:], **given.options).reshape(-1).numpy()
    inside = (_windows(step, given, 1) != OUTSIDE).sum(1)
    scale = np.divide(means, inside, out=np.zeros_like(means), where=inside > 0)
    scales = torch.from_numpy(np.repeat(scale, plan.regions.counts))[:, None]

    def apply(rows: slice, table: Tensor) -> Tensor:
        found: Tensor = plan.apply(rows, table)
        return found.mul_(scales[rows].to(table))

    return replace(plan, apply=apply)


def _pool(
    step: fx.Node,
    given: Given,
    dilation: Any,
    beyond: float,
    join: Callable[..., Tensor],
) -> RowStep:
    """What a window sees, joined two by two; a value beyond the edge that changes nothing."""
    layout = given.first
    require_image(step, layout)
    windows = _windows(step, given, dilation)
    regions = layout.regions.seen_through(windows, places_after(step))
    seen = RowsSeen(layout.regions, regions, windows)

    def apply(rows: slice, table: Tensor) -> Tensor:
        found = table.new_full((rows.stop - rows.start, table.shape[1]), beyond)
        for number in seen.rows(table.device)[rows].unbind(1):
            some = table.index_select(0, number.clamp(max=len(table) - 1))
            if seen.leaves:
                some.masked_fill_((number == len(table))[:, None], beyond)
            join(found, some, out=found)
        return found

    cost = 2 * MOVE * regions.rows * windows.shape[1] * layout.width
    return RowStep(Layout(regions, layout.channels), apply, cost, aligned=(False,), index_bytes=seen.bytes)


def _windows(step: fx.Node, given: Given, dilation: Any) -> np.ndarray:
    kernel = pair(given.args[1])
    stride = pair(given.argument(2, "stride", ()) or kernel)
    padding = pair(given.argument(3, "padding", 0))
    before, after = given.first.regions.shape, places_after(step)
    return window_places(before, after, kernel, stride, padding, pair(dilation))
