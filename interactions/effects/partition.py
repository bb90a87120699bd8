"""Interactions under a coarser partition of the same players: some merged into one, exactly, with no forward.

`Partition` says which players merge, and `merge_players` gives the interactions of the merged players.
`constituents` is the way back, as far as there is one: the interactions of which a merged one consists.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.about import About
from harsanyi.interactions.effects.interactions import KINDS, Interaction, Interactions
from harsanyi.interactions.effects.method_words import MERGED, is_sparsest
from harsanyi.interactions.effects.transforms import Table, coalition_masks, player_count

# What is between the names of players that are merged into one.
MERGED_BETWEEN = " & "


@dataclass(frozen=True)
class Partition:
    """A partition of n players into groups: each group is a player of the merged games.

    A coarser partition of an input needs no forward: its coalitions are those coalitions T of the finer one
    whose groups are whole, in T or not.

    Attributes:
        groups: the players of each group in ascending order; each of 0 … n−1 is in one group.

    Raises:
        ValueError: for groups that overlap, are empty, or leave a player out.

    >>> partition = Partition.merging(4, [(0, 1)])
    >>> partition.groups, partition.n, partition.merged_n
    (((0, 1), (2,), (3,)), 4, 3)
    """

    groups: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        groups = tuple(tuple(sorted(group)) for group in self.groups)
        object.__setattr__(self, "groups", groups)
        players = [player for group in groups for player in group]
        if not groups or not all(groups):
            raise ValueError(f"expected groups of one player or more, got {list(self.groups)}")
        if twice := sorted({player for player in players if players.count(player) > 1}):
            raise ValueError(
                f"expected groups that do not overlap; player {twice[0]} is in more than one place of "
                f"{list(groups)}"
            )
        if sorted(players) != list(range(len(players))):
            raise ValueError(
                f"expected groups of all players, 0 to {max(players)}, each in one; got {list(groups)}"
            )

    @classmethod
    def merging(cls, n: int, groups: Sequence[Sequence[int]]) -> "Partition":
        """The partition that merges some groups of n players; all others stay alone.

        Args:
            n: players.
            groups: the players that become one, group by group.

        Returns:
            groups in the order of their first players.

        Raises:
            ValueError: for players that there are not, and for groups that overlap or are empty.
        """
        named = [player for group in groups for player in group]
        if unknown := [player for player in named if not 0 <= player < n]:
            raise ValueError(f"there is no player {unknown[0]}: the {n} players are 0 to {n - 1}")
        alone = [(player,) for player in range(n) if player not in named]
        groups = cls((*(tuple(group) for group in groups), *alone)).groups
        return cls(tuple(sorted(groups)))

    @property
    def n(self) -> int:
        """Players before the merge."""
        return sum(map(len, self.groups))

    @property
    def merged_n(self) -> int:
        """Players after the merge, one for each group."""
        return len(self.groups)

    @cached_property
    def coalitions(self) -> Int64[Tensor, " merged_coalitions"]:
        """The index of the coalition of players that each coalition of groups is, `(2**merged_n,)`.

        >>> Partition.merging(3, [(0, 1)]).coalitions.tolist()  # none, {2}, {0, 1}, all
        [0, 1, 6, 7]
        """
        masks = coalition_masks(self.merged_n)
        return (masks * torch.tensor(self._bits)).sum(1)

    @cached_property
    def images(self) -> Int64[Tensor, " coalitions"]:
        """The index of the coalition of groups that each coalition of players touches, `(2**n,)`.

        >>> Partition.merging(3, [(0, 1)]).images.tolist()
        [0, 1, 2, 3, 2, 3, 2, 3]
        """
        indices = torch.arange(2**self.n)
        images = torch.zeros_like(indices)
        for bits in self._bits:
            images = 2 * images + (indices & bits > 0).long()
        return images

    def table(self, v: Table) -> Float[Tensor, "*games merged"]:
        """The value tables of the merged games: those rows of v in which each group is whole or absent.

        Args:
            v: value tables `(..., 2**n)`.

        Raises:
            ValueError: for tables of another number of players.
        """
        self._require(player_count(v))
        return v[..., self.coalitions.to(v.device)]

    def effects(self, effects: Table) -> Float[Tensor, "*games merged"]:
        """The merged effects I'(T) = Σ I(S), over all S that touch just the groups of T.

        It holds for AND and for OR alike. An AND of S is there when all of S is present: among unions of
        groups, when all groups that S touches are. An OR of S is there as soon as one of S is: as soon as one
        of these groups is.

        Args:
            effects: of one kind, `(..., 2**n)`.

        Returns:
            `(..., 2**merged_n)`; the empty coalition keeps its constant.
        """
        self._require(player_count(effects))
        merged = effects.new_zeros(*effects.shape[:-1], 2**self.merged_n)
        return merged.index_add_(-1, self.images.to(effects.device), effects)

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """What the merged players are called.

        >>> Partition.merging(3, [(1, 2)]).names(["not", "at", "all"])
        ('not', 'at & all')
        """
        return tuple(MERGED_BETWEEN.join(names[player] for player in group) for group in self.groups)

    @property
    def _bits(self) -> list[int]:
        """The players of each group as the bits of a coalition's index."""
        return [sum(1 << (self.n - 1 - player) for player in group) for group in self.groups]

    def _require(self, n: int) -> None:
        """Refuse games of another number of players, with a ValueError."""
        if n != self.n:
            raise ValueError(f"the partition is of {self.n} players, and the games have {n}")


