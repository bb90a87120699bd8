"""What advice chooses among: the checkpoints of tracked runs, with their knowledge and their answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harsanyi import models
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.similarity import similarity
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.labels import output_numbers
from harsanyi.analyses.study.study import PRETRAINED, Track, checkpoint_of
from harsanyi.data import Inputs
from harsanyi.models import Network
from harsanyi.models.digest import digest
from harsanyi.models.loading.checkpoints import read_checkpoint

# Held-out inputs that are asked, at most: half of them choose by their loss, half judge.
MAX_HELD_OUT = 2000
# With fewer that judge, an accuracy is known to ten points at best.
LEAST_JUDGING = 20
# Settings of a training that say what is frozen, and at which rate.
FROZEN, RATE = ("frozen", "freeze_backbone"), ("learning_rate",)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A checkpoint of a run, as advice sees it.

    Attributes:
        series: the name of its run.
        step: in the run.
        settled: similarity of its knowledge to that of the checkpoint before; NaN at the first.
        preserved_share: of the pretrained network's salient strength; NaN without that network.
        evidence: what the preserved interactions add to the score of the label, Σ of their effects with sign,
            the mean over inputs, in the unit of the score; NaN without a pretrained network.
        loss: on the held-out inputs that choose, in nats.
        right: whether the answer to each held-out input that judges is right, `(inputs,)`.
    """

    series: str
    step: int
    settled: float
    preserved_share: float
    evidence: float
    loss: float
    right: np.ndarray

    @property
    def name(self) -> str:
        """Its name in the study."""
        return checkpoint_of(self.series, self.step)


@dataclass(frozen=True)
class Training:
    """How a series was trained, as far as it is known.

    Attributes:
        frozen: names of the stages whose weights are the same at its first and its last checkpoint.
        rate: the learning rate; None where the checkpoints do not say it.
        but_frozen, but_rate: everything else that is known of the training. Series that agree in it differ in
            what is frozen alone, or in the rate alone.
    """

    frozen: tuple[str, ...]
    rate: float | None
    but_frozen: str
    but_rate: str


def held_out_of(games: StudyGames, seed: int) -> tuple[Inputs, Inputs]:
    """Held-out inputs of a study that are not explained: those that choose, and those that judge.

    Args:
        games: of the study.
        seed: of their draw.

    Raises:
        ValueError: there are too few.
    """
    explained = set(games.inputs.names)
    others = [row for row, name in enumerate(games.all_inputs.names) if name not in explained]
    if len(others) < 2 * LEAST_JUDGING:
        raise ValueError(
            f"{games.study.data} has {len(others)} inputs beside those that are explained: advice is judged "
            f"on such inputs, and needs {2 * LEAST_JUDGING} or more"
        )
    level, count = games.study.level, min(MAX_HELD_OUT, len(others))
    drawn = games.all_inputs.select(others).sample(count, seed, level).check(skip_unreadable=True)
    # Every second of each class: data sets often lie class by class.
    order = np.argsort(np.asarray(drawn.level(level)[0]), kind="stable")
    return drawn.select(np.sort(order[::2])), drawn.select(np.sort(order[1::2]))


def candidates_of(run: Run, games: StudyGames) -> dict[str, list[Candidate]]:
    """The checkpoints of each series of a run, in order.

    Args:
        run: finished, of tracked runs.
        games: of its study.

    Returns:
        by series.
    """
    study = run.study
    assert isinstance(study, Track)
    choosing, judging = held_out_of(games, study.seed)
    found = {}
    for series, checkpoints in study.runs.items():
        names = [checkpoint_of(series, checkpoint.step) for checkpoint in checkpoints]
        settled = [float("nan"), *(_alike(run, *pair) for pair in pairwise(names))]
        found[series] = [
            Candidate(
                series,
                checkpoint.step,
                alike,
                *_kept(run, name),
                _asked(games, name, choosing)[0],
                _asked(games, name, judging)[1],
            )
            for checkpoint, name, alike in zip(checkpoints, names, settled, strict=True)
        ]
    return found


