"""Commands about the condition of a run: how far it is, and whether it is as it was written."""

import time
from pathlib import Path

from harsanyi.analyses.command.commands import Check, Status
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.run.extraction import interactions_path
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.run import STORE_FILE
from harsanyi.interactions import Interactions, Store
from harsanyi.shown import counted, first_few
from harsanyi.writing import writer_of

# How long `status` watches a run that is under way before it says how long the rest takes, in seconds.
WATCHED = 5.0


def status_outcome(options: Status, watched: float = WATCHED) -> Outcome:
    """`harsanyi status`.

    Args:
        options: name the run.
        watched: seconds in which games are counted, where the run is under way.
    """
    store = _store(options.run)
    writer = writer_of(options.run)
    settled = {name: int(store.settled(name).sum()) for name in store.networks}
    left = len(settled) * store.games - sum(settled.values())
    lines = [
        f"{name}: {settled[name] - len(failed)} of {counted(store.games, 'game')} done"
        + (f", {len(failed)} failed" if failed else "")
        for name in store.networks
        for failed in [store.failed(name)]
    ]
    if writer and left:
        lines.append(f"running: {writer}; {_time_left(store, left, watched)}")
    elif writer:
        lines.append(f"running: {writer}; all games are done, what follows from them is being made")
    else:
        lines.append(
            "nobody works on it; " + ("the same command goes on" if left else "every game has been evaluated")
        )
    missing = left_out(store)
    return Outcome([*lines, *missing], whole=not missing)


def check_outcome(options: Check) -> Outcome:
    """`harsanyi check`."""
    store = _store(options.run)
    if not store.has_checksums:
        return Outcome([f"{store.path} is of a version without checksums: it opens, and no more is known"])
    damaged = {name: games for name in store.networks if (games := store.damaged(name))}
    inputs = store.settings.get("inputs", ())
    lines = [
        f"DAMAGED: {name}: {first_few([_called(inputs, game) for game in games], 20)}"
        for name, games in damaged.items()
    ]
    if damaged and options.repair:
        for name, games in damaged.items():
            store.forget(name, games)
        lines.append("these games count as not done: the same command computes them again")
    elif damaged:
        lines.append(f"harsanyi check {options.run} --repair has them computed again by the next run")
    spoiled = [name for name in store.networks if _is_spoiled(interactions_path(options.run, name))]
    lines += [f"DAMAGED: interactions of {name}: the same command extracts them again" for name in spoiled]
    count = sum(int(store.done(name).sum()) for name in store.networks)
    sound = count - sum(map(len, damaged.values()))
    lines.append(f"{sound} of {counted(count, 'finished game')} are as they were written")
    return Outcome(lines, whole=not (damaged or spoiled))


def _store(folder: Path) -> Store:
    """The value tables of a run."""
    if not (folder / STORE_FILE).is_file():
        raise FileNotFoundError(f"{folder} holds no value tables: there is no {folder / STORE_FILE}")
    return Store(folder / STORE_FILE)


def _time_left(store: Store, left: int, watched: float) -> str:
    """How long the rest takes, from the games that are done while one looks."""
    time.sleep(watched)
    now = len(store.networks) * store.games - sum(int(store.settled(name).sum()) for name in store.networks)
    if now == left:
        return f"{counted(left, 'game')} left; none was done in {watched:g} s, the time left is not known"
    minutes = now * watched / (left - now) / 60
    return f"{counted(now, 'game')} left, about {minutes:,.1f} minutes at the present speed"


def _called(inputs: tuple[str, ...] | list[str], game: int) -> str:
    """A game by its number and its input."""
    return f"game {game} ({inputs[game]})" if inputs else f"game {game}"


def _is_spoiled(path: Path) -> bool:
    """Whether there is a file of interactions that cannot be read."""
    try:
        Interactions.load(path)
    except FileNotFoundError:
        return False
    except (ValueError, OSError, KeyError):
        return True
    return False
