"""Networks trained on patch data with coarse or with fine labels.

A run is a `PatchNetwork` trained on a `PatchTask`; feature_tables.py measures what runs have learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.data.patches import PatchTask
from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network

# Batches of a run are drawn with seeds that no other run of fewer steps than this has.
BATCH_SEEDS = 1_000_000


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
