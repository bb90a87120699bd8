"""Networks that begin alike: what their equal steps give is computed by one of them, and kept for the others.

A fine-tuned network may differ from its origin in the last layers alone. Until the first step that reads a
weight which differs, both give the same numbers for the same inputs. `begin_together` compares traced
networks and gives each a `Beginning`. Plans ask it where they may start, and leave there what others start
from.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, fx

from harsanyi.interactions.plans.graph.step import numbers_of
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.graph.values import Value

# Names a node in all networks that begin alike: its number among the steps, or the name of an input.
Label = int | str
SOURCE = "batch"


class Kept:
    """What networks leave for others, up to some bytes; what was left first goes first.

    Args:
        max_bytes: of all together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.left: OrderedDict[Hashable, Any] = OrderedDict()

    def put(self, key: Hashable, left: "Rows | Batches", *, reserved: int = 0) -> None:
        """Keep what a network leaves under a key, if there is room.

        Args:
            key: what it is.
            left: to keep.
            reserved: bytes that the plan needs itself.
        """
        self.left.pop(key, None)
        room = self.max_bytes - reserved - left.nbytes
        if room < 0:
            return
        while self.left and sum(each.nbytes for each in self.left.values()) > room:
            self.left.popitem(last=False)
        self.left[key] = left


@dataclass(frozen=True, eq=False)
class Rows:
    """Tables of rows, by the label of their activation."""

    tables: Mapping[Label, Tensor]

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        return sum(table.nbytes for table in self.tables.values())


@dataclass(eq=False)
class Batches:
    """Activations of the coalitions of one game, written and read batch by batch.

    Attributes:
        place: the number of the step before which they live.
        coalitions: in order.
        size: of the batches; in others, activations may be rounded otherwise.
        values: by label, a row for each coalition.
        strides: of the batches, by label and length.
        written: the lengths of the batches written so far.
    """

    place: int
    coalitions: Bool[Tensor, "coalitions players"]
    size: int
    nbytes: int
    values: dict[Label, Tensor] = field(default_factory=dict)
    strides: dict[tuple[Label, int], tuple[int, ...]] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)

    def serves(self, coalitions: Tensor, size: int) -> bool:
        """Whether batches of a size of these coalitions were all written."""
        whole = sum(self.written) == len(self.coalitions)
        return whole and size == self.size and torch.equal(self.coalitions, coalitions)

    def write(self, numbers: Int64[Tensor, " batch"], batch: Mapping[Label, Tensor]) -> None:
        """Keep the activations of the coalitions of some numbers."""
        if any(0 in value.stride() for value in batch.values()):
            return  # an axis that is repeated and not in memory cannot be laid out again
        for label, value in batch.items():
            if label not in self.values:
                self.values.setdefault(label, value.new_empty(len(self.coalitions), *value.shape[1:]))
            self.values[label][numbers] = value
            self.strides[label, len(value)] = value.stride()
        self.written.append(len(numbers))

    def read(self, numbers: Int64[Tensor, " batch"]) -> dict[Label, Tensor]:
        """The activations of the coalitions of some numbers; they lie in memory as they did."""
        batch = {}
        for label, values in self.values.items():
            rows = values[numbers]
            strides = self.strides[label, len(rows)]
            lies = torch.empty_strided(rows.shape, strides, dtype=rows.dtype, device=rows.device)
            batch[label] = lies.copy_(rows)
        return batch


