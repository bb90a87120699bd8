"""How much an effect can vary among the splits that are nearly as sparse as the sparsest.

`effect_ranges` takes the interactions of a sparse method and gives, for the strongest of each game, the
smallest and largest effect that such splits allow, with certified bounds. Each end is a linear program of its
own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.interactions.effects.interactions import EffectRanges, Interactions
from harsanyi.interactions.effects.transforms import coalition_orders, player_count
from harsanyi.interactions.machine.batching import over_batches
from harsanyi.interactions.sparse.fit import in_units
from harsanyi.interactions.sparse.halpern import split
from harsanyi.interactions.sparse.joint import onto_l1_ball
from harsanyi.interactions.sparse.program import (
    STRENGTH_ROUNDING,
    Answer,
    Games,
    Program,
    Tables,
    adjoint,
    joint,
    remaining_and,
    strength,
    zero_sum,
)


@dataclass
class RangeProgram(Program):
    """Minimise sign · x(place) over splits x = (a, b) with Σ|x| ≤ limit, ORs of one player being zero.

    Weak duality, for any zero-sum y, with A the map of a split to its table and e(place) a unit vector:

        sign · x(place) ≥ Σ u y − Σ ε |y| − limit · max |Aᵀy − sign · e(place)|.

    Attributes:
        place: of the interaction in a and b laid end to end.
        sign: 1 for the smallest effect, −1 for the largest.
        limit: the largest strength of a split.
        inner_or, inner_delta: a split of less strength than the limit.
        unit: of the gap.
    """

    place: Int64[Tensor, " games"]
    sign: Games
    limit: Games
    inner_or: Tables
    inner_delta: Tables
    unit: Games

    def objective(self, and_: Tables, or_: Tables) -> Games:
        """sign · x(place)."""
        return self.sign * torch.cat([and_, or_], dim=-1).gather(-1, self.place[:, None])[:, 0]

    def prox(self, split: Tensor, step: Tensor) -> Tensor:
        """A step along the effect, then the projection on the ball of the limit."""
        x = self._add_at_place(split[..., 0].flatten(0, 1).T, -step)
        counted = self._counted()
        nearest = onto_l1_ball(torch.where(counted, x, 0.0), self.limit[:, None])
        nearest[:, 0], nearest[:, self.u.shape[-1]] = x[:, 0], x[:, self.u.shape[-1]]
        return nearest.T.reshape(split.shape)

    def multiplier(self, y: Tables) -> Tables:
        """y, made zero-sum; this dual has no box."""
        return zero_sum(y)

    def lower_bound(self, y: Tables) -> Games:
        """The right-hand side of weak duality."""
        slope = self._add_at_place(torch.cat(adjoint(y), dim=-1), -torch.ones_like(self.sign)[:, None])
        steepest = torch.where(self._counted(), slope, 0.0).abs().amax(-1)
        return super().lower_bound(y) - self.limit * steepest

    def candidate(self, or_: Tables, delta: Tables) -> tuple[Games, Tables, Tables]:
        """The split, mixed with the inner one where it is too strong, as far as the limit asks for."""
        or_ = joint(or_)
        offered = self._strength(or_, delta)
        inner = self._strength(self.inner_or, self.inner_delta).clamp_max(self.limit)
        share = ((self.limit - inner) / (offered - inner)).where(offered > self.limit, 1.0)[:, None]
        return super().candidate(
            torch.lerp(self.inner_or, or_, share), torch.lerp(self.inner_delta, delta, share)
        )

    def gap(self, answer: Answer) -> Games:
        """(objective − lower bound) / unit."""
        return ((answer.objective - answer.lower) / self.unit).clamp_min(0)

    def _strength(self, or_: Tables, delta: Tables) -> Games:
        return strength(remaining_and(self.u, or_, delta)) + strength(or_)

    def _add_at_place(self, x: Tensor, amount: Tensor) -> Tensor:
        return x.scatter_add(-1, self.place[:, None], self.sign[:, None] * amount)

    def _counted(self) -> Tensor:
        """The entries of a and b that strength counts: not the empty coalition, and no OR of one player."""
        orders = coalition_orders(player_count(self.u), self.u.device)
        return torch.cat([orders > 0, orders > 1])


def effect_ranges(
    interactions: Interactions,
    noise: float = 0.04,
    *,
    top: int = 5,
    slack: float = 0.01,
    tolerance: float = 0.05,
    max_steps: int = 1000,
) -> EffectRanges:
    """The range of each game's strongest effects while the strength stays within `slack`.

    The sparsest split need not be the only one, and there are many nearly sparsest splits. For each of the
    strongest interactions, two programs make its effect as small and as large as the noise and
    Σ|I_and| + |I_or| ≤ (1 + slack) · (its value in `interactions`) allow. They start from that split.

    Args:
        interactions: those of a sparse method, their gaps well below the slack.
        noise: of that method.
        top: how many interactions of each game.
        slack: share of the strength.
        tolerance: how far `lowest` may be from `low`, and `highest` from `high`, as a share of the game's
            strongest effect.
        max_steps: of each program. One that misses the tolerance keeps its wider certified range.

    Returns:
        Ranges and certified ranges `(games, top)` in the unit of the score, the strongest effects first.

    Raises:
        ValueError: where more is left unexplained than the noise allows; for a top that is no number of
            interactions.

    >>> from harsanyi.interactions import SparseAndOr, extract
    >>> v = torch.tensor([[0.0, 1.0, 1.0, 2.0]], dtype=torch.float64)  # x₁ + x₂, or AND and OR of both
    >>> ranges = effect_ranges(extract(v, SparseAndOr(noise=0.0)), 0.0, top=1)
    >>> bool(ranges.low[0, 0] < 0.1), bool(ranges.high[0, 0] > 0.9)
    (True, True)
    """
    if not 1 <= top < interactions.v.shape[-1]:
        raise ValueError(
            f"expected top between 1 and {interactions.v.shape[-1] - 1}, the coalitions; got {top}"
        )
    if interactions.or_[:, interactions.orders == 1].any():
        raise ValueError("expected ORs of one player to be given as ANDs, as sparse methods give them")
    if not slack >= 0:
        raise ValueError(f"expected a slack ≥ 0, a share of the strength; got {slack}")
    program, unit = _programs(interactions, noise, top, slack)

    def solve(rows: Tensor) -> Answer:
        part = program.select(rows)
        start = Answer.start(part)
        start.or_, start.delta = part.inner_or, part.inner_delta
        return split(part, tolerance, max_steps, start)[0]

    parts = over_batches(solve, program.u)
    objective, lower = (torch.cat([getattr(part, name) for part in parts]) for name in ("objective", "lower"))
    (low, high), (lowest, highest) = (
        (unit * program.sign * value).view(interactions.games, top, 2).unbind(-1)
        for value in (objective, lower)
    )
    places = program.place.view(interactions.games, top, 2)[..., 0]
    kind, coalition = places // interactions.v.shape[-1], places % interactions.v.shape[-1]
    effect = interactions.effects.flatten(1).gather(-1, places)
    return EffectRanges(kind, coalition, effect, low, high, lowest, highest)


def _programs(interactions: Interactions, noise: float, top: int, slack: float) -> tuple[RangeProgram, Games]:
    """Two programs for every interaction, for its smallest and largest effect, and the unit of each."""
    u, bound, unit = in_units(interactions.v, noise)
    if (interactions.residual.abs() > bound + STRENGTH_ROUNDING * unit).any():
        raise ValueError(
            f"the split leaves more unexplained than a noise of {noise:g} allows: give that of its method"
        )
    strength = interactions.effects.abs().flatten(1)
    counted = torch.cat([interactions.orders > 0, interactions.orders > 1])
    strongest, places = torch.where(counted, strength, -1.0).topk(top)
    strongest, limit = strongest[:, :1] / unit, (1 + slack) * strength.sum(-1, keepdim=True) / unit

    def each(value: Tensor) -> Tensor:
        return value.repeat_interleave(2 * top, dim=0)

    program = RangeProgram(
        u=each(u / unit),
        bound=each(bound / unit),
        place=places.flatten().repeat_interleave(2),
        sign=interactions.v.new_tensor([1.0, -1.0]).repeat(interactions.games * top),
        limit=each(limit)[:, 0],
        inner_or=each(interactions.or_ / unit),
        inner_delta=each((interactions.residual / unit).clamp(-bound / unit, bound / unit)),
        unit=each(torch.where(strongest > 0, strongest, 1.0))[:, 0],
    )
    return program, each(unit)[:, 0]
