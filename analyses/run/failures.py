"""Games on which a network failed: they are left out, and that is said."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harsanyi.analyses.run.same_networks import kept_arrays
from harsanyi.interactions import Store
from harsanyi.shown import counted
from harsanyi.writing import whole

# Settings and arrays of a store that have a row for each game; `owner` where it lies differently in each.
SETTINGS_OF_GAMES, IMAGES, OWNER = ("inputs", "labels", "sentences", "kept"), "images", "owner"
# Settings that may become others for a game without a table: `outputs` are lists by network.
OF_GAMES = {"labels", "sentences", "kept", "outputs"}
# So many failures are told one by one.
TOLD = 3


def evaluated_by_all(store: Store) -> Store:
    """The games of a store on which no network failed.

    Args:
        store: of value tables.

    Returns:
        the store itself where no game failed, else a view of the others.

    Raises:
        ValueError: a network failed on every game, or none is left of all networks; with a reason.
    """
    failed = {name: store.failed(name) for name in store.networks}
    left_out = {game for reasons in failed.values() for game in reasons}
    if not left_out:
        return store
    games = [game for game in range(store.games) if game not in left_out]
    if not games:
        name = max(failed, key=lambda name: len(failed[name]))
        game, reason = next(iter(failed[name].items()))
        raise ValueError(
            f"{name} failed on {len(failed[name])} of {counted(store.games, 'input')}, and none is left that "
            f"all networks answer; game {game}: {reason}"
        )
    return view_of(store, games)


def view_of(store: Store, games: Sequence[int]) -> Store:
    """A view of some games of a run's store, with what the store has of each of them.

    Args:
        store: of value tables.
        games: their numbers there, in rising order.
    """
    arrays = [IMAGES] if IMAGES in store.arrays else []
    arrays += [OWNER] if OWNER in store.arrays and store.array(OWNER).ndim == 3 else []
    return store.select(games, arrays=arrays, settings=SETTINGS_OF_GAMES)


def to_be_tried_again(store: Store, *, failed: bool) -> None:
    """Have games evaluated again: those of networks without a finished game, and all failed ones if asked.

    Args:
        store: of value tables.
        failed: whether all failed games are tried again.
    """
    for name in store.networks:
        games = store.failed(name)
        if games and (failed or not store.done(name).any()):
            store.forget(name, list(games))


def renew(path: Path, description: Mapping[str, Any]) -> None:
    """Have a store be of the labels and players that games now have which are tried again; all else stays.

    Where influence chose the players, or a network predicted the label, a game that failed had none.

    Args:
        path: of the store, which need not exist.
        description: the arguments of `Store.create` for the games as they are now.
    """
    if not path.exists():
        return
    old = Store(path)
    done = np.any([old.done(name) for name in old.networks], axis=0)
    wanted = json.loads(json.dumps(description["settings"]))
    if old.settings == wanted or _with_rows_of(old.settings, wanted, np.flatnonzero(~done)) != wanted:
        return  # nothing is new, or more than that: whoever opens it says what
    old.settings = wanted  # those of the games that are done are the same
    arrays = {**description["arrays"], **kept_arrays(old)}
    with whole(path) as partial:
        Store.create(partial, **{**description, "arrays": arrays}).take(old)


def _with_rows_of(there: Mapping[str, Any], others: Mapping[str, Any], games: np.ndarray) -> dict[str, Any]:
    """Settings, of which what there is for each game is that of others for some games."""

    def mixed(own: Any, other: Any) -> Any:
        if isinstance(own, dict) and isinstance(other, dict):
            return {name: mixed(value, other.get(name)) for name, value in own.items()}
        if not isinstance(own, list) or not isinstance(other, list) or len(own) != len(other):
            return own
        return [other[game] if game in games else value for game, value in enumerate(own)]

    return {
        name: mixed(value, others.get(name)) if name in OF_GAMES else value for name, value in there.items()
    }


def left_out(store: Store) -> list[str]:
    """What is said of the games that are left out, in a sentence; none where all are there.

    Args:
        store: of a run.
    """
    whole = store.whole
    failed = [(name, game, reason) for name in whole.networks for game, reason in whole.failed(name).items()]
    if not failed:
        return []
    inputs = whole.settings.get("inputs", ())
    told = [f"{name} on {_called(inputs, game)} ({reason})" for name, game, reason in failed[:TOLD]]
    more = f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
    count = len({game for _, game, _ in failed})
    return [
        f"{count} of {counted(whole.games, 'input')} left out, where a network failed: "
        f"{'; '.join(told)}{more}. All results are of the other {whole.games - count}; the same command with "
        "--retry-failed tries again."
    ]


def _called(inputs: Sequence[str], game: int) -> str:
    """A game by its input."""
    return f"{inputs[game]} (game {game})" if inputs else f"game {game}"
