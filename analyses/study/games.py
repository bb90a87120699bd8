"""The games of a study: networks, inputs, labels and players."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harsanyi import models
from harsanyi.accelerator import best_device, require_float64
from harsanyi.analyses.study.agreement import require_order, suspicion
from harsanyi.analyses.study.asked import asked_by
from harsanyi.analyses.study.facts import (
    Classes,
    Corruption,
    Facts,
    LeftOut,
    NetworkPerformance,
    NetworkReading,
    ReadOutAccuracy,
)
from harsanyi.analyses.study.inputs import corrupt_inputs, load_inputs
from harsanyi.analyses.study.labels import Answering, class_match, classes_of, output_numbers
from harsanyi.analyses.study.layout import Layout
from harsanyi.analyses.study.networks import series_of
from harsanyi.analyses.study.study import MULTI_LABEL, NEXT_TOKEN, OUTPUT, PIXELS, Study
from harsanyi.data import Inputs
from harsanyi.data.label_sets import label_sets
from harsanyi.failing import FAILURES, NotFiniteError, first_answered, is_failure
from harsanyi.interactions import About, MaskedModel
from harsanyi.interactions.game.scores import unit_of
from harsanyi.interactions.game.trial import TrialError
from harsanyi.models import Network, ReadOut
from harsanyi.models.classes.agreement import agreement
from harsanyi.models.classes.matching import ClassMatch
from harsanyi.models.training.performance import label_performance
from harsanyi.models.training.samples import NOT_FINITE
from harsanyi.reading import first_line

# More inputs than this say little more about an accuracy or a loss.
MAX_PERFORMANCE_INPUTS = 500


@dataclass(frozen=True)
class StudyGames:
    """Everything needed to evaluate the games of a study; no masked forward has run yet.

    Attributes:
        study: the settings.
        all_inputs: all inputs of the study's data.
        inputs: those of the games, one a game, as the networks see them.
        answers: the networks in the order of the study, and which output of each is which class.
        labels: of the games, by network: each network may number the classes its own way.
        layout: how the players lie on the inputs.
        settings: all that the value tables depend on; JSON values.
        left_out: the inputs that the draw left out.
        corruption: of the inputs; None for inputs as they are.
        all_players: the games of all players, where influence chose the players of these games.
        without: why games cannot be evaluated, by their numbers: their label or players are not known,
            since a network failed on them before.
    """

    study: Study
    all_inputs: Inputs
    inputs: Inputs
    answers: Answering
    labels: dict[str, list[int]]
    layout: Layout
    settings: dict[str, Any]
    left_out: LeftOut
    corruption: Corruption | None
    all_players: "StudyGames | None" = None
    without: Mapping[int, str] = field(default_factory=dict)

    @property
    def networks(self) -> dict[str, Network]:
        """The networks in the order of the study, each with outputs for the labels."""
        return self.answers.networks

    @property
    def read_outs(self) -> dict[str, ReadOut]:
        """The read-outs of the networks that have one in place of their head."""
        return self.answers.read_outs

    @property
    def n(self) -> int:
        """Players of each game."""
        return next(iter(self.layout.players.values())).n

    @property
    def classes(self) -> Classes:
        """The classes that all networks answer.

        All of the networks' classes where these are the same, else those of the data's labels.
        """
        own = next(iter(self.networks.values()))
        same = all(network.classes == own.classes for network in self.networks.values())
        if same and (own.named or not self.answers.matches):
            every = tuple(range(len(own.classes)))
            return Classes(own.classes, dict.fromkeys(self.networks, every))
        names, _ = classes_of(self.study, self.inputs)
        return Classes(names, {name: match.outputs for name, match in self.answers.matches.items()})

    @property
    def about(self) -> About:
        """What the games are, in words; the same for all networks."""
        return About(
            inputs=self.inputs.names,
            players=next(iter(self.layout.players.values())).called(),
            labels=tuple(self.settings["labels"]),
            score=self.study.score,
            unit=unit_of(self.study.score),
        )

    @property
    def facts(self) -> Facts:
        """What is known of the inputs and the read-outs before any measurement."""
        asked = asked_by(self.study.score)
        return Facts(
            left_out=self.left_out,
            corruption=self.corruption,
            read_outs={
                name: ReadOutAccuracy(
                    read_out.samples,
                    read_out.accuracy,
                    read_out.train_accuracy,
                    "inputs" if asked == "classes" else asked,
                )
                for name, read_out in self.read_outs.items()
            },
            networks={
                name: NetworkReading(
                    len(network.classes), self._match_in_words(name), network.notes, network.preparation
                )
                for name, network in self.networks.items()
            },
        )

    def _match_in_words(self, name: str) -> str:
        """How the outputs of a network were matched to classes."""
        if match := self.answers.matches.get(name):
            return match.why
        return "next tokens" if self.study.score == NEXT_TOKEN else "the network's own answers"

    def game(self, name: str, baseline: Any = None) -> MaskedModel:
        """The games of one network, tried on one coalition of the first input that it answers.

        Args:
            name: of the network in the study.
            baseline: in place of the study's own.

        Returns:
            the games of all inputs, a `Game`.

        Raises:
            ValueError: where the network fails on each of the first inputs.
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
                batch_size=study.batch_size,
                about=replace(self.about, network=name, classes=network.classes),
            )
            with torch.inference_mode(), game.prepared():
                everyone = torch.ones(1, game.n, dtype=torch.bool, device=game.device)
                first_answered(
                    game.games, lambda one: game.scores(torch.tensor([one], device=game.device), everyone)
                )
        if study.keep_outputs and (game.probabilities or len(network.classes) == 1):
            what = "probabilities" if game.probabilities else "a single number"
            raise ValueError(
                f"--keep-outputs is for logits of all classes, and the outputs of {name} ({network.name}) "
                f"are {what}: leave it out, or give a network whose outputs are logits"
            )
        return game

    def performance(self) -> tuple[NetworkPerformance, ...]:
        """How well each network answers on the study's data, and on its training data where there are some.

        Returns:
            a row for each network and data set; none of a network whose read-out was fitted to the study's
            data, and none where labels are predicted, inputs are attacked, or outputs are numbers of a
            regression or answers at pixels. Of a multi-label network the share of labels, present and
            absent, that it has right.

        Raises:
            ValueError: the order of a network's outputs was assumed, and another one is far more accurate.
        """
        study = self.study
        if study.label != "data" or study.attack is not None or study.score in (OUTPUT, PIXELS):
            return ()
        splits = {"held out": (study.data, self.all_inputs)}
        if study.train_data is not None:
            splits["train"] = study.train_data, load_inputs(study, study.train_data)
        return tuple(
            row
            for split, (path, inputs) in splits.items()
            for row in (
                self._labels_on(split, path)
                if study.score == MULTI_LABEL
                else self._performance_on(split, path, inputs)
            )
        )

    def _labels_on(self, split: str, path: Path) -> Iterator[NetworkPerformance]:
        """How well each network says which labels the inputs have."""
        study, inputs = self.study, load_inputs(self.study, path)
        sample = inputs.sample(min(MAX_PERFORMANCE_INPUTS, len(inputs)), study.seed, study.level)
        sample = sample.check(skip_unreadable=True)
        sets, members = label_sets(sample, study.level)
        names, _ = classes_of(study, self.inputs)
        known = [names.index(member) for member in members]
        seen = corrupt_inputs(study, sample).items
        for name, network in self.networks.items():
            if study.train_data is None and name in self.read_outs:
                continue
            outputs = np.array(self.answers.matches[name].outputs)[known]
            with _sentence_of_all(f"{name} ({network.name})", len(sample)):
                measured = label_performance(network, seen, sets, outputs)
            answered = len(sample) - len(measured.failed)
            row = (name, split, str(path), answered, measured.accuracy, measured.loss)
            yield NetworkPerformance(*row, labels=len(members))

    def _performance_on(self, split: str, path: Path, inputs: Inputs) -> Iterator[NetworkPerformance]:
        """How well each network that the inputs are not of its read-out answers them.

        Raises:
            ValueError: another order of the outputs than the assumed one is far more accurate.
        """
        study = self.study
        count = min(MAX_PERFORMANCE_INPUTS, len(inputs))
        sample = inputs.sample(count, study.seed, study.level).check(skip_unreadable=True)
        drawn = corrupt_inputs(study, sample)
        ends = {series_of(name): name for name in self.networks}.values()
        for name, network in self.networks.items():
            if study.train_data is None and name in self.read_outs:
                continue
            match = self.match_on(name, drawn)
            numbers = output_numbers(study, network, match, *drawn.level(study.level))
            with _sentence_of_all(f"{name} ({network.name})", len(drawn)):
                measured = models.performance(network, drawn.items, numbers)
            sample = _answered(drawn, measured.failed)
            labels, classes = sample.level(study.level)
            agreed = None if match is None else agreement(measured.answers, labels, match.outputs)
            # A run's head may be new at its start, where any order fits: its end says which output is which.
            assumed = match is not None and match.assumed and name in ends
            if agreed is not None and assumed:
                require_order(name, agreed, classes)
            yield NetworkPerformance(
                name,
                split,
                str(path),
                len(sample),
                measured.accuracy,
                measured.loss,
                **({} if agreed is None else suspicion(agreed, classes)),
            )

    def match_on(self, name: str, inputs: Inputs) -> ClassMatch | None:
        """The output of each class of other inputs, which may number the classes another way."""
        if name not in self.answers.matches:
            return None
        return class_match(self.study, self.networks[name], *classes_of(self.study, inputs))


def _answered(inputs: Inputs, failed: Mapping[int, str]) -> Inputs:
    """The inputs that a network answers; all of them where it fails on none."""
    return inputs.select([row for row in range(len(inputs)) if row not in failed]) if failed else inputs


@contextmanager
def _sentence_of_all(network: str, count: int) -> Iterator[None]:
    """Turn the failure of a network on all inputs into a ValueError that names it."""
    try:
        yield
    except Exception as error:
        if not is_failure(error):
            raise
        reason = NOT_FINITE if isinstance(error, NotFiniteError) else first_line(error)
        raise ValueError(f"{network} answers none of {count} inputs ({reason})") from error


@contextmanager
def error_sentence(what: str) -> Iterator[None]:
    """Turn a failure inside a user's network into a ValueError of one sentence that begins with `what`."""
    try:
        yield
    except TrialError as error:
        raise ValueError(f"{what}: {error}") from error
    except FAILURES as error:
        raise ValueError(f"{what} ({first_line(error)})") from error


def device_named(name: str) -> torch.device:
    """The device of that name, auto for the accelerator there is; a ValueError where it cannot be used."""
    if name == "auto":
        return best_device()
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {first_line(error)}") from error
    require_float64(device)
    return device