def trainings_of(run: Run, games: StudyGames) -> dict[str, Training]:
    """How each series of a run was trained, as far as its checkpoints say it.

    Args:
        run: of `candidates_of`.
        games: of its study.

    Returns:
        by series.
    """
    study = run.study
    assert isinstance(study, Track)
    found = {}
    for series, checkpoints in study.runs.items():
        ends = [checkpoint_of(series, checkpoints[place].step) for place in (0, -1)]
        first, last = (games.networks[name] for name in ends)
        settings = read_checkpoint(checkpoints[-1].path).facts.get("settings")
        known: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
        rate = known.get(*RATE)
        # Of other trainers only the start and the length are known: they may differ in more than that.
        begun = digest(first.model.state_dict())
        rest = {} if known else {"steps": checkpoints[-1].step, "begun": begun}
        found[series] = Training(
            frozen_stages(first, last),
            float(rate) if isinstance(rate, int | float) else None,
            _but(known, FROZEN, rest),
            _but(known, RATE, rest),
        )
    return found


def frozen_stages(first: Network, last: Network) -> tuple[str, ...]:
    """The stages whose weights two checkpoints of a run have in common, bit for bit.

    Args:
        first, last: of one architecture.

    Returns:
        names of `harsanyi.models.stages`; none for networks whose head is not known.

    >>> from harsanyi.models import load
    >>> networks = [load("small:cnn", "random", seed=0) for _ in range(2)]
    >>> _ = networks[1].model.linear.bias.data.add_(1)
    >>> frozen_stages(*networks)
    ('conv1', 'conv2', 'hidden')
    """
    if last.head is None:
        return ()
    before, after = (dict(network.model.named_parameters()) for network in (first, last))
    moved = [name for name, weights in before.items() if not torch.equal(weights, after[name])]
    return tuple(
        stage.name
        for stage in models.stages(last)
        if any(stage.holds(name) for name in before) and not any(stage.holds(name) for name in moved)
    )


def evidence_of(change: KnowledgeChange) -> float:
    """What preserved interactions add to the score of the label: Σ of their effects, the mean over games.

    Args:
        change: from the pretrained network to a checkpoint.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 1.0, v, 1 + v]]), And()) for v in (-2.0, -3.0))
    >>> evidence_of(compare(before, after))  # 1 − 2
    -1.0
    """
    positive, negative = change.preserved.unbind(2)
    return float((positive - negative).sum((1, 2)).mean())


def _alike(run: Run, one: str, other: str) -> float:
    """The similarity of two checkpoints of a run."""
    table = similarity(run.interactions[one], run.interactions[other], bootstrap=Bootstrap(resamples=1))
    return float(total_row(table).value)


def _kept(run: Run, name: str) -> tuple[float, float]:
    """The preserved share and the evidence of a checkpoint; NaN without a pretrained network."""
    if PRETRAINED not in run.interactions:
        return float("nan"), float("nan")
    change = run.change_of({"before": PRETRAINED, "after": name})
    whole = float(change.all_before.sum())
    return float(change.preserved.sum()) / whole if whole else float("nan"), evidence_of(change)


def _asked(games: StudyGames, name: str, inputs: Inputs) -> tuple[float, np.ndarray]:
    """The loss of a network on inputs, and which of them it answers right."""
    study, network = games.study, games.networks[name]
    match = games.match_on(name, inputs)
    numbers = output_numbers(study, network, match, *inputs.level(study.level))
    measured = models.performance(network, inputs.items, numbers)
    return measured.loss, measured.answers == np.asarray(numbers)


def _but(settings: Mapping[str, Any], left_out: tuple[str, ...], rest: dict[str, Any]) -> str:
    """Settings without some of them, as one text."""
    kept = {name: value for name, value in settings.items() if name not in left_out}
    return json.dumps(kept | rest, sort_keys=True, default=str)
