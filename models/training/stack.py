"""Stacks: many one-hidden-layer networks of one shape, side by side on a leading axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from harsanyi.models.training.granular_loss import group_logits


@dataclass(frozen=True, eq=False)
class Stack:
    """Independent networks z = W₂ᵀ max(0, W₁ᵀ x + b₁) + b₂ of one shape."""

    hidden_weight: Float[Tensor, "networks features width"]
    hidden_bias: Float[Tensor, "networks 1 width"]
    weight: Float[Tensor, "networks width outputs"]
    bias: Float[Tensor, "networks 1 outputs"]

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """W₁, b₁, W₂ and b₂."""
        return self.hidden_weight, self.hidden_bias, self.weight, self.bias

    def select(self, networks: Tensor) -> "Stack":
        """A copy of the networks with these numbers."""
        return Stack(*(parameter[networks] for parameter in self.parameters))

    def hidden(self, inputs: Float[Tensor, "networks samples features"]) -> Tensor:
        """Hidden activations (networks, samples, width)."""
        return torch.baddbmm(self.hidden_bias, inputs, self.hidden_weight).clamp_(min=0)

    def logits(
        self, inputs: Float[Tensor, "networks samples features"] | Float[Tensor, "samples features"]
    ) -> Float[Tensor, "networks samples outputs"]:
        """Logits of each network, on its own inputs or on inputs shared by all.

        >>> initial_stack([0, 1], features=3, width=4, outputs=2).logits(torch.zeros(5, 3)).shape
        torch.Size([2, 5, 2])
        """
        inputs = inputs.expand(len(self.bias), *inputs.shape[-2:])
        return torch.baddbmm(self.bias, self.hidden(inputs), self.weight)


@dataclass(frozen=True, eq=False)
class StackSamples:
    """A pool of labelled samples, with the rows of it that train and that validate each network.

    Attributes:
        inputs: of the pool.
        labels: numbers of classes.
        train, validation: rows of the pool, a line for each network; lines may be equal.

    Raises:
        ValueError: for rows outside the pool, or another number of lines.
    """

    inputs: Float[Tensor, "pool features"]
    labels: Int64[Tensor, " pool"]
    train: Int64[Tensor, "networks samples"]
    validation: Int64[Tensor, "networks held"]

    def __post_init__(self) -> None:
        if len(self.train) != len(self.validation) or len(self.labels) != len(self.inputs):
            raise ValueError(
                f"expected as many lines that train as validate and a label each, got {len(self.train)} and "
                f"{len(self.validation)} lines, {len(self.inputs)} inputs and {len(self.labels)} labels"
            )
        for rows in (self.train, self.validation):
            if not rows.numel() or rows.min() < 0 or rows.max() >= len(self.labels):
                raise ValueError(f"expected rows 0 to {len(self.labels) - 1} of the pool for every network")


def initial_stack(
    seeds: Sequence[int], features: int, width: int, outputs: int, dtype: torch.dtype = torch.float32
) -> Stack:
    """Draw weights and biases uniformly in ±1/√(inputs of the layer), as in `torch.nn.Linear`.

    Args:
        seeds: one a network.
        features: of an input.
        width: hidden units.
        outputs: of a network.
        dtype: of the weights.

    Returns:
        a network for each seed; it does not depend on the other seeds.

    >>> initial_stack([7], 4, 3, 2).weight.abs().max().item() <= 3**-0.5
    True
    """

    def parameters(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = ((features, width), (1, width), (width, outputs), (1, outputs))
        fans = (features, features, width, width)
        return [
            (2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1) / math.sqrt(fan)
            for shape, fan in zip(shapes, fans, strict=True)
        ]

    return Stack(*(torch.stack(parts) for parts in zip(*map(parameters, seeds), strict=True)))


def accuracies(
    stack: Stack,
    inputs: Float[Tensor, "samples features"],
    labels: Int64[Tensor, " samples"],
    group: Int64[Tensor, " outputs"] | None = None,
) -> Float[Tensor, " networks"]:
    """Measure how often each network answers with the label, or with the label's group.

    A group's probability is the sum over its classes (:func:`group_logits`).

    Args:
        stack: the networks.
        inputs: the same for all networks.
        labels: numbers of outputs.
        group: the group of each output; without it answers are the outputs themselves.

    Returns:
        the share of samples, float64 `(networks,)`.

    >>> stack = initial_stack([0], 1, 2, 3)
    >>> accuracies(stack, torch.zeros(4, 1), torch.zeros(4).long(), torch.zeros(3).long()).tolist()
    [1.0]
    """
    logits = stack.logits(inputs)
    if group is not None:
        logits, labels = group_logits(logits, group), group[labels]
    return (logits.argmax(-1) == labels).double().mean(-1)
