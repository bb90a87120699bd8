"""The runs of origins: read, and what they have in common, so that it is clear what can be compared."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.report.words import listed
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.run import STORE_FILE, Run, in_common
from harsanyi.analyses.study.study import SPARSE_METHODS
from harsanyi.interactions import Store
from harsanyi.models.digest import digest

# Conditions in which origins with other games differ. Each has its own shares; what is taken game by game, or
# interaction by interaction, needs them to be the same.
OF_GAMES = ("inputs", "labels", "players chosen", "seed", "regions", "words")


@dataclass(frozen=True)
class Origin:
    """A finished run and the networks of it that are compared.

    Attributes:
        name: of the origin, in tables and figures.
        run: a comparison or tracked runs.
        compared: the names of its networks before, after and scratch, see `Run.compared`.
    """

    name: str
    run: Run
    compared: dict[str, str]

    @property
    def change(self) -> KnowledgeChange:
        """The knowledge change from before to after."""
        return self.run.change_of(self.compared)


def read_origins(runs: Sequence[str]) -> list[list[Origin]]:
    """The origins that a command names, those with the same games together.

    Args:
        runs: NAME=RUN or NAME=RUN:SERIES each, see `run_origins`.

    Returns:
        groups in the order of their first origins. Those of a group have the same games: the inputs that all
        networks of all of them answer.

    Raises:
        FileNotFoundError: for runs that are not there.
        ValueError: for names that are none, and for runs that differ in more than networks and games.
    """
    origins = [_origin(name, location) for name, location in _locations(runs).items()]
    groups = _by_games(origins)
    first = groups[0][0]
    for origin in (one for group in groups for one in group):
        _require_comparable(first, origin)
    return groups


def lacks_inputs(runs: Sequence[str]) -> bool:
    """Whether an input was left out of origins, since a network of one of them failed on it.

    Args:
        runs: as for `run_origins`.
    """
    folders = [_place(location)[0] for location in _locations(runs).values()]
    return any(left_out(Store(folder / STORE_FILE)) for folder in folders)


def pairs_in(groups: Sequence[Sequence[Origin]]) -> list[tuple[str, str]]:
    """The names of each two origins with the same games."""
    return [(one.name, other.name) for group in groups for one, other in combinations(group, 2)]


def other_games(groups: Sequence[Sequence[Origin]]) -> list[str]:
    """What is left out where origins have other games, and why, in a sentence; none where all have the same.

    Args:
        groups: of `read_origins`.
    """
    if len(groups) < 2:
        return []
    first, *others = groups
    between = [
        f"{_named(group)} against {first[0].name}: {'; '.join(_differences(first[0], group[0], OF_GAMES))}"
        for group in others
    ]
    return [
        f"Not all origins have the same games ({' | '.join(between)}). Each has its shares, with intervals "
        "over its own inputs. Left out between them are paired differences, claims that subtract, and the "
        "similarity of networks, which is taken interaction by interaction."
    ]


def _named(group: Sequence[Origin]) -> str:
    return listed([origin.name for origin in group])


def _locations(runs: Sequence[str]) -> dict[str, str]:
    """The location of each origin by name: RUN or RUN:SERIES."""
    locations = dict(run.partition("=")[::2] for run in runs)
    names_fit = len(locations) == len(runs) and all(re.fullmatch(r"[\w-]+", name) for name in locations)
    if len(runs) < 2 or not names_fit:
        raise ValueError(
            f"got {' '.join(runs) or 'no run'}: expected NAME=RUN of two origins or more, names of letters "
            "and digits, each once"
        )
    if missing := [name for name, location in locations.items() if not location]:
        raise ValueError(f"{missing[0]}= names no folder: expected NAME=RUN or NAME=RUN:SERIES")
    return locations


def _origin(name: str, location: str) -> Origin:
    """The origin in a folder, or in one or two series of a folder of tracked runs."""
    folder, series = _place(location)
    run = Run.open(folder)
    return Origin(name, run, run.compared(*(one or None for one in series[:2])))


def _place(location: str) -> tuple[Path, list[str]]:
    """The folder of a location and its series, "" where it names none."""
    folder, series = Path(location), [""]
    while not folder.exists() and ":" in folder.name and len(series) < 3:
        before, _, last = str(folder).rpartition(":")
        folder, series = Path(before), [last, *series]
    return folder, series


def _by_games(origins: Sequence[Origin]) -> list[list[Origin]]:
    """Origins with the same games together, without the inputs that a network of any of them failed on."""
    groups: list[list[Origin]] = []
    for together in _grouped(origins, lambda origin: origin.run.store.whole.settings["inputs"]):
        runs = in_common([origin.run for origin in together])
        alike = [replace(origin, run=run) for origin, run in zip(together, runs, strict=True)]
        groups += _grouped(alike, lambda origin: [_conditions(origin.run)[name] for name in OF_GAMES])
    return groups


def _grouped(origins: Sequence[Origin], key: Callable[[Origin], object]) -> list[list[Origin]]:
    """Origins of equal keys together."""
    groups: dict[str, list[Origin]] = {}
    for origin in origins:
        groups.setdefault(json.dumps(key(origin)), []).append(origin)
    return list(groups.values())


def _require_comparable(first: Origin, second: Origin) -> None:
    """A ValueError for two runs that differ in more than networks and games; it names the differences."""
    names = [name for name in _conditions(first.run) if name not in OF_GAMES]
    if differences := _differences(first, second, names):
        raise ValueError(
            f"{first.name} and {second.name} cannot be compared ({'; '.join(differences)}): only their "
            "networks, inputs and labels may differ"
        )


def _differences(first: Origin, second: Origin, names: Sequence[str]) -> list[str]:
    """The conditions of these names in which two origins differ, in words."""
    conditions, others = _conditions(first.run), _conditions(second.run)
    # Sentences and labels are long: their beginnings distinguish them.
    texts = [
        {key: f"{json.dumps(value, ensure_ascii=False):.60}" for key, value in settings.items()}
        for settings in (conditions, others)
    ]
    return [
        f"{name}: {texts[0][name]} in {first.name}, {texts[1][name]} in {second.name}"
        for name in names
        if conditions[name] != others[name]
    ]


def _conditions(run: Run) -> dict[str, object]:
    """The settings that are the same in two runs where their differences are due to the networks alone."""
    study, settings = run.study, run.store.settings
    sparse, joint = study.method in SPARSE_METHODS, study.method == "joint"
    return {
        "inputs": [f"{run.store.games} of {Path(study.data).name}", settings["contents"]],
        "labels": settings["labels"],
        "players": settings["players"],
        "players chosen": settings.get("kept"),
        "seed": study.seed,
        "regions": _regions(run),
        "words": settings.get("sentences"),
        **{name: settings[name] for name in ("layer", "baseline", "score")},
        "method": [study.method, *[study.noise] * sparse, *[study.specific] * joint],
        "threshold": study.threshold,
    }


def _regions(run: Run) -> object:
    """The superpixels of a run; None for other players, whose name and seed determine them."""
    if not run.study.players.startswith("superpixels"):
        return None
    owner = run.store.array("owner")
    return [list(owner.shape), digest(owner)]
