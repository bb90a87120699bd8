"""Neighbours, coalitions that hang together, and coarser maps, against literal searches."""

from itertools import combinations

import pytest
import torch

from harsanyi.interactions import Partition, Players, coarsening, connected, merging_neighbours, neighbours
from harsanyi.interactions.game.neighbours import neighbouring_pairs
from tests import reference


def literal(owner: torch.Tensor, n: int) -> set[tuple[int, int]]:
    found = set()
    rows, columns = owner.shape
    for row in range(rows):
        for column in range(columns):
            for other in ((row + 1, column), (row, column + 1)):
                if other[0] < rows and other[1] < columns:
                    pair = {int(owner[row, column]), int(owner[other])}
                    if len(pair) == 2 and -1 not in pair:
                        found.add(tuple(sorted(pair)))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_neighbours_by_definition(seed):
    torch.manual_seed(seed)
    owner = torch.randint(-1, 6, (5, 4))
    adjacency = neighbours(owner, 6)
    assert {(i, j) for i, j in adjacency.nonzero().tolist() if i < j} == literal(owner, 6)
    assert torch.equal(adjacency, adjacency.T)
    assert not adjacency.diagonal().any()


def test_cells_of_a_grid_with_background_between():
    players = Players.grid(8, 8, 2, 2)
    assert neighbours(players.owner, 4).sum() == 8
    chosen = players.only(torch.tensor([0, 3]))  # they meet in a corner
    assert not neighbours(chosen.owner, 2).any()
    assert neighbours(torch.tensor([0, -1, 1, 2]), 3).nonzero().tolist() == [[1, 2], [2, 1]]  # words


@pytest.mark.parametrize("seed", range(4))
def test_connected_by_search(seed):
    torch.manual_seed(seed)
    adjacency = neighbours(torch.randint(-1, 6, (4, 4)), 6)
    found, pairs = connected(adjacency), neighbouring_pairs(adjacency)
    for coalition in reference.subsets(tuple(range(6))):
        reached, border = set(coalition[:1]), list(coalition[:1])
        while border:
            here = border.pop()
            for other in coalition:
                if adjacency[here, other] and other not in reached:
                    reached.add(other)
                    border.append(other)
        place = reference.index(coalition, 6)
        assert found[place] == (reached == set(coalition))
        inside = list(combinations(coalition, 2))
        share = sum(bool(adjacency[pair]) for pair in inside) / max(len(inside), 1)
        assert pairs[place].item() == pytest.approx(share, abs=1e-15)


def test_chance_is_the_same_in_every_order():
    adjacency = neighbours(Players.grid(6, 6, 2, 3).owner, 6)
    pairs = neighbouring_pairs(adjacency)
    sizes = torch.tensor([bin(place).count("1") for place in range(2**6)])
    for order in range(2, 7):
        assert pairs[sizes == order].mean().item() == pytest.approx(7 / 15, abs=1e-12)


def test_what_hangs_together_merges():
    adjacency = neighbours(Players.grid(4, 4, 2, 2).owner, 4)
    assert merging_neighbours(adjacency, [(0, 1)]).groups == ((0, 1), (2,), (3,))
    assert merging_neighbours(adjacency, [(0, 1, 3)]).groups == ((0, 1, 3), (2,))
    with pytest.raises(ValueError, match="players 0 and 3 are no neighbours"):
        merging_neighbours(adjacency, [(0, 3)])
    with pytest.raises(ValueError, match="there is no player 7"):
        merging_neighbours(adjacency, [(0, 7)])


def test_coarser_maps():
    fine, coarse = Players.grid(8, 8, 4, 4), Players.grid(8, 8, 2, 4)
    assert coarsening(fine.owner, coarse.owner) == Partition(
        ((0, 4), (1, 5), (2, 6), (3, 7), (8, 12), (9, 13), (10, 14), (11, 15))
    )
    with pytest.raises(ValueError, match="player 0 of the finer map lies in player 0 and player 4"):
        coarsening(coarse.owner, fine.owner)
    with pytest.raises(ValueError, match="the background of the finer map lies in player 0"):
        coarsening(torch.tensor([-1, 0]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="player 0 of the finer map lies in the background"):
        coarsening(torch.tensor([0, 1]), torch.tensor([-1, 0]))
    with pytest.raises(ValueError, match="expected players of the same input"):
        coarsening(torch.zeros(4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
