"""The sparse AND-OR split: a linear program, solved by operator splitting, its gap certified.

With u = v − v(∅), a = I_and, b = I_or, Z the subset sums (zeta transform) and J the complement,

    minimise  Σ_{S≠∅} |a(S)| + |b(S)|   subject to   Z a − J Z b + δ = u,   |δ(T)| ≤ ε(T),

where a(∅), b(∅) are free (they carry constants) and ε(∅) = 0. Douglas–Rachford splitting alternates the prox
of the separable terms (soft threshold, clamp) with the projection on the affine set. The projection needs
(ZZᵀ + JZZᵀJ + κ²)⁻¹, κ scaling the δ block. Without noise κ = 0 and the inverse is exact in O(n 2ⁿ): ZZᵀ and
JZZᵀJ are n-fold Kronecker powers of two 2×2 matrices, which one W diagonalises together by congruence. With
noise, one dense inverse serves all games up to n = 12; beyond, the noise-free inverse preconditions a few
conjugate gradient steps.

An OR of one player is the same as an AND of it. It is given as AND, which never costs more, so that two
networks that agree on a player agree in the same place.

The dual, max uᵀy − Σ ε|y| subject to Σy = 0, |Zᵀy| ≤ 1 and |ZᵀJy| ≤ 1 off ∅, bounds the optimum of every
game from below: any multiplier will do, once scaled into its box.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from scipy.linalg import eigh
from torch import Tensor

from interactions.transforms import (
    and_interactions,
    coalition_orders,
    complemented,
    player_count,
    subset_sums,
    superset_sums,
    touching_sums,
)

# The prox step in units of max|u|, κ, and the over-relaxation: the best of a sweep over 10-player tables of
# trained and random networks, noise 0 and 0.04.
STEP = 0.01
NOISE_SCALE = 2.0
RELAXATION = 1.8
# 2**12 squared in float64 is 128 MiB, shared by all games.
DENSE_PLAYERS = 12
# Steps between certificates: each costs about as much as a step.
CHECK_EVERY = 20
# Relative residual of the projection's conjugate gradients; far below any tolerance on the gap.
PROJECTION_TOLERANCE = 1e-9
# Relative; sums of 2**n terms in float64 agree to this whatever the batch.
ROUNDING = 1e-9
TINY = 1e-300  # keeps 0 / 0 of a game that is solved, or constant, from becoming NaN

Inverse = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SparseFit:
    """A sparse AND-OR split of each game, feasible to rounding, with its certificate.

    Attributes:
        and_, or_: interactions `(games, 2**n)`; v = Σ AND + Σ OR + residual. Single players are in AND.
        residual: δ `(games, 2**n)`, |δ(T)| ≤ noise · |v(N) − v(∅)|.
        objective: Σ_{S≠∅} |I_and| + |I_or| of each game.
        lower_bound: no split has a smaller objective.
        gap: (objective − lower_bound) / objective; 0 for a constant game.
        steps: splitting steps taken for each game.
    """

    and_: Float64[Tensor, "games coalitions"]
    or_: Float64[Tensor, "games coalitions"]
    residual: Float64[Tensor, "games coalitions"]
    objective: Float64[Tensor, " games"]
    lower_bound: Float64[Tensor, " games"]
    gap: Float64[Tensor, " games"]
    steps: Tensor


@dataclass
class _State:
    """The games still being solved: problem, iterate, best answer and best bound of each."""

    game: Tensor
    u: Tensor
    bound: Tensor  # ε
    w: Tensor  # (games, 3, 2**n): the splitting variable's AND, OR and δ/κ blocks
    z: Tensor  # its prox: sparse, in the box, not yet feasible
    multiplier: Tensor
    or_: Tensor
    delta: Tensor
    objective: Tensor
    lower: Tensor

    def select(self, kept: Tensor) -> "_State":
        return _State(**{name: value[kept] for name, value in vars(self).items()})


# What is kept of a game that leaves the batch.
ANSWER = ("or_", "delta", "objective", "lower")


def sparse_and_or(
    v: Float[Tensor, "games coalitions"],
    noise: float = 0.04,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 1000,
) -> SparseFit:
    """The AND-OR split of least strength, to a certified gap.

    Args:
        v: value tables.
        noise: c in |δ(T)| ≤ c · |v(N) − v(∅)|, the part of the table that need not be explained.
        tolerance: relative duality gap at which a game is done and leaves the batch.
        max_steps: after which the rest are returned with the gap they have.

    Raises:
        ValueError: for tables that are not finite, naming the game; for negative noise.

    >>> v = torch.tensor([[0.0, 2.0, 2.0, 2.0]], dtype=torch.float64)  # OR of two players
    >>> fit = sparse_and_or(v, noise=0.0, tolerance=1e-6)
    >>> fit.or_.round(decimals=3).tolist(), round(fit.objective.item(), 3)
    ([[0.0, 0.0, 0.0, 2.0]], 2.0)
    """
    if not noise >= 0:
        raise ValueError(f"expected noise ≥ 0, a share of |v(N) − v(∅)|; got {noise}")
    wrong = ~v.isfinite().all(-1)
    if wrong.any():
        raise ValueError(f"the value table of game {wrong.nonzero()[0].item()} holds NaN or infinite values")
    v = v.double()
    u = v - v[:, :1]
    scale = u.abs().amax(-1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    state = _start(u / scale, noise)
    done = {name: getattr(state, name).clone() for name in ANSWER}
    steps = torch.zeros(len(v), dtype=torch.int64, device=v.device)
    eigenvalues = _eigenvalues(player_count(v), v.device)
    invert = _projection(player_count(v), noise > 0, eigenvalues)
    kappa = NOISE_SCALE if noise else 0.0
    for step in range(1, max_steps + 1):
        _advance(state, invert, kappa)
        if step % CHECK_EVERY and step != max_steps:
            continue
        _certify(state, eigenvalues, kappa)
        for name in ANSWER:
            done[name][state.game] = getattr(state, name)
        steps[state.game] = step
        open_ = state.objective - state.lower > tolerance * state.objective
        if not open_.any():
            break
        if not open_.all():
            state = state.select(open_)
    return _fit(v, scale, steps, **done)


def _start(u: Tensor, noise: float) -> _State:
    """From nothing: the splitting variable 0, the pure AND split as the answer to beat, 0 as the bound."""
    bound = (noise * u[:, -1:].abs()).expand_as(u).clone()
    bound[:, 0] = 0
    zeros = torch.zeros_like(u)
    objective = _strength(and_interactions(u))
    games = torch.arange(len(u), device=u.device)
    w = u.new_zeros(len(u), 3, u.shape[-1])
    lower = torch.zeros_like(objective)
    return _State(games, u, bound, w, w.clone(), zeros, zeros, zeros, objective, lower)


def _advance(state: _State, invert: Inverse, kappa: float) -> None:
    """One over-relaxed Douglas–Rachford step: y = P(w), z = prox(2y − w), w ← w + ρ(z − y)."""
    explained = _explained(state.w[:, 0], state.w[:, 1]) + kappa * state.w[:, 2]
    state.multiplier = invert(explained - state.u, state.multiplier)
    y = state.w - _adjoint(state.multiplier, kappa)
    z = 2 * y - state.w
    free = z[:, :2, 0].clone()
    z[:, :2] = torch.nn.functional.softshrink(z[:, :2], STEP)
    z[:, :2, 0] = free
    z[:, 2] = z[:, 2].clamp(-state.bound / kappa, state.bound / kappa) if kappa else 0
    state.w += RELAXATION * (z - y)
    state.z = z


def _certify(state: _State, eigenvalues: Tensor, kappa: float) -> None:
    """Make the iterate feasible and bound the optimum by its multiplier; keep what is better than before."""
    and_, or_, delta = state.z[:, 0], state.z[:, 1], kappa * state.z[:, 2]
    # What the sparse iterate does not explain goes to AND and OR in the way of least squares: all of it in
    # AND would be up to 2ⁿ times as strong.
    unexplained = state.u - delta - _explained(and_, or_)
    or_ = _joint(or_ - superset_sums(complemented(_inverse(unexplained, eigenvalues))))
    objective = _strength(_remaining_and(state.u, or_, delta)) + _strength(or_)
    # Of equal answers the first is kept: which of them rounding favours must not decide.
    better = objective < state.objective * (1 - ROUNDING)
    state.objective = torch.where(better, objective, state.objective)
    state.or_ = torch.where(better[:, None], or_, state.or_)
    state.delta = torch.where(better[:, None], delta, state.delta)
    y = -state.multiplier / STEP
    y = torch.cat([-y[:, 1:].sum(-1, keepdim=True), y[:, 1:]], dim=-1)
    outside = _adjoint(y, 0.0)[:, :2, 1:].abs().amax((1, 2))
    value = (state.u * y).sum(-1) - (state.bound * y.abs()).sum(-1)
    state.lower = torch.maximum(state.lower, value / outside.clamp_min(TINY))


def _fit(
    v: Tensor,
    scale: Tensor,
    steps: Tensor,
    or_: Tensor,
    delta: Tensor,
    objective: Tensor,
    lower: Tensor,
) -> SparseFit:
    """The answers in the tables' own unit; v(∅) is the constant, kept in I_and(∅)."""
    and_ = _remaining_and((v - v[:, :1]) / scale, or_, delta)
    and_ = torch.cat([v[:, :1], scale * and_[:, 1:]], dim=-1)
    objective, lower = objective * scale[:, 0], lower * scale[:, 0]
    gap = torch.where(objective > 0, 1 - lower / objective.clamp_min(TINY), 0.0).clamp_min(0)
    return SparseFit(and_, scale * or_, scale * delta, objective, lower, gap, steps)


