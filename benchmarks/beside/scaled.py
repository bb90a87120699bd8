"""Forwards and splits of a few games in place of all, so that an hour of them need not be waited for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harsanyi.interactions import About, Interactions, Method, Store, evaluate
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.methods import extract_each


def use(games: int, tables: Path | None) -> None:
    """Let commands of this process evaluate and split some games of each network, and repeat them.

    Args:
        games: how many are evaluated and split.
        tables: a store whose tables all games get, in place of those of the games that are evaluated. Random
            weights have tables that are split in no time.
    """
    from harsanyi.analyses.run import blocks, extraction

    made: dict[Game, Tensor] = {}

    def tables_of(
        game: Game, rows: range, *, outputs: bool, record: bool, **options: Any
    ) -> dict[str, np.ndarray]:
        if game not in made:
            # The first game's tables are made while a plan is tried: it says little of the others.
            v = evaluate(game, games=range(1, 1 + games), **options)
            if tables is not None:
                source = Store(tables)
                v = source.v(source.networks[len(made) % len(source.networks)])
            made[game] = v
        return {"v": made[game][torch.as_tensor(rows) % len(made[game])].numpy()}

    def extract(
        given: Mapping[str, Tensor], method: Method, about: Mapping[str, About]
    ) -> Iterator[tuple[str, Interactions]]:
        for name, whole in given.items():
            ((_, found),) = extract_each({name: whole[:games]}, method)
            repeated = found.select(torch.arange(len(whole)) % games)
            yield name, replace(repeated, v=whole, about=about[name])

    setattr(blocks, "tables_of", tables_of)  # noqa: B010
    setattr(extraction, "extract_each", extract)  # noqa: B010
