"""Networks trained on patch data with coarse or with fine labels.

A run is a `PatchNetwork`, or a `DeepPatchNetwork`, trained on a `PatchTask`; feature_tables.py measures what
runs have learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.data.patches import PatchSamples, PatchTask
from harsanyi.models.training.deep_patch_network import DeepPatchNetwork, rate_at
from harsanyi.models.training.optimisers import Optimiser
from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network

# Runs of fewer steps than this draw their batches with seeds of their own.
SEEDS_PER_RUN = 1_000_000
# Samples are drawn for so many steps at once, which is faster than step by step.
STEPS_AT_ONCE = 500


@dataclass(frozen=True)
class FeatureRun:
    """A network trained on patch data with labels of one level.

    Attributes:
        task: of the training.
        level: "coarse" or "fine".
        seed: of its weights and batches.
        states: the network by step.
    """

    task: PatchTask
    level: str
    seed: int
    states: Mapping[int, PatchNetwork | DeepPatchNetwork]

    @property
    def final(self) -> PatchNetwork | DeepPatchNetwork:
        """The network after the last step."""
        return self.states[max(self.states)]

    def on(self, task: PatchTask) -> "FeatureRun":
        """The same networks with another task to test on, of the same classes and dimension."""
        own_sizes, sizes = (
            (part.dimension, part.superclasses, part.subclasses) for part in (self.task, task)
        )
        if own_sizes != sizes:
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
        steps: of the states to keep; training ends with the last.
        neurons: m, of each class. A network of fine labels has `subclasses` times as many in total.
        batch: fresh samples a step.
        learning_rate, bias_rate: as in `train_patch_network`.
        hard: the share of hard samples in training.

    Returns:
        the run, with the network at each of the steps.

    Raises:
        ValueError: for an unknown level, and what `PatchTask`, `PatchNetwork` and their training refuse.

    >>> run = learn_features(PatchTask(8, 2, 2, 5), "fine", seed=0, steps=(0, 2), neurons=3, batch=4)
    >>> run.final.weight.shape
    torch.Size([4, 3, 8])
    """

    def draw(step: int) -> tuple[Tensor, Tensor]:
        samples = task.sample(batch, seed * SEEDS_PER_RUN + step, hard)
        return samples.inputs, samples.labels(level)

    network = PatchNetwork(task.classes(level), neurons, task.dimension, seed=seed)
    states = train_patch_network(network, draw, steps, learning_rate=learning_rate, bias_rate=bias_rate)
    return FeatureRun(task, level, seed, states)


@dataclass(frozen=True)
class DeepDesign:
    """A network beyond two layers, and how it is trained.

    Attributes:
        layers, residual, scale, neurons: as of `DeepPatchNetwork`; neurons are those of each class.
        optimiser: "plain-sgd", "sgd" or "adamw".
        learning_rate: at scale 1, see `rate_at`.
        weight_decay: of the optimiser.
    """

    layers: int = 3
    residual: bool = False
    scale: float = 0.1
    optimiser: Optimiser = "plain-sgd"
    learning_rate: float = 0.1
    neurons: int = 32
    weight_decay: float = 0.0


def learn_deep_features(
    task: PatchTask,
    level: str,
    design: DeepDesign,
    *,
    seed: int,
    steps: Sequence[int] = (0, 1000),
    batch: int = 64,
    hard: float = 0.0,
) -> FeatureRun:
    """Train a network of any depth and start on fresh batches with coarse or fine labels.

    Args:
        task: the data.
        level: of the labels, "coarse" or "fine"; for one seed both levels, and all designs, see the same
            inputs.
        design: the network and its training.
        seed: of weights and samples.
        steps: of the states to keep; training ends with the last.
        batch: fresh samples a step.
        hard: the share of hard samples in training.

    Returns:
        the run, with the network at each of the steps.

    Raises:
        ValueError: for an unknown level, and what `PatchTask`, `DeepPatchNetwork` and their training refuse.

    >>> design = DeepDesign(layers=4, residual=True, neurons=3)
    >>> run = learn_deep_features(PatchTask(8, 2, 2, 5), "fine", design, seed=0, steps=(0, 2), batch=4)
    >>> run.final.weight.shape
    torch.Size([4, 3, 8])
    """
    last, drawn = max(steps), dict[int, PatchSamples]()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        block, place = divmod(step, STEPS_AT_ONCE)
        if block not in drawn:
            count = batch * min(STEPS_AT_ONCE, last - block * STEPS_AT_ONCE)
            drawn.clear()
            drawn[block] = task.sample(count, seed + block * SEEDS_PER_RUN, hard)
        rows = slice(place * batch, (place + 1) * batch)
        return drawn[block].inputs[rows], drawn[block].labels(level)[rows]

    network = DeepPatchNetwork(
        task.classes(level),
        design.neurons,
        task.dimension,
        layers=design.layers,
        residual=design.residual,
        scale=design.scale,
        seed=seed,
    )
    states = train_patch_network(
        network,
        draw,
        steps,
        learning_rate=rate_at(network, design.optimiser, design.learning_rate),
        optimiser=design.optimiser,
        weight_decay=design.weight_decay,
    )
    return FeatureRun(task, level, seed, states)


def superclass_outputs(
    outputs: Float[Tensor, "batch classes"], superclasses: int, *, reading: Literal["sum", "max"] = "sum"
) -> Float64[Tensor, "batch superclasses"]:
    """log Σ_s exp F_{c,s} over the subclasses of c, so that a superclass has its subclasses' probability.

    Outputs of a network with coarse labels stay as they are.

    Args:
        outputs: those of the subclasses of one superclass side by side.
        superclasses: their number.
        reading: "max" takes max_s F_{c,s} instead.

    Returns:
        float64 `(batch, superclasses)`, in the unit of the outputs.

    Raises:
        ValueError: for outputs that do not fall into equal superclasses, or another reading.

    >>> import torch
    >>> superclass_outputs(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 2).round(decimals=3).tolist()
    [[0.693, 1.693]]
    """
    if outputs.shape[1] % superclasses:
        raise ValueError(f"{outputs.shape[1]} outputs do not fall into {superclasses} equal superclasses")
    if reading not in ("sum", "max"):
        raise ValueError(f'expected reading="sum" or "max", got {reading!r}')
    grouped = outputs.double().unflatten(1, (superclasses, -1))
    return grouped.logsumexp(2) if reading == "sum" else grouped.amax(2)
