"""Operations of a network on the rows of its regions instead of on every place of every coalition.

An activation (batch, channels…, places…, channels…) of all coalitions of a game is a table `(rows,
channels…)`, see regions.py. Each operation that is understood is planned once: the regions of its
result, which rows it needs of what it is given, and what it costs. What is not understood raises
NotApplicable. The operations themselves are planned in `convolutions`, `pools`, `moves`
and `pointwise`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, fx

from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.indices import RowsSeen
from harsanyi.interactions.plans.regions.regions import Regions, places_of, united

# The cost of moving one element, in multiply-adds.
MOVE = 8.0


@dataclass(frozen=True, eq=False)
class Layout:
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
        """Of one input, without the batch."""
        return (*self.channels[: self.before], *self.regions.shape, *self.channels[self.before :])

    @property
    def width(self) -> int:
        """Numbers of one row."""
        return prod(self.channels)

    @property
    def is_image(self) -> bool:
        """Whether it is (channels, height, width)."""
        return len(self.regions.shape) == 2 and len(self.channels) == 1 and self.after == 0

    def axis(self, dim: int) -> int | None:
        """The axis among the channels that an axis of the activation is; None if it is none of them."""
        dim = dim % (1 + len(self.shape)) - 1
        places = len(self.regions.shape)
        if 0 <= dim < self.before:
            return dim
        return dim - places if dim >= self.before + places else None


@dataclass(frozen=True, eq=False)
class RowStep:
    """A planned operation.

    Attributes:
        layout: of the result; a tuple of them where it has several parts, None where it is the same for all
            inputs and done already.
        apply: from a slice of rows and the tables of the activations it is given, in their order, to those
            rows of the result.
        cost: on all rows of one game, in multiply-adds.
        aligned: for each activation it is given whether a row of the result needs its row of the same number
            alone; it is then given those of the slice, and else all.
        index_bytes: of what it keeps to find rows.
        at_once: whether all rows must be made at once.
        sources: the activations it is given, one that is given twice, twice.
    """

    layout: Layout | tuple[Layout, ...] | None
    apply: Callable[..., Any]
    cost: float
    aligned: tuple[bool, ...] = (True,)
    index_bytes: int = 0
    at_once: bool = False
    sources: tuple[fx.Node, ...] = ()

    @property
    def parts(self) -> tuple[Layout, ...]:
        """Of the result."""
        assert self.layout is not None
        return (self.layout,) if isinstance(self.layout, Layout) else self.layout

    @property
    def regions(self) -> Regions:
        """Of the result; its parts have the same."""
        return self.parts[0].regions

    @property
    def width(self) -> int:
        """Numbers of one row of the result."""
        return sum(part.width for part in self.parts)


# What is the same for all inputs is made when it is planned.
DONE = RowStep(None, lambda rows: None, 0.0, ())


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


def planner(*targets: Any) -> Callable[[Planner], Planner]:
    """Plans these operations."""

    def register(plan: Planner) -> Planner:
        PLANNERS.update(dict.fromkeys(targets, plan))
        return plan

    return register


def same(layout: Layout) -> RowStep:
    return RowStep(layout, lambda rows, table: table, 0.0)


def rearranged(layout: Layout, apply: Callable[[Tensor], Any]) -> RowStep:
    """Each row by itself; the places stay."""
    return RowStep(layout, lambda rows, table: apply(table), MOVE * layout.regions.rows * layout.width)


def taken(layout: Layout, seen: RowsSeen, beyond: float = 0.0) -> RowStep:
    """Rows that are others, one by one; what lies beyond the edge has a value of its own."""

    def apply(rows: slice, table: Tensor) -> Tensor:
        found = seen.rows(table.device)[rows, 0]
        if not seen.leaves:
            return table.index_select(0, found)
        outside = (found == len(table)).view(-1, *(1,) * (table.ndim - 1))
        return table.index_select(0, found.clamp(max=len(table) - 1)).masked_fill(outside, beyond)

    cost = MOVE * layout.regions.rows * layout.width
    return RowStep(layout, apply, cost, aligned=(False,), index_bytes=seen.bytes)


def aligned(layouts: Sequence[Layout]) -> tuple[Regions, list[Callable[[slice, Tensor], Tensor] | None]]:
    """The regions of several activations together, and how the rows of each are found there, if they move."""
    regions = united(*(layout.regions for layout in layouts))
    return regions, [_finder(layout.regions, regions) for layout in layouts]


def _finder(own: Regions, regions: Regions) -> Callable[[slice, Tensor], Tensor] | None:
    if own.key == regions.key:
        return None
    seen = RowsSeen(own, regions, places_of(own.shape)[:, None])
    return lambda rows, table: table.index_select(0, seen.rows(table.device)[rows, 0])


def require_image(step: fx.Node, layout: Layout) -> None:
    if not layout.is_image:
        raise NotApplicable(
            f"{step.name} takes places of an activation that is not (channels, height, width)"
        )


def places_after(step: fx.Node) -> tuple[int, ...]:
    return tuple(step.meta["val"].shape[-2:])
