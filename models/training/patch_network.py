"""The two-layer network of the theory of label granularity, over patches, and its plain SGD."""

import copy
from collections.abc import Callable, Collection

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


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
        if min(classes, neurons, dimension) < 1 or scale <= 0 or threshold < 0:
            raise ValueError(
                "expected classes, neurons and dimension ≥ 1, scale > 0 and threshold ≥ 0; got "
                f"{classes}, {neurons}, {dimension}, {scale} and {threshold}"
            )
        draw = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(scale * torch.randn(classes, neurons, dimension, generator=draw))
        self.register_buffer("bias", torch.full((classes, neurons), -threshold * scale))
        self.bias: Tensor

    def forward(self, x: Float[Tensor, "batch patches dimension"]) -> Float[Tensor, "batch classes"]:
        """The outputs of all classes."""
        active = F.relu(F.linear(x, self.weight.flatten(0, 1), self.bias.flatten()))
        return active.sum(1).unflatten(1, self.bias.shape).sum(2)


def train_patch_network(
    network: PatchNetwork,
    draw: Callable[[int], tuple[Tensor, Tensor]],
    steps: Collection[int],
    *,
    learning_rate: float = 0.1,
    bias_rate: float = 0.0,
) -> dict[int, PatchNetwork]:
    """Trains a copy by plain SGD on the mean cross-entropy; returns its states at some steps.

    w ← w − η ∇_w, b ← b − λ ‖η ∇_w‖ for every neuron. Biases have no gradient step: they are fixed (λ = 0),
    or fall by a share of the length that the neuron's weight moves, after Hong et al. (2024).

    Args:
        network: where training starts; stays as it is.
        draw: inputs and labels of the batch of a step, counted from 0.
        steps: of the copies, 0 for the start; training ends with the last.
        learning_rate: η.
        bias_rate: λ.

    Returns:
        a network for each of the steps.

    Raises:
        ValueError: for no steps or negative ones, a rate that is not positive or a bias rate below 0.

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
    trained, states = copy.deepcopy(network), {}
    for step in range(max(steps) + 1):
        if step in steps:
            states[step] = copy.deepcopy(trained)
        if step < max(steps):
            _descend(trained, *draw(step), learning_rate, bias_rate)
    return states


def _descend(
    network: PatchNetwork, inputs: Tensor, labels: Tensor, learning_rate: float, bias_rate: float
) -> None:
    """One step of SGD, in place."""
    loss = F.cross_entropy(network(inputs), labels)
    (gradient,) = torch.autograd.grad(loss, [network.weight])
    with torch.no_grad():
        network.weight.sub_(learning_rate * gradient)
        network.bias.sub_(bias_rate * learning_rate * gradient.norm(dim=2))
