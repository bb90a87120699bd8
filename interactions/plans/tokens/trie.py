"""The trie of a text's masked prefixes: which coalitions share the tokens before each place.

Masked inputs that agree on the players seen so far share a prefix. `segments` cuts a text where players
begin, and `Trie` numbers the different prefixes up to each cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from harsanyi.interactions.game.players import BACKGROUND


@dataclass(frozen=True)
class Segment:
    """The tokens[start:end] from the first token of one player to just before the first of the next.

    Attributes:
        start, end: places of tokens.
        player: the one whose first token begins it; None before the first player.
        prefixes: how many different prefixes tokens[:end] there are, 2 ** players seen.
    """

    start: int
    end: int
    player: int | None
    prefixes: int


def segments(owner: Int[Tensor, " tokens"]) -> tuple[Segment, ...]:
    """The segments of a text. The tokens of one depend on the players seen so far, and on no later player.

    Args:
        owner: the player of each token, or −1.

    >>> for segment in segments(torch.tensor([-1, 1, 0, 1, -1])):
    ...     print(segment)
    Segment(start=0, end=1, player=None, prefixes=1)
    Segment(start=1, end=2, player=1, prefixes=2)
    Segment(start=2, end=5, player=0, prefixes=4)
    """
    players = owner.tolist()
    first = {player: players.index(player) for player in sorted(set(players))}
    starts = sorted((start, player) for player, start in first.items() if player != BACKGROUND)
    seen: list[tuple[int, int | None]] = [*([] if starts[0][0] == 0 else [(0, None)]), *starts]
    return tuple(
        Segment(start, end, player, 2 ** sum(other is not None for _, other in seen[: number + 1]))
        for number, ((start, player), (end, _)) in enumerate(pairwise([*seen, (len(players), None)]))
    )


@dataclass(frozen=True)
class Trie:
    """The different prefixes of the masked inputs of one game, level by level.

    The nodes of a level are in the order of their parents, so the children of some nodes in a row follow one
    another. The host knows where each level begins and which children a node has; the rest lies on the
    device, copied there at once.

    Attributes:
        first_children: for each level, the first child of each node in the level below, and one past the
            last.
        on_host: the parent of each node, for each level.
        indices: `(3 · levels + 2)` arrays end to end on the device.
        starts: where each of these arrays begins.

    >>> text = segments(torch.tensor([-1, 1, 0, 1, -1]))
    >>> trie = Trie.of(text, torch.tensor([[True, False], [False, False], [True, True]]))
    >>> [trie.nodes(level) for level in range(3)], trie.children(1, range(1))
    ([1, 2, 3], range(0, 2))
    >>> numbers, nodes = trie.coalitions(range(0, 3))
    >>> numbers.tolist(), nodes.tolist()
    ([1, 0, 2], [0, 1, 2])
    """

    first_children: tuple[np.ndarray, ...]
    on_host: tuple[np.ndarray, ...]
    first_numbers: np.ndarray
    indices: Int64[Tensor, " indices"]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: Sequence[Segment], coalitions: Bool[Tensor, "coalitions players"]) -> "Trie":
        """The trie of a text's segments for some coalitions.

        Args:
            text: its segments, one for each level.
            coalitions: on the device of the network.
        """
        seen = [segment.player for segment in text if segment.player is not None]
        masks = coalitions.cpu().numpy()
        bits = masks[:, seen].astype(np.int64)
        codes = bits @ (1 << np.arange(len(seen) - 1, -1, -1, dtype=np.int64))
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        parents, examples, first_children, above = [], [], [], np.zeros(len(order), np.int64)
        depth = 0
        for segment in text:
            depth += segment.player is not None
            _, first, node = np.unique(codes >> (len(seen) - depth), return_index=True, return_inverse=True)
            parents.append(above[first])
            examples.append(order[first])
            first_children.append(np.searchsorted(parents[-1], np.arange(above[-1] + 2)))
            above = node
        first_numbers = np.searchsorted(above, np.arange(above[-1] + 2))
        arrays = [*parents, *examples, order, above]
        starts = np.cumsum([0, *map(len, arrays)]).tolist()
        indices = torch.from_numpy(np.concatenate(arrays)).to(coalitions.device)
        return cls(tuple(first_children[1:]), tuple(parents), first_numbers, indices, tuple(starts))

    def nodes(self, level: int) -> int:
        """How many nodes a level has."""
        return len(self.on_host[level])

    def parent(self, level: int, node: int) -> int:
        """The number of a node's parent, in the level above."""
        return int(self.on_host[level][node])

    def children(self, level: int, nodes: range) -> range:
        """The children of nodes in a row, in the level below."""
        first = self.first_children[level]
        return range(int(first[nodes.start]), int(first[nodes.stop]))

    def parents(self, level: int, nodes: range) -> Int64[Tensor, " nodes"]:
        """The parents of nodes in a row, on the device."""
        return self._part(level, nodes)

    def examples(self, level: int, nodes: range) -> Int64[Tensor, " nodes"]:
        """For each of some nodes in a row, the number of a coalition below it; all below share the tokens."""
        return self._part(len(self.on_host) + level, nodes)

    def coalitions(self, nodes: range) -> tuple[Int64[Tensor, " below"], Int64[Tensor, " below"]]:
        """The numbers of the coalitions below nodes of the last level in a row, and the node of each."""
        below = range(int(self.first_numbers[nodes.start]), int(self.first_numbers[nodes.stop]))
        return self._part(2 * len(self.on_host), below), self._part(2 * len(self.on_host) + 1, below)

    def _part(self, array: int, places: range) -> Tensor:
        start = self.starts[array]
        return self.indices[start + places.start : start + places.stop]