def _joint(or_: Tensor) -> Tensor:
    """OR interactions of two players and more, the others zero."""
    return torch.where(coalition_orders(player_count(or_), or_.device) > 1, or_, 0.0)


def _remaining_and(u: Tensor, or_: Tensor, delta: Tensor) -> Tensor:
    """The AND interactions that explain exactly what joint OR interactions and δ leave over."""
    return and_interactions(u - delta - touching_sums(or_))


def _strength(interactions: Tensor) -> Tensor:
    return interactions[:, 1:].abs().sum(-1)


def _explained(and_: Tensor, or_: Tensor) -> Tensor:
    """Z a − J Z b."""
    return subset_sums(and_) - complemented(subset_sums(or_))


def _adjoint(y: Tensor, kappa: float) -> Tensor:
    """The transposed constraint map: (Zᵀy, −ZᵀJy, κy) as blocks of `(games, 3, 2**n)`."""
    return torch.stack([superset_sums(y), -superset_sums(complemented(y)), kappa * y], dim=1)


def _projection(n: int, noisy: bool, eigenvalues: Tensor) -> Inverse:
    """How to solve (ZZᵀ + JZZᵀJ + κ²) x = r: exactly, or from the last solution on."""
    if not noisy:
        return lambda r, last: _inverse(r, eigenvalues)
    if n <= DENSE_PLAYERS:
        dense = torch.eye(2**n, dtype=torch.float64, device=eigenvalues.device)
        dense = torch.cholesky_inverse(torch.linalg.cholesky(_normal(dense)))
        return lambda r, last: r @ dense
    return lambda r, last: _conjugate_gradients(r, last, eigenvalues)


