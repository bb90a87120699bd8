"""`Watcher`: watches a network while any loop trains it, within a budget of seconds a step."""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from harsanyi.analyses.knowledge.change import KnowledgeChange, compare
from harsanyi.analyses.run.run import STUDY_FILE
from harsanyi.analyses.run.watched import Watched, interactions_at
from harsanyi.analyses.watching.evaluation import Costs, Evaluation
from harsanyi.analyses.watching.watch import Watch
from harsanyi.failing import is_failure
from harsanyi.interactions import Interactions
from harsanyi.interactions.game.forward import device_of, random_states_kept
from harsanyi.interactions.game.trial import TrialError
from harsanyi.models.digest import digest
from harsanyi.reading import first_line

# Takes numbers by name, and the step of the weights that they are of.
Log = Callable[[dict[str, float], int], None]


class Watcher:
    """Watches a network while any loop trains it.

    The network is copied at a chosen step, and the copy is evaluated. Training is bit for bit what it would
    be without: what is trained is never run, and all random generators are as before.

    Args:
        watch: what is watched, how often, and for how long.
        log: takes numbers by name, and the step of the weights that they are of.
        clock: gives seconds.

    >>> import tempfile
    >>> from harsanyi.interactions import Players
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    >>> watch = Watch(
    ...     inputs=torch.randn(2, 1, 4, 4), players=Players.grid(4, 4, 2, 2), labels=[0, 1], every=2,
    ...     folder=tempfile.mkdtemp(), method="and-or",
    ... )
    >>> watcher = Watcher(watch, log=lambda numbers, step: print(step, sorted(numbers)[-1]))
    >>> watcher.start(net)
    0 knowledge/strength/order_4
    >>> for step in range(1, 4):  # loss.backward(), optimizer.step()
    ...     watcher.step(net, step)
    2 knowledge/strength/order_4
    >>> watcher.finish(net, 3)
    3 knowledge/strength/order_4
    """

    def __init__(
        self, watch: Watch, log: Log | None = None, *, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.watch, self.clock = watch, clock
        self._log: Log = log or (lambda numbers, step: None)
        self._method = watch.study.extraction()
        self._costs = Costs()
        self._credit = 0.0  # seconds that may be spent now; below 0 after a piece that could not be split
        self._pending: tuple[int, Evaluation, float] | None = None  # step, evaluation, seconds so far
        self._waited = 0  # training steps that the pending evaluation has taken part of
        self._start: Interactions | None = None
        self._watched: Watched | None = None

    @property
    def watched(self) -> Watched:
        """What was watched so far."""
        assert self._watched is not None, "start was not called"
        return self._watched

    def start(self, network: Any, step: int = 0) -> None:
        """Evaluate the network before its first training step, or go on with a run that was interrupted.

        Args:
            network: what is trained; `Watch.network` finds the network in it.
            step: that were done before.

        Raises:
            ValueError: the folder holds another run; and as `MaskedModel` does.
        """
        found = self.watch.network_in(network)
        fresh = self._described(step)
        kept = Watched.read(self.watch.path)
        if kept is not None:
            same = (kept.name, kept.fingerprint) == (fresh.name, fresh.fingerprint)
            if not same or step <= kept.start:
                raise ValueError(
                    f"{self.watch.path} holds another run that was watched: name another folder, or remove it"
                )
            self._go_on(kept, step)
            return
        self.watch.path.mkdir(parents=True, exist_ok=True)
        self._watched = fresh
        with _kept(found):
            self._begin(found, step)
            self._complete(found, step)
            if self.watched.took[0] > self.watch.seconds:
                self._say_what_it_takes(found)

    def step(self, network: Any, step: int) -> None:
        """After an optimiser step: go on with an evaluation, or begin one, within the budget.

        Args:
            network: what is trained.
            step: the number of optimiser steps that were done.
        """
        found, seconds = self.watch.network_in(network), self.watch.seconds
        chosen = self.watch.chooses(step)
        if chosen and self._pending is not None:
            self._record(replace(self.watched, left_out=(*self.watched.left_out, step)))
            chosen = False
        # Unspent time is saved for a piece that takes longer than a step's share, and for nothing else.
        most = seconds if self._pending is None else max(seconds, self._pending[1].next_cost(seconds))
        self._credit = min(self._credit + seconds, most)
        if not chosen and self._pending is None:
            return
        with _kept(found), self._recorded():
            if chosen:
                self._begin(found, step)
            self._work()

    def finish(self, network: Any, step: int) -> None:
        """After the last training step: complete what is pending, and evaluate the end.

        Args:
            network: what was trained.
            step: the number of optimiser steps that were done.
        """
        found = self.watch.network_in(network)
        with _kept(found):
            if self._pending is not None:
                with self._recorded():
                    self._complete(found, self._pending[0])
            if step not in self.watched.steps:
                with self._recorded():
                    self._begin(found, step)
                    self._complete(found, step)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """A context in which a network that fails, as one that diverged, ends its evaluation, and not the
        training: its step is recorded with the reason."""
        try:
            yield
        except Exception as error:
            if self._pending is None or not (is_failure(error) or isinstance(error, TrialError)):
                raise
            step, self._pending = self._pending[0], None
            failed = self.watched.failed | {str(step): first_line(error)}
            self._record(replace(self.watched, failed=failed))
            warnings.warn(f"step {step} has no interactions: {first_line(error)}", stacklevel=3)

    def _begin(self, network: nn.Module, step: int) -> None:
        """Copy the network."""
        begin = self.clock()
        evaluation = Evaluation(network, self.watch.game, self._method, self._costs, self.clock)
        took = self.clock() - begin
        self._pending, self._waited = (step, evaluation, took), 0
        self._credit -= took

    def _work(self) -> None:
        """Do pieces while the credit is enough; the step that ends the evaluation publishes it."""
        assert self._pending is not None
        step, evaluation, spent = self._pending
        self._waited += 1
        seconds = self.watch.seconds
        while not evaluation.done and 0 < self._credit >= evaluation.next_cost(seconds):
            took = evaluation.piece(seconds)
            self._credit -= took
            spent += took
        self._pending = (step, evaluation, spent)
        if evaluation.done:
            begin = self.clock()
            self._publish(step, evaluation.interactions, spent, self._waited)
            self._credit -= self.clock() - begin

    def _complete(self, network: nn.Module, step: int) -> None:
        """Do all pieces that are left, whatever they take."""
        assert self._pending is not None
        _, evaluation, spent = self._pending
        while not evaluation.done:
            spent += evaluation.piece(self.watch.seconds)
        self._publish(step, evaluation.interactions, spent, self._waited)

    def _publish(self, step: int, interactions: Interactions, took: float, spread: int) -> None:
        """Write the interactions of a step, and log what changed since the start."""
        self._pending = None
        path = interactions_at(self.watch.path, self.watch.name, step)
        partial = path.with_name(path.name + ".partial")
        interactions.save(partial)
        partial.replace(path)
        watched = self.watched
        self._record(
            replace(
                watched,
                steps=(*watched.steps, step),
                took=(*watched.took, took),
                spread=(*watched.spread, spread),
            )
        )
        self._start = interactions if self._start is None else self._start
        change = compare(self._start, interactions, threshold=self.watch.threshold)
        self._log(metrics(change) | {"knowledge/step": float(step), "knowledge/seconds": took}, step)

    def _record(self, watched: Watched) -> None:
        """Write what was watched so far, and the study that opens it."""
        self._watched = watched
        watched.write(self.watch.path)
        start = interactions_at(self.watch.path, watched.name, watched.start)
        replace(self.watch.study, pretrained=str(start)).write(self.watch.path / STUDY_FILE)

    def _go_on(self, kept: Watched, step: int) -> None:
        """Take up a run that was interrupted: what it found after this step is found again."""
        before = [number for number, done in enumerate(kept.steps) if done <= step]
        for later in kept.steps:
            if later > step:
                interactions_at(self.watch.path, kept.name, later).unlink(missing_ok=True)
        self._start = Interactions.load(interactions_at(self.watch.path, kept.name, kept.start))
        self._record(
            replace(
                kept,
                seconds=self.watch.seconds,
                steps=tuple(kept.steps[number] for number in before),
                took=tuple(kept.took[number] for number in before),
                spread=tuple(kept.spread[number] for number in before),
                left_out=tuple(each for each in kept.left_out if each <= step),
                failed={each: why for each, why in kept.failed.items() if int(each) <= step},
            )
        )

    def _described(self, start: int) -> Watched:
        watch = self.watch
        tensors = {"": watch.inputs} if isinstance(watch.inputs, Tensor) else dict(watch.inputs)
        labels = [None] * watch.games if watch.labels is None else torch.as_tensor(watch.labels).tolist()
        return Watched(
            name=watch.name,
            inputs=tuple(map(str, watch.names or range(watch.games))),
            labels=tuple(map(str, labels)),
            baseline=watch.baseline,
            score=watch.score,
            layer=watch.layer,
            contents=digest(
                {name: value.cpu() for name, value in tensors.items()},
                {"owner": watch.players.owner.cpu()},
                json.dumps(labels),
            ),
            seconds=watch.seconds,
            start=start,
        )

    def _say_what_it_takes(self, network: nn.Module) -> None:
        """Say over how many steps an evaluation is spread, where it takes more than the budget of one."""
        # The first of everything takes longer, as libraries are loaded: the trial is measured once more.
        Evaluation(network, self.watch.game, self._method, self._costs, self.clock).piece(self.watch.seconds)
        games, seconds, every = self.watch.games, self.watch.seconds, self.watch.every
        forwards = games << self.watch.players.n
        took = self._costs.trial + self._costs.forward * forwards + self._costs.extraction * games
        if took <= seconds:
            return
        steps = math.ceil(took / seconds)
        fewer = (
            f", and one in {math.ceil(steps / every)} of the chosen steps is evaluated"
            if isinstance(every, int) and every < steps
            else ""
        )
        warnings.warn(
            f"an evaluation of {games} inputs takes {took:.2g} s, and a training step may give {seconds:g} s "
            f"of them: each is spread over about {steps} steps{fewer}",
            UserWarning,
            stacklevel=3,
        )


@contextmanager
def _kept(network: nn.Module) -> Iterator[None]:
    """A context that leaves all random generators as they were."""
    with random_states_kept(device_of(network, torch.device("cpu"))):
        yield


def metrics(change: KnowledgeChange) -> dict[str, float]:
    """What a logger is given: strengths are means over inputs, in the unit of the score.

    Args:
        change: from the start to a step.

    Returns:
        numbers by name; no shares of an empty whole.
    """
    parts: Mapping[str, Tensor] = {
        "preserved": change.preserved,
        "discarded": change.discarded,
        "new": change.new,
        "strength": change.all_after,
    }
    sums = {name: float(part.sum()) for name, part in parts.items()}
    before = float(change.all_before.sum())
    numbers = {name: value / change.games for name, value in sums.items()}
    numbers |= {
        f"{name}_share": sums[name] / whole
        for name, whole in (("preserved", before), ("discarded", before), ("new", sums["strength"]))
        if whole > 0
    }
    by_order = change.all_after.sum((1, 2)).mean(0)
    numbers |= {f"strength/order_{order}": float(by_order[order]) for order in range(1, change.n + 1)}
    return {f"knowledge/{name}": value for name, value in numbers.items()}
