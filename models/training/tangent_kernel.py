"""The tangent kernel of a network, and how far training moves it, the features and the weights."""

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from harsanyi.models.training.deep_patch_network import DeepPatchNetwork


def tangent_kernel(network: nn.Module, inputs: Tensor) -> Float64[Tensor, "count count"]:
    """K(x, x') = Σ_c ⟨∇_w F_c(x), ∇_w F_c(x')⟩ over all weights that are trained (Jacot and others, 2018).

    Args:
        network: from inputs `(count, …)` to outputs `(count, classes)`.
        inputs: `(count, …)`.

    Returns:
        the kernel in float64, in the squared unit of the outputs by that of the weights.

    >>> linear = nn.Linear(2, 3, bias=False)
    >>> tangent_kernel(linear, torch.tensor([[1.0, 2.0], [0.0, 1.0]])).tolist()
    [[15.0, 6.0], [6.0, 3.0]]
    """
    weights = {name: p.detach().double() for name, p in network.named_parameters() if p.requires_grad}
    fixed = {name: value.double() for name, value in network.named_buffers()}

    def outputs(moved: dict[str, Tensor], one: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(network, (moved, fixed), (one[None],))
        return found[0]

    jacobian = torch.func.vmap(torch.func.jacrev(outputs), (None, 0))(weights, inputs.double())
    rows = torch.cat([part.reshape(len(inputs), -1) for part in jacobian.values() if part.numel()], 1)
    return rows @ rows.T


def movement(before: DeepPatchNetwork, after: DeepPatchNetwork, inputs: Tensor) -> dict[str, float]:
    """How far training moved a network, relative to its start: near 0 where training is lazy.

    ‖after − before‖ / ‖before‖ of all weights, of the neurons' answers to the inputs (features) and of the
    tangent kernel on them (Frobenius norms); and kernel_turn, 1 − ⟨K, K'⟩ / (‖K‖ ‖K'‖), which a kernel that
    only grows leaves at 0.

    Args:
        before, after: the same network at the start and later.
        inputs: `(count, patches, dimension)`.

    Returns:
        "weights", "features", "kernel" and "kernel_turn", pure numbers; NaN where the start has none of it.

    >>> network = DeepPatchNetwork(2, 9, 4, seed=0)
    >>> movement(network, network, torch.ones(2, 5, 4))["kernel"]
    0.0
    """
    with torch.no_grad():
        weights = [torch.cat([p.flatten() for p in one.parameters()]).double() for one in (before, after)]
        features = [one.neurons(inputs.to(one.weight)).double() for one in (before, after)]
    kernels = [tangent_kernel(one, inputs) for one in (before, after)]
    found = {"weights": weights, "features": features, "kernel": kernels}
    moved = {name: ((new - old).norm() / old.norm()).item() for name, (old, new) in found.items()}
    old, new = kernels
    cosine = ((old * new).sum() / (old.norm() * new.norm())).item()
    return moved | {"kernel_turn": max(0.0, 1 - cosine)}
