"""Players chosen by influence, and the share of the score's variance that they leave unexplained."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.kept import read_kept, write_kept
from harsanyi.analyses.study.layout import chosen_of
from harsanyi.failing import answers_of
from harsanyi.interactions import Store
from harsanyi.interactions.many_players.influence import (
    Influences,
    exact_game_densities,
    influences,
    most_influential,
    player_counts,
    require_enough,
)
from harsanyi.interactions.many_players.screening import HeldOutError, Screened, held_out_error
from harsanyi.models.digest import digest
from harsanyi.reading import first_line

SCREENING_TABLE, SCREENING_FILE = "screening", "screening.json"
# Random coalitions of all players: influence is measured on the first, the choice is judged on the others.
INFLUENCE_COALITIONS, HELD_OUT_COALITIONS = 32, 256


@dataclass(frozen=True)
class Screening:
    """What was measured of each network, as JSON values, by network.

    Attributes:
        influences: the fields of `Influences`; 0 of games on which the network failed.
        held_out: the fields of `HeldOutError`.
        failed: why it failed on games, by their numbers.
    """

    influences: dict[str, dict[str, Any]] = field(default_factory=dict)
    held_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)


def choose_by_influence(games: StudyGames) -> StudyGames:
    """The games of the players with the most influence on all networks together; the others stay present.

    Each network's influences count as shares within the game; their sum over networks decides. A network's
    influences are measured once and kept in the study's folder. Games on which one of them fails then have no
    players: they are in `without`.

    Args:
        games: of all players that may be chosen.

    Raises:
        ValueError: for more players than there are.
    """
    k = chosen_of(games.study.players, games.inputs.kind)
    require_enough(next(iter(games.layout.players.values())).counts, k)
    if games.study.retry_failed:
        for name in games.networks:
            _measure_failed_again(games, name, k)
    chosen = most_influential([_influences(games, name, k) for name in games.networks], k)
    layout = games.layout.only(chosen)
    settings = {**games.settings, **layout.settings, "kept": chosen.tolist()}
    without = _failed(games) | dict(games.without)
    return replace(games, layout=layout, settings=settings, all_players=games, without=without)


def _failed(games: StudyGames) -> dict[int, str]:
    """The games on which a network failed when influence was measured, and why."""
    screening = read_kept(games.study.out / SCREENING_FILE, Screening) or Screening()
    return {
        int(game): f"influence of its players on {name}: {reason}"
        for name, reasons in screening.failed.items()
        for game, reason in reasons.items()
    }


def screening_table(games: StudyGames, store: Store) -> pd.DataFrame:
    """What the chosen players' tables leave unexplained of the score of coalitions of all players.

    Args:
        games: with players chosen by influence.
        store: the value tables of these games, of all networks.

    Returns:
        a row for each network and input of the store: network, game, input, players (the chosen, numbers
        among all, spaces between), all_players (of this input), influence (the share of the chosen in all
        influences), held_out_error with its standard_error, mean_square and variance (squared unit of the
        score), coalitions; see `HeldOutError`.
    """
    assert games.all_players is not None
    rows = store.numbers
    chosen = torch.tensor(games.settings["kept"])[rows]
    tables = []
    for name in games.networks:
        influence = _influences(games.all_players, name, games.n).select(rows)
        error = _held_out(games, name, chosen, influence, store)
        tables.append(
            pd.DataFrame(
                {
                    "network": name,
                    "game": range(store.games),
                    "input": store.settings["inputs"],
                    "players": [" ".join(map(str, row)) for row in chosen.tolist()],
                    "all_players": influence.counts,
                    "influence": influence.share.gather(1, chosen).sum(1),
                    "held_out_error": error.error,
                    "standard_error": error.standard_error,
                    "mean_square": error.mean_square,
                    "variance": error.variance,
                    "coalitions": error.coalitions,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _influences(games: StudyGames, name: str, k: int) -> Influences:
    """The influences of all players on one network, from the study's folder or measured."""

    def measure() -> tuple[Influences, dict[int, Exception]]:
        return _measured_influences(games, name, k, range(len(games.inputs)), [])

    return Influences(**_measured_once(games, "influences", name, measure))


