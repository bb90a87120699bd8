"""The linear program whose optimum is the sparsest AND-OR split: its maps, feasible answers and bounds.

`Program` holds the tables of a batch of games and says what is minimised. `Answer` holds the best split known
of each game and a lower bound on its optimum. With u = v − v(∅), a = I_and, b = I_or, Z the subset sums (zeta
transform) and J the complement,

    minimise  Σ_{S≠∅} |a(S)| + |b(S)|   subject to   Z a − J Z b + δ = u,   |δ(T)| ≤ ε(T),

where a(∅), b(∅) are free (they carry constants) and ε(∅) = 0. Its dual,

    maximise  Σ u y − Σ ε |y|   subject to   Σ y = 0,   |Zᵀy| ≤ 1   and   |ZᵀJy| ≤ 1   off ∅,

bounds the optimum of every game from below. Any multiplier gives a bound, once scaled into its box.

An OR of one player is the same as an AND of it. It is always an AND here, which never costs more. So two
networks that agree on a player agree in the same place.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.transforms import (
    and_interactions,
    coalition_orders,
    complemented,
    player_count,
    subset_sums,
    superset_sums,
    touching_sums,
)

AnyProgram = TypeVar("AnyProgram", bound="Program")
Games = Float64[Tensor, " games"]
Tables = Float64[Tensor, "games *networks coalitions"]

# Relative rounding of the strength, a sum of 2**n terms in float64, between one batch and another.
STRENGTH_ROUNDING = 1e-9
TINY = 1e-300  # keeps 0 / 0 of a game that is solved, or constant, from becoming NaN


@dataclass
class Program:
    """One program per game.

    Programs with another objective replace four methods, which are all that a solver knows of it:
    `objective`, its `prox`, the `multiplier` that it allows, and the `gap`.

    Attributes:
        u: the tables to explain, u(∅) = 0, in any unit; solvers expect max|u| = 1.
        bound: ε, the largest |δ| of each entry; ε(∅) = 0.
    """

    u: Tables
    bound: Tables

    def select(self: AnyProgram, games: Tensor) -> AnyProgram:
        """The programs of some games, by a mask or indices."""
        return type(self)(**{field.name: getattr(self, field.name)[games] for field in fields(self)})

    def objective(self, and_: Tables, or_: Tables) -> Games:
        """Σ_{S≠∅} |a(S)| + |b(S)|."""
        return strength(and_) + strength(or_)

    def prox(self, split: Tensor, step: Tensor) -> Tensor:
        """argmin_x step · objective(x) + ½‖x − split‖²: the soft threshold.

        Args:
            split: a and b, `(2, 2**n, games, networks)`; networks is 1 for a program of one network.
            step: `(games, 1)`.

        Returns:
            x, of the shape of the split.
        """
        shrunk = split - split.clamp(-step, step)
        shrunk[:, 0] = split[:, 0]
        return shrunk

    def multiplier(self, y: Tables) -> Tables:
        """y, made zero-sum and scaled into the dual's box."""
        y = zero_sum(y)
        slopes = torch.stack(adjoint(y)).abs()
        slopes[..., 0] = 0
        outside = slopes.amax((0, -1))
        return y / outside.clamp_min(TINY)[..., None]

    def lower_bound(self, y: Tables) -> Games:
        """The bound of a multiplier in the box: no split has a smaller objective."""
        return (self.u * y - self.bound * y.abs()).flatten(1).sum(-1)

    def candidate(self, or_: Tables, delta: Tables) -> tuple[Games, Tables, Tables]:
        """The feasible split with these OR interactions and this δ: its objective, ORs and δ."""
        or_ = joint(or_)
        return self.objective(remaining_and(self.u, or_, delta), or_), or_, delta

    def gap(self, answer: "Answer") -> Games:
        """(objective − lower bound) / objective; 0 where the objective is 0."""
        gap = 1 - answer.lower / answer.objective.clamp_min(TINY)
        return torch.where(answer.objective > 0, gap, 0.0).clamp_min(0)


