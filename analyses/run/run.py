"""A finished study: its folder opened."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from harsanyi.analyses.knowledge.change import KnowledgeChange, compare
from harsanyi.analyses.run.extraction import study_interactions
from harsanyi.analyses.run.failures import evaluated_by_all, view_of
from harsanyi.analyses.study.facts import FACTS_FILE, Classes, Facts, NetworkPerformance
from harsanyi.analyses.study.kept import read_kept
from harsanyi.analyses.study.study import PRETRAINED, Study, study_in
from harsanyi.interactions import Interactions, Store
from harsanyi.interactions.game.scores import unit_of
from harsanyi.shown import Card, Shown, counted, first_few

STORE_FILE, STUDY_FILE = "values.h5", "study.toml"
GAMES_TABLE, INTERACTIONS_TABLE, RANGES_TABLE = "games", "interactions", "ranges"


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A finished study, as it lies in its folder.

    Attributes:
        study: its settings.
        store: its value tables, of the games that no network failed on; see `Store.whole`.
        interactions: by network.
        facts: what was measured of inputs and networks besides the value tables.
    """

    study: Study
    store: Store
    interactions: dict[str, Interactions]
    facts: Facts

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run in a folder. Missing files of interactions are extracted again, and written.

        Missing or damaged facts.json, and one by an older program, read as no facts: no accuracies, no
        classes. `compute` of the same study measures them again.
        """
        if not (folder / STUDY_FILE).is_file():
            raise FileNotFoundError(f"{folder} holds no study: there is no {folder / STUDY_FILE}")
        study = study_in(folder / STUDY_FILE)
        store = evaluated_by_all(Store(folder / STORE_FILE))
        facts = read_kept(folder / FACTS_FILE, Facts) or Facts()
        return cls(study, store, study_interactions(study, store, facts), facts)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.store.path.parent

    @property
    def unit(self) -> str:
        """The unit of the score, for axes."""
        return unit_of(self.study.score)

    @property
    def performance(self) -> pd.DataFrame:
        """How well the networks answer: a row for each network and data set, see `NetworkPerformance`."""
        columns = [column.name for column in fields(NetworkPerformance)]
        return pd.DataFrame([asdict(row) for row in self.facts.performance], columns=columns)

    @property
    def before(self) -> str:
        """The name of the network that changes are from; a ValueError for a run without one."""
        if "before" in self.interactions:
            return "before"
        if PRETRAINED in self.interactions:
            return PRETRAINED
        if any("@" in name for name in self.interactions):
            raise ValueError(f"{self.folder} has no pretrained network: track it with --pretrained")
        raise ValueError(f"{self.folder} has one network; a change needs `harsanyi compare`")

    @property
    def after(self) -> str:
        """The name of the fine-tuned network, the last checkpoint of the first run, or the first network."""
        if "after" in self.interactions:
            return "after"
        return next(iter(self._last_checkpoints().values()), next(iter(self.interactions)))

    def _last_checkpoints(self) -> dict[str, str]:
        """The name of the last checkpoint of each tracked run."""
        return {name.partition("@")[0]: name for name in self.interactions if "@" in name}

    def compared(self, series: str | None = None, scratch: str | None = None) -> dict[str, str]:
        """Which networks stand for before, after and, where there is one, scratch.

        Args:
            series: of tracked runs, the one whose last checkpoint is `after`, the first by default; `before`
                is then the pretrained network.
            scratch: of tracked runs, the one whose last checkpoint is `scratch`; none by default.

        Raises:
            ValueError: for a run of one network, or series that are not there.
        """
        last = self._last_checkpoints()
        if not last and (series or scratch):
            raise ValueError(f"{self.folder} has no tracked runs, and so no {series or scratch!r}")
        before = self.before
        if not last:
            return {name: name for name in ("before", "after", "scratch") if name in self.interactions}
        if missing := [name for name in (series, scratch) if name and name not in last]:
            raise ValueError(f"{self.folder} has no series {missing[0]!r}; it has {', '.join(last)}")
        beside = {"scratch": last[scratch]} if scratch else {}
        return {"before": before, "after": last[series] if series else self.after, **beside}

    def change_of(self, compared: Mapping[str, str]) -> KnowledgeChange:
        """The knowledge change between the networks that `compared` names."""
        sides = {side: self.interactions[name] for side, name in compared.items()}
        return compare(**sides, threshold=self.study.threshold)

    @cached_property
    def change(self) -> KnowledgeChange:
        """The knowledge change of a comparison, and of tracked runs that of the first; else a ValueError."""
        return self.change_of(self.compared())

    @property
    def labels(self) -> torch.Tensor:
        """The class that is scored in each game, as a number among the classes all networks answer."""
        return torch.tensor([self.classes.index(label) for label in self.store.settings["labels"]])

    @property
    def classes(self) -> list[str]:
        """The names of the classes that all networks answer; a ValueError where they were not kept."""
        return list(self.known_classes.names)

    @property
    def known_classes(self) -> Classes:
        """The classes that all networks answer; a ValueError where they were not kept."""
        if self.facts.classes is None:
            raise ValueError(
                f"{self.folder / FACTS_FILE} does not hold the classes that all networks answer: compute its "
                f"study again, with --keep-outputs, from {self.folder / STUDY_FILE}"
            )
        return self.facts.classes

    def title_of(self, game: int) -> str:
        """What a game is called: its input's name and the label that is scored."""
        settings = self.store.settings
        return f"{settings['inputs'][game]} · {settings['labels'][game]}"

    def on(self, inputs: Sequence[int]) -> "Run":
        """The run on some of its inputs.

        Args:
            inputs: their numbers in the study, in rising order, as `store.numbers` gives them.
        """
        here = self.store.numbers
        if list(inputs) == here:
            return self
        games = [here.index(number) for number in inputs]
        interactions = {name: network.select(games) for name, network in self.interactions.items()}
        return Run(self.study, view_of(self.store, games), interactions, self.facts)

    def _card(self) -> Card:
        accuracies = [
            f"{row.network} {row.accuracy:.1%}" for row in self.facts.performance if row.split == "held out"
        ]
        return Card(
            f"{self.study.model}, {counted(len(self.interactions), 'network')} on "
            f"{counted(self.store.games, 'game')} of {counted(self.store.n, 'player')}",
            {
                "networks": first_few(list(self.interactions), 6),
                "data": str(self.study.data),
                "players": self.study.players,
                "unit": self.unit,
                "accuracy": first_few(accuracies, 6),
                "folder": str(self.folder),
            },
        )


def in_common(runs: Sequence[Run]) -> list[Run]:
    """Runs on the same inputs of one study, without those that a network of any of them failed on.

    Args:
        runs: two or more.

    Raises:
        ValueError: no input is left.
    """
    numbers = set(runs[0].store.numbers).intersection(*(run.store.numbers for run in runs[1:]))
    if not numbers:
        folders = " and ".join(str(run.folder) for run in runs)
        raise ValueError(f"{folders} have no input in common that all networks answer")
    return [run.on(sorted(numbers)) for run in runs]
