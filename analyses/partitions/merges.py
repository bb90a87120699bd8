"""Which players of a run merge: neighbours, some that are apart, cells of a coarser grid, or named ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from harsanyi.analyses.run.run import Run
from harsanyi.interactions import BACKGROUND, Partition, Players, coarsening, merging_neighbours, neighbours
from harsanyi.interactions.game.neighbours import Adjacency

NEIGHBOURS, APART = "neighbours", "apart"
GRID = re.compile(r"grid:([1-9]\d*)x([1-9]\d*)")
NAMED = re.compile(r"\d+(\+\d+)+(,\d+(\+\d+)+)*")
FORMS = f"{NEIGHBOURS}, {APART}, grid:ROWSxCOLUMNS or players to merge, as 0+1 or 0+1,4+5"


@dataclass(frozen=True)
class Merge:
    """A coarser partition of the players of a run.

    Attributes:
        name: of the merge.
        group: what it was asked for by: "neighbours", "apart", or its own name.
        partitions: one for all games, or one for each.
    """

    name: str
    group: str
    partitions: tuple[Partition, ...]

    def of_game(self, game: int) -> Partition:
        """The partition of a game."""
        return self.partitions[game if len(self.partitions) > 1 else 0]


def owners_of(run: Run) -> list[Tensor]:
    """The player of each place of the inputs: one map for all games, or one for each.

    Args:
        run: of pictures, or of sentences, whose places are the words.
    """
    if "sentences" in run.store.settings:
        sentences = run.store.settings["sentences"]
        return [torch.tensor([player for _, player in sentence]) for sentence in sentences]
    owner = torch.from_numpy(run.store.array("owner")).long()
    return list(owner) if owner.ndim == 3 else [owner]


def adjacencies_of(run: Run) -> list[Adjacency]:
    """Which players are neighbours: one table for all games, or one for each."""
    return [neighbours(owner, run.store.n) for owner in owners_of(run)]


def require_merges(names: Sequence[str]) -> None:
    """Refuse what names no merge, or one twice, with a ValueError."""
    for name in names:
        if name not in (NEIGHBOURS, APART) and not GRID.fullmatch(name) and not NAMED.fullmatch(name):
            raise ValueError(f"--merges {name!r} says not what to merge: expected {FORMS}")
    if len({*names}) < len(names):
        raise ValueError(f"expected merges, each once; got {' '.join(names)}")


def merges_of(run: Run, names: Sequence[str]) -> list[Merge]:
    """The merges that are asked for, one after the other.

    Args:
        run: finished.
        names: each "neighbours" (all pairs of neighbours), "apart" (as many pairs that are none, drawn at
            random where there are more), "grid:2x2" (the cells of a coarser grid), or players by number.

    Raises:
        ValueError: for what names no merge, for players that are not there or do not hang together, and for a
            grid that cuts through players.
    """
    require_merges(names)
    owners, adjacencies = owners_of(run), adjacencies_of(run)
    merges: list[Merge] = []
    for name in names:
        if name in (NEIGHBOURS, APART):
            merges += _pairs(name, adjacencies, run.study.seed)
        elif match := GRID.fullmatch(name):
            rows, columns = map(int, match.groups())
            merges.append(Merge(name, name, tuple(_on_grid(owner, rows, columns) for owner in owners)))
        else:
            groups = [[int(player) for player in group.split("+")] for group in name.split(",")]
            merges.append(Merge(name, name, tuple(merging_neighbours(one, groups) for one in adjacencies)))
    return merges


def _pairs(group: str, adjacencies: Sequence[Adjacency], seed: int) -> list[Merge]:
    """All merges of two players that are neighbours, or as many of two that are not.

    Where neighbours differ from input to input, each has as many merges as that with the fewest, at random.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(adjacencies[0])
    found = []
    for adjacency in adjacencies:
        pairs = [pair for pair in combinations(range(n), 2) if bool(adjacency[pair]) == (group == NEIGHBOURS)]
        if not pairs:
            what = "that are neighbours" if group == NEIGHBOURS else "that are apart"
            raise ValueError(f"--merges {group}: an input has no two players {what}")
        count = int(adjacency.sum()) // 2
        if len(adjacencies) > 1 or len(pairs) > count:
            chosen = torch.randperm(len(pairs), generator=generator).tolist()
            pairs = [pairs[i] for i in (chosen if len(adjacencies) > 1 else sorted(chosen[:count]))]
        found.append(pairs[: max(count, 1)])
    merges = []
    for number, of_games in enumerate(zip(*found, strict=False)):
        name = "+".join(map(str, of_games[0])) if len(adjacencies) == 1 else f"{group}-{number}"
        merges.append(Merge(name, group, tuple(Partition.merging(n, [pair]) for pair in of_games)))
    return merges


def _on_grid(owner: Tensor, rows: int, columns: int) -> Partition:
    """The players of a map as the cells of a coarser grid; the background stays."""
    if owner.ndim != 2:
        raise ValueError(f"--merges grid:{rows}x{columns} is for pictures, and the inputs are sentences")
    height, width = owner.shape
    coarse = Players.grid(height, width, rows, columns).owner
    there = (owner != BACKGROUND).nonzero().unbind(1)
    cells = coarse[there].unique()
    renumbered = torch.full_like(owner, BACKGROUND)
    renumbered[there] = torch.searchsorted(cells, coarse[there])
    return coarsening(owner, renumbered)
