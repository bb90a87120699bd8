"""Which players lie side by side, which coalitions hang together, and which partition refines which."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from harsanyi.interactions.effects.partition import Partition
from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.players import BACKGROUND

Adjacency = Bool[Tensor, "players players"]


def neighbours(owner: Int[Tensor, "*elements"], n: int) -> Adjacency:
    """Which players touch: an element of the one is next to an element of the other, along an axis.

    Cells that meet in a corner alone are no neighbours, and neither are players with background between.

    Args:
        owner: the player of each element of one input, −1 for the background.
        n: players.

    Returns:
        symmetric, False on the diagonal.

    >>> neighbours(torch.tensor([[0, 1], [2, 2]]), 3).int().tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    touching = torch.zeros(n, n, dtype=torch.bool)
    for axis in range(owner.ndim):
        length = owner.shape[axis]
        if length > 1:
            one = owner.narrow(axis, 0, length - 1).flatten().long()
            other = owner.narrow(axis, 1, length - 1).flatten().long()
            side_by_side = (one != other) & (one != BACKGROUND) & (other != BACKGROUND)
            touching[one[side_by_side], other[side_by_side]] = True
    return touching | touching.T


def connected(adjacency: Adjacency) -> Bool[Tensor, " coalitions"]:
    """Which of the 2**n coalitions hang together: each player is reached from each through neighbours.

    The empty coalition and those of one player do.

    >>> connected(neighbours(torch.tensor([0, 1, 2]), 3)).tolist()  # all but {0, 2}
    [True, True, True, True, True, False, True, True]
    """
    n = len(adjacency)
    places = 1 << torch.arange(n - 1, -1, -1)
    beside = (adjacency.long() * places).sum(1)  # of each player, as the bits of an index
    coalitions = torch.arange(2**n)
    reached = coalitions & -coalitions  # from the last player
    for _ in range(n):
        for player in range(n):
            has = reached & places[player] > 0
            reached = torch.where(has, reached | (beside[player] & coalitions), reached)
    return reached == coalitions


def neighbouring_pairs(adjacency: Adjacency) -> Float64[Tensor, " coalitions"]:
    """Of the pairs of players in each of the 2**n coalitions, the share that are neighbours; 0 below two.

    Over all coalitions of an order its mean is the share of neighbours among all pairs: that is chance, for
    each order alike.

    >>> neighbouring_pairs(neighbours(torch.tensor([0, 1, 2]), 3)).tolist()[-1]  # {0, 1} and {1, 2} of three
    0.666...
    """
    masks = coalition_masks(len(adjacency)).double()
    sizes = masks.sum(1)
    found = ((masks @ adjacency.double()) * masks).sum(1) / 2
    return found / (sizes * (sizes - 1) / 2).clamp_min(1)


def merging_neighbours(adjacency: Adjacency, groups: Sequence[Sequence[int]]) -> Partition:
    """The partition that merges groups of neighbours; see `Partition.merging`.

    Args:
        adjacency: which players are neighbours, as `neighbours` gives it.
        groups: the players that become one, group by group; each group hangs together.

    Raises:
        ValueError: for a group that does not, and as `Partition.merging`.
    """
    partition = Partition.merging(len(adjacency), groups)
    for group in groups:
        inside = adjacency[list(group)][:, list(group)]
        if not connected(inside)[-1]:
            raise ValueError(
                f"players {' and '.join(map(str, group))} are no neighbours, nor joined by neighbours among "
                "them: only what hangs together is merged here"
            )
    return partition


def coarsening(fine: Int[Tensor, "*elements"], coarse: Int[Tensor, "*others"]) -> Partition:
    """The partition that makes coarse players of fine ones.

    Args:
        fine, coarse: the player of each element of one input, −1 for the background; of one shape, which is
            checked here.

    Returns:
        a group for each coarse player.

    Raises:
        ValueError: where a fine player lies in several coarse ones, or the backgrounds differ: no value table
            of the fine players then has the coalitions of the coarse ones.

    >>> coarsening(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1])).groups
    ((0, 1), (2, 3))
    """
    if fine.shape != coarse.shape:
        raise ValueError(
            f"expected players of the same input, got maps of {tuple(fine.shape)} and {tuple(coarse.shape)}"
        )
    pairs = torch.stack([fine.flatten().long(), coarse.flatten().long()], 1).unique(dim=0).tolist()
    groups: dict[int, list[int]] = {}
    for player, group in pairs:
        places = [other for one, other in pairs if one == player]
        if len(places) > 1 or (player == BACKGROUND) != (group == BACKGROUND):
            what = "the background" if player == BACKGROUND else f"player {player}"
            raise ValueError(
                f"{what} of the finer map lies in {_in_words(places)} of the coarser one: expected coarse "
                "players that are made of whole fine ones"
            )
        if player != BACKGROUND:
            groups.setdefault(group, []).append(player)
    return Partition(tuple(tuple(groups[group]) for group in sorted(groups)))


def _in_words(places: Sequence[int]) -> str:
    """Players and background, for an error."""
    return " and ".join("the background" if place == BACKGROUND else f"player {place}" for place in places)
