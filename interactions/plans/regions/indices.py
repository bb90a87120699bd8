"""Which rows each row of a result sees, found once for networks of one architecture and one set of players.

What is found depends on the places and their players alone, not on weights or inputs. It is kept beyond the
plan that asked for it, so that the checkpoints of a run find it there.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from harsanyi.interactions.plans.regions.regions import OUTSIDE, Regions

# Bytes of indices that are kept, those asked for last.
KEPT_BYTES = 2**29


@dataclass(frozen=True, eq=False)
class Terms:
    """How the rows of a sum over windows are made of products of rows before.

    Attributes:
        factors: by place of the window, where anything is seen, the rows that are multiplied.
        straight: the places of the window whose product each row takes at its own number.
        products: how many products the other places have.
        sums: `(rows, other places)`, which of these a row takes, one past the last for none.
    """

    factors: dict[int, slice | Int32[Tensor, "..."]]
    straight: frozenset[int]
    products: int
    sums: Int32[Tensor, "rows seen"]

    @property
    def nbytes(self) -> int:
        return self.sums.nbytes + sum(one.nbytes for one in self.factors.values() if isinstance(one, Tensor))


Found = TypeVar("Found", Tensor, Terms)


class IndexCache:
    """What was found, by what it was found from; what was not asked for the longest goes first.

    >>> cache = IndexCache(20)
    >>> [cache.get(name, lambda: torch.zeros(2)).tolist() for name in "abca"]
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    >>> list(cache.kept)
    ['c', 'a']
    """

    def __init__(self, most: int) -> None:
        self.most, self.lock = most, Lock()
        self.kept: OrderedDict[Hashable, Tensor | Terms] = OrderedDict()

    def get(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What is kept under a key, or what `find` gives, which is kept from now on."""
        with self.lock:
            found: Found = self.kept.pop(key) if key in self.kept else find()  # type: ignore[assignment]
            self.kept[key] = found
            while len(self.kept) > 1 and sum(one.nbytes for one in self.kept.values()) > self.most:
                self.kept.popitem(last=False)
        return found


FOUND = IndexCache(KEPT_BYTES)


@dataclass(frozen=True, eq=False)
class RowsSeen:
    """The rows that each row of a result sees; found when they are first asked for.

    Attributes:
        before: the regions that are seen.
        after: those of the result, each of which holds what its window sees.
        windows: `(places after, seen)`, the places before that each place sees, or OUTSIDE.
        held: what was asked for.
    """

    before: Regions
    after: Regions
    windows: np.ndarray
    held: dict[Hashable, Tensor | Terms] = field(default_factory=dict)

    @cached_property
    def key(self) -> bytes:
        """Equal for equal regions and windows."""
        found = hashlib.blake2b(self.before.key)
        for part in (self.after.key, self.windows.tobytes()):
            found.update(hashlib.blake2b(part).digest())
        return found.digest()

    @cached_property
    def leaves(self) -> bool:
        """Whether a window leaves what there is."""
        return bool((self.windows == OUTSIDE).any())

    @property
    def bytes(self) -> int:
        """Of the rows, once found."""
        return 4 * self.after.rows * self.windows.shape[1]

    @property
    def products(self) -> int:
        """One for each row before and each place that sees it."""
        return int(self.before.counts[self.windows[self.windows != OUTSIDE]].sum())

    def rows(self, device: torch.device) -> Int32[Tensor, "rows seen"]:
        """As `Regions.rows_seen_by`."""
        return self._found(
            ("rows", device), lambda: self.before.rows_seen_by(self.after, self.windows).to(device)
        )

    def terms(self, rows: slice, device: torch.device) -> Terms:
        """How some rows of the result, all those of some places, are sums of products."""
        return self._found((rows.start, rows.stop, device), lambda: self._terms(rows, device))

    def _found(self, key: Hashable, find: Callable[[], Found]) -> Found:
        if key not in self.held:
            self.held[key] = FOUND.get((self.key, key), find)
        return self.held[key]  # type: ignore[return-value]

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
        # From a row before to its product; from one past the last row to one past the last product.
        starts = ends - counts - self.before.starts[windows[:, others]]
        shift = np.where(outside[:, others], total - self.before.rows, starts)
        some = Regions(players, (len(windows),))
        sums = self.before.rows_seen_by(some, windows[:, others])
        sums += torch.from_numpy(shift.astype(np.int32)).repeat_interleave(torch.from_numpy(some.counts), 0)
        return Terms(factors, straight, total, sums.to(device))


def _rows_of(regions: Regions, places: np.ndarray, device: torch.device) -> slice | Int32[Tensor, " some"]:
    """All rows of some places, as a slice if they follow one another."""
    counts, starts = regions.counts[places], regions.starts[places]
    if not len(places):
        return slice(0, 0)
    if (starts[1:] == starts[:-1] + counts[:-1]).all():
        return slice(int(starts[0]), int(starts[-1] + counts[-1]))
    before = np.cumsum(counts) - counts
    rows = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return torch.from_numpy(rows.astype(np.int32)).to(device)
