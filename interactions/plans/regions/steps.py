"""The contract between the operations of a network and the tables of rows that stand for its activations.

An activation (batch, channels…, places…, channels…) of all coalitions of a game is one table
`(rows, channels…)`; `regions.py` says which rows there are. `TableLayout` describes such a table.
A rule takes a `LayoutStep`, an operation with layouts in place of its activations. It gives a `RowStep`: the
layout of the result, a function of tables that computes it, and the cost. It raises NotApplicable where rows
are not enough. The rules themselves stand in `convolutions`, `pools`, `moves` and `pointwise`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, fx

from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import Regions, places_of, united

# The cost of moving one number, in multiply-adds.
MOVE_COST = 8.0


@dataclass(frozen=True, eq=False)
class TableLayout:
    """How an activation lies in a table.

    Attributes:
        regions: of its places.
        channels: the axes of one place.
        after: how many of these come after the places, as in (height, width, channels); others come before.
    """

    regions: Regions
    channels: tuple[int, ...]
    after: int = 0

    @property
    def before(self) -> int:
        """How many axes of one place come before the places."""
        return len(self.channels) - self.after

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the activation for one input, without the batch."""
        return (*self.channels[: self.before], *self.regions.shape, *self.channels[self.before :])

    @property
    def width(self) -> int:
        """Numbers in one row."""
        return prod(self.channels)

    @property
    def is_image(self) -> bool:
        """Whether the activation is (channels, height, width)."""
        return len(self.regions.shape) == 2 and len(self.channels) == 1 and self.after == 0

    def channel_axis(self, axis: int) -> int | None:
        """The channel axis that an axis of the whole activation is; None for the batch and the places."""
        axis = axis % (1 + len(self.shape)) - 1
        places = len(self.regions.shape)
        if 0 <= axis < self.before:
            return axis
        return axis - places if axis >= self.before + places else None


@dataclass(frozen=True, eq=False)
class RowStep:
    """A planned operation.

    Attributes:
        layout: of the result. A tuple where the result has several parts; None where it is the same for all
            inputs and was computed while planning.
        apply: takes a slice of rows and the tables of the input activations in order, and gives those rows
            of the result.
        cost: of all rows of one game, in multiply-adds.
        aligned: for each input activation, whether row r of the result needs row r of it only. `apply` gets
            the slice of an aligned table, and the whole of any other.
        index_bytes: memory for the numbers of rows to look up, and for weights in another order.
        at_once: whether all rows must be computed in one call.
        scratch: takes a number of rows of the result, and gives how many numbers their computation holds
            beside the tables and two copies of them.
        sources: the input activations; one that is used twice is listed twice.
        kernels: how many operations of torch's a slice of rows takes; none where there is nothing to compute.
        products: how many of them are matrix products.
    """

    layout: TableLayout | tuple[TableLayout, ...] | None
    apply: Callable[..., Any]
    cost: float
    aligned: tuple[bool, ...] = (True,)
    index_bytes: int = 0
    at_once: bool = False
    scratch: Callable[[int], int] = lambda rows: 0
    sources: tuple[fx.Node, ...] = ()
    kernels: int = 2
    products: int = 0

    @property
    def parts(self) -> tuple[TableLayout, ...]:
        """The layout of each part of the result."""
        assert self.layout is not None
        return (self.layout,) if isinstance(self.layout, TableLayout) else self.layout

    @property
    def regions(self) -> Regions:
        """The regions of the result, the same for all its parts."""
        return self.parts[0].regions

    @property
    def width(self) -> int:
        """Numbers in one row of the result."""
        return sum(part.width for part in self.parts)


# A step whose result is the same for all inputs is computed while planning; nothing is left to do.
DONE = RowStep(None, lambda rows: None, 0.0, (), kernels=0)


class LayoutStep(Step):
    """An operation whose activations are given as table layouts, and constants as their values."""

    @property
    def layout(self) -> TableLayout:
        """The layout of the first argument; NotApplicable where that is no activation."""
        if not isinstance(self.args[0], TableLayout):
            raise NotApplicable("its first argument is no activation over places")
        return self.args[0]

    @property
    def places_after(self) -> tuple[int, ...]:
        """Height and width of the result."""
        return self.shape[-2:]

    def require_image(self) -> None:
        """Refuse an input activation that is not (channels, height, width), with NotApplicable."""
        if not self.layout.is_image:
            raise NotApplicable(
                f"{self.name} takes places of an activation that is not (channels, height, width)"
            )


RowRule = Callable[[LayoutStep], RowStep]


def unchanged(layout: TableLayout) -> RowStep:
    """The input's table as it is, under a layout that may read it as another shape."""
    return RowStep(layout, lambda rows, table: table, 0.0, kernels=0)


def each_row(layout: TableLayout, apply: Callable[[Tensor], Any]) -> RowStep:
    """A function of the rows, each by itself; the places stay where they are.

    Args:
        layout: of the result.
        apply: takes rows `(rows, channels…)` of the input and gives as many of the result.
    """
    return RowStep(layout, lambda rows, table: apply(table), MOVE_COST * layout.regions.rows * layout.width)


def gathered(layout: TableLayout, seen: RowsSeen, fill: float = 0.0) -> RowStep:
    """Rows of the input in another order, some more than once.

    Args:
        layout: of the result.
        seen: for each row of the result, the number of its row in the input.
        fill: the value of places beyond the edge of the input.

    Returns:
        The step; its cost is that of moving all numbers.
    """

    def apply(rows: slice, table: Tensor) -> Tensor:
        numbers = seen.rows(table.device)[rows, 0]
        if not seen.leaves:
            return table.index_select(0, numbers)
        outside = (numbers == len(table)).view(-1, *(1,) * (table.ndim - 1))
        return table.index_select(0, numbers.clamp(max=len(table) - 1)).masked_fill(outside, fill)

    cost = MOVE_COST * layout.regions.rows * layout.width
    return RowStep(layout, apply, cost, aligned=(False,), index_bytes=seen.bytes)


# Takes a slice of rows of united regions and a table of smaller ones, and gives the table's rows for these.
RowFinder = Callable[[slice, Tensor], Tensor]


def united_rows(layouts: Sequence[TableLayout]) -> tuple[Regions, list[RowFinder | None]]:
    """The union of the regions of several activations, and how to find each one's rows for it.

    Returns:
        The united regions, and a finder for each layout; None where its rows are those of the union.
    """
    regions = united(*(layout.regions for layout in layouts))
    return regions, [_finder(layout.regions, regions) for layout in layouts]


def _finder(own: Regions, regions: Regions) -> RowFinder | None:
    if own.key == regions.key:
        return None
    seen = RowsSeen(own, regions, places_of(own.shape)[:, None])
    return lambda rows, table: table.index_select(0, seen.rows(table.device)[rows, 0])
