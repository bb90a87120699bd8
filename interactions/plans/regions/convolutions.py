"""Convolutions on tables of rows.

A convolution is a sum over the places of a window: each term is an input row times the weights of its place.
There are fewer input rows than output rows, because a window joins players. So all products are computed
first, once each, and every output row is the sum of its products. Where the input has few channels
(pictures), the rows of each window are gathered first and multiplied as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from harsanyi.interactions.machine.onednn import PackedLinear, multiply_into
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen, Terms
from harsanyi.interactions.plans.regions.regions import places_of
from harsanyi.interactions.plans.regions.steps import MOVE_COST, LayoutStep, RowStep, TableLayout
from harsanyi.interactions.plans.regions.windows import pair, window_places

# Memory for the products, or the windows, that are computed in one go.
WORKSPACE_BYTES = 2**25
# The smallest number of output channels in one product; fewer are not worth a call.
MIN_COLUMNS = 16
# The cost of adding one product, in multiply-adds.
ADD_COST = 2.0
# Operations of torch's: of a convolution, and of each place of a window whose products come first.
KERNELS, KERNELS_OF_A_PLACE = 4, 2


@dataclass(frozen=True, eq=False)
class _WindowWeights:
    """The weights of a convolution for its two ways, laid out where they are first used.

    Most convolutions take one of the ways, and those behind the second cut neither.
    """

    weight: Float[Tensor, "width inner high wide"]

    @cached_property
    def alone(self) -> list[PackedLinear]:
        """Those of each place of the window."""
        by_place = self.weight.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
        return [PackedLinear(part) for part in by_place]

    @cached_property
    def together(self) -> PackedLinear:
        """Those of all places, for the rows of a window end to end."""
        return PackedLinear(self.weight.permute(0, 2, 3, 1).flatten(1))


def convolution(step: LayoutStep) -> RowStep:
    """A 2d convolution by the cheaper of two ways: products first, or windows first."""
    step.require_image()
    layout, weight, bias = step.layout, step.args[1], step.argument(2, "bias")
    if not isinstance(weight, Tensor):
        raise NotApplicable(f"{step.name} has weights that depend on the input")
    stride, dilation = pair(step.argument(3, "stride", 1)), pair(step.argument(5, "dilation", 1))
    padding = _padding(step.argument(4, "padding", 0), tuple(weight.shape[2:]), dilation)
    groups, shape = step.argument(6, "groups", 1), step.places_after
    windows = window_places(layout.regions.shape, shape, tuple(weight.shape[2:]), stride, padding, dilation)
    after = TableLayout(layout.regions.seen_through(windows, shape), (weight.shape[0],))
    if windows.shape[1] == 1 == groups and _sees_own_place(layout, after, windows):
        return _linear(after, weight.flatten(1), bias)
    seen = RowsSeen(layout.regions, after.regions, windows)
    inner, width, rows = weight.shape[1], weight.shape[0], after.regions.rows
    weights = _WindowWeights(weight)
    cost_of_products = (
        seen.products * (inner * width + MOVE_COST * (layout.width + width))
        + ADD_COST * rows * windows.shape[1] * width
    )
    cost_of_windows = rows * (
        windows.shape[1] * inner * width + MOVE_COST * (windows.shape[1] * layout.width + width)
    )

    def by_products(rows: slice, table: Tensor) -> Tensor:
        return _sum_products(table, seen.terms(rows, table.device), weights.alone, bias, groups)

    def by_windows(rows: slice, table: Tensor) -> Tensor:
        return _multiply_windows(table, seen.rows(table.device)[rows], weights.together, bias)

    def scratch_of_products(rows: int) -> int:
        products = min(seen.products, rows * windows.shape[1])
        columns = width if groups > 1 else min(width, MIN_COLUMNS)
        fitting = WORKSPACE_BYTES // weight.itemsize
        at_once = min(products * width, max(fitting, products * columns))
        return products * layout.width + at_once + rows * width

    def scratch_of_windows(rows: int) -> int:
        gathered = min(rows * windows.shape[1] * inner, WORKSPACE_BYTES // weight.itemsize)
        return 2 * gathered

    windows_first = groups == 1 and cost_of_windows < cost_of_products
    apply, cost = (by_windows, cost_of_windows) if windows_first else (by_products, cost_of_products)
    return RowStep(
        after,
        apply,
        cost,
        aligned=(False,),
        index_bytes=seen.bytes + 4 * seen.products + 2 * weight.nbytes,  # laid out, then in oneDNN's order
        scratch=scratch_of_windows if windows_first else scratch_of_products,
        kernels=KERNELS if windows_first else KERNELS + KERNELS_OF_A_PLACE * windows.shape[1],
        products=1 if windows_first else windows.shape[1],
    )


def _sees_own_place(before: TableLayout, after: TableLayout, windows: np.ndarray) -> bool:
    """Whether the window of each place is that place alone."""
    own = np.array_equal(windows[:, 0], places_of(after.regions.shape))
    return own and before.regions.key == after.regions.key


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Padding before the first place of each axis; "same" puts the odd one behind the last place."""
    if value == "same":
        return tuple(apart * (size - 1) // 2 for size, apart in zip(kernel, dilation, strict=True))
    return (0, 0) if value == "valid" else pair(value)


def _linear(after: TableLayout, weight: Tensor, bias: Tensor | None) -> RowStep:
    """A convolution whose window is one place: a linear layer."""
    cost = after.regions.rows * (weight.numel() + MOVE_COST * len(weight))
    multiply = PackedLinear(weight)
    return RowStep(
        after, lambda rows, table: multiply(table, bias), cost, index_bytes=weight.nbytes, products=1
    )


def _sum_products(
    table: Float[Tensor, "before channels"],
    terms: Terms,
    weights: Sequence[PackedLinear],
    bias: Float[Tensor, " width"] | None,
    groups: int,
) -> Float[Tensor, "after width"]:
    """Output rows of a convolution: every product once, then their sums.

    Args:
        table: the input rows.
        terms: which products each of the output rows adds up.
        weights: of each place of the window: to all output channels, from the input channels of one group.
        bias: of the output channels.
        groups: of channels.
    """
    rows = {place: _select_rows(table, numbers) for place, numbers in terms.factors.items()}
    sums = _gather_products(rows, terms, [place.weight for place in weights], groups)
    for place in terms.straight:
        if groups == 1:
            product = weights[place](rows[place])
        else:
            product = table.new_empty(len(terms.sums), len(weights[place].weight))
            _multiply_rows(rows[place], weights[place].weight, groups, product)
        sums = product if sums is None else sums.add_(product)
    if sums is None:  # beyond the edge
        sums = table.new_zeros(len(terms.sums), len(weights[0].weight))
    return sums if bias is None else sums.add_(bias)


def _gather_products(
    rows: Mapping[int, Tensor], terms: Terms, weights: Sequence[Tensor], groups: int
) -> Float[Tensor, "after width"] | None:
    """The sums of those products that each row looks up; None where there are none.

    Args:
        rows: the input rows to multiply, by place of the window.
        terms: which of their products each of the output rows adds up.
        weights: of each place of the window, `(width, inner)`.
        groups: of channels.
    """
    if not terms.products:
        return None
    width, some = len(weights[0]), next(iter(rows.values()))
    fitting = max(MIN_COLUMNS, WORKSPACE_BYTES // (some.itemsize * (1 + terms.products)))
    columns = -(-width // -(-width // fitting)) if groups == 1 else width  # parts of about one size
    sums = some.new_empty(len(terms.sums), width)
    for start in range(0, width, columns):
        part = slice(start, min(start + columns, width))
        products = some.new_empty(1 + terms.products, part.stop - start)
        products[-1] = 0.0
        end = 0
        for place in (place for place in rows if place not in terms.straight):
            _multiply_rows(
                rows[place], weights[place][part], groups, products[end : (end := end + len(rows[place]))]
            )
        sums[:, part] = F.embedding_bag(terms.sums, products, mode="sum")
    return sums


def _select_rows(table: Tensor, rows: slice | Tensor) -> Tensor:
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)


def _multiply_rows(rows: Tensor, weight: Tensor, groups: int, target: Tensor) -> None:
    """Write rows times weights `(width, inner)` into the target, group by group."""
    if groups == 1:
        multiply_into(target, rows, weight)
    elif weight.shape == (groups, 1):
        torch.mul(rows, weight[:, 0], out=target)
    else:
        left = rows.view(len(rows), groups, -1).transpose(0, 1)
        right = weight.view(groups, -1, weight.shape[1]).transpose(1, 2)
        target.view(len(rows), groups, -1).copy_(torch.bmm(left, right).transpose(0, 1))


def _multiply_windows(
    table: Float[Tensor, "before channels"],
    seen: Tensor,
    weights: PackedLinear,
    bias: Float[Tensor, " width"] | None,
) -> Float[Tensor, "after width"]:
    """Output rows of a convolution, each the product of its whole window.

    Args:
        table: the input rows.
        seen: `(after, seen)`, the input rows of each window; one past the last for places beyond the edge.
        weights: of the rows of a window end to end.
        bias: of the output channels.
    """
    size = max(1, WORKSPACE_BYTES // (weights.weight.shape[1] * table.itemsize))
    return torch.cat([weights(_windows_of(table, part), bias) for part in seen.split(size)])


def _windows_of(table: Tensor, seen: Tensor) -> Tensor:
    """The rows of each window end to end, `(after, seen · channels)`, zeros beyond the edge."""
    windows = table.index_select(0, seen.clamp(max=len(table) - 1).reshape(-1)).view(*seen.shape, -1)
    return windows.masked_fill_((seen == len(table))[..., None], 0.0).flatten(1)
