"""What is measured a few games at a time: the bits of all games at once, and the memory of a few."""

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harsanyi.analyses import compare, similarity
from harsanyi.analyses.knowledge.explained import explained_share
from harsanyi.analyses.knowledge.interaction_tables import games_table
from harsanyi.analyses.knowledge.similarity import reached
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.tables import knowledge_tables
from harsanyi.analyses.training.trajectory import Trajectory
from harsanyi.interactions import AndOr, Interactions, extract

# Effects of each kind in a block, about: with 1 blocks are as small as they can be, 72 games.
BLOCK = "harsanyi.interactions.effects.interactions.BLOCK_EFFECTS"
BOOTSTRAP = Bootstrap(resamples=20)


def run_of(games: int, n: int) -> Trajectory:
    """Checkpoints that move from one random table to another."""
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, games, 2**n, dtype=torch.float64, generator=generator)
    states = (torch.lerp(start, end, share) for share in (0.0, 0.3, 0.9, 1.0))
    return Trajectory("run", (0, 1, 5, 9), tuple(extract(state, AndOr()) for state in states))


def everything(run: Trajectory) -> dict[str, pd.DataFrame]:
    """All tables that follow from interactions alone, without those of `trajectory_table`."""
    first, last = run.interactions[0], run.final
    tables = knowledge_tables([run], first, 0.05, BOOTSTRAP)
    del tables["trajectories"]  # which has blocks of its own
    names = [str(game) for game in range(run.games)]
    return tables | {
        "change": compare(first, last, scratch=run.interactions[1]).table(bootstrap=BOOTSTRAP),
        "similarity": similarity(first, last, bootstrap=BOOTSTRAP),
        "reached": reached(first, last, bootstrap=BOOTSTRAP),
        "games": games_table({"first": first, "last": last}, names),
        "strongest": last.table(),
        "explained": pd.DataFrame([vars(explained_share(last.only(last.salient()), bootstrap=BOOTSTRAP))]),
    }


@pytest.mark.parametrize("games", [72, 73, 200])
def test_blocks_have_the_bits_of_all_games_at_once(games, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = run_of(games, 4)
        assert [block.games for block in run.final.blocks()] == [games]
        whole = everything(run)
        monkeypatch.setattr(BLOCK, 1)
        assert [block.games for block in run.final.blocks()] == {200: [72, 72, 56]}.get(games, [games])
        for name, table in everything(run).items():
            pd.testing.assert_frame_equal(table, whole[name], check_exact=True, obj=name)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("games", [0, 1, 8, 9])
def test_blocks_are_all_games_in_order(games):
    v = torch.arange(games * 4, dtype=torch.float64).view(games, 4)
    interactions = extract(v, AndOr())
    for size in (None, 1, 4, 8):
        blocks = list(interactions.blocks(size))
        assert torch.equal(torch.cat([block.v for block in blocks]), v)
        assert Interactions.joined(blocks).and_.equal(interactions.and_)


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive at once, of those that are made in its context."""

    def __init__(self) -> None:
        super().__init__()
        self.aliases, self.now, self.most = Counter[int](), 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {tensor.untyped_storage().data_ptr() for tensor in tensors_in((args, kwargs))}
        result = function(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            storage = tensor.untyped_storage()
            place, size = storage.data_ptr(), storage.nbytes()
            if place in given and not self.aliases[place]:
                continue  # a part of what was there before
            self.now += size if not self.aliases[place] else 0
            self.aliases[place] += 1
            weakref.finalize(tensor, self._drop, place, size)
        self.most = max(self.most, self.now)
        return result

    def _drop(self, place: int, size: int) -> None:
        self.aliases[place] -= 1
        self.now -= size if not self.aliases[place] else 0


def tensors_in(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def held(work: Callable[[Trajectory], object], run: Trajectory) -> int:
    """The most bytes of tensors that some work on a run holds at once."""
    with Held() as mode:
        work(run)
    return mode.most


WORK: dict[str, Callable[[Trajectory], object]] = {
    "track": lambda run: knowledge_tables([run], run.interactions[0], 0.05, BOOTSTRAP),
    "compare": lambda run: compare(run.interactions[0], run.final),
    "games": lambda run: games_table({"last": run.final}, [""] * run.games),
    "words": lambda run: run.final.table(),
}
# Value tables. The dividends of the end, and their effects stacked for one sum over all; what two networks
# share of two kinds of effects; nothing.
ALLOWED = {"track": 7, "compare": 4, "games": 0.5, "words": 0.5}


@pytest.mark.parametrize("name", WORK)
def test_more_games_are_not_held_at_once(name, monkeypatch):
    games, n = 144, 8
    few, many = run_of(games, n), run_of(2 * games, n)
    more = {}
    for block in (1, 2**40):
        monkeypatch.setattr(BLOCK, block)
        monkeypatch.setattr("harsanyi.analyses.training.trajectory.BLOCK_EFFECTS", block)
        more[block] = (held(WORK[name], many) - held(WORK[name], few)) / (games * 2**n * 8)
    assert more[1] < ALLOWED[name] < more[2**40] / 2
