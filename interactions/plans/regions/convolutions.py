"""Convolutions on the rows of regions.

A convolution is a sum over the places of a window, each term the product of a row before with the weights of
its place. Rows before are fewer than rows after, since windows join players: all products are made first,
once each, and every row after is the sum of those that it sees. Where channels before are so few that a
window is small (pictures), windows are gathered first and multiplied whole.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, fx

from harsanyi.interactions.machine.onednn import linear, multiply_into
from harsanyi.interactions.plans.graph.traced import CONVOLUTIONS
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen, Terms
from harsanyi.interactions.plans.regions.regions import places_of
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

# Of the products, or the windows, that are made at once.
MADE_BYTES = 2**25
# Numbers of a product at least, so that it is worth a call.
NARROWEST = 16
# The cost of adding one product, in multiply-adds.
ADD = 2.0


@planner(*CONVOLUTIONS)
def _convolution(step: fx.Node, given: Given) -> RowStep:
    layout, weight, bias = given.first, given.args[1], given.argument(2, "bias")
    require_image(step, layout)
    if not isinstance(weight, Tensor):
        raise NotApplicable(f"{step.name} has weights that depend on the input")
    stride, dilation = pair(given.argument(3, "stride", 1)), pair(given.argument(5, "dilation", 1))
    padding = _padding(given.argument(4, "padding", 0), tuple(weight.shape[2:]), dilation)
    groups, shape = given.argument(6, "groups", 1), places_after(step)
    windows = window_places(layout.regions.shape, shape, tuple(weight.shape[2:]), stride, padding, dilation)
    after = Layout(layout.regions.seen_through(windows, shape), (weight.shape[0],))
    if windows.shape[1] == 1 == groups and _is_each_itself(layout, after, windows):
        return _linear(after, weight.flatten(1), bias)
    seen = RowsSeen(layout.regions, after.regions, windows)
    inner, width, rows = weight.shape[1], weight.shape[0], after.regions.rows
    by_place = weight.permute(2, 3, 0, 1).reshape(windows.shape[1], width, inner).contiguous()
    first = (
        seen.products * (inner * width + MOVE * (layout.width + width))
        + ADD * rows * windows.shape[1] * width
    )
    gathered = rows * (windows.shape[1] * inner * width + MOVE * (windows.shape[1] * layout.width + width))

    def by_products(rows: slice, table: Tensor) -> Tensor:
        return summed(table, seen.terms(rows, table.device), by_place, bias, groups)

    def by_windows(rows: slice, table: Tensor) -> Tensor:
        return gathered_first(table, seen.rows(table.device)[rows], by_place, bias)

    apply, cost = (by_windows, gathered) if groups == 1 and gathered < first else (by_products, first)
    return RowStep(after, apply, cost, aligned=(False,), index_bytes=seen.bytes + 4 * seen.products)


def _is_each_itself(before: Layout, after: Layout, windows: np.ndarray) -> bool:
    """Whether each place sees its own place alone."""
    own = np.array_equal(windows[:, 0], places_of(after.regions.shape))
    return own and before.regions.key == after.regions.key


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Before the first place of each axis; "same" puts what is odd behind the last."""
    if value == "same":
        return tuple(apart * (size - 1) // 2 for size, apart in zip(kernel, dilation, strict=True))
    return (0, 0) if value == "valid" else pair(value)


def _linear(after: Layout, weight: Tensor, bias: Tensor | None) -> RowStep:
    """What sees its own place alone."""
    cost = after.regions.rows * (weight.numel() + MOVE * len(weight))
    return RowStep(after, lambda rows, table: linear(table, weight, bias), cost)


def summed(
    table: Float[Tensor, "before channels"],
    terms: Terms,
    weight: Float[Tensor, "seen width inner"],
    bias: Float[Tensor, " width"] | None,
    groups: int,
) -> Float[Tensor, "after width"]:
    """Rows of a convolution: every product once, and their sums.

    Args:
        terms: of these rows.
        weight: of each place of the window, to all channels after from those of a group.
    """
    rows = {place: _taken(table, some) for place, some in terms.factors.items()}
    width = weight.shape[1]
    fitting = MADE_BYTES // (table.itemsize * (1 + terms.products)) // NARROWEST * NARROWEST
    columns = max(NARROWEST, fitting) if groups == 1 else width
    parts = [slice(start, start + columns) for start in range(0, width, columns)]
    found = table.new_empty(len(terms.sums), width)
    for part in parts:
        products = table.new_empty(1 + terms.products, len(range(width)[part]))
        products[-1] = 0.0
        end = 0
        for place in (place for place in rows if place not in terms.straight):
            multiplied(
                rows[place], weight[place, part], groups, products[end : (end := end + len(rows[place]))]
            )
        found[:, part] = F.embedding_bag(terms.sums, products, mode="sum") if terms.products else 0.0
    for place in terms.straight:
        product = table.new_empty(found.shape)
        multiplied(rows[place], weight[place], groups, product)
        found += product
    return found if bias is None else found.add_(bias)


def _taken(table: Tensor, rows: slice | Tensor) -> Tensor:
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)


def multiplied(rows: Tensor, weight: Tensor, groups: int, target: Tensor) -> None:
    """Rows times weights `(width, inner)`, group by group, written into the target."""
    if groups == 1:
        multiply_into(target, rows, weight)
    elif weight.shape == (groups, 1):
        torch.mul(rows, weight[:, 0], out=target)
    else:
        left = rows.view(len(rows), groups, -1).transpose(0, 1)
        right = weight.view(groups, -1, weight.shape[1]).transpose(1, 2)
        target.view(len(rows), groups, -1).copy_(torch.bmm(left, right).transpose(0, 1))


def gathered_first(
    table: Float[Tensor, "before channels"],
    seen: Tensor,
    weight: Float[Tensor, "seen width channels"],
    bias: Float[Tensor, " width"] | None,
) -> Float[Tensor, "after width"]:
    """Rows of a convolution, each the product of its whole window.

    Args:
        seen: `(after, seen)`, the rows of each window; one past the last for what is beyond the edge.
    """
    flat = weight.transpose(0, 1).flatten(1)
    size = max(1, MADE_BYTES // (flat.shape[1] * table.itemsize))
    return torch.cat([linear(_windows_of(table, some), flat, bias) for some in seen.split(size)])


def _windows_of(table: Tensor, seen: Tensor) -> Tensor:
    """`(after, seen · channels)`, zeros beyond the edge."""
    found = table.index_select(0, seen.clamp(max=len(table) - 1).reshape(-1)).view(*seen.shape, -1)
    return found.masked_fill_((seen == len(table))[..., None], 0.0).flatten(1)
