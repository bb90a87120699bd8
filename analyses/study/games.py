"""The games of a study: networks, inputs, labels and players."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from harsanyi import models
from harsanyi.analyses.study.facts import (
    Classes,
    Corruption,
    Facts,
    LeftOut,
    NetworkPerformance,
    ReadOutAccuracy,
)
from harsanyi.analyses.study.inputs import corrupt_inputs, load_inputs
from harsanyi.analyses.study.labels import output_numbers
from harsanyi.analyses.study.layout import Layout
from harsanyi.analyses.study.study import Study
from harsanyi.data import Inputs
from harsanyi.interactions import MaskedModel
from harsanyi.models import Network, ReadOut

# More inputs than this say little more about an accuracy or a loss.
MAX_PERFORMANCE_INPUTS = 500


@dataclass(frozen=True)
class StudyGames:
    """Everything needed to evaluate the games of a study; no masked forward has run yet.

    Attributes:
        study: the settings.
        networks: in the order of the study, each with outputs for the labels.
        all_inputs: all inputs of the study's data.
        inputs: those of the games, one a game, as the networks see them.
        labels: of the games, by network: each network may number the classes its own way.
        layout: how the players lie on the inputs.
        settings: all that the value tables depend on; JSON values.
        left_out: the inputs that the draw left out.
        corruption: of the inputs; None for inputs as they are.
        read_outs: of the networks that did not answer the labels, by network.
        all_players: the games of all players, where influence chose the players of these games.
    """

    study: Study
    networks: dict[str, Network]
    all_inputs: Inputs
    inputs: Inputs
    labels: dict[str, list[int]]
    layout: Layout
    settings: dict[str, Any]
    left_out: LeftOut
    corruption: Corruption | None
    read_outs: dict[str, ReadOut]
    all_players: "StudyGames | None" = None

    @property
    def n(self) -> int:
        """Players of each game."""
        return next(iter(self.layout.players.values())).n

    @property
    def classes(self) -> Classes:
        """The classes that all networks answer.

        All of the networks' classes where these are the same, else those of the data's labels.
        """
        class_lists = {network.classes for network in self.networks.values()}
        names = next(iter(class_lists))
        if len(class_lists) > 1 and self.inputs.labels:
            names = self.inputs.level(self.study.level)[1]
        labels = np.arange(len(names))
        return Classes(
            tuple(names),
            {
                name: tuple(output_numbers(self.study, network, labels, names))
                for name, network in self.networks.items()
            },
        )

    @property
    def facts(self) -> Facts:
        """What is known of the inputs and the read-outs before any measurement."""
        return Facts(
            left_out=self.left_out,
            corruption=self.corruption,
            read_outs={
                name: ReadOutAccuracy(read_out.samples, read_out.accuracy, read_out.train_accuracy)
                for name, read_out in self.read_outs.items()
            },
        )

    def game(self, name: str, baseline: Any = None) -> MaskedModel:
        """The games of one network, tried on one coalition.

        Args:
            name: of the network in the study.
            baseline: in place of the study's own.

        Returns:
            the games of all inputs, a `Game`.

        Raises:
            ValueError: where the network fails on the inputs.
        """
        network, layout, study = self.networks[name], self.layout, self.study
        with error_sentence(f"{name} ({network.name}) cannot compute {study.score} on these inputs"):
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

    def performance(self) -> tuple[NetworkPerformance, ...]:
        """How well each network answers on the study's data, and on its training data where there are some.

        Returns:
            a row for each network and data set; none of a network whose read-out was fitted to the study's
            data, and none where labels are predicted.
        """
        study = self.study
        if study.label != "data":
            return ()
        splits = {"held out": (study.data, self.all_inputs)}
        if study.train_data is not None:
            splits["train"] = study.train_data, load_inputs(study, study.train_data)
        return tuple(
            NetworkPerformance(network, split, str(path), count, **asdict(performance))
            for split, (path, inputs) in splits.items()
            for network, count, performance in self._performance_on(inputs)
        )

    def _performance_on(self, inputs: Inputs) -> Iterator[tuple[str, int, models.Performance]]:
        """Each network's name, the number of inputs, and its performance on them."""
        study = self.study
        count = min(MAX_PERFORMANCE_INPUTS, len(inputs))
        sample = inputs.sample(count, study.seed, study.level).check(skip_unreadable=True)
        sample = corrupt_inputs(study, sample)
        labels, classes = sample.level(study.level)
        for name, network in self.networks.items():
            if study.train_data is not None or name not in self.read_outs:
                numbers = output_numbers(study, network, labels, classes)
                yield name, len(sample), models.performance(network, sample.items, numbers)


@contextmanager
def error_sentence(what: str) -> Iterator[None]:
    """Turn a failure inside a user's network into a ValueError of one sentence that begins with `what`."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{what} ({reason})") from error


def device_named(name: str) -> torch.device:
    """The device of that name, auto for cuda where there is a GPU; a ValueError where it cannot be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
