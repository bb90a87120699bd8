"""From a study to its games: inputs drawn, networks loaded, read-outs fitted, players laid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harsanyi import models
from harsanyi.analyses.study.inputs import _corrupted, _load
from harsanyi.analyses.study.labels import _numbers, read_out_of
from harsanyi.analyses.study.layout import Layout
from harsanyi.analyses.study.study import PUBLISHED, Study
from harsanyi.data import Inputs
from harsanyi.interactions import MaskedModel
from harsanyi.models import Network

# More inputs than this say little more about an accuracy or a loss.
PERFORMANCE_INPUTS = 500


@dataclass(frozen=True)
class Asked:
    """The games of a study, all but ready to be evaluated: not a forward has been made that can wait.

    Attributes:
        study: what was asked.
        networks: in the order of the study, each with outputs for the labels.
        everything: all inputs of the study's data.
        inputs: those drawn, one a game.
        labels: of the games, by network: each may number the classes its own way.
        layout: how the players lie on the inputs.
        settings: all that the value tables depend on; JSON values.
        facts: what the reader of a report should know, in words.
        whole: the games of all players, where these were chosen by influence.
    """

    study: Study
    networks: dict[str, Network]
    everything: Inputs
    inputs: Inputs
    labels: dict[str, list[int]]
    layout: Layout
    settings: dict[str, Any]
    facts: dict[str, str]
    whole: "Asked | None" = None

    @property
    def n(self) -> int:
        """Players of each game."""
        return next(iter(self.layout.players.values())).n

    @property
    def classes(self) -> dict[str, Any]:
        """The classes that all networks answer: their names, and by network the numbers of its outputs.

        All of the networks' classes where these are the same, else those of the data's labels.
        """
        answered = {network.classes for network in self.networks.values()}
        names = next(iter(answered))
        if len(answered) > 1 and self.inputs.labels:
            names = self.inputs.level(self.study.level)[1]
        numbers = {
            name: _numbers(self.study, network, np.arange(len(names)), names)
            for name, network in self.networks.items()
        }
        return {"names": list(names), "numbers": numbers}

    def game(self, name: str, baseline: Any = None) -> MaskedModel:
        """The games of one network, tried on one coalition; with another baseline, if one is given."""
        network, layout, study = self.networks[name], self.layout, self.study
        with understood(f"{name} ({network.name}) cannot be asked for its {study.score} on these inputs"):
            game = MaskedModel(
                network.model,
                layout.tensors[name],
                layout.players[name],
                labels=self.labels[name],
                baseline=layout.baselines[name] if baseline is None else baseline,
                score=study.score,
                layer=study.layer,
                precision=study.precision,
            )
            with torch.inference_mode(), game.prepared():
                first = torch.zeros(1, dtype=torch.int64, device=game.device)
                game.scores(first, torch.ones(1, self.n, dtype=torch.bool, device=game.device))
        return game

    def performance(self) -> list[dict[str, Any]]:
        """How well the networks answer, a row each on the study's data and on its training data.

        Nothing of networks whose read-out the data itself fitted, and nothing where it has no labels.

        Returns:
            rows of network, split ("held out" or "train"), data, inputs (how many), accuracy, loss (nats).
        """
        study = self.study
        if study.label != "data":
            return []
        splits = {"held out": (study.data, self.everything)}
        if study.train_data is not None:
            splits["train"] = study.train_data, _load(study, study.train_data)
        return [
            {"network": name, "split": split, "data": str(path), **row}
            for split, (path, everything) in splits.items()
            for name, row in self._performance_on(everything)
        ]

    def _performance_on(self, everything: Inputs) -> Iterator[tuple[str, dict[str, Any]]]:
        study = self.study
        count = min(PERFORMANCE_INPUTS, len(everything))
        sample = everything.sample(count, study.seed, study.level).check(skip_unreadable=True)
        sample = _corrupted(study, sample, {})
        labels, classes = sample.level(study.level)
        for name, network in self.networks.items():
            if study.train_data is not None or read_out_of(name) not in self.facts:
                found = models.performance(network, sample.items, _numbers(study, network, labels, classes))
                yield name, {"inputs": len(sample), **vars(found)}


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Failures inside somebody's network as one sentence."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{what} ({reason})") from error


def device_of(study: Study) -> torch.device:
    """Where the study computes; a ValueError where that cannot be."""
    return device_named(study.device)


def device_named(name: str) -> torch.device:
    """The device of that name, auto for cuda where there is one; a ValueError where it cannot be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


def _networks(study: Study) -> dict[str, Network]:
    """The networks of the study, by name, on their device."""
    device = device_of(study)
    options: dict[str, Any] = {"ema": study.ema, "seed": study.seed, "image_size": study.image_size}
    weights = {name: None if path == PUBLISHED else path for name, path in study.checkpoints.items()}
    return {name: models.load(study.model, path, **options).to(device) for name, path in weights.items()}
