"""Running a study: value tables → interactions → knowledge change → figures and report, all in one folder."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from harsanyi.analyses.classes import class_tables
from harsanyi.analyses.games import Asked, ask, device_of, understood
from harsanyi.analyses.image_drawings import draw_change_on_image, draw_top_on_image
from harsanyi.analyses.knowledge import KnowledgeChange, compare
from harsanyi.analyses.screening import SCREENING, screening_table
from harsanyi.analyses.sentence_drawings import draw_change_on_sentence, draw_interactions_on_sentence
from harsanyi.analyses.study import PRETRAINED, Study, study_in
from harsanyi.analyses.tables import games_table, ranges_table, write_table
from harsanyi.interactions import Interactions, JointSparseAndOr, MaskedModel, Method, Store, extract_each
from harsanyi.interactions.machine.memory import gibibytes, require_memory
from harsanyi.interactions.methods import EXTRACTION_TABLES
from harsanyi.interactions.plans.choice import Choice, choose
from harsanyi.interactions.precision import precision_error
from harsanyi.models.digest import digest

STORE, STUDY = "values.h5", "study.toml"
GAMES, RANGES = "games", "ranges"
FACTS = "facts.json"
KEPT_FACTS = {"of": str, "facts": dict, "classes": dict, "performance": list, "plans": dict}
PERFORMANCE = ("network", "split", "data", "inputs", "accuracy", "loss")
# A network's share of the disk, in tables: values, and interactions with the values they explain.
KEPT_TABLES = 4
UNITS = {
    "log_odds": "log-odds, nats",
    "log_prob": "log-probability, nats",
    "next_token_log_odds": "log-odds, nats",
}


@dataclass(frozen=True)
class Run:
    """A finished study, as it lies in its folder.

    Attributes:
        study: its settings.
        store: its value tables.
        interactions: by network.
        known: facts in words, how well the networks answer, see `performance`, and their classes.
    """

    study: Study
    store: Store
    interactions: dict[str, Interactions]
    known: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run in a folder; extraction is done again where its file is missing."""
        if not (folder / STUDY).is_file():
            raise FileNotFoundError(f"{folder} holds no study: there is no {folder / STUDY}")
        study = study_in(folder / STUDY)
        store = Store(folder / STORE)
        return cls(study, store, _interactions(folder, study, store), _kept_facts(folder))

    @property
    def unit(self) -> str:
        """The unit of the score, for axes."""
        return UNITS.get(self.study.score, self.study.score)

    @property
    def performance(self) -> pd.DataFrame:
        """How well the networks answer: `Asked.performance` as a table."""
        return pd.DataFrame(self.known["performance"], columns=PERFORMANCE)

    @property
    def facts(self) -> dict[str, str]:
        """What a reader should know of the networks, held-out accuracies included."""
        table = self.performance
        return (
            self.known["facts"]
            | self.known["plans"]
            | {
                f"accuracy of {row.network}": f"{row.accuracy:.1%} on {row.inputs} inputs of {row.data}"
                for row in table[table.split == "held out"].itertuples()
            }
        )

    def compared(self, series: str | None = None, scratch: str | None = None) -> dict[str, str]:
        """Which networks stand for before, after and, where there is one, scratch.

        Args:
            series: of tracked runs, the one whose last checkpoint is `after`, the first by default; `before`
                is then the pretrained network.
            scratch: of tracked runs, the one whose last checkpoint is `scratch`; none by default.

        Raises:
            ValueError: for a run of one network, or series that are not there.
        """
        last = {name.partition("@")[0]: name for name in self.interactions if "@" in name}
        if not last:
            if series or scratch:
                raise ValueError(f"{self.folder} has no tracked runs, and so no {series or scratch!r}")
            if "before" not in self.interactions:
                raise ValueError(f"{self.folder} has one network; a change needs `harsanyi compare`")
            return {name: name for name in ("before", "after", "scratch") if name in self.interactions}
        if PRETRAINED not in self.interactions:
            raise ValueError(f"{self.folder} has no pretrained network: track it with --pretrained")
        if missing := [name for name in (series, scratch) if name and name not in last]:
            raise ValueError(f"{self.folder} has no series {missing[0]!r}; it has {', '.join(last)}")
        beside = {"scratch": last[scratch]} if scratch else {}
        return {"before": PRETRAINED, "after": last[series or next(iter(last))], **beside}

    def change_of(self, compared: Mapping[str, str]) -> KnowledgeChange:
        """The knowledge change between the networks that `compared` names."""
        found = {side: self.interactions[name] for side, name in compared.items()}
        return compare(**found, threshold=self.study.threshold)

    @cached_property
    def change(self) -> KnowledgeChange:
        """The knowledge change of a comparison, and of tracked runs that of the first; else a ValueError."""
        return self.change_of(self.compared())

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.store.path.parent

    @property
    def labels(self) -> torch.Tensor:
        """The class that is scored in each game, as a number among the classes all networks answer."""
        return torch.tensor([self.classes.index(label) for label in self.store.settings["labels"]])

    def by_class(self, *networks: str) -> dict[str, list[Interactions]]:
        """The interactions of networks in the score of every class that all networks answer, a class each.

        Extracted once and read from files beside the others from then on. A ValueError where the study did
        not keep the outputs of all classes.
        """
        method = replace(self.study, ranges=0).extraction()
        joint = isinstance(method, JointSparseAndOr)
        tables = {name: self._class_tables(name) for name in (self.store.networks if joint else networks)}
        paths = {name: self.folder / f"interactions-{name}-classes.h5" for name in tables}
        with _bar(True, len(tables), "interactions of all classes", "network") as bar:
            found = _extracted(tables, paths, method, device_of(self.study), bar)
        games = self.store.games
        parts = [slice(start, start + games) for start in range(0, len(self.classes) * games, games)]
        return {name: [found[name].select(part) for part in parts] for name in networks}

    def compared_by_class(self, compared: Mapping[str, str]) -> dict[str, list[Interactions]]:
        """`by_class` of the networks that `compared` names, by the side they stand for."""
        return dict(zip(compared, self.by_class(*compared.values()).values(), strict=True))

    @property
    def classes(self) -> list[str]:
        """The names of the classes that all networks answer."""
        return list(self.known["classes"]["names"])

    def _class_tables(self, network: str) -> torch.Tensor:
        """The value tables of a network, class after class, all games of one class together."""
        outputs = self.store.outputs(network)
        numbers = self.known["classes"]["numbers"][network]
        return class_tables(outputs, numbers, self.study.score).flatten(0, 1)

    def title_of(self, game: int) -> str:
        """What a game is called: its input's name and the label that is scored."""
        settings = self.store.settings
        return f"{settings['inputs'][game]} · {settings['labels'][game]}"

    def draw_top(self, network: str, game: int, k: int) -> Figure:
        """The k strongest interactions of a network in one game, on its image or sentence."""
        top = self.interactions[network].top(k)[game]
        title = f"{self.title_of(game)} · {network} · {self.unit}"
        if "sentences" in self.store.settings:
            words, players = self._sentence(game)
            return draw_interactions_on_sentence(words, players, top, title=title)
        image, owner = self._image(game)
        return draw_top_on_image(image, owner, top, title=title)

    def draw_change(self, game: int, k: int) -> Figure:
        """The k strongest preserved, discarded and new interactions of one game."""
        title = f"{self.title_of(game)} · before → after, {self.unit}"
        if "sentences" in self.store.settings:
            words, players = self._sentence(game)
            return draw_change_on_sentence(words, players, self.change, game, k, title=title)
        image, owner = self._image(game)
        return draw_change_on_image(image, owner, self.change, game, k, title=title)

    def _image(self, game: int) -> tuple[np.ndarray, np.ndarray]:
        owner = self.store.array("owner")
        return self.store.array("images")[game], owner if owner.ndim == 2 else owner[game]

    def _sentence(self, game: int) -> tuple[list[str], list[int]]:
        pieces = self.store.settings["sentences"][game]
        return [word for word, _ in pieces], [player for _, player in pieces]


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


