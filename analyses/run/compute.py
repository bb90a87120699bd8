"""Computing a study: value tables and interactions of every network, in one folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from harsanyi.analyses.knowledge.interaction_tables import games_table, ranges_table
from harsanyi.analyses.report.tables import write_table
from harsanyi.analyses.run.run import GAMES, RANGES, STORE, STUDY, Run, _bar, _interactions
from harsanyi.analyses.study.ask import ask
from harsanyi.analyses.study.games import Asked, understood
from harsanyi.analyses.study.kept import _keep_facts, _kept_facts
from harsanyi.analyses.study.screening import SCREENING, screening_table
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import MaskedModel, Store
from harsanyi.interactions.machine.memory import gibibytes, require_memory
from harsanyi.interactions.methods import EXTRACTION_TABLES
from harsanyi.interactions.plans.choice import Choice, choose
from harsanyi.interactions.precision import precision_error
from harsanyi.models.digest import digest

# A network's share of the disk, in tables: values, and interactions with the values they explain.
KEPT_TABLES = 4


def compute(study: Study, *, progress: bool = True) -> Run:
    """Value tables and interactions of every network of a study, kept in its folder.

    What the folder holds already is not computed again, so that a killed run goes on and a finished one is
    opened without a forward of a masked input.
    """
    asked = ask(study)
    _require_room(asked)
    unfinished = _unfinished(study.out / STORE, list(asked.networks))
    games = {name: asked.game(name) for name in unfinished}
    store = Store.open_or_create(
        study.out / STORE,
        settings=asked.settings,
        networks=list(asked.networks),
        games=len(asked.inputs),
        n=asked.n,
        outputs=_outputs(asked) if study.keep_outputs else None,
        arrays=asked.layout.arrays,
    )
    study.write(study.out / STUDY)
    known = _known(study.out, asked)
    for name, game in games.items():
        known["plans"] |= _measured(name, game, progress)
    with _bar(progress, len(games) * store.games << store.n, "value tables", "forward") as bar:
        for name, game in games.items():
            for twin in _twins(asked, name):
                store.copy(twin, name)
            with understood(f"{name} ({study.model}) failed on masked inputs"):
                way: dict[str, Any] = {"plan": study.plan, "memory": study.plan_memory}
                store.fill(name, game, batch_size=study.batch_size, progress=bar, **way)
                known["plans"] |= _plan_in_words(name, choose(game, **way))
    if games:
        _keep_facts(study.out, known)
    run = Run(study, store, _interactions(study.out, study, store, progress=progress), known)
    titles = [run.title_of(game) for game in range(store.games)]
    write_table(games_table(run.interactions, titles, study.threshold), study.out / GAMES)
    if study.ranges:
        write_table(ranges_table(run.interactions, titles), study.out / RANGES)
    if asked.whole is not None:
        with understood(f"{study.model} failed on masked inputs"):
            write_table(screening_table(asked, store), study.out / SCREENING)
    return run


def _require_room(asked: Asked) -> None:
    """Refuse tables that memory or disk cannot hold, before the first forward."""
    study, games = asked.study, len(asked.inputs)
    what = f"tables of {games} games of {asked.n} players, 2**{asked.n} masked versions each,"
    table = 8 * games << asked.n
    require_memory(EXTRACTION_TABLES * table, torch.device("cpu"), f"work on {what}")
    if (study.out / STORE).exists():
        return
    needed = KEPT_TABLES * table * len(study.checkpoints)
    if study.keep_outputs:
        what = f"{what} with the outputs of all classes,"
        needed += sum(_outputs(asked).values()) * table // 2
    free = shutil.disk_usage(next(path for path in study.out.absolute().parents if path.exists())).free
    if needed > free:
        raise MemoryError(
            f"{what} need {gibibytes(needed)} of disk, and {gibibytes(free)} are free: choose fewer players "
            "or fewer games"
        )


def _twins(asked: Asked, name: str) -> list[str]:
    """The networks before this one that are the same: of equal weights, and classes of equal numbers."""
    before = list(asked.networks)[: list(asked.networks).index(name)]
    weights = asked.settings["weights"]
    return [
        other
        for other in before
        if weights[other] == weights[name] and asked.networks[other].classes == asked.networks[name].classes
    ]


def _outputs(asked: Asked) -> dict[str, int]:
    """How many outputs each network has."""
    return {name: len(network.classes) for name, network in asked.networks.items()}


def _unfinished(path: Path, networks: list[str]) -> list[str]:
    """The networks with games to be done. A store in which none is done holds nothing, and is removed."""
    if not path.exists():
        return networks
    store = Store(path)
    done = {name: store.done(name) for name in store.networks}
    if not any(flags.any() for flags in done.values()):
        path.unlink()
    return [name for name in networks if name not in done or not done[name].all()]


def _known(folder: Path, asked: Asked) -> dict[str, Any]:
    """What is known of the networks besides their tables, measured once and then kept beside these."""
    key = digest(json.dumps(asked.settings), list(asked.everything.names), list(asked.facts.values()))
    kept = _kept_facts(folder)
    if kept["of"] != key:
        kept = {
            "of": key,
            "facts": asked.facts,
            "classes": asked.classes if asked.study.keep_outputs else {},
            "performance": asked.performance(),
            "plans": {},
        }
        _keep_facts(folder, kept)
    return kept


def _measured(name: str, game: MaskedModel, progress: bool) -> dict[str, str]:
    """What a lower precision does to a network's interactions, said before hours are spent in it."""
    if game.precision == "float32":
        return {}
    error = precision_error(game).describe()
    if progress:
        print(f"{name} in {error}", flush=True)
    return {f"precision of {name}": error}


def _plan_in_words(name: str, choice: Choice) -> dict[str, str]:
    """How a network was asked, where that was not one masked input after another."""
    return {f"plan for {name}": f"{choice.name}, {choice.why}"} if choice.name != "dense" else {}
