"""Running a study: value tables → interactions → knowledge change → figures and report, all in one folder."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from harsanyi.analyses.knowledge.change import KnowledgeChange, compare
from harsanyi.analyses.knowledge.class_tables import class_tables
from harsanyi.analyses.study.games import device_of
from harsanyi.analyses.study.kept import _kept_facts
from harsanyi.analyses.study.study import PRETRAINED, Study, study_in
from harsanyi.interactions import Interactions, JointSparseAndOr, Method, Store, extract_each

STORE, STUDY = "values.h5", "study.toml"
GAMES, RANGES = "games", "ranges"
PERFORMANCE = ("network", "split", "data", "inputs", "accuracy", "loss")
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
