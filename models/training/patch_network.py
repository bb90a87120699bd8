"""The two-layer network of the theory of label granularity, over patches, and how such ones are trained."""

import copy
from collections.abc import Callable, Collection
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from harsanyi.models.training.optimisers import Optimiser, optimiser_named

Trained = TypeVar("Trained", bound=nn.Module)


def require_sizes(classes: int, neurons: int, dimension: int, scale: float, threshold: float) -> None:
    """Refuse a network of patches without classes, neurons or numbers, or with a start of no scale.

    Args:
        classes, neurons, dimension, scale, threshold: of the network.

    Raises:
        ValueError: for sizes below 1, a scale that is not positive or a threshold below 0.
    """
    if min(classes, neurons, dimension) < 1 or scale <= 0 or threshold < 0:
        raise ValueError(
            "expected classes, neurons and dimension ≥ 1, scale > 0 and threshold ≥ 0; got "
            f"{classes}, {neurons}, {dimension}, {scale} and {threshold}"
        )


class PatchNetwork(nn.Module):
    """F_c(x) = Σ_r Σ_p ReLU(⟨w_{c,r}, x_p⟩ + b_{c,r}): m neurons a class, slid over patches, then summed.

    The second layer is fixed at 1. Weights start as Gaussian with standard deviation `scale`, biases at
    −threshold · scale. So a neuron starts silent on a feature of length 1 unless its weight along the feature
    exceeds `threshold` standard deviations. After Hong et al. (2024), where the threshold grows with √log d
    and m with d. With few neurons most would stay silent at such a threshold; the default is lower.

    Args:
        classes, neurons, dimension: C, m and d.
        seed: of the weights.
        scale: standard deviation of the weights.
        threshold: −b in units of the scale, 0 or more.

    Raises:
        ValueError: for sizes below 1, a scale that is not positive or a threshold below 0.

    >>> network = PatchNetwork(2, 3, 4, seed=0)
    >>> network(torch.zeros(5, 6, 4)).tolist() == torch.zeros(5, 2).tolist()
    True
    """

    def __init__(
        self,
        classes: int,
        neurons: int,
        dimension: int,
        *,
        seed: int,
        scale: float = 0.02,
        threshold: float = 1.0,
    ) -> None:
        super().__init__()
        require_sizes(classes, neurons, dimension, scale, threshold)
        draw = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(scale * torch.randn(classes, neurons, dimension, generator=draw))
        self.register_buffer("bias", torch.full((classes, neurons), -threshold * scale))
        self.bias: Tensor

    def forward(self, x: Float[Tensor, "batch patches dimension"]) -> Float[Tensor, "batch classes"]:
        """The outputs of all classes."""
        active = F.relu(F.linear(x, self.weight.flatten(0, 1), self.bias.flatten()))
        return active.sum(1).unflatten(1, self.bias.shape).sum(2)

    def along(self, vectors: Float[Tensor, "count dimension"]) -> Float[Tensor, "count classes neurons"]:
        """⟨w_{c,r}, v⟩ of every neuron: how it is aligned with a feature v."""
        return torch.einsum("nd,cmd->ncm", vectors, self.weight)


def train_patch_network(
    network: Trained,
    draw: Callable[[int], tuple[Tensor, Tensor]],
    steps: Collection[int],
    *,
    learning_rate: float = 0.1,
    bias_rate: float = 0.0,
    optimiser: Optimiser = "plain-sgd",
    weight_decay: float = 0.0,
) -> dict[int, Trained]:
    """Trains a copy on the mean cross-entropy; returns its states at some steps.

    By plain SGD w ← w − η ∇_w, and b ← b − λ ‖η ∇_w‖ for every neuron. Biases have no gradient step: they are
    fixed (λ = 0), or fall by a share of the length that the neuron's weight moves, after Hong et al. (2024).

    Args:
        network: where training starts; stays as it is. A `PatchNetwork`, or another one of patches.
        draw: inputs and labels of the batch of a step, counted from 0.
        steps: of the copies, 0 for the start; training ends with the last.
        learning_rate: η.
        bias_rate: λ; for a `PatchNetwork` and plain SGD.
        optimiser: "plain-sgd", "sgd" with Nesterov momentum 0.9, or "adamw".
        weight_decay: of the optimiser.

    Returns:
        a network for each of the steps.

    Raises:
        ValueError: for no steps or negative ones, a rate that is not positive, a bias rate below 0 or beside
            another optimiser, or an optimiser that is not there.

    >>> batch = torch.eye(4).reshape(2, 2, 4), torch.tensor([0, 1])
    >>> states = train_patch_network(PatchNetwork(2, 3, 4, seed=0), lambda step: batch, [0, 50])
    >>> list(states), states[50](batch[0]).argmax(1).tolist()
    ([0, 50], [0, 1])
    """
    if not steps or min(steps) < 0 or learning_rate <= 0 or bias_rate < 0:
        raise ValueError(
            "expected steps ≥ 0, one or more, learning_rate > 0 and bias_rate ≥ 0; got "
            f"{sorted(steps)}, {learning_rate} and {bias_rate}"
        )
    if bias_rate and (optimiser != "plain-sgd" or not isinstance(network, PatchNetwork)):
        raise ValueError(
            f"a bias rate is for a PatchNetwork and plain-sgd; got {bias_rate} with "
            f"{type(network).__name__} and {optimiser}"
        )
    trained, states = copy.deepcopy(network), {}
    descent = optimiser_named(
        optimiser, list(trained.parameters()), learning_rate=learning_rate, weight_decay=weight_decay
    )
    for step in range(max(steps) + 1):
        if step in steps:
            states[step] = copy.deepcopy(trained)
        if step < max(steps):
            _descend(trained, *draw(step), descent)
            if isinstance(trained, PatchNetwork):
                _lower(trained, bias_rate * learning_rate)
    return states


def _descend(network: nn.Module, inputs: Tensor, labels: Tensor, descent: torch.optim.Optimizer) -> None:
    """One step of the optimiser, in place."""
    descent.zero_grad()
    F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
    descent.step()


def _lower(network: PatchNetwork, rate: float) -> None:
    """The biases fall by a share of the length of the step before, in place."""
    assert network.weight.grad is not None
    network.bias.sub_(rate * network.weight.grad.norm(dim=2))