def _keep_facts(folder: Path, known: dict[str, Any]) -> None:
    (folder / FACTS).write_text(json.dumps(known, indent=1), encoding="utf-8")


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


def _kept_facts(folder: Path) -> dict[str, Any]:
    """What `_known` kept; nothing where there is no such file, or a damaged one."""
    try:
        kept = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return {name: kind(kept[name]) for name, kind in KEPT_FACTS.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {name: kind() for name, kind in KEPT_FACTS.items()}


def _bar(progress: bool, total: int, title: str, unit: str) -> "tqdm[Any]":
    """A progress bar on a terminal; in a log a line a minute, if it lasts so long."""
    rare: dict[str, Any] = {} if sys.stderr.isatty() else {"mininterval": 60, "delay": 60}
    return tqdm(total=total, unit=unit, unit_scale=total > 1000, desc=title, disable=not progress, **rare)


def _interactions(
    folder: Path, study: Study, store: Store, *, progress: bool = False
) -> dict[str, Interactions]:
    """All networks' interactions from their files, or from their value tables; then they are written."""
    tables = {name: store.v(name) for name in store.networks}
    paths = {name: folder / f"interactions-{name}.h5" for name in tables}
    with _bar(progress, len(tables), "interactions", "network") as bar:
        return _extracted(tables, paths, study.extraction(), device_of(study), bar)


def _extracted(
    tables: dict[str, torch.Tensor],
    paths: dict[str, Path],
    method: Method,
    device: torch.device,
    bar: "tqdm[Any]",
) -> dict[str, Interactions]:
    """The interactions in these files, where they are those of the tables; else extracted, and written."""
    kept = {name: _kept(paths[name], method, table) for name, table in tables.items()}
    found = {name: one for name, one in kept.items() if one is not None}
    missing = [name for name in tables if name not in found]
    if missing and isinstance(method, JointSparseAndOr):
        missing = list(tables)
    bar.update(len(tables) - len(missing))
    for name, one in extract_each({name: tables[name].to(device) for name in missing}, method):
        found[name] = one.to("cpu")
        found[name].save(paths[name])
        bar.update()
    return {name: found[name] for name in tables}


def _kept(path: Path, method: Method, values: torch.Tensor) -> Interactions | None:
    """The interactions in a file, if they are those of this method and these tables."""
    try:
        found = Interactions.load(path)
    except (FileNotFoundError, ValueError):
        return None  # none yet, or a file that was cut short
    return found if found.method == str(method) and torch.equal(found.v, values) else None
