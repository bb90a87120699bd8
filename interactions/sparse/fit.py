"""The sparse AND-OR split of value tables, with a certificate of its distance from the sparsest.

`sparse_and_or` takes value tables and gives a `SparseFit`: AND and OR interactions of least total strength,
and a lower bound that proves how near the optimum they are. `solve_tables` is the same for other programs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.transforms import player_count, require_finite_tables
from harsanyi.interactions.machine.batching import over_batches
from harsanyi.interactions.sparse.gradient_descent import RATES, gradient_descent, rates_to_try
from harsanyi.interactions.sparse.halpern import split
from harsanyi.interactions.sparse.interior_point import interior_point
from harsanyi.interactions.sparse.program import Answer, Program, per_game, remaining_and
from harsanyi.shown import Card, Shown, counted

SparseMethod = Literal["splitting", "interior-point", "sgd"]
SPARSE_METHODS: tuple[SparseMethod, ...] = get_args(SparseMethod)
# Steps that suffice on tables of trained networks; the published recipe always takes its 10,000.
MAX_STEPS: dict[SparseMethod, int] = {"splitting": 5000, "interior-point": 100, "sgd": 10_000}

# The learning rate of a descent, at its start and for max|v − v(∅)| = 1: one, several, or those to try.
BEST_OF = "best-of"
Rate = float | Sequence[float] | Literal["best-of"]

Tables = Float64[Tensor, "games *networks coalitions"]
Games = Float64[Tensor, " games"]


@dataclass(frozen=True, repr=False)
class SparseFit(Shown):
    """A sparse AND-OR split of each game, feasible to rounding, with its certificate.

    A joint split has a `networks` axis after the games; its objective and bound are those of all networks
    together.

    Attributes:
        and_, or_: interactions `(games, 2**n)`; v = Σ AND + Σ OR + residual. Single players are in AND.
        residual: δ `(games, 2**n)`, |δ(T)| ≤ noise · |v(N) − v(∅)|.
        multiplier: y `(games, 2**n)`, which proves the bound: Σ u y − Σ ε |y|, with u = v − v(∅) and ε the
            bound on δ; Σ y = 0, |Σ_{T⊇S} y(T)| ≤ 1 and |Σ_{T⊇S} y(N∖T)| ≤ 1 for every S ≠ ∅.
        objective: Σ_{S≠∅} |I_and| + |I_or| of each game.
        lower_bound: no split has a smaller objective.
        gap: (objective − lower_bound) / objective; 0 for a constant game.
        steps: of the method, for each game.
        rate: the learning rate of the descent that each game's split is from; NaN for other methods.
    """

    and_: Tables
    or_: Tables
    residual: Tables
    multiplier: Tables
    objective: Games
    lower_bound: Games
    gap: Games
    steps: Int64[Tensor, " games"]
    rate: Games

    def _card(self) -> Card:
        games = len(self.objective)
        some = games > 0
        return Card(
            f"{counted(games, 'game')} of {counted(player_count(self.and_), 'player')}",
            {
                "strength": f"{self.objective.mean():.3g} on average" if some else "",
                "above the least strength": f"at most {self.gap.max():.2%}" if some else "",
                "unexplained": f"at most {self.residual.abs().max():.2g} of a score" if some else "",
                "steps": f"{self.steps.min()} to {self.steps.max()}" if some else "",
            },
        )


def sparse_and_or(
    v: Float[Tensor, "games coalitions"],
    noise: float = 0.04,
    *,
    tolerance: float = 1e-3,
    method: SparseMethod = "splitting",
    max_steps: int | None = None,
    start: SparseFit | None = None,
    rate: Rate | None = None,
) -> SparseFit:
    """The AND-OR split of least strength, to a certified gap.

    With v_and = ½(v − δ) + γ and v_or = ½(v − δ) − γ, it minimises ‖I_and‖₁ + ‖I_or‖₁ over γ and
    |δ(T)| ≤ noise · |v(N) − v(∅)|: the objective of Li and Zhang, "Defining and Quantifying AND-OR
    Interactions for Faithful and Concise Explanation of DNNs", 2023, a linear program (program.py).

    Args:
        v: value tables `(games, 2**n)`.
        noise: the share of |v(N) − v(∅)| that may be left unexplained of any entry.
        tolerance: relative duality gap at which a game is done and leaves the batch.
        method: "splitting", restarted Halpern splitting, for all uses; "interior-point" for few games of up
            to 12 players and tolerances down to 1e-8; "sgd", the published recipe, which ignores the
            tolerance.
        max_steps: after these the other games are returned with the gap they have; by default `MAX_STEPS`.
        start: the fit of similar tables (the same inputs, the checkpoint before) that the splitting starts
            from.
        rate: the learning rate of "sgd", at the start, for tables scaled to max|v − v(∅)| = 1; by default
            1e-6. Several rates, or "best-of" for four that suit the number of players (`rates_to_try`): each
            game's sparsest split over these, as the published comparisons choose it.

    Returns:
        The split of each game, in the unit of v, with the bound and the gap that it reached.

    Raises:
        ValueError: for tables that are not finite, naming the game; for noise or tolerance below zero; for a
            start of other shape, or with another method; for a rate that is not above zero, or with another
            method.

    >>> v = torch.tensor([[0.0, 2.0, 2.0, 2.0]], dtype=torch.float64)  # OR of two players
    >>> fit = sparse_and_or(v, noise=0.0, tolerance=1e-6)
    >>> fit.or_.round(decimals=3).tolist(), round(fit.objective.item(), 3)
    ([[0.0, 0.0, 0.0, 2.0]], 2.0)
    """
    if v.ndim != 2:
        raise ValueError(f"expected value tables of shape (games, 2**n), got {tuple(v.shape)}")
    if method not in SPARSE_METHODS:
        raise ValueError(f"expected a method of {', '.join(SPARSE_METHODS)}; got {method!r}")
    if start is not None and method != "splitting":
        raise ValueError(f"only the splitting can start from another fit; the method is {method!r}")
    if rate is not None and method != "sgd":
        raise ValueError(f"only the descent (sgd) has a learning rate; the method is {method!r}")
    steps = MAX_STEPS[method] if max_steps is None else max_steps
    if method == "sgd":
        return sparsest(
            [_descent(v, noise, tolerance, steps, each) for each in rates_of(rate, player_count(v))]
        )

    def solve(program: Program, start: Answer | None) -> tuple[Answer, Tensor]:
        if method == "interior-point":
            return interior_point(program, tolerance, steps)
        return split(program, tolerance, steps, start)

    return solve_tables(v, noise, tolerance, Program, solve, start)


def rates_of(rate: Rate | None, n: int) -> tuple[float, ...]:
    """The learning rates that a choice of them stands for, for tables of n players.

    >>> rates_of("best-of", 10), rates_of(None, 10)
    ((1e-05, 3e-06, 1e-06, 3e-07), (1e-06,))
    """
    if rate is None or rate == BEST_OF:
        return (RATES["sgd"],) if rate is None else rates_to_try(n)
    rates: Sequence[Any] = rate if isinstance(rate, Sequence) else (rate,)
    if not rates or not all(isinstance(each, int | float) and 0 < each < torch.inf for each in rates):
        raise ValueError(f"expected learning rates > 0, or {BEST_OF!r}; got {rate!r}")
    return tuple(map(float, rates))


def sparsest(fits: Sequence[SparseFit]) -> SparseFit:
    """The split of each game with the least objective, of several fits of the same tables."""
    best = torch.stack([fit.objective for fit in fits]).argmin(0)
    games = torch.arange(len(best), device=best.device)
    return SparseFit(
        **{
            field.name: torch.stack([getattr(fit, field.name) for fit in fits])[best, games]
            for field in fields(SparseFit)
        }
    )


def solve_tables(
    v: Tensor,
    noise: float,
    tolerance: float,
    program: Callable[[Tensor, Tensor], Program],
    solve: Callable[[Program, Answer | None], tuple[Answer, Tensor]],
    start: SparseFit | None = None,
) -> SparseFit:
    """Solve the programs of all games batch by batch, each in the unit of its largest entry.

    Args:
        v: `(games, *networks, 2**n)`.
        noise, tolerance, start: as for `sparse_and_or`.
        program: gives the program of tables u and bounds ε.
        solve: solves a program, from another answer if there is one; gives the answer and the steps.

    Returns:
        The fits of all games in their order, in the unit of v.

    Raises:
        ValueError: as `sparse_and_or`.
    """
    _check(v, noise, tolerance, start)
    v = v.detach().double()

    def fit(games: Tensor) -> SparseFit:
        tables, bound, unit = in_units(v[games], noise)
        problem = program(tables / unit, bound / unit)
        answer, steps = solve(problem, None if start is None else _answer(start, games, unit))
        return _fit(v[games], bound, unit, problem, answer, steps)

    fits = over_batches(fit, v)
    return SparseFit(
        **{field.name: torch.cat([getattr(part, field.name) for part in fits]) for field in fields(SparseFit)}
    )


def in_units(v: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """u = v − v(∅), the bound on δ, and max|u| of each game (1 for a constant one)."""
    u = v - v[..., :1]
    bound = (noise * u[..., -1:].abs()).expand_as(u).clone()
    bound[..., 0] = 0
    unit = u.abs().flatten(1).amax(-1)
    return u, bound, per_game(torch.where(unit > 0, unit, 1.0), v)


def _descent(v: Tensor, noise: float, tolerance: float, steps: int, rate: float) -> SparseFit:
    """The last iterate of a descent at one rate, for each game."""
    fit = solve_tables(v, noise, tolerance, Program, lambda p, _: gradient_descent(p, steps, rate))
    return replace(fit, rate=torch.full_like(fit.objective, rate))


def _answer(fit: SparseFit, games: Tensor, unit: Tensor) -> Answer:
    """A fit of some games as an answer in the solver's unit."""
    or_, delta = fit.or_[games] / unit, fit.residual[games] / unit
    return Answer(or_, delta, fit.objective[games], fit.multiplier[games], fit.lower_bound[games])


