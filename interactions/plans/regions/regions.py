"""Regions: which players each place of an activation can see, and a row for every way these can be.

A place that depends on the players D alone has 2^|D| values, however many coalitions there are. All values of
an activation are rows of one table: those of place 0 first, a row for each subset of its players in index
order, then those of place 1, and so on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

# In the place of a number of a place: beyond the edge.
OUTSIDE = -1


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
        """The different sets of players, and which of them each place has."""
        sets, kinds = np.unique(self.players, return_inverse=True)
        return sets, kinds.reshape(-1)

    @cached_property
    def counts(self) -> np.ndarray:
        """Rows of each place."""
        sets, kinds = self.kinds
        return np.array([1 << int(one).bit_count() for one in sets], np.int64)[kinds]

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each place."""
        return np.cumsum(self.counts) - self.counts

    @property
    def rows(self) -> int:
        """Rows of all places."""
        return int(self.counts.sum())

    @cached_property
    def key(self) -> bytes:
        """Equal for regions that are."""
        return repr(self.shape).encode() + self.players.tobytes()

    def slices(self, count: int) -> list[slice]:
        """All rows in slices of about so many, each those of whole places.

        >>> Regions(np.array([0b01, 0b11, 0b10]), (1, 3)).slices(4)
        [slice(0, 6, None), slice(6, 8, None)]
        """
        first = np.flatnonzero(np.diff(self.starts // count, prepend=-1))
        edges = [*self.starts[first].tolist(), self.rows]
        return [slice(start, stop) for start, stop in pairwise(edges)]

    def moved(self, places: np.ndarray, shape: tuple[int, ...]) -> "Regions":
        """The regions of places taken from these; OUTSIDE for one that depends on nobody."""
        return Regions(np.where(places == OUTSIDE, 0, self.players[places]), shape)

    def seen_through(self, windows: np.ndarray, shape: tuple[int, ...]) -> "Regions":
        """The regions of places that each see a window `(places, seen)` of these."""
        seen = np.where(windows == OUTSIDE, 0, self.players[windows])
        return Regions(np.bitwise_or.reduce(seen, axis=1), shape)

    def rows_seen_by(self, larger: "Regions", windows: np.ndarray) -> Int32[Tensor, "rows seen"]:
        """For each row of other regions the rows of these in its window; one past the last for OUTSIDE.

        Args:
            larger: regions that hold, place by place, what their windows see.
            windows: `(places of larger, seen)`.
        """
        found = np.empty((larger.rows, windows.shape[1]), np.int32)
        sets, kinds = larger.kinds
        own_sets, own_kinds = self.kinds
        for kind, players in enumerate(sets.tolist()):
            places = np.flatnonzero(kinds == kind)
            seen = windows[places]
            present = np.unique(own_kinds[seen[seen != OUTSIDE]])
            # Which subset of each smaller set each subset of this one is.
            within = np.zeros((len(own_sets), 1 << players.bit_count()), np.int32)
            for own in present:
                within[own] = _restricted(players, int(own_sets[own]))
            rows = self.starts[seen][:, None, :] + within[own_kinds[seen]].transpose(0, 2, 1)
            rows[np.broadcast_to((seen == OUTSIDE)[:, None, :], rows.shape)] = self.rows
            target = larger.starts[places][:, None] + np.arange(rows.shape[1])
            found[target.reshape(-1)] = rows.reshape(target.size, windows.shape[1])
        return torch.from_numpy(found)

    def rows_of(self, coalitions: Bool[Tensor, "coalitions players"]) -> Int64[Tensor, "coalitions places"]:
        """The row of each place in each coalition."""
        sets, kinds = self.kinds
        patterns = np.zeros((len(sets), len(coalitions)), np.int64)
        present = coalitions.cpu().numpy().astype(np.int64)
        for kind, players in enumerate(sets.tolist()):
            for bit, player in enumerate(_members(players)):
                patterns[kind] |= present[:, player] << bit
        return torch.from_numpy(self.starts + patterns[kinds].T)

    def rows_among(self, colours: list[int]) -> Int64[Tensor, " rows"]:
        """Where each row stands in `(coalitions, places)` of the 2^colours coalitions, flattened."""
        sets, kinds = self.kinds
        found = np.empty(self.rows, np.int64)
        for kind, players in enumerate(sets.tolist()):
            places = np.flatnonzero(kinds == kind)
            subsets = np.arange(1 << players.bit_count())
            numbers = sum(
                (subsets >> bit & 1) << colours[player] for bit, player in enumerate(_members(players))
            ) + np.zeros_like(subsets)
            target = self.starts[places][:, None] + subsets
            found[target] = numbers * len(self.players) + places[:, None]
        return torch.from_numpy(found)


def colours_of(regions: Sequence[Regions], n: int) -> list[int]:
    """A colour for each of n players, so that no place sees two players of one colour; few in all.

    With each player as its colour is, 2^colours coalitions put every place in every way it can be.

    >>> colours_of([Regions(np.array([0b011, 0b110]), (1, 2))], 3)
    [1, 0, 1]
    """
    conflicts = [0] * n
    for players in {one for each in regions for one in each.kinds[0].tolist()}:
        for player in _members(players):
            conflicts[player] |= players & ~(1 << player)
    colours = [OUTSIDE] * n
    for player in sorted(range(n), key=lambda one: (-conflicts[one].bit_count(), one)):
        taken = {colours[other] for other in _members(conflicts[player])}
        colours[player] = next(colour for colour in range(n) if colour not in taken)
    return colours


def united(*regions: Regions) -> Regions:
    """Place by place, the players of all."""
    players = np.bitwise_or.reduce(np.stack([one.players for one in regions]), axis=0)
    return Regions(players, regions[0].shape)


def places_of(shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of all places."""
    return np.arange(int(np.prod(shape)))


def places_taken(
    shape: tuple[int, ...], take: Callable[[Tensor], Tensor]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Which place each place of the result is, of an operation that only takes places; and the new shape.

    Args:
        take: from `(1, 1, height, width)` to the same with other height and width. New places must be 0.
    """
    numbered = torch.arange(1, int(np.prod(shape)) + 1, dtype=torch.float64).view(1, 1, *shape)
    taken = take(numbered)
    return taken.reshape(-1).numpy().astype(np.int64) - 1, tuple(taken.shape[2:])


def _members(players: int) -> list[int]:
    return [player for player in range(players.bit_length()) if players >> player & 1]


def _restricted(players: int, fewer: int) -> np.ndarray:
    """For each subset of some players, in index order, its number among the subsets of fewer of them."""
    subsets = np.arange(1 << players.bit_count())
    places = {player: bit for bit, player in enumerate(_members(players))}
    found = np.zeros_like(subsets)
    for bit, player in enumerate(_members(fewer)):
        found |= (subsets >> places[player] & 1) << bit
    return found