@dataclass(eq=False)
class Beginning:
    """Where a network parts from others, and what they keep for each other.

    Attributes:
        traced: the network.
        number: among the others.
        kept: what was left, the same for all of them.
        leader: the number of the earlier network that it has most steps in common with; None for the first.
        common: how many steps these are.
        places: where later ones part from this one.
    """

    traced: Traced
    number: int
    kept: Kept
    leader: int | None = None
    common: int = 0
    places: set[int] = field(default_factory=set)

    @cached_property
    def labels(self) -> dict[fx.Node, Label]:
        """The labels of the nodes that may live between two steps."""
        steps: dict[fx.Node, Label] = {step: number for number, step in enumerate(self.traced.steps)}
        beside = {node: f"beside {name}" for name, node in self.traced.beside.items()}
        return {self.traced.source: SOURCE} | beside | steps

    @cached_property
    def nodes(self) -> dict[Label, fx.Node]:
        """The nodes by their labels."""
        return {label: node for node, label in self.labels.items()}

    def leave_rows(self, game: Hashable, place: int, tables: Mapping[fx.Node, Any], reserved: int) -> None:
        """Keep the tables of a game at a place.

        Args:
            game: which, with all else that the tables depend on.
            place: the number of a step.
            tables: by node.
            reserved: bytes that the plan needs itself.
        """
        rows = Rows({self.labels[node]: table for node, table in tables.items()})
        self.kept.put(("rows", self.number, game, place), rows, reserved=reserved)

    def rows_left(self, game: Hashable, places: Iterable[int]) -> tuple[int, dict[fx.Node, Tensor]] | None:
        """The last tables that the leader has left of a game, and their place.

        Args:
            game: as for `leave_rows`.
            places: where this network may start.
        """
        for place in sorted(places, reverse=True):
            rows = self.kept.left.get(("rows", self.leader, game, place))
            if place <= self.common and isinstance(rows, Rows):
                return place, {self.nodes[label]: table for label, table in rows.tables.items()}
        return None

    def run(
        self,
        game: Hashable,
        coalitions: Bool[Tensor, "coalitions players"],
        size: int,
        *,
        start: int = 0,
        reserved: int = 0,
    ) -> "Run":
        """How to run the last steps of the network on the coalitions of a game.

        Args:
            game: which, with all else that the activations depend on.
            coalitions: of all batches.
            size: of a batch.
            start: the number of the first step, where the leader has left nothing behind it.
            reserved: bytes that the plan needs itself.

        Returns:
            What gives the outputs, batch by batch.
        """
        left = self._left(game, coalitions, size, start)
        first, leaves = start if left is None else left.place, []
        for wanted in sorted(self.places):
            place = self._fitting(first, wanted, len(coalitions), reserved)
            if place is not None:
                batches = Batches(place, coalitions, size, self._bytes(place) * len(coalitions))
                self.kept.put(("batches", self.number, game, place), batches, reserved=reserved)
                leaves.append(batches)
                first = place
        return Run(self, left, tuple(leaves), start)

    def _left(self, game: Hashable, coalitions: Tensor, size: int, start: int) -> Batches | None:
        """The last activations that the leader has left of a game."""
        for place in range(self.common, start, -1):
            batches = self.kept.left.get(("batches", self.leader, game, place))
            if isinstance(batches, Batches) and batches.serves(coalitions, size):
                return batches
        return None

    def _fitting(self, first: int, wanted: int, coalitions: int, reserved: int) -> int | None:
        """The last place behind `first`, up to a wanted one, whose activations of all coalitions fit."""
        room = self.kept.max_bytes - reserved
        places = range(wanted, first, -1)
        return next((place for place in places if 0 < self._bytes(place) * coalitions <= room), None)

    def _bytes(self, place: int) -> int:
        """Bytes of the activations of one input at a place; 0 where they cannot be kept."""
        live = self.traced.live(place)
        if self.traced.source in live or not all(isinstance(node.meta["val"], Value) for node in live):
            return 0
        return sum(node.meta["val"].itemsize * numbers_of(node) for node in live)


@dataclass(frozen=True, eq=False)
class Run:
    """The last steps of a network on batches of one game, from where its leader has left it.

    Attributes:
        beginning: of the network.
        left: what the leader has left; None for nothing.
        leaves: what to leave for others, in order.
        start: the number of the first step without a leader.
    """

    beginning: Beginning
    left: Batches | None
    leaves: tuple[Batches, ...]
    start: int

    def outputs(
        self,
        numbers: Int64[Tensor, " batch"],
        first: Callable[[], Mapping[fx.Node, Tensor]],
        beside: Mapping[fx.Node, Tensor],
    ) -> Tensor:
        """The outputs of a batch.

        Args:
            numbers: of its coalitions.
            first: gives the activations at the start.
            beside: the values of the inputs beside the batch.

        Returns:
            A row for each number.
        """
        traced, labels, nodes = self.beginning.traced, self.beginning.labels, self.beginning.nodes
        if self.left is None:
            place, live = self.start, dict(first())
        else:
            place = self.left.place
            live = {nodes[label]: value for label, value in self.left.read(numbers).items()}
        for batches in self.leaves:
            live = traced.run(place, batches.place, {**live, **beside}, len(numbers))
            batches.write(numbers, {labels[node]: value for node, value in live.items()})
            place = batches.place
        last = traced.run(place, len(traced.steps), {**live, **beside}, len(numbers))
        result: Tensor = last[traced.result]
        return result