def _fit(
    v: Tensor, bound: Tensor, unit: Tensor, program: Program, answer: Answer, steps: Tensor
) -> SparseFit:
    """An answer in the tables' own unit; the constant v(∅) is in I_and(∅)."""
    or_, residual = unit * answer.or_, (unit * answer.delta).clamp(-bound, bound)
    and_ = remaining_and(v - v[..., :1], or_, residual)
    and_ = torch.cat([v[..., :1], and_[..., 1:]], dim=-1)
    scale = unit.flatten()
    gap, objective, lower = program.gap(answer), scale * answer.objective, scale * answer.lower
    rate = torch.full_like(objective, torch.nan)
    return SparseFit(and_, or_, residual, answer.multiplier, objective, lower, gap, steps, rate)


def _check(v: Tensor, noise: float, tolerance: float, start: SparseFit | None) -> None:
    if not 0 <= noise < torch.inf:
        raise ValueError(f"expected noise ≥ 0, a share of |v(N) − v(∅)|; got {noise}")
    if not tolerance >= 0:
        raise ValueError(f"expected a tolerance ≥ 0, a relative gap; got {tolerance}")
    require_finite_tables(v.double() - v[..., :1].double())
    if start is not None and start.or_.shape != v.shape:
        raise ValueError(
            f"expected a start of the shape of the tables, {tuple(v.shape)}; got {tuple(start.or_.shape)}"
        )
