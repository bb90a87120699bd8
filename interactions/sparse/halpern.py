"""Sparse programs by operator splitting: Halpern's anchored iteration, restarted, to a certified gap.

`split` takes a `Program`, the linear programs of a batch of games, and gives the best split of each with a
bound. Two operations alternate: the exact projection P on the splits that explain the table (`Projection`),
and the prox of the objective (for the plain program: soft threshold, and clamp of the noise). The reflected
map

    T(w) = 2 prox(2 P(w) − w) − (2 P(w) − w)

(Peaceman–Rachford) has an optimum behind each of its fixed points. Anchoring, w ← (w₀ + (k + 1) T(w)) /
(k + 2), takes ‖w − T(w)‖ to zero as 1/k (Lieder, "On the convergence rate of the Halpern-iteration", 2021).
A restart each time it has fallen far enough makes the decay geometric on linear programs. It also lets the
prox step be set so that primal and dual move equally far. Both are known from linear-program solvers for GPUs
(Applegate et al., "Practical Large-Scale Linear Programming using Primal-Dual Hybrid Gradient", 2021; Chen,
Sun, Yuan, Zhang and Zhao, "HPR-LP", 2024), which have no such P.

The splitting variable has the blocks a, b and, with noise, d = δ/κ. Every operation is batched over games and
keeps them apart.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harsanyi.interactions.effects.transforms import player_count
from harsanyi.interactions.sparse.program import TINY, Answer, Program, remaining_and
from harsanyi.interactions.sparse.projection import projection

# The first prox step, in units of max|u|, and κ: the best of a sweep over tables of trained networks with 8,
# 10 and 12 players and noise 0, 0.02, 0.05. The step then sets itself; κ is shared by all games, as P is.
STEP = 0.01
NOISE_SCALE = 3.0
# Restart constants, named as in Applegate et al.: a restart is due when the residual has fallen to
# β_sufficient of what it was at the last restart, or to β_necessary of it and rises again, or when the steps
# since are more than β_artificial of all steps.
BETA_SUFFICIENT, BETA_NECESSARY, BETA_ARTIFICIAL = 0.2, 0.8, 0.36
# Steps between two looks at the residual.
RESTART_PERIOD = 10
# Steps between two certificates. One costs as much as seven steps.
CERTIFY_PERIOD = 40
# Projections onto the table, each followed by a clamp of the noise into its box, before the rest of the table
# goes into a and b. They more than halve the strength that feasibility costs.
REPAIRS = 4


@dataclass
class _State:
    """The games still being solved.

    The splitting variable and its anchor are `(blocks, 2**n, tables)`, all else has games first. `u` and
    `noise` (ε/κ) are the program's, as columns.
    """

    w: Tensor
    anchor: Tensor
    projected_anchor: Tensor
    u: Tensor
    noise: Tensor
    game: Tensor
    program: Program
    answer: Answer
    step: Tensor
    age: Tensor  # steps since the last restart
    first: Tensor  # residual at the last restart
    last: Tensor  # residual at the last look since the restart

    def select(self, games: Tensor) -> "_State":
        """The state of some games, by their indices."""
        networks = torch.arange(self.u.shape[-1] // len(self.game), device=games.device)
        tables = (games[:, None] * len(networks) + networks).flatten()
        columns = {name: getattr(self, name).index_select(-1, tables) for name in COLUMNS}
        program, answer = self.program.select(games), self.answer.select(games)
        each = {name: getattr(self, name)[games] for name in EACH}
        return _State(**columns, **each, program=program, answer=answer)


COLUMNS = ("w", "anchor", "projected_anchor", "u", "noise")
EACH = ("game", "step", "age", "first", "last")


def split(
    program: Program, tolerance: float, max_steps: int, start: Answer | None = None
) -> tuple[Answer, Tensor]:
    """Solve the programs of all games.

    Args:
        program: in units of max|u|.
        tolerance: on `Program.gap`; games that reach it leave the batch.
        max_steps: after which the rest are returned with the gap they have.
        start: splits and multipliers of neighbouring programs to start from.

    Returns:
        The answers, and the number of steps of each game.
    """
    answer, steps = (
        Answer.start(program),
        torch.zeros(len(program.u), dtype=torch.int64, device=program.u.device),
    )
    noisy = program.bound.flatten(1).any(-1)
    # Apart: the projection of games with noise has one block more.
    for games in (noisy.nonzero()[:, 0], (~noisy).nonzero()[:, 0]):
        if len(games):
            part = None if start is None else start.select(games)
            solved, steps[games] = _split(program.select(games), tolerance, max_steps, part)
            answer.put(games, solved)
    return answer, steps


def _split(program: Program, tolerance: float, max_steps: int, start: Answer | None) -> tuple[Answer, Tensor]:
    """As `split`, for games that all have noise, or all have none."""
    splitting = _Splitting(program)
    state = splitting.start(program, start)
    answer = state.answer.select(state.game)
    steps = torch.zeros_like(state.game)
    for step in range(1, max_steps + 1):
        multiplier, z, reflected = splitting.reflect(state)
        if step % RESTART_PERIOD == 0:
            _restart(state, z, reflected, step)
        state.w = torch.lerp(state.anchor, reflected, _columns((state.age + 1) / (state.age + 2), reflected))
        state.age += 1
        if step % CERTIFY_PERIOD and step != max_steps:
            continue
        splitting.certify(state, multiplier, z)
        answer.put(state.game, state.answer)
        steps.index_fill_(0, state.game, step)
        # The one wait for the device in so many steps.
        open_ = (state.program.gap(state.answer) > tolerance).nonzero()[:, 0]
        if not len(open_):
            break
        if len(open_) < len(state.game):
            state = state.select(open_)
    return answer, steps


class _Splitting:
    """The operations that all games of a run share: projections with κ, and without noise."""

    def __init__(self, program: Program) -> None:
        n, device = player_count(program.u), program.u.device
        self.kappa = NOISE_SCALE if program.bound.any() else 0.0
        self.noisy, self.noiseless = projection(n, self.kappa, device), projection(n, 0.0, device)

    def start(self, program: Program, start: Answer | None) -> _State:
        """The first state: zeros, or the split and the multiplier of another answer."""
        u = _as_columns(program.u)
        w = projected = u.new_zeros(3 if self.kappa else 2, *u.shape)
        if start is not None:
            # Z a − J Z b subtracts the ORs that do not touch a coalition. This constant adds all ORs back.
            and_ = remaining_and(program.u, start.or_, start.delta)
            and_[..., 0] += start.or_.sum(-1)
            blocks = [and_, start.or_, start.delta / NOISE_SCALE]
            projected = torch.stack([_as_columns(block) for block in blocks[: len(w)]])
            w = projected - STEP * self.noisy.transposed(_as_columns(start.multiplier))
        answer = Answer.start(program)
        if start is not None:
            answer.offer(program, start.or_, start.delta.clamp(-program.bound, program.bound))
            answer.bound(program, start.multiplier)
        each = u.new_zeros(len(program.u))
        return _State(
            w=w,
            anchor=w,
            projected_anchor=projected,
            u=u,
            noise=_as_columns(program.bound) / NOISE_SCALE,
            game=torch.arange(len(each), device=u.device),
            program=program,
            answer=answer,
            step=torch.full_like(each, STEP),
            age=each,
            first=each,
            last=torch.full_like(each, torch.inf),
        )

    def reflect(self, state: _State) -> tuple[Tensor, Tensor, Tensor]:
        """The multiplier of P(w), prox(2 P(w) − w) and T(w)."""
        multiplier = self.noisy.inverse(self.noisy.explained(state.w) - state.u)
        towards = state.w.sub(self.noisy.transposed(multiplier), alpha=2)
        z = torch.empty_like(towards)
        split = towards[:2].unflatten(-1, (len(state.step), -1))
        z[:2] = state.program.prox(split, state.step[:, None]).flatten(-2)
        if self.kappa:
            torch.clamp(towards[2], -state.noise, state.noise, out=z[2])
        return multiplier, z, torch.lerp(towards, z, 2.0)

    def certify(self, state: _State, multiplier: Tensor, z: Tensor) -> None:
        """Offer the iterate, made feasible, and the multiplier; the answer takes the better of each."""
        or_, delta = (_as_tables(part, state.program.u) for part in self._feasible(state, z))
        state.answer.offer(state.program, or_, delta.clamp(-state.program.bound, state.program.bound))
        y = -multiplier / _columns(state.step, multiplier)
        state.answer.bound(state.program, _as_tables(y, state.program.u))

    def _feasible(self, state: _State, z: Tensor) -> tuple[Tensor, Tensor]:
        """OR interactions and δ of a split near z that explains the table.

        The part of the table that z does not explain goes to a and b by least squares. All of it in a could
        be 2ⁿ times as strong.
        """
        for _ in range(REPAIRS if self.kappa else 0):
            z = z - self.noisy.transposed(self.noisy.inverse(self.noisy.explained(z) - state.u))
            z[2].clamp_(-state.noise, state.noise)
        unexplained = state.u - self.noisy.explained(z)
        or_ = z[1] + self.noiseless.transposed(self.noiseless.inverse(unexplained))[1]
        return or_, NOISE_SCALE * z[2] if self.kappa else torch.zeros_like(or_)


def _restart(state: _State, z: Tensor, reflected: Tensor, step: int) -> None:
    """Restart the games that are due from their projection, with a new prox step; edits `reflected`."""
    games = len(state.step)
    residual = _norm(reflected - state.w, games)
    due = (residual <= BETA_SUFFICIENT * state.first) | (state.age >= BETA_ARTIFICIAL * step)
    due |= (residual <= BETA_NECESSARY * state.first) & (residual > state.last)
    state.last = torch.where(due, torch.inf, residual)
    projected = (state.w + 2 * z - reflected) / 2
    dual = state.w - projected  # proportional to the prox step
    moved = _norm(projected - state.projected_anchor, games)
    turned = _norm(dual - (state.anchor - state.projected_anchor), games)
    change = torch.where(due, (moved / turned.clamp_min(TINY)).sqrt().clamp(0.25, 4), 1.0)
    state.step = state.step * change
    restarts = _columns(due, dual)
    restarted = projected + _columns(change, dual) * dual
    state.anchor = torch.where(restarts, restarted, state.anchor)
    state.projected_anchor = torch.where(restarts, projected, state.projected_anchor)
    reflected.copy_(torch.where(restarts, restarted, reflected))
    state.first = torch.where(due, residual, state.first)
    state.age = torch.where(due, -1.0, state.age)


def _as_columns(tables: Tensor) -> Tensor:
    """Tables `(games, *networks, 2**n)` as `(2**n, tables)`."""
    return tables.flatten(0, -2).T.contiguous()


def _as_tables(columns: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_as_columns`, in the shape of other tables."""
    return columns.T.contiguous().view(like.shape)


def _columns(each: Tensor, like: Tensor) -> Tensor:
    """One value per game, repeated for each of its columns."""
    return each.repeat_interleave(like.shape[-1] // len(each))


def _norm(blocks: Tensor, games: int) -> Tensor:
    """The norm of each game, over its blocks, coalitions and networks."""
    return blocks.reshape(-1, games, blocks.shape[-1] // games).norm(dim=(0, 2))
