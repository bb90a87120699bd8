"""`Watch`: what is watched while a network trains, how often, and how long that may take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from harsanyi.analyses.run.watched import WATCHED_FILE
from harsanyi.analyses.study.study import PRETRAINED, Track
from harsanyi.interactions import SCORES, MaskedModel, Players
from harsanyi.interactions.effects.interactions import SALIENT_THRESHOLD

# Every checkpoint is in the report: nothing is thinned.
ALL_CHECKPOINTS = 10**6


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The inputs whose interactions are watched while a network trains, how often, and for how long.

    The inputs are tensors as the network takes them: a batch of its data loader, without augmentation.

    Args:
        inputs: `(games, ...)`, or a mapping of such tensors by the names of the network's arguments; on any
            device.
        players: what is masked together; an evaluation takes games · 2ⁿ forwards.
        labels: the number of the output that is scored in each game.
        folder: what is found is written here; `harsanyi track FOLDER/study.toml` opens it. A new folder, or
            that of the same training run before it was interrupted.
        every: number of optimiser steps from one evaluation to the next, or the steps themselves, rising.
            The start and the end are evaluated always.
        seconds: the budget of a training step, in seconds of this machine. An evaluation that takes longer
            goes on in the next steps, on the weights of the step at which it began. A chosen step that comes
            before the one before is done is left out. The start and the end, where no step waits, are outside
            of the budget.
        name: of the training run.
        names: of the inputs; by default their numbers.
        method: "sparse", "and-or" or "and", see `harsanyi.interactions.METHODS`.
        threshold: an interaction is salient above this share of the strongest of its game.
        baseline, score, layer, masked, batch_size: as for `MaskedModel`; the baseline and the score by name.
        network: finds the network in what the trainer trains: the name of an attribute ("net",
            "model.encoder"), or a function of it. By default all of it.

    Raises:
        ValueError: for senseless numbers, an unknown score, or not one label and name for each input.

    >>> import torch
    >>> watch = Watch(
    ...     inputs=torch.zeros(2, 1, 4, 4), players=Players.grid(4, 4, 2, 2), labels=[0, 1],
    ...     folder="runs/watched", every=[10, 100, 1000],
    ... )
    >>> [step for step in range(2000) if watch.chooses(step)]
    [10, 100, 1000]
    """

    inputs: Tensor | Mapping[str, Tensor]
    players: Players
    labels: Tensor | Sequence[int] | None
    folder: str | Path
    every: int | Sequence[int] = 100
    seconds: float = 5.0
    name: str = "run"
    names: Sequence[str] | None = None
    method: Literal["sparse", "and-or", "and"] = "sparse"
    threshold: float = SALIENT_THRESHOLD
    baseline: str = "zeros"
    score: str = "log_odds"
    layer: str | None = None
    masked: str | None = None
    batch_size: int | None = None
    network: str | Callable[[Any], nn.Module] | None = None

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"seconds is {self.seconds}: expected seconds a training step, more than 0")
        steps = [self.every] if isinstance(self.every, int) else [*self.every]
        if any(step < 1 for step in steps) or any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"every is {self.every}: expected a number of steps, or steps that rise from 1")
        if self.score not in SCORES:
            raise ValueError(f"no score is called {self.score!r}; there are {', '.join(SCORES)}")
        if self.method not in ("sparse", "and-or", "and"):
            raise ValueError(f"the method is {self.method!r}: expected sparse, and-or or and")
        for what, given in (("labels", self.labels), ("names", self.names)):
            if given is not None and len(given) != self.games:
                raise ValueError(f"expected one of {what} for each of {self.games} inputs, got {len(given)}")
        self.study.require_sense()

    @property
    def games(self) -> int:
        """The number of inputs."""
        tensors = [self.inputs] if isinstance(self.inputs, Tensor) else list(self.inputs.values())
        return len(tensors[0])

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder).absolute()

    @property
    def study(self) -> Track:
        """The study that opens the folder."""
        return Track(
            model="the network in training",
            data=self.path / WATCHED_FILE,
            out=self.path,
            players=f"{self.players.n} players, given in Python",
            baseline=self.baseline,
            score=self.score,
            layer=self.layer,
            method=self.method,
            threshold=self.threshold,
            series=(f"{self.name}={self.path}",),
            pretrained=PRETRAINED,
            at_most=ALL_CHECKPOINTS,
        )

    def chooses(self, step: int) -> bool:
        """Whether a step is one to evaluate."""
        return step > 0 and step % self.every == 0 if isinstance(self.every, int) else step in self.every

    def network_in(self, trained: Any) -> nn.Module:
        """The network in what a trainer trains, without the wrapper of `torch.compile`."""
        if self.network is None:
            found = trained
        elif callable(self.network):
            found = self.network(trained)
        else:
            found = trained.get_submodule(self.network)
        return getattr(found, "_orig_mod", found)

    def game(self, network: nn.Module) -> MaskedModel:
        """The games of a network."""
        return MaskedModel(
            network,
            self.inputs,
            self.players,
            labels=self.labels,
            baseline=self.baseline,
            score=self.score,
            layer=self.layer,
            masked=self.masked,
            batch_size=self.batch_size,
        )
