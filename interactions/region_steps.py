"""Operations of a network on the rows of its regions instead of on every place of every coalition.

An activation (batch, channels…, height, width) of all coalitions is a table `(games, rows, channels…)`, see
`interactions.regions`. Each operation that is understood is planned once: the regions of its result, which
rows it needs of what it is given, and what it costs. What is not understood raises NotApplicable. The
operations themselves are planned in `region_windows`, `region_moves` and `region_pointwise`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor, fx

from interactions.plan import NotApplicable
from interactions.regions import OUTSIDE, Regions, places_of, united

# The cost of moving one element, in multiply-adds.
MOVE = 8.0


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


def planner(*targets: Any) -> Callable[[Planner], Planner]:
    """Plans these operations."""

    def register(plan: Planner) -> Planner:
        PLANNERS.update(dict.fromkeys(targets, plan))
        return plan

    return register


def same(layout: Layout) -> RowStep:
    return RowStep(layout, lambda table: table, 0.0)


def rearranged(layout: Layout, apply: Callable[[Tensor], Any]) -> RowStep:
    """Channels put elsewhere; the places stay."""
    return RowStep(layout, apply, MOVE * layout.regions.rows * layout.width)


def aligned(layouts: Sequence[Layout]) -> tuple[Regions, list[Callable[[Tensor], Tensor]]]:
    """The regions of several activations together, and for each how its rows are found there."""
    regions = united(*(layout.regions for layout in layouts))
    return regions, [_finder(layout.regions, regions) for layout in layouts]


def _finder(own: Regions, regions: Regions) -> Callable[[Tensor], Tensor]:
    if own.key == regions.key:
        return lambda table: table
    rows = RowsSeen(own, regions, places_of(own.shape)[:, None])
    return lambda table: table.index_select(1, rows.rows[:, 0])


def require_plain(step: fx.Node, layout: Layout) -> None:
    if not layout.first or len(layout.channels) != 1:
        raise NotApplicable(f"{step.name} takes places of an activation that is not (channels, …)")


def places_after(step: fx.Node) -> tuple[int, ...]:
    return tuple(step.meta["val"].shape[-2:])
