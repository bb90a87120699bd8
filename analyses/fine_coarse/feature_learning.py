"""Feature learning: which features of patch data a network learns from coarse and from fine labels.

A run is a `PatchNetwork` trained on a `PatchTask`; errors, alignments and interactions are compared between
levels of labels, with intervals over runs of several seeds.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harsanyi.analyses.statistics.bootstrap import mean_interval
from harsanyi.data.patches import NOISE, ROLES, PatchSamples, PatchTask
from harsanyi.interactions import And, Interactions, MaskedModel, Players, coalition_masks, extract
from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network

# A hard share for each kind of sample.
KINDS_OF_SAMPLE = {"easy": 0.0, "hard": 1.0}
# Batches of a run are drawn with seeds that no other run of fewer steps than this has.
BATCH_SEEDS = 1_000_000
WITH_NOISE = "with noise"


@dataclass(frozen=True)
class FeatureRun:
    """A network trained on patch data with labels of one level.

    Attributes:
        task: what it was trained on.
        level: "coarse" or "fine".
        seed: of its weights and batches.
        states: the network by step.
    """

    task: PatchTask
    level: str
    seed: int
    states: Mapping[int, PatchNetwork]

    @property
    def final(self) -> PatchNetwork:
        return self.states[max(self.states)]

    def on(self, task: PatchTask) -> "FeatureRun":
        """The same networks asked about another task, with the same classes and dimension."""
        sizes = [(one.dimension, one.superclasses, one.subclasses) for one in (self.task, task)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"expected a task with the classes and dimension of {self.task}, got {task}")
        return replace(self, task=task)


def learn_features(
    task: PatchTask,
    level: str,
    *,
    seed: int,
    steps: Sequence[int] = (0, 1000),
    neurons: int = 32,
    batch: int = 64,
    learning_rate: float = 0.1,
    bias_rate: float = 0.0,
    hard: float = 0.0,
) -> FeatureRun:
    """Train a network on fresh batches with coarse or fine labels.

    Args:
        task: the data.
        level: of the labels, "coarse" or "fine"; both levels see the same inputs for one seed.
        seed: of weights and batches.
        steps: at which states are kept; the last ends training.
        neurons: m, of each class. A network of fine labels has `subclasses` times as many in all.
        batch: fresh samples a step.
        learning_rate, bias_rate: as in `train_patch_network`.
        hard: the share of hard samples in training.

    Raises:
        ValueError: for an unknown level, and what `PatchTask`, `PatchNetwork` and their training refuse.

    >>> run = learn_features(PatchTask(8, 2, 2, 5), "fine", seed=0, steps=(0, 2), neurons=3, batch=4)
    >>> run.final.weight.shape
    torch.Size([4, 3, 8])
    """

    def draw(step: int) -> tuple[Tensor, Tensor]:
        samples = task.sample(batch, seed * BATCH_SEEDS + step, hard)
        return samples.inputs, samples.labels(level)

    network = PatchNetwork(task.classes(level), neurons, task.dimension, seed=seed)
    states = train_patch_network(network, draw, steps, learning_rate=learning_rate, bias_rate=bias_rate)
    return FeatureRun(task, level, seed, states)


def superclass_outputs(
    outputs: Float[Tensor, "batch classes"], superclasses: int, *, reading: Literal["sum", "max"] = "sum"
) -> Float64[Tensor, "batch superclasses"]:
    """log Σ_s exp F_{c,s} over the subclasses of c, so that a superclass has its subclasses' probability.

    Outputs of a network with coarse labels stay as they are.

    Args:
        outputs: those of the subclasses of one superclass side by side.
        superclasses: how many.
        reading: "max" takes max_s F_{c,s} instead.

    Raises:
        ValueError: for outputs that do not fall into equal superclasses, or another reading.

    >>> superclass_outputs(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 2).round(decimals=3).tolist()
    [[0.693, 1.693]]
    """
    if outputs.shape[1] % superclasses:
        raise ValueError(f"{outputs.shape[1]} outputs do not fall into {superclasses} equal superclasses")
    if reading not in ("sum", "max"):
        raise ValueError(f'expected reading="sum" or "max", got {reading!r}')
    grouped = outputs.double().unflatten(1, (superclasses, -1))
    return grouped.logsumexp(2) if reading == "sum" else grouped.amax(2)


def error_table(
    runs: Sequence[FeatureRun],
    *,
    count: int = 2000,
    seed: int = 10**9,
    reading: Literal["sum", "max"] = "sum",
) -> pd.DataFrame:
    """The share of wrong superclasses on easy and on hard samples at the end of training.

    Args:
        runs: of both levels and several seeds.
        count: new samples for each run and kind.
        seed: of the samples, the same for all runs.
        reading: of fine outputs, as in `superclass_outputs`; the answer is the largest.

    Returns:
        tidy: level, samples ("easy", "hard"), value, low, high, games: mean over runs (seeds) with its
        bootstrap interval.

    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "fine", seed=s, steps=[0], neurons=2) for s in (0, 1)]
    >>> error_table(runs, count=10)[["level", "samples", "games"]].values.tolist()
    [['fine', 'easy', 2], ['fine', 'hard', 2]]
    """

    def errors(run: FeatureRun) -> dict[tuple[object, ...], float]:
        drawn = {kind: run.task.sample(count, seed, hard) for kind, hard in KINDS_OF_SAMPLE.items()}
        return {(kind,): _error(run, samples, reading) for kind, samples in drawn.items()}

    return _mean_over_runs(runs, errors, ["samples"])


def alignment_table(runs: Sequence[FeatureRun]) -> pd.DataFrame:
    """How far neurons point along the features that are theirs, and answer them, by step.

    alignment = max_r ⟨w_{c,r}, v⟩, response = Σ_r ReLU(⟨w_{c,r}, v⟩ + b_{c,r}) over the m neurons of a class
    c; mean over all classes and their own features. Those of a class are its superclass's common feature, and
    the fine feature of its subclass; with coarse labels, the fine features of all its subclasses.

    Returns:
        tidy: level, quantity ("alignment", "response"), feature ("common", "fine"), step, value, low, high,
        games, over runs (seeds).

    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "coarse", seed=s, steps=[0, 1], neurons=2) for s in (0, 1)]
    >>> len(alignment_table(runs))
    8
    """

    def alignments(run: FeatureRun) -> dict[tuple[object, ...], float]:
        own = _own_features(run)
        return {
            (quantity, feature, step): value
            for step, state in run.states.items()
            for feature, (classes, vectors) in own.items()
            for quantity, value in _alignment(state, classes, vectors).items()
        }

    return _mean_over_runs(runs, alignments, ["quantity", "feature", "step"])


def patch_interactions(run: FeatureRun, samples: PatchSamples) -> Interactions:
    """AND interactions of the trained network, patches as players, a patch of zeros where one is masked.

    The score is the log-odds of the right superclass, from `superclass_outputs`. The empty input scores
    −log(superclasses − 1), as no neuron answers a patch of zeros.

    >>> task = PatchTask(8, 2, 2, 5)
    >>> run = learn_features(task, "coarse", seed=0, steps=[1], neurons=2)
    >>> patch_interactions(run, task.sample(3, seed=0)).and_.shape
    torch.Size([3, 32])
    """
    players = Players(torch.arange(run.task.patches), run.task.patches, axis=0)
    network = copy.deepcopy(run.final).double()

    def outputs(inputs: Tensor) -> Tensor:
        return superclass_outputs(network(inputs), run.task.superclasses)

    game = MaskedModel(outputs, samples.inputs.double(), players, labels=samples.coarse, score="log_odds")
    return extract(game, And(), progress=False)


def interaction_table(runs: Sequence[FeatureRun], *, count: int = 50, seed: int = 10**9) -> pd.DataFrame:
    """What patches do alone and jointly to the log-odds of the superclass, on easy and on hard samples.

    Args:
        runs: of both levels and several seeds.
        count: inputs of each kind for each run, the same for all.
        seed: of the inputs.

    Returns:
        tidy: level, samples, quantity, patches, order, value, low, high, games (seeds). `patches` says what
        the players of an interaction carry: "common", "fine", "distracting", two of them joined by "and", or
        "with noise" where one carries noise. Quantities are sums over these interactions of an order, mean an
        input: "effect" ΣI, "strength" Σ|I|; and "salient", the share of them that is salient.

    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "fine", seed=s, steps=[1], neurons=2) for s in (0, 1)]
    >>> sorted(set(interaction_table(runs, count=2).patches))[:3]
    ['common', 'common and fine', 'distracting']
    """

    def sums(run: FeatureRun) -> dict[tuple[object, ...], float]:
        found: dict[tuple[object, ...], float] = {}
        for kind, hard in KINDS_OF_SAMPLE.items():
            samples = run.task.sample(count, seed, hard)
            parts = grouped_effects(patch_interactions(run, samples), samples.role)
            found |= {(kind, *group): value for group, value in parts.items()}
        return found

    return _mean_over_runs(runs, sums, ["samples", "quantity", "patches", "order"])


def grouped_effects(
    found: Interactions, role: Int64[Tensor, "games patches"]
) -> dict[tuple[str, str, int], float]:
    """By (quantity, patches, order), as in `interaction_table`: means over games of one network."""
    groups = _groups(role)
    effects, salient = found.and_, found.salient().and_.double()
    parts: dict[tuple[str, str, int], float] = {}
    for name, here in groups.items():
        for order in found.orders[here.any(0)].unique().tolist():
            at = (here & (found.orders == order)).double()
            for quantity, amounts in (("effect", effects), ("strength", effects.abs())):
                parts[quantity, name, order] = (amounts * at).sum().item() / found.games
            parts["salient", name, order] = ((salient * at).sum() / at.sum()).item()
    return parts


def _groups(role: Tensor) -> dict[str, Tensor]:
    """Which coalitions (games, 2**n) have players that carry exactly these."""
    masks = coalition_masks(role.shape[1]).double()
    present = masks @ torch.nn.functional.one_hot(role, len(ROLES)).double() > 0
    code = (present * 2 ** torch.arange(len(ROLES))).sum(2)
    groups: dict[str, Tensor] = {}
    for number in code[:, 1:].unique().tolist():  # the first coalition is empty
        carried = [i for i in range(len(ROLES)) if number >> i & 1]
        name = WITH_NOISE if NOISE in carried else " and ".join(ROLES[i] for i in carried)
        groups[name] = groups.get(name, torch.zeros_like(code, dtype=torch.bool)) | (code == number)
    return groups


def _error(run: FeatureRun, samples: PatchSamples, reading: Literal["sum", "max"]) -> float:
    with torch.inference_mode():
        outputs = run.final(samples.inputs)
    answers = superclass_outputs(outputs, run.task.superclasses, reading=reading).argmax(1)
    return (answers != samples.coarse).double().mean().item()


def _own_features(run: FeatureRun) -> dict[str, tuple[Tensor, Tensor]]:
    """For either feature, classes and vectors in pairs."""
    task = run.task
    fine = torch.arange(task.classes("fine"))
    classes = torch.arange(task.classes(run.level))
    owners = classes if run.level == "coarse" else classes // task.subclasses
    return {
        "common": (classes, task.common_features[owners]),
        "fine": (fine // task.subclasses if run.level == "coarse" else fine, task.fine_features),
    }


def _alignment(network: PatchNetwork, classes: Tensor, vectors: Tensor) -> dict[str, float]:
    """Means over pairs of a class and a vector."""
    along = torch.einsum("pmd,pd->pm", network.weight.detach()[classes].double(), vectors.double())
    response = (along + network.bias[classes]).clamp_min(0).sum(1)
    return {"alignment": along.amax(1).mean().item(), "response": response.mean().item()}


def _mean_over_runs(
    runs: Sequence[FeatureRun],
    measured: Callable[[FeatureRun], Mapping[tuple[object, ...], float]],
    columns: list[str],
) -> pd.DataFrame:
    """A row for each level and key, mean over its runs; keys are the same in every run of a level."""
    if not runs:
        raise ValueError("expected runs to tabulate, got none")
    rows = []
    for level in dict.fromkeys(run.level for run in runs):
        found = [measured(run) for run in runs if run.level == level]
        if any(one.keys() != found[0].keys() for one in found):
            raise ValueError(f"expected {level} runs of the same task and steps: tabulate others apart")
        keys = list(found[0])
        values = np.array([[one[key] for key in keys] for one in found])
        for key, interval in zip(keys, mean_interval(values), strict=True):
            named = dict(zip(columns, key, strict=True))
            rows.append({"level": level, **named, **vars(interval), "games": len(found)})
    return pd.DataFrame(rows)
