"""The rows that each row of a result sees, computed once for an architecture and its players.

These indices depend on the places and their players, and not on weights or inputs. `RowsSeen` computes them
when they are first used. A cache of the process keeps them, so that the next checkpoint of the same
architecture needs no new ones.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from harsanyi.interactions.plans.regions.regions import OUTSIDE, Regions

# Bytes of indices that stay in memory, those used last.
CACHE_BYTES = 2**29


@dataclass(frozen=True, eq=False)
class Terms:
    """Which products of input rows the rows of a convolution add up.

    Attributes:
        factors: the input rows to multiply, by place of the window; places that see nothing are left out.
        straight: the places of the window where row r of the result adds product r.
        products: how many products the other places have.
        sums: `(rows, other places)`, which of these products a row adds; one past the last for none.
    """

    factors: dict[int, slice | Int32[Tensor, "..."]]
    straight: frozenset[int]
    products: int
    sums: Int32[Tensor, "rows seen"]

    @property
    def nbytes(self) -> int:
        """Memory of the indices."""
        return self.sums.nbytes + sum(
            rows.nbytes for rows in self.factors.values() if isinstance(rows, Tensor)
        )


Index = TypeVar("Index", Tensor, Terms)


class IndexCache:
    """Indices by a key, up to some bytes; those not used for longest go first.

    Args:
        max_bytes: of all indices together; the one used last always stays.

    >>> cache = IndexCache(20)
    >>> [cache.get(name, lambda: torch.zeros(2)).tolist() for name in "abca"]
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    >>> list(cache.indices)
    ['c', 'a']
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes, self.lock = max_bytes, 0, Lock()
        self.indices: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Index]) -> Index:
        """The index under a key, computed where there is none."""
        with self.lock:
            if key in self.indices:
                self.indices.move_to_end(key)
                return self.indices[key]
            index = self.indices[key] = compute()
            self.bytes += index.nbytes
            while len(self.indices) > 1 and self.bytes > self.max_bytes:
                self.bytes -= self.indices.popitem(last=False)[1].nbytes
        return index


CACHE = IndexCache(CACHE_BYTES)


@dataclass(frozen=True, eq=False)
class RowsSeen:
    """The rows of an input that each row of a result sees, computed when they are first used.

    Attributes:
        before: the regions of the input.
        after: those of the result; each place has at least the players of its window.
        windows: `(places after, seen)`, the places before that each place sees, or OUTSIDE.
        used: the indices used so far. They live as long as this object, whatever the cache drops.
    """

    before: Regions
    after: Regions
    windows: np.ndarray
    used: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> bytes:
        """Equal for equal regions and windows."""
        digest = hashlib.blake2b(self.before.key)
        for part in (self.after.key, self.windows.tobytes()):
            digest.update(hashlib.blake2b(part).digest())
        return digest.digest()

    @cached_property
    def leaves(self) -> bool:
        """Whether a window reaches beyond the edge."""
        return bool((self.windows == OUTSIDE).any())

    @property
    def bytes(self) -> int:
        """Memory of `rows`."""
        return 4 * self.after.rows * self.windows.shape[1]

    @property
    def products(self) -> int:
        """How many products there are: one for each row before and each place that sees it."""
        return int(self.before.counts[self.windows[self.windows != OUTSIDE]].sum())

    def rows(self, device: torch.device) -> Int32[Tensor, "rows seen"]:
        """The rows before that each row sees, as `Regions.rows_seen_by` gives them."""
        return self._index(
            ("rows", device), lambda: self.before.rows_seen_by(self.after, self.windows).to(device)
        )

    def terms(self, rows: slice, device: torch.device) -> Terms:
        """Which products a slice of rows adds up; the slice must hold whole places."""
        return self._index((rows.start, rows.stop, device), lambda: self._terms(rows, device))

    def _index(self, key: Hashable, compute: Callable[[], Index]) -> Index:
        if key not in self.used:
            self.used[key] = CACHE.get((self.key, key), compute)
        index: Index = self.used[key]
        return index

    def _terms(self, rows: slice, device: torch.device) -> Terms:
        first, last = np.searchsorted(self.after.starts, (rows.start, rows.stop)).tolist()
        windows, players = self.windows[first:last], self.after.players[first:last]
        outside = windows == OUTSIDE
        factors = {
            place: _rows_of(self.before, seen[seen != OUTSIDE], device)
            for place, seen in enumerate(windows.T)
            if (seen != OUTSIDE).any()
        }
        own = ~outside & (self.before.players[windows] == players[:, None])
        straight = frozenset(np.flatnonzero(own.all(0)).tolist())
        others = [place for place in factors if place not in straight]
        counts = np.where(outside, 0, self.before.counts[windows])[:, others]
        ends = counts.T.cumsum().reshape(counts.T.shape).T
        total = int(counts.sum())
        # Shifts the number of a row before to that of its product, and one past the last row to one past the
        # last product.
        starts = ends - counts - self.before.starts[windows[:, others]]
        shift = np.where(outside[:, others], total - self.before.rows, starts)
        regions = Regions(players, (len(windows),))
        sums = self.before.rows_seen_by(regions, windows[:, others])
        sums += torch.from_numpy(shift.astype(np.int32)).repeat_interleave(
            torch.from_numpy(regions.counts), 0
        )
        return Terms(factors, straight, total, sums.to(device))


def _rows_of(regions: Regions, places: np.ndarray, device: torch.device) -> slice | Int32[Tensor, " rows"]:
    """All rows of a list of places; a slice if they follow one another."""
    counts, starts = regions.counts[places], regions.starts[places]
    if not len(places):
        return slice(0, 0)
    if (starts[1:] == starts[:-1] + counts[:-1]).all():
        return slice(int(starts[0]), int(starts[-1] + counts[-1]))
    before = np.cumsum(counts) - counts
    rows = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return torch.from_numpy(rows.astype(np.int32)).to(device)
