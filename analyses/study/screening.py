"""Which players a study has where they are chosen by influence, and what these leave unexplained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.study.layout import chosen_of
from harsanyi.analyses.study.settings import write_whole
from harsanyi.interactions import Store
from harsanyi.interactions.many_players.influence import (
    Influences,
    exact_game_densities,
    influences,
    most_influential,
    require_enough,
)
from harsanyi.interactions.many_players.screening import HeldOutError, Screened, held_out_error
from harsanyi.models.digest import digest

if TYPE_CHECKING:  # games are asked for with their players chosen here
    from harsanyi.analyses.study.games import Asked

SCREENING = "screening"
KEPT = "screening.json"
# Random coalitions of all players: by which influence is measured, and others by which the choice is judged.
DRAWN, HELD_OUT = 32, 256


def influential(asked: Asked) -> Asked:
    """The games of the players with the most influence on all networks together, the others never masked.

    Of each network's influences, shares within the game; their sum over networks decides. What is measured is
    kept in the study's folder, network by network, and not measured again.

    Raises:
        ValueError: for more players than there are.
    """
    keep = chosen_of(asked.study.players, asked.inputs.kind)
    require_enough(next(iter(asked.layout.players.values())).counts, keep)
    found = [_influences(asked, name, keep) for name in asked.networks]
    kept = most_influential(found, keep)
    layout = asked.layout.only(kept)
    settings = {**asked.settings, **layout.settings, "kept": kept.tolist()}
    return replace(asked, layout=layout, settings=settings, whole=asked)


def screening_table(asked: Asked, store: Store) -> pd.DataFrame:
    """What the chosen players' tables leave unexplained of the score of coalitions of all players.

    Args:
        asked: with players chosen by influence.
        store: its value tables, of all networks.

    Returns:
        a row for each network and input: network, game, input, players (those kept, numbers among all,
        spaces between), all_players (of this input), influence (the kept players' share of the sum of all
        influences), held_out_error with its standard_error, mean_square and variance (squared unit of the
        score), coalitions; see `HeldOutError`.
    """
    assert asked.whole is not None
    kept = torch.tensor(asked.settings["kept"])
    tables = []
    for name in asked.networks:
        by = _influences(asked.whole, name, asked.n)
        error = _held_out(asked, name, kept, by, store)
        tables.append(
            pd.DataFrame(
                {
                    "network": name,
                    "game": range(store.games),
                    "input": store.settings["inputs"],
                    "players": [" ".join(map(str, row)) for row in kept.tolist()],
                    "all_players": by.counts,
                    "influence": by.share.gather(1, kept).sum(1),
                    "held_out_error": error.error,
                    "standard_error": error.standard_error,
                    "mean_square": error.mean_square,
                    "variance": error.variance,
                    "coalitions": error.coalitions,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _influences(whole: Asked, name: str, keep: int) -> Influences:
    """Of all players on one network, from the study's folder or measured."""

    def measure() -> dict[str, Any]:
        game, study = whole.game(name), whole.study
        options: dict[str, Any] = {"seed": study.seed, "batch_size": study.batch_size}
        return _as_lists(influences(game, DRAWN, density=exact_game_densities(game, keep), **options))

    return Influences(**_as_tensors(_once(whole, "influences", name, measure)))


def _held_out(asked: Asked, name: str, kept: torch.Tensor, by: Influences, store: Store) -> HeldOutError:
    """Of the tables of one network, from the study's folder or measured."""
    whole = asked.whole
    assert whole is not None

    def measure() -> dict[str, Any]:
        chosen = Screened(asked.game(name), kept, by)
        options: dict[str, Any] = {"coalitions": HELD_OUT, "batch_size": asked.study.batch_size}
        return _as_lists(held_out_error(whole.game(name), chosen, store.v(name), **options))

    return HeldOutError(**_as_tensors(_once(whole, "held_out", name, measure)))


def _once(whole: Asked, kind: str, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in the study's folder for these settings; else measured, and written there."""
    columns = [one.name for result in (Influences, HeldOutError) for one in fields(result)]
    path, key = whole.study.out / KEPT, digest(json.dumps(whole.settings), DRAWN, HELD_OUT, *columns)
    kept = _kept(path, key)
    if name not in kept[kind]:
        kept[kind][name] = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(kept))
    return kept[kind][name]


def _kept(path: Path, key: str) -> dict[str, Any]:
    """What a folder holds of these settings; nothing where there is no such file, or a damaged one."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["of"] == key and isinstance(kept["influences"], dict) and isinstance(kept["held_out"], dict):
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"of": key, "influences": {}, "held_out": {}}


def _as_lists(result: Influences | HeldOutError) -> dict[str, Any]:
    """A result as JSON values, which keep every digit of float64."""
    return {
        name: value.tolist() if isinstance(value, torch.Tensor) else value
        for name, value in asdict(result).items()
    }


def _as_tensors(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a result from JSON."""
    return {
        name: torch.from_numpy(np.array(value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
