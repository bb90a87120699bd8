"""Regions: the players that each place of an activation depends on, and the numbering of its rows.

A place that depends on the players D only has 2^|D| different values, however many coalitions there are. All
values of an activation are the rows of one table. First come those of place 0, a row for each subset of its
players in index order, then those of place 1, and so on. `Regions` gives these numbers for an activation, and
says which rows of an earlier activation a later one needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

# Stands for a place beyond the edge.
OUTSIDE = -1
# Regions that stay in memory with what was computed of them: many layers of a network have the same.
MAX_KNOWN = 32


@dataclass(frozen=True, eq=False)
class Regions:
    """The players that each place of an activation depends on.

    Attributes:
        players: bit i of `players[p]` is set if place p depends on player i; `(places,)`.
        shape: the places along each axis, (height, width).

    >>> regions = Regions(np.array([0b01, 0b11, 0b10]), (1, 3))
    >>> regions.rows, regions.starts.tolist()
    (8, [0, 2, 6])
    """

    players: np.ndarray
    shape: tuple[int, ...]

    @cached_property
    def kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """The different sets of players, and the number of its set for each place."""
        sets, kinds = np.unique(self.players, return_inverse=True)
        return sets, kinds.reshape(-1)

    @cached_property
    def counts(self) -> np.ndarray:
        """Rows of each place."""
        sets, kinds = self.kinds
        return np.array([1 << int(players).bit_count() for players in sets], np.int64)[kinds]

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each place."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def rows(self) -> int:
        """Rows of all places."""
        return int(self.counts.sum())

    @cached_property
    def key(self) -> bytes:
        """Equal for equal regions."""
        return repr(self.shape).encode() + self.players.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regions) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def slices(self, count: int) -> list[slice]:
        """All rows in slices of about `count`, each of whole places.

        >>> Regions(np.array([0b01, 0b11, 0b10]), (1, 3)).slices(4)
        [slice(0, 6, None), slice(6, 8, None)]
        """
        first = np.flatnonzero(np.diff(self.starts // count, prepend=-1))
        edges = [*self.starts[first].tolist(), self.rows]
        return [slice(start, stop) for start, stop in pairwise(edges)]

    def moved(self, places: np.ndarray, shape: tuple[int, ...]) -> "Regions":
        """The regions after a move of places.

        Args:
            places: the place here that each new place is, or OUTSIDE for one that depends on no player.
            shape: of the new places.
        """
        return known(Regions(np.where(places == OUTSIDE, 0, self.players[places]), shape))

    def seen_through(self, windows: np.ndarray, shape: tuple[int, ...]) -> "Regions":
        """The regions of places that each see a window of these.

        Args:
            windows: `(places after, seen)`, places here, or OUTSIDE.
            shape: of the places after.
        """
        seen = np.where(windows == OUTSIDE, 0, self.players[windows])
        return known(Regions(np.bitwise_or.reduce(seen, axis=1), shape))

    def rows_seen_by(self, larger: "Regions", windows: np.ndarray) -> Int32[Tensor, "rows seen"]:
        """For each row of larger regions, the rows here that its window sees.

        Args:
            larger: regions whose places have at least the players of their windows.
            windows: `(places of larger, seen)`, places here, or OUTSIDE.

        Returns:
            Numbers of rows; one past the last row for OUTSIDE.
        """
        numbers = np.empty((larger.rows, windows.shape[1]), np.int32)
        sets, kinds = larger.kinds
        own_sets, own_kinds = self.kinds
        for kind, players in enumerate(sets.tolist()):
            places = np.flatnonzero(kinds == kind)
            seen = windows[places]
            present = np.unique(own_kinds[seen[seen != OUTSIDE]])
            # For each subset of this set, its number among the subsets of each smaller set.
            within = np.zeros((len(own_sets), 1 << players.bit_count()), np.int32)
            for own in present:
                within[own] = _restricted(players, int(own_sets[own]))
            rows = self.starts[seen][:, None, :] + within[own_kinds[seen]].transpose(0, 2, 1)
            rows[np.broadcast_to((seen == OUTSIDE)[:, None, :], rows.shape)] = self.rows
            target = larger.starts[places][:, None] + np.arange(rows.shape[1])
            numbers[target.reshape(-1)] = rows.reshape(target.size, windows.shape[1])
        return torch.from_numpy(numbers)

    def rows_of(self, coalitions: Bool[Tensor, "coalitions players"]) -> Int64[Tensor, "coalitions places"]:
        """The row of each place in each coalition, computed on the coalitions' device."""
        weights, kinds, starts = self._lookup(coalitions.device, coalitions.shape[1])
        # Whole numbers below 2^53, which a product in float64 gives exactly; GPUs have none of integers.
        patterns = (coalitions.double() @ weights).long()
        return patterns[:, kinds] + starts

    def _lookup(self, device: torch.device, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """What `rows_of` needs, on a device.

        Each player's weight in the number of each kind's subset; for each place its kind and its first row.
        """
        if (device, n) not in self._lookups:  # equal regions may be of games with more players
            sets, kinds = self.kinds
            weights = np.zeros((n, len(sets)))
            for kind, players in enumerate(sets.tolist()):
                for bit, player in enumerate(_members(players)):
                    weights[player, kind] = 1 << bit
            arrays = weights, kinds.astype(np.int64), self.starts
            first, second, third = (torch.from_numpy(array).to(device) for array in arrays)
            self._lookups[device, n] = first, second, third
        return self._lookups[device, n]

    @cached_property
    def _lookups(self) -> dict[tuple[torch.device, int], tuple[Tensor, Tensor, Tensor]]:
        return {}

    def rows_among(self, colours: list[int]) -> Int64[Tensor, " rows"]:
        """The position of each row in a flat `(coalitions, places)` table of the 2^colours coalitions.

        Args:
            colours: of the players, see `colours_of`.
        """
        sets, kinds = self.kinds
        positions = np.empty(self.rows, np.int64)
        for kind, players in enumerate(sets.tolist()):
            places = np.flatnonzero(kinds == kind)
            subsets = np.arange(1 << players.bit_count())
            numbers = sum(
                (subsets >> bit & 1) << colours[player] for bit, player in enumerate(_members(players))
            ) + np.zeros_like(subsets)
            target = self.starts[places][:, None] + subsets
            positions[target] = numbers * len(self.players) + places[:, None]
        return torch.from_numpy(positions)


@lru_cache(MAX_KNOWN)
def known(regions: Regions) -> Regions:
    """The same regions; of equal ones those that were here first, with what was computed of them.

    >>> one, other = (Regions(np.array([0b01, 0b11]), (1, 2)) for _ in range(2))
    >>> known(one) is known(other)
    True
    """
    return regions


def colours_of(regions: Sequence[Regions], n: int) -> list[int]:
    """A colour for each of n players, few in all, so that no place sees two players of one colour.

    Coalitions in which the players of one colour are present together, 2^colours of them, show every place
    with every subset of its players.

    >>> colours_of([Regions(np.array([0b011, 0b110]), (1, 2))], 3)
    [1, 0, 1]
    """
    return list(_colours_of(frozenset(regions), n))


@lru_cache(MAX_KNOWN)
def _colours_of(regions: frozenset[Regions], n: int) -> tuple[int, ...]:
    conflicts = [0] * n
    for players in {players for activation in regions for players in activation.kinds[0].tolist()}:
        for player in _members(players):
            conflicts[player] |= players & ~(1 << player)
    colours = [OUTSIDE] * n
    for player in sorted(range(n), key=lambda player: (-conflicts[player].bit_count(), player)):
        used = {colours[neighbour] for neighbour in _members(conflicts[player])}
        colours[player] = next(colour for colour in range(n) if colour not in used)
    return tuple(colours)


def united(*regions: Regions) -> Regions:
    """The union of several regions of one shape: place by place, the players of all."""
    if len(set(regions)) == 1:
        return regions[0]
    players = np.bitwise_or.reduce(np.stack([activation.players for activation in regions]), axis=0)
    return known(Regions(players, regions[0].shape))


def places_of(shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of all places."""
    return np.arange(int(np.prod(shape)))


def moved_places(
    shape: tuple[int, ...], move: Callable[[Tensor], Tensor]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Where an operation that only moves places takes each place of its result from.

    Args:
        shape: of the places before, (height, width).
        move: the operation, on an image `(1, 1, height, width)`. New places must be 0.

    Returns:
        The place before of each place after, OUTSIDE for a new one; and the shape after.
    """
    numbered = torch.arange(1, int(np.prod(shape)) + 1, dtype=torch.float64).view(1, 1, *shape)
    moved = move(numbered)
    return moved.reshape(-1).numpy().astype(np.int64) - 1, tuple(moved.shape[2:])


def _members(players: int) -> list[int]:
    return [player for player in range(players.bit_length()) if players >> player & 1]


def _restricted(players: int, fewer: int) -> np.ndarray:
    """For each subset of a set of players, in index order, its number among the subsets of a smaller set."""
    numbers, bit = np.zeros(1, np.int32), 1
    for player in _members(players):  # the subsets with it follow as many without it
        counts = bool(fewer >> player & 1)
        numbers = np.concatenate([numbers, numbers + bit * counts])
        bit <<= counts
    return numbers
