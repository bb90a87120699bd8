"""Games on which a network failed: they are left out, and that is said."""

from collections.abc import Sequence

from harsanyi.interactions import Store
from harsanyi.shown import counted

# Settings and arrays of a store that have a row for each game; `owner` where it lies differently in each.
SETTINGS_OF_GAMES, IMAGES, OWNER = ("inputs", "labels", "sentences", "kept"), "images", "owner"
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