def _normal(y: Tensor) -> Tensor:
    """(ZZᵀ + JZZᵀJ + κ²) y."""
    both = subset_sums(superset_sums(y))
    return both + complemented(subset_sums(superset_sums(complemented(y)))) + NOISE_SCALE**2 * y


def _conjugate_gradients(r: Tensor, x: Tensor, eigenvalues: Tensor) -> Tensor:
    """Solve `_normal(x) = r` from a warm start, preconditioned by the inverse without κ²."""
    residual = r - _normal(x)
    direction = z = _inverse(residual, eigenvalues)
    energy = (residual * z).sum(-1, keepdim=True)
    enough = PROJECTION_TOLERANCE**2 * (r * r).sum(-1, keepdim=True)
    while ((residual * residual).sum(-1, keepdim=True) > enough).any():
        applied = _normal(direction)
        length = energy / (direction * applied).sum(-1, keepdim=True).clamp_min(TINY)
        x, residual = x + length * direction, residual - length * applied
        z = _inverse(residual, eigenvalues)
        energy, before = (residual * z).sum(-1, keepdim=True), energy
        direction = z + energy / before.clamp_min(TINY) * direction
    return x


# ZZᵀ and JZZᵀJ for one player; W and λ with Wᵀ K_or W = 1 and Wᵀ K_and W = λ.
_K_AND, _K_OR = [[1.0, 1.0], [1.0, 2.0]], [[2.0, 1.0], [1.0, 1.0]]
_LAMBDA, _W = (torch.from_numpy(part) for part in eigh(_K_AND, _K_OR))


def _eigenvalues(n: int, device: torch.device) -> Tensor:
    """1 + λ^{⊗n}."""
    product = torch.ones(1, dtype=torch.float64)
    for _ in range(n):
        product = torch.outer(product, _LAMBDA).flatten()
    return (1 + product).to(device)


def _inverse(r: Tensor, eigenvalues: Tensor) -> Tensor:
    """(ZZᵀ + JZZᵀJ)⁻¹ r = W^{⊗n} diag(1 / (1 + λ^{⊗n})) (W^{⊗n})ᵀ r."""
    return _kronecker(_W, _kronecker(_W.T, r) / eigenvalues)


def _kronecker(matrix: Tensor, table: Tensor) -> Tensor:
    """The n-fold Kronecker power of a 2×2 matrix, applied to the coalition axis."""
    (p, q), (r, s) = matrix.tolist()
    for player in range(player_count(table)):
        halves = table.view(*table.shape[:-1], 2**player, 2, -1)
        without, with_ = halves[..., 0, :], halves[..., 1, :]
        table = torch.stack([p * without + q * with_, r * without + s * with_], dim=-2).view(table.shape)
    return table
