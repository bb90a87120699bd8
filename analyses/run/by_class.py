"""A run's interactions in the score of every class; without a forward, from the outputs that it kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from harsanyi.analyses.knowledge.class_tables import class_tables
from harsanyi.analyses.run.extraction import load_or_extract
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.games import device_named
from harsanyi.interactions import About, Interactions, JointSparseAndOr
from harsanyi.progress import progress_bar


def interactions_by_class(run: Run, networks: Sequence[str]) -> dict[str, list[Interactions]]:
    """The interactions of networks in the score of every class that all networks answer.

    They are extracted once and read from files beside the others from then on.

    Args:
        run: a finished run that kept the outputs of all classes.
        networks: their names in the run.

    Returns:
        by network, the interactions of all games in the score of each class.

    Raises:
        ValueError: where the study did not keep the outputs of all classes.
    """
    method = replace(run.study, ranges=0).extraction()
    joint = isinstance(method, JointSparseAndOr)
    asked = run.store.networks if joint else networks
    paths = {name: run.folder / f"interactions-{name}-classes.h5" for name in asked}

    tables = _ClassTables(run, held=len(paths) if joint else 1)
    with progress_bar(len(paths), "interactions of all classes", "network") as bar:
        about = {name: _about_class_tables(run, name) for name in paths}
        interactions = load_or_extract(tables, paths, method, device_named(run.study.device), bar, about)
    games = run.store.games
    parts = [slice(start, start + games) for start in range(0, len(run.classes) * games, games)]
    return {name: [interactions[name].select(part) for part in parts] for name in networks}


def compared_by_class(run: Run, compared: Mapping[str, str]) -> dict[str, list[Interactions]]:
    """`interactions_by_class` of the networks that `Run.compared` names, by the side they stand for."""
    by_class = interactions_by_class(run, list(compared.values()))
    return dict(zip(compared, by_class.values(), strict=True))


def _about_class_tables(run: Run, network: str) -> About:
    """What the games of `_ClassTables` are: all inputs, scored for one class after the other."""
    about, games, classes = run.interactions[network].about, run.store.games, run.classes
    players = about.players if len(about.players) == 1 else about.players * len(classes)
    labels = tuple(name for name in classes for _ in range(games))
    return replace(about, inputs=about.inputs * len(classes), players=players, labels=labels)


class _ClassTables:
    """Value tables in the score of every class, class after class, all games of one class together.

    They follow from outputs, so those of a network, or of as many as are asked in turn, are held as a whole.
    """

    def __init__(self, run: Run, held: int) -> None:
        self.games, self.n = len(run.classes) * run.store.games, run.store.n
        self._run = run
        self._of = lru_cache(held)(self._all)

    def v(self, network: str, games: Sequence[int] | None = None) -> torch.Tensor:
        """The tables of a network, all or some."""
        return self._of(network) if games is None else self._of(network)[list(games)]

    def _all(self, network: str) -> torch.Tensor:
        """The tables of a network."""
        run = self._run
        numbers = run.known_classes.outputs[network]
        return class_tables(run.store.outputs(network), numbers, run.study.score).flatten(0, 1)
