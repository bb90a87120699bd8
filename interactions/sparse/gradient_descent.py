"""The published recipe for sparse AND-OR interactions, gradient descent on the split, for comparison.

A table u = v − v(∅) less δ is split in two halves that differ by γ:

    v_and = ½ (u − δ) + γ,   v_or = ½ (u − δ) − γ,   minimise  Σ_{S≠∅} |I_and(S)| + |I_or(S)|   over γ and δ,

from γ = δ = 0 by SGD with momentum 0.9, its learning rate falling geometrically to a tenth, δ clamped to
|δ(T)| ≤ ε(T) after every step; 10,000 steps are usual. The last iterate is the answer. This follows Li and
Zhang, "Defining and Quantifying AND-OR Interactions for Faithful and Concise Explanation of DNNs", 2023, and
Zhou et al., "Explaining Generalization Power of a DNN Using Interactive Concepts", 2023, whose code
multiplies with dense 2ⁿ×2ⁿ matrices.

This is the program of program.py. Gradients do not suit it. The loss has a kink wherever an interaction is
zero, and most are zero at the optimum, so large steps always overshoot. The condition number of the
transforms grows as 2.618ⁿ, so small steps make little progress.
"""

from collections.abc import Callable
from dataclasses import replace
from math import log10
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR

from harsanyi.interactions.effects.transforms import (
    and_interactions,
    complemented,
    or_interactions,
    player_count,
)
from harsanyi.interactions.sparse.program import Answer, Program, Tables

# Learning rates for max|u| = 1, from a sweep over 8- and 10-player tables of trained networks, noise 0 and
# 0.05. They are at most a fifth of the objective worse than the best rate of each case. The best SGD rate
# falls from 2e-5 to 3e-7 between the cases; much larger rates end worse than they began.
RATES = {"sgd": 1e-6, "adam": 1e-3}
# The largest of the rates that are tried for 8 players, and the condition number of the transforms of one.
LARGEST_RATE, CONDITION = 1e-4, 2.618
MOMENTUM = 0.9
DECAY = 0.1  # of the learning rate, over all steps

Transform = Callable[[Tensor], Tensor]


def gradient_descent(
    program: Program,
    steps: int,
    learning_rate: float | None = None,
    optimizer: Literal["sgd", "adam"] = "sgd",
    dense: bool = False,
) -> tuple[Answer, Int64[Tensor, " games"]]:
    """Descend from the even split of each game.

    Args:
        program: with max|u| = 1; the descent depends on the scale.
        steps: at least 1. 10,000 are usual, 3,000 with Adam.
        learning_rate: at the start; by default that of `RATES`.
        optimizer: "adam" descends as the recipe does, each entry's step scaled by its past gradients.
        dense: multiply with 2ⁿ×2ⁿ matrices, as the published code does, instead of the fast transforms.

    Returns:
        The last iterate of each game, even if worse than its start, with a weak bound, and the steps.
    """
    gamma, delta, multiplier = (torch.zeros_like(program.u) for _ in range(3))
    rate = RATES[optimizer] if learning_rate is None else learning_rate
    descent = _optimizer(optimizer, [gamma, delta], rate)
    schedule = ExponentialLR(descent, DECAY ** (1 / steps))
    dividends, transposed = _dense_transforms(program.u) if dense else (and_interactions, _transposed)
    for _ in range(steps):
        half = (program.u - delta) / 2
        and_, or_ = _subgradients(half + gamma, half - gamma, dividends, transposed)
        gamma.grad, delta.grad = and_ - or_, -(and_ + or_) / 2
        multiplier -= delta.grad
        descent.step()
        schedule.step()
        delta.clamp_(-program.bound, program.bound)
    answer = _answer(program, gamma, delta)
    # At the optimum a subgradient in u solves the dual. The sum over all steps approximates its direction. It
    # lies far outside the dual's box, so that scaling gives a valid but weak bound (gaps near 1).
    answer.bound(program, multiplier)
    return answer, torch.full_like(answer.objective, steps, dtype=torch.int64)


def rates_to_try(n: int) -> tuple[float, ...]:
    """Four rates of SGD for n players, half a decade apart, among which wider sweeps found the best.

    They fall with the condition number of the transforms.

    >>> rates_to_try(8), rates_to_try(10)
    ((0.0001, 3e-05, 1e-05, 3e-06), (1e-05, 3e-06, 1e-06, 3e-07))
    """
    largest = round(2 * log10(LARGEST_RATE * CONDITION ** (8 - n)))
    return tuple(float(f"{(1, 3)[step % 2]}e{step // 2}") for step in range(largest, largest - 4, -1))


def _optimizer(name: str, parameters: list[Tensor], rate: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(parameters, rate)
    return torch.optim.SGD(parameters, rate, momentum=MOMENTUM)


def _subgradients(
    v_and: Tables, v_or: Tables, dividends: Transform, transposed: Transform
) -> tuple[Tables, Tables]:
    """Of the loss, in v_and and in v_or: that of |M x| is Mᵀ sign(M x). Autograd takes twice the time.

    But for signs, OR interactions are the AND interactions of the complemented table.
    """
    signs = dividends(torch.stack([v_and, complemented(v_or)])).sign()
    signs[..., 0] = 0
    and_, or_ = transposed(signs)
    return and_, complemented(or_)


def _transposed(table: Tensor) -> Tensor:
    """The transposed `and_interactions`: subsets and supersets change places with the complements."""
    return complemented(and_interactions(complemented(table)))


def _dense_transforms(u: Tables) -> tuple[Transform, Transform]:
    """`and_interactions` and its transposed, each as a matrix product."""
    matrix = and_interactions(torch.eye(2 ** player_count(u), dtype=u.dtype, device=u.device))
    return lambda table: table @ matrix, lambda table: table @ matrix.T


def _answer(program: Program, gamma: Tables, delta: Tables) -> Answer:
    """The answer with this iterate, even where the pure AND split that answers start from is better."""
    or_ = or_interactions((program.u - delta) / 2 - gamma)
    objective, or_, delta = program.candidate(or_, delta)
    return replace(Answer.start(program), or_=or_, delta=delta, objective=objective)