def _measured_influences(
    games: StudyGames, name: str, k: int, rows: Sequence[int], known: list[tuple[list[int], Influences]]
) -> tuple[Influences, dict[int, Exception]]:
    """The influences of all players on one network, and why it failed on games.

    Args:
        games: of all players.
        name: of the network.
        k: how many players are chosen.
        rows: the games that are measured.
        known: those of other games.
    """
    game, study = games.game(name), games.study
    density = exact_game_densities(game, k)
    options: dict[str, Any] = {"seed": study.seed, "batch_size": study.batch_size}

    def ask(rows: list[int]) -> Influences:
        some = game if len(rows) == game.games else game.select(rows)
        return influences(some, INFLUENCE_COALITIONS, density=density[rows], **options)

    parts, failed = answers_of(rows, ask)
    if not (parts or known):
        raise next(iter(failed.values()))
    counts = player_counts(game).cpu()
    return Influences.joined([*parts, *known], counts=counts, density=density, players=game.n), failed


def _measure_failed_again(games: StudyGames, name: str, k: int) -> None:
    """Measure influences again of the games on which a network failed; those of all others stay."""
    before = _influences(games, name, k)
    path, fingerprint = games.study.out / SCREENING_FILE, _fingerprint(games)
    screening = read_kept(path, Screening, fingerprint)
    assert screening is not None
    rows = sorted(map(int, screening.failed.get(name, {})))
    if not rows:
        return
    others = [row for row in range(len(games.inputs)) if row not in rows]
    found, failed = _measured_influences(games, name, k, rows, [(others, before.select(others))])
    screening.influences[name] = _as_lists(found)
    screening.failed[name] = _reasons(failed)
    write_kept(path, screening, fingerprint)


def _held_out(
    games: StudyGames, name: str, chosen: torch.Tensor, influence: Influences, store: Store
) -> HeldOutError:
    """The held-out error of one network's tables, from the study's folder or measured."""
    all_players = games.all_players
    assert all_players is not None

    def measure() -> tuple[HeldOutError, dict[int, Exception]]:
        whole, few = all_players.game(name), games.game(name)
        if store.games < whole.games:
            whole, few = whole.select(store.numbers), few.select(store.numbers)
        screened = Screened(few, chosen, influence)
        options: dict[str, Any] = {
            "coalitions": HELD_OUT_COALITIONS,
            "batch_size": games.study.batch_size,
        }
        return held_out_error(whole, screened, store.v(name), **options), {}

    some = name if store.games == len(games.inputs) else f"{name} on {digest(*map(str, store.numbers))}"
    return HeldOutError(**_measured_once(all_players, "held_out", some, measure))


def _measured_once(
    games: StudyGames,
    kind: Literal["influences", "held_out"],
    name: str,
    measure: Callable[[], tuple[Influences | HeldOutError, Mapping[int, Exception]]],
) -> dict[str, Any]:
    """The fields of a network's result: from the study's folder, else measured and written there."""
    path, fingerprint = games.study.out / SCREENING_FILE, _fingerprint(games)
    screening = read_kept(path, Screening, fingerprint) or Screening()
    results: dict[str, dict[str, Any]] = getattr(screening, kind)
    if name not in results:
        result, failed = measure()
        results[name] = _as_lists(result)
        if failed:
            screening.failed[name] = _reasons(failed)
        write_kept(path, screening, fingerprint)
    return _as_tensors(results[name])


def _fingerprint(games: StudyGames) -> str:
    """Of what the measurements of a study depend on."""
    columns = [column.name for result in (Influences, HeldOutError) for column in fields(result)]
    return digest(json.dumps(games.settings), INFLUENCE_COALITIONS, HELD_OUT_COALITIONS, *columns)


def _reasons(failed: Mapping[int, Exception]) -> dict[str, str]:
    """Why a network failed on games, by their numbers."""
    return {str(game): first_line(error) for game, error in failed.items()}


def _as_lists(result: Influences | HeldOutError) -> dict[str, Any]:
    """The fields of a result as JSON values, which keep every digit of float64."""
    return {
        name: value.tolist() if isinstance(value, torch.Tensor) else value
        for name, value in asdict(result).items()
    }


def _as_tensors(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a result from JSON values."""
    return {
        name: torch.from_numpy(np.array(value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