def alone(traced: Traced) -> Beginning:
    """The beginning of a network that shares nothing."""
    return Beginning(traced, 0, Kept(0))


def begin_together(networks: Sequence[Traced], memory: int) -> list[Beginning]:
    """The beginnings of networks on the same inputs, evaluated one after another on each game.

    Args:
        networks: in the order in which they are evaluated.
        memory: bytes for what they leave for each other, and for their plans.
    """
    kept, beginnings = Kept(memory), list[Beginning]()
    for number, traced in enumerate(networks):
        beginning = Beginning(traced, number, kept)
        for other in beginnings:
            common = common_steps(other.traced, traced)
            if common > beginning.common:
                beginning.leader, beginning.common = other.number, common
        if beginning.leader is not None:
            beginnings[beginning.leader].places.add(beginning.common)
        beginnings.append(beginning)
    return beginnings


def common_steps(first: Traced, second: Traced) -> int:
    """How many of the first steps of two networks give the same numbers for the same inputs.

    >>> from torch import nn
    >>> from harsanyi.interactions.plans.graph.trace import trace
    >>> body = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1)
    >>> one, other = (trace(nn.Sequential(*body, nn.Conv2d(2, 3, 1)), torch.zeros(2, 1, 4, 4)) for _ in "ab")
    >>> common_steps(one, other), common_steps(one, one)
    (3, 4)
    """
    same = equal_nodes(first, second)
    count = next((k for k, step in enumerate(first.steps) if step not in same), len(first.steps))
    # What lives there must be the same, too: a later step of one may read what none of the other does.
    while count and [same.get(node) for node in first.live(count)] != list(second.live(count)):
        count -= 1
    return count


def equal_nodes(first: Traced, second: Traced) -> dict[fx.Node, fx.Node]:
    """The inputs and steps that give the same numbers in two networks, and their partners in the second.

    They need not be the first steps. Of layers side by side, as those of queries and keys, one may differ.
    """
    if first.source.meta["val"] != second.source.meta["val"]:
        return {}
    same = {first.source: second.source}
    same |= {node: second.beside[name] for name, node in first.beside.items() if name in second.beside}
    for one, other in zip(first.steps, second.steps, strict=False):
        if _are_alike(one, other, first, second, same):
            same[one] = other
    return same


def _are_alike(
    one: fx.Node, other: fx.Node, first: Traced, second: Traced, same: Mapping[fx.Node, fx.Node]
) -> bool:
    """Whether two steps give the same numbers, those before them being the same."""

    def alike(left: Any, right: Any) -> bool:
        if isinstance(left, fx.Node) and isinstance(right, fx.Node):
            if left in first.constants and right in second.constants:
                return _are_equal(first.constants[left], second.constants[right])
            if left in first.sizes and right in second.sizes:
                return first.sizes[left] == second.sizes[right]
            return left in same and same[left] is right
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            return len(left) == len(right) and all(map(alike, left, right))
        return type(left) is type(right) and bool(left == right)

    return (
        one.target is other.target
        and alike(one.args, other.args)
        and one.kwargs.keys() == other.kwargs.keys()
        and all(alike(value, other.kwargs[name]) for name, value in one.kwargs.items())
    )


def _are_equal(left: Any, right: Any) -> bool:
    """Whether two constants are equal, and lie in memory alike."""
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        return type(left) is type(right) and bool(left == right)
    kinds = [(each.dtype, each.device, each.shape, each.stride()) for each in (left, right)]
    return kinds[0] == kinds[1] and torch.equal(left, right)
