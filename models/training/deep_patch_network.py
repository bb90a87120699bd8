"""The theory's network with more than two layers, plain or residual, from a start of any scale."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from harsanyi.models.training.optimisers import Optimiser
from harsanyi.models.training.patch_network import require_sizes


class DeepPatchNetwork(nn.Module):
    """F_c(x) = f_c(x) − f⁰_c(x) with f_c(x) = Σ_r Σ_p ReLU(⟨w_{c,r}, h(x_p)⟩ + b), f⁰ at the start.

    h is layers − 2 layers of d units, which all classes share: h_l = ReLU(A_l h_{l−1}), or with residual ones
    h_l = h_{l−1} + ReLU(A_l h_{l−1}), h_0 = x_p. As in `PatchNetwork` the last layer is fixed at 1, and b is
    fixed; two layers are that network, less its start.

    Weights start as Gaussian with standard deviation σ √(2/d), He's start times a number: σ = α^(1/(layers −
    1)) for each layer. With residual layers it is α for w and 1/√(layers − 2) for A, so that their sum does
    not grow with their number. b is −threshold · α √(2/d). So a start of scale α has α times the outputs of a
    start of scale 1. A large α makes training lazy: weights, features and tangent kernel hardly move relative
    to the start (Chizat, Oyallon and Bach, "On Lazy Training in Differentiable Programming", 2019, where f⁰
    is subtracted, too); a small one makes it learn features. Depth and scale beyond the work on label
    granularity are this project's choice.

    Args:
        classes, neurons, dimension: C, m of each class, and d.
        layers: 2 or more, the fixed one included.
        residual: whether the shared layers are residual; these are layers − 2, so 3 layers or more.
        seed: of the weights.
        scale: α.
        threshold: −b in units of the spread of ⟨w, h⟩ on a feature at the start, 0 or more.

    Raises:
        ValueError: for sizes below 1, fewer than two layers, residual layers where there are none, a scale
            that is not positive or a threshold below 0.

    >>> network = DeepPatchNetwork(2, 3, 4, layers=4, residual=True, seed=0)
    >>> network(torch.ones(5, 6, 4)).tolist() == torch.zeros(5, 2).tolist()
    True
    """

    def __init__(
        self,
        classes: int,
        neurons: int,
        dimension: int,
        *,
        layers: int = 3,
        residual: bool = False,
        seed: int,
        scale: float = 1.0,
        threshold: float = 1.0,
    ) -> None:
        super().__init__()
        require_sizes(classes, neurons, dimension, scale, threshold)
        if layers < 2 + residual:
            raise ValueError(
                f"expected {2 + residual} layers or more, the last of them fixed"
                f"{', for a residual layer among them' if residual else ''}; got {layers}"
            )
        self.residual, self.scale = residual, scale
        each = scale ** (1 / (layers - 1))
        of_weight, of_shared = (scale, (layers - 2) ** -0.5) if residual else (each, each)
        draw, spread = torch.Generator().manual_seed(seed), (2 / dimension) ** 0.5
        weight = of_weight * spread * torch.randn(classes, neurons, dimension, generator=draw)
        shared = of_shared * spread * torch.randn(layers - 2, dimension, dimension, generator=draw)
        self.weight, self.shared = nn.Parameter(weight), nn.Parameter(shared)
        self.register_buffer("bias", torch.full((classes, neurons), -threshold * scale * spread))
        self.register_buffer("start_weight", weight.clone())
        self.register_buffer("start_shared", shared.clone())
        self.bias: Tensor
        self.start_weight: Tensor
        self.start_shared: Tensor

    @property
    def layers(self) -> int:
        """Their number, the fixed one included."""
        return len(self.shared) + 2

    @property
    def gradient_growth(self) -> float:
        """The largest gradient of f at the start over that at scale 1: α / σ, or α if residual."""
        each: float = self.scale ** (1 / (self.layers - 1))
        return self.scale if self.residual else self.scale / each

    def forward(self, x: Float[Tensor, "batch patches dimension"]) -> Float[Tensor, "batch classes"]:
        """The outputs of all classes, less those of the start."""
        with torch.no_grad():
            start = self._outputs(x, self.start_weight, self.start_shared)
        return self._outputs(x, self.weight, self.shared) - start

    def neurons(self, x: Float[Tensor, "batch patches dimension"]) -> Float[Tensor, "batch patches all"]:
        """The features: what the neurons of all classes, side by side, answer to each patch."""
        return self._active(x, self.weight, self.shared)

    def along(self, vectors: Float[Tensor, "count dimension"]) -> Float[Tensor, "count classes neurons"]:
        """⟨w_{c,r}, h(v)⟩ of every neuron: how it is aligned with a feature v. h(0) = 0."""
        return torch.einsum("nd,cmd->ncm", self._shared_layers(vectors, self.shared), self.weight)

    def _outputs(self, x: Tensor, weight: Tensor, shared: Tensor) -> Tensor:
        return self._active(x, weight, shared).sum(1).unflatten(1, self.bias.shape).sum(2)

    def _active(self, x: Tensor, weight: Tensor, shared: Tensor) -> Tensor:
        return F.relu(F.linear(self._shared_layers(x, shared), weight.flatten(0, 1), self.bias.flatten()))

    def _shared_layers(self, x: Tensor, shared: Tensor) -> Tensor:
        for matrix in shared:
            moved = F.relu(F.linear(x, matrix))
            x = x + moved if self.residual else moved
        return x


def rate_at(network: DeepPatchNetwork, optimiser: Optimiser, rate: float) -> float:
    """The learning rate for a network whose scale is above 1, from that of scale 1.

    With g times the gradients the tangent kernel is g² times as large, and steps of SGD, plain or with
    momentum, move outputs alike at rate / g²; those of AdamW, which do not grow with the gradient, at rate /
    g. A scale of 1 or less keeps the rate: weights end as large as from scale 1, and a larger rate would not
    be stable there.

    Args:
        network: where training starts.
        optimiser: "adamw", "sgd" or "plain-sgd".
        rate: at scale 1.

    Returns:
        the learning rate.

    >>> lazy = DeepPatchNetwork(2, 3, 4, layers=3, seed=0, scale=100.0)
    >>> rate_at(lazy, "plain-sgd", 0.1), rate_at(lazy, "adamw", 0.1)
    (0.001, 0.01)
    """
    return rate / max(1.0, network.gradient_growth) ** (1 if optimiser == "adamw" else 2)