def merge_players(interactions: Interactions, partition: Partition) -> Interactions:
    """The interactions after players are merged: exact sums of those there are, without a forward.

    v' are the rows of v in which each group is whole or absent, and I'(T) = Σ I(S) over the coalitions S that
    touch just the groups of T, AND and OR apart. They explain v' as the interactions explain v: with the
    same noise, since v(N) and v(∅) stay.

    For `And` and `AndOr` they are what the method finds in v'. A sparse split of merged players is another
    matter: the merged split is one of the splits of v', of no more strength than before the merge, and the
    sparsest split of v' may be sparser still. `extract` of v' with the method finds that one, without a
    forward too. Where an OR becomes one of a single player, a merged sparse split has it as the AND that it
    is.

    Args:
        interactions: of the finer players.
        partition: which of them merge.

    Returns:
        interactions of as many players as there are groups, with their names; the method's record says that
        a sparse split was merged. Gaps and ranges, which belong to the sparsest split, are dropped.

    Raises:
        ValueError: for a partition of another number of players.

    >>> from harsanyi.interactions import And, extract
    >>> fine = extract(torch.tensor([[0.0, 1.0, 2.0, 4.0, 0.0, 1.0, 3.0, 8.0]]), And())
    >>> merged = merge_players(fine, Partition.merging(3, [(0, 1)]))
    >>> merged.and_.tolist(), merged.about.together((0, 1))
    ([[0.0, 1.0, 3.0, 4.0]], 'player 0 & player 1 + player 2')
    """
    and_, or_ = partition.effects(interactions.and_), partition.effects(interactions.or_)
    method = interactions.method
    if is_sparsest(method):
        single = torch.tensor([1 << player for player in range(partition.merged_n)], device=and_.device)
        and_[..., single] += or_[..., single]
        or_[..., single] = 0.0
        method += MERGED
    return Interactions(
        and_, or_, partition.table(interactions.v), method, about=_about(interactions, partition)
    )


def constituents(
    interactions: Interactions, partition: Partition, groups: Sequence[int], game: int = 0
) -> list[Interaction]:
    """The interactions of which one between groups consists: those that touch these groups and no other.

    What a coarse interaction is split into is not in the coarse table: it takes the interactions of finer
    players, which a run on these has.

    Args:
        interactions: of the finer players.
        partition: of these players.
        groups: the numbers of the groups that act together, one or more.
        game: number of the game.

    Returns:
        AND and OR interactions with an effect, the strongest first. Those of a kind sum up to the effect
        before an OR of a single group is called an AND.

    Raises:
        ValueError: for groups that there are not.

    >>> from harsanyi.interactions import And, extract
    >>> fine = extract(torch.tensor([[0.0, 1.0, 2.0, 4.0, 0.0, 1.0, 3.0, 8.0]]), And())
    >>> parts = constituents(fine, Partition.merging(3, [(0, 1)]), [0, 1])
    >>> [(part.players, part.effect) for part in parts]  # the merged effect is 4
    [((0, 1, 2), 3.0), ((1, 2), 1.0)]
    """
    partition._require(interactions.n)
    m = partition.merged_n
    if not groups or any(not 0 <= group < m for group in groups):
        raise ValueError(f"expected groups of 0 to {m - 1}, one or more; got {list(groups)}")
    image = sum(1 << (m - 1 - group) for group in set(groups))
    numbers = (partition.images == image).nonzero()[:, 0]
    masks = coalition_masks(interactions.n, numbers)
    tables = (interactions.and_[game].cpu(), interactions.or_[game].cpu())
    found = [
        Interaction(kind, tuple(mask.nonzero()[:, 0].tolist()), table[number].item())
        for kind, table in zip(KINDS, tables, strict=True)
        for number, mask in zip(numbers.tolist(), masks, strict=True)
        if table[number]
    ]
    return sorted(found, key=lambda part: -abs(part.effect))


def _about(interactions: Interactions, partition: Partition) -> About:
    """What the merged games are about: players that have no name are called by their numbers."""
    about = interactions.about
    rows = range(max(len(about.players), 1))
    players = tuple(partition.names(about.names(range(partition.n), row)) for row in rows)
    return replace(about, players=players)


def merged_strength(
    interactions: Interactions, partition: Partition
) -> Float64[Tensor, "games kinds merged_coalitions"]:
    """Σ|I(S)| over all S that touch the same groups: what the merged effects would be if nothing cancelled.

    Args:
        interactions: of the finer players.
        partition: of these players.

    Returns:
        AND and OR apart (`KINDS`); the constants of the empty coalition count as zero.
    """
    return partition.effects(interactions.effects.abs())