@dataclass
class Answer:
    """The best feasible split known of each game, and the multiplier with the best bound on all of them.

    I_and is not stored. It follows exactly from the ORs of two players and more and δ (`remaining_and`).

    Attributes:
        or_: OR interactions, those of one player zero.
        delta: δ.
        objective: of the split.
        multiplier: y, in its box.
        lower: the bound that it proves.
    """

    or_: Tables
    delta: Tables
    objective: Games
    multiplier: Tables
    lower: Games

    @classmethod
    def start(cls, program: Program) -> "Answer":
        """The pure AND split of the table or of what the noise leaves of it, and zero as the multiplier.

        So a table that the noise can take whole is solved at once: above an optimum of zero no gap would
        close.
        """
        zeros = torch.zeros_like(program.u)
        objective, or_, delta = program.candidate(zeros, zeros)
        answer = cls(or_, delta, objective, zeros, program.lower_bound(zeros))
        answer.offer(program, zeros, program.u.clamp(-program.bound, program.bound))
        return answer

    def select(self, games: Tensor) -> "Answer":
        """The answers of some games, by a mask or indices."""
        return Answer(**{name: value[games] for name, value in vars(self).items()})

    def put(self, games: Tensor, answer: "Answer") -> None:
        """Replace the answers of some games."""
        for name, value in vars(answer).items():
            getattr(self, name)[games] = value

    def offer(self, program: Program, or_: Tables, delta: Tables) -> None:
        """Take a feasible split where it is better; of splits equal up to rounding the first stays.

        Args:
            program: of the same games.
            or_: OR interactions, in the unit of the program.
            delta: δ, in the same unit, within the bound.
        """
        objective, or_, delta = program.candidate(or_, delta)
        better = objective < self.objective - STRENGTH_ROUNDING * self.objective.abs()
        self.objective = torch.where(better, objective, self.objective)
        self.or_ = torch.where(per_game(better, or_), or_, self.or_)
        self.delta = torch.where(per_game(better, delta), delta, self.delta)

    def bound(self, program: Program, y: Tables) -> None:
        """Take a multiplier, scaled into its box, where its bound is better."""
        y = program.multiplier(y)
        lower = program.lower_bound(y)
        better = lower > self.lower
        self.lower = torch.where(better, lower, self.lower)
        self.multiplier = torch.where(per_game(better, y), y, self.multiplier)


def explained(and_: Tables, or_: Tables) -> Tables:
    """Z a − J Z b."""
    return subset_sums(and_) - complemented(subset_sums(or_))


def adjoint(y: Tables) -> tuple[Tables, Tables]:
    """(Zᵀy, −ZᵀJy), the transposed `explained`."""
    return superset_sums(y), -superset_sums(complemented(y))


def strength(interactions: Tables) -> Games:
    """Σ_{S≠∅} |I(S)|."""
    return interactions[..., 1:].abs().sum(-1)


def zero_sum(y: Tables) -> Tables:
    """The table with the entry at ∅ that makes its sum zero."""
    return torch.cat([-y[..., 1:].sum(-1, keepdim=True), y[..., 1:]], dim=-1)


def joint(or_: Tables) -> Tables:
    """OR interactions of two players and more; those of one player or none become zero."""
    return torch.where(coalition_orders(player_count(or_), or_.device) > 1, or_, 0.0)


def remaining_and(u: Tables, or_: Tables, delta: Tables) -> Tables:
    """The AND interactions that explain exactly what OR interactions and δ leave of a table.

    Args:
        u: tables `(games, *networks, 2**n)`.
        or_: OR interactions of the same shape and unit; their entry at ∅ does not count.
        delta: δ of the same shape and unit.

    Returns:
        AND interactions of the same shape and unit.
    """
    return and_interactions(u - delta - touching_sums(or_))


def per_game(values: Tensor, like: Tensor) -> Tensor:
    """One value per game, in the shape that broadcasts over `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
