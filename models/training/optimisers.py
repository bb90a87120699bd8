"""Optimisers by name, for all trainings that have an option for them."""

from typing import Literal, cast, get_args

import torch
from torch import nn

Optimiser = Literal["adamw", "sgd", "plain-sgd"]
MOMENTUM = 0.9


def optimiser_named(
    name: str, parameters: list[nn.Parameter], *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; SGD with Nesterov momentum 0.9; or SGD without momentum.

    Args:
        name: "adamw", "sgd" or "plain-sgd".
        parameters: that it moves.
        learning_rate: above 0.
        weight_decay: of the optimiser. AdamW without it is Adam.

    Returns:
        the optimiser.

    Raises:
        ValueError: for another name.

    >>> weight = nn.Parameter(torch.ones(1))
    >>> optimiser = optimiser_named("plain-sgd", [weight], learning_rate=0.5, weight_decay=0.0)
    >>> weight.grad = torch.ones(1)
    >>> optimiser.step()
    >>> weight.item()
    0.5
    """
    require_optimiser(name)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    momentum = MOMENTUM if name == "sgd" else 0.0
    return torch.optim.SGD(
        parameters, lr=learning_rate, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay
    )


def require_optimiser(name: str) -> Optimiser:
    """The name of an optimiser; a ValueError for another, which says which there are."""
    names = get_args(Optimiser)
    if name not in names:
        raise ValueError(f"no optimiser {name!r}: expected {', '.join(names[:-1])} or {names[-1]}")
    return cast(Optimiser, name)
