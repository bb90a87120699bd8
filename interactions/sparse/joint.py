"""Sparse AND-OR splits of several networks at once, which share their interactions where they can.

`sparse_and_or_joint` takes the value tables of several networks on the same games. An interaction that one
network uses costs little in the others, so that of many sparse splits it gives those that the networks share.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harsanyi.interactions.sparse.fit import MAX_STEPS, SparseFit, solve_tables
from harsanyi.interactions.sparse.halpern import split
from harsanyi.interactions.sparse.program import TINY, Games, Program, Tables, adjoint, zero_sum


@dataclass
class JointProgram(Program):
    """The program of several networks on the same games, tables `(games, networks, 2**n)`.

    Attributes:
        specific: α, the price of an interaction in every network but the one where it is strongest.
    """

    specific: Games

    def objective(self, and_: Tables, or_: Tables) -> Games:
        """Σ_{S≠∅} (1 − α) max_i |a_i(S)| + α Σ_i |a_i(S)|, and the same of b."""
        strength = torch.stack([and_, or_])[..., 1:].abs()
        return (1 - self.specific) * strength.amax(2).sum((0, 2)) + self.specific * strength.sum((0, 2, 3))

    def prox(self, split: Tensor, step: Tensor) -> Tensor:
        """Soft threshold for the sum, then the prox of the maximum, which projects on its dual ball."""
        shrunk = super().prox(split, self.specific[:, None] * step)
        shrunk = shrunk - onto_l1_ball(shrunk, (1 - self.specific)[:, None] * step)
        shrunk[:, 0] = split[:, 0]
        return shrunk

    def multiplier(self, y: Tables) -> Tables:
        """Zero-sum in every network, and scaled into the box of the dual norm,
        max_k (sum of the k largest) / (1 − α + k α)."""
        y = zero_sum(y)
        slopes = torch.stack(adjoint(y)).abs()
        slopes[..., 0] = 0
        largest = slopes.sort(dim=2, descending=True).values.cumsum(2)
        k = torch.arange(1, y.shape[1] + 1, device=y.device)
        allowed = 1 - self.specific[:, None] + self.specific[:, None] * k
        outside = (largest / allowed[:, :, None]).amax((0, 2, 3))
        return y / outside.clamp_min(TINY)[:, None, None]


def onto_l1_ball(x: Tensor, radius: Tensor) -> Tensor:
    """The nearest point with Σ|x| ≤ radius along the last axis: a soft threshold.

    With s₁ ≥ s₂ ≥ … the strengths |x|, the threshold is max_k (s₁ + … + s_k − radius) / k, if that is
    positive: each k assumes that its k entries are above the threshold, and the right one gives most.

    Args:
        x: `(..., entries)`.
        radius: broadcasts over x, with one entry on the last axis.

    Returns:
        The point, of the shape of x.

    >>> onto_l1_ball(torch.tensor([3.0, -1.0]), torch.tensor([2.0])).tolist()
    [2.0, 0.0]
    """
    sums = x.abs().sort(dim=-1, descending=True).values.cumsum(-1)
    k = torch.arange(1, x.shape[-1] + 1, device=x.device)
    threshold = ((sums - radius) / k).amax(-1, keepdim=True).clamp_min(0)
    return x - x.clamp(-threshold, threshold)


def sparse_and_or_joint(
    v: Float[Tensor, "games networks coalitions"],
    noise: float = 0.04,
    *,
    specific: float = 0.5,
    tolerance: float = 1e-3,
    max_steps: int | None = None,
) -> SparseFit:
    """The AND-OR splits of several networks, on the same games, of least joint strength, to a certified gap.

    Minimises Σ_S (1 − α) max_i |I_i(S)| + α Σ_i |I_i(S)| over the splits of all networks i, and over
    |δ_i(T)| ≤ noise · |v_i(N) − v_i(∅)|. An interaction that one network uses costs little in the others, so
    the result prefers interactions that the networks share. The objective is that of Chen, Lou, Huang and
    Zhang, "Defining and Extracting Generalizable Interaction Primitives from DNNs", 2024. They use gradient
    descent and bound how far a network's γ may be from a common one; here each network's γ is free.

    Args:
        v: value tables `(games, networks, 2**n)`.
        noise: as in `sparse_and_or`.
        specific: α between 0 and 1. At 0 only the strongest network of each interaction counts; at 1 each
            network has a split of its own, as by `sparse_and_or`.
        tolerance, max_steps: as in `sparse_and_or`, for the networks of a game together.

    Returns:
        Interactions `(games, networks, 2**n)` in the unit of v; objective, bound and gap are `(games,)`.

    Raises:
        ValueError: as `sparse_and_or`, and for `specific` outside 0 to 1.

    >>> sum_ = torch.tensor([0.0, 1.0, 1.0, 2.0], dtype=torch.float64)  # x₁ + x₂, or AND and OR of both
    >>> and_ = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)  # only the AND
    >>> fit = sparse_and_or_joint(torch.stack([sum_, and_])[None], noise=0.0, tolerance=1e-9)
    >>> fit.and_[0, :, 3].round(decimals=6).tolist()  # so both have the AND
    [1.0, 1.0]
    """
    if v.ndim != 3 or not v.shape[1]:
        raise ValueError(f"expected tables of shape (games, networks, 2**n), got {tuple(v.shape)}")
    if not 0 <= specific <= 1:
        raise ValueError(f"expected specific between 0 and 1, got {specific}")
    steps = MAX_STEPS["splitting"] if max_steps is None else max_steps

    def program(u: Tensor, bound: Tensor) -> Program:
        return JointProgram(u, bound, u.new_full((len(u),), specific))

    return solve_tables(v, noise, tolerance, program, lambda p, start: split(p, tolerance, steps, start))
