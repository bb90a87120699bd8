"""Blocks: what of a study's value tables is evaluated at a time, in this process or in another.

Whoever evaluates a block gives the same tables, and one writer puts them into the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from harsanyi.analyses.study.games import StudyGames, error_sentence
from harsanyi.interactions import MaskedModel, Store
from harsanyi.interactions.store.tables import tables_of, with_reasons


@dataclass(frozen=True)
class Block:
    """Games of one network, or of several networks that begin alike and share their first steps.

    Attributes:
        networks: by name, in the order in which they are evaluated.
        games: their numbers.
    """

    networks: tuple[str, ...]
    games: range

    def __str__(self) -> str:
        """As it is told in messages.

        >>> str(Block(("before", "after"), range(4, 8)))
        'before, after on inputs 4 to 7'
        """
        return f"{', '.join(self.networks)} on inputs {self.games.start} to {self.games.stop - 1}"


def blocks_of(
    networks: Sequence[str],
    game: MaskedModel,
    store: Store,
    batch_size: int | None,
    share: tuple[int, int] | None = None,
) -> Iterator[Block]:
    """The blocks that are left of networks that are evaluated together, in the order of one process.

    Args:
        networks: their names.
        game: that of the first one; its batches say how many games are a block.
        store: says which games are done or have failed.
        batch_size: of the study.
        share: the number of a share, from 1, and how many there are; None for all blocks.

    Returns:
        blocks, each with the networks that have games to be done there.

    Raises:
        ValueError: there are fewer blocks than shares.
    """
    settled = {name: store.settled(name) for name in networks}
    for rows in shared(store.blocks(game, batch_size), share):
        left = tuple(name for name in networks if not settled[name][rows.start : rows.stop].all())
        if left:
            yield Block(left, rows)


def shared(blocks: Sequence[range], share: tuple[int, int] | None) -> Sequence[range]:
    """The blocks of a share: neighbours, as many as in any other share, or one more or less.

    Args:
        blocks: of one network, all of them.
        share: its number, from 1, and how many there are; None for all blocks.

    Raises:
        ValueError: there are fewer blocks than shares.

    >>> shared([range(0, 2), range(2, 4), range(4, 5)], (2, 2))
    [range(2, 4), range(4, 5)]
    """
    if share is None:
        return blocks
    number, count = share
    if count > len(blocks):
        raise ValueError(
            f"--share is {number}/{count}, and the games of a network are {len(blocks)} blocks: share them "
            f"out in at most {len(blocks)}"
        )
    return blocks[len(blocks) * (number - 1) // count : len(blocks) * number // count]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates blocks of a study.

    Attributes:
        games: of the study.
        masked: the games of each network.
        outputs: whether the outputs of all classes are kept.
        record: whether games on which a network fails are recorded.
        planning: options of the plan: plan, memory, checkpoints.
    """

    games: StudyGames
    masked: Mapping[str, MaskedModel]
    outputs: bool
    record: bool
    planning: Mapping[str, Any]

    def tables(
        self, block: Block, progress: "bool | tqdm[Any]" = False
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """The tables of a block, network after network, as `Store.write` takes them.

        Args:
            block: to evaluate.
            progress: a bar to advance by forwards.

        Raises:
            ValueError: naming the network that failed.
        """
        for name in block.networks:
            with failing(self.games, name):
                tables = tables_of(
                    self.masked[name],
                    block.games,
                    outputs=self.outputs,
                    record=self.record,
                    batch_size=self.games.study.batch_size,
                    progress=progress,
                    **self.planning,
                )
            yield name, with_reasons(tables, block.games, self.games.without) if self.record else tables


def failing(games: StudyGames, name: str) -> AbstractContextManager[None]:
    """A context whose errors name the network."""
    return error_sentence(f"{name} ({games.study.model}) failed on masked inputs")


def evaluated_here(
    evaluator: Evaluator, blocks: Iterator[Block], bar: "tqdm[Any]"
) -> Iterator[tuple[str, range, dict[str, np.ndarray]]]:
    """The tables of blocks in their order, evaluated by this process.

    Args:
        evaluator: of the study.
        blocks: to evaluate.
        bar: counts forwards.

    Returns:
        for each network of each block: its name, the games, and what `Store.write` takes.
    """
    for block in blocks:
        for name, tables in evaluator.tables(block, bar):
            yield name, block.games, tables
