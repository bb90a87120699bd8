"""Methods: how a value table is split into AND and OR interactions. `extract` joins game and method."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from interactions.evaluate import evaluate
from interactions.game import Game
from interactions.interactions import Interactions
from interactions.memory import require_memory
from interactions.sparse import sparse_and_or
from interactions.transforms import and_interactions, or_interactions, player_count

# v, AND, OR and the transforms' copies, in tables.
EXTRACTION_TABLES = 6


@runtime_checkable
class Method(Protocol):
    """How value tables become interactions."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions: ...


@dataclass(frozen=True)
class And:
    """Everything as AND interactions: the Harsanyi dividends of v. All OR interactions are zero."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        return Interactions(
            and_interactions(v), torch.zeros_like(v, dtype=torch.float64), v.double(), str(self)
        )


@dataclass(frozen=True)
class AndOr:
    """The even split: v/2 as AND, v/2 as OR interactions (γ = 0)."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        half = v.double() / 2
        return Interactions(and_interactions(half), or_interactions(half), v.double(), str(self))


@dataclass(frozen=True)
class SparseAndOr:
    """The split of least strength Σ|I_and| + |I_or|, leaving aside noise of a given size.

    Args:
        noise: c in |δ(T)| ≤ c · |v(N) − v(∅)|.
        tolerance: relative duality gap to reach; the gap reached is in the result.
        max_steps: give up on the tolerance after so many steps of the solver.
    """

    noise: float = 0.04
    tolerance: float = 1e-3
    max_steps: int = 1000

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        fit = sparse_and_or(v, self.noise, tolerance=self.tolerance, max_steps=self.max_steps)
        return Interactions(fit.and_, fit.or_, v.double(), str(self), fit.gap)


def extract(game: Game | Tensor, method: Method, **options: Any) -> Interactions:
    """The AND and OR interactions of every game.

    Args:
        game: a `Game`, evaluated on all 2**n coalitions, or value tables `(games, 2**n)` at hand.
        method: `And()`, `AndOr()` or `SparseAndOr()`.
        options: for `evaluate` (batch_size, progress).

    >>> v = torch.tensor([[0.0, 2.0, 2.0, 2.0]])
    >>> extract(v, AndOr()).and_.tolist()
    [[0.0, 1.0, 1.0, -1.0]]
    """
    v = game if isinstance(game, Tensor) else evaluate(game, **options)
    if v.ndim != 2:
        raise ValueError(f"expected value tables of shape (games, 2**n), got {tuple(v.shape)}")
    n = player_count(v)
    require_memory(
        EXTRACTION_TABLES * 8 * v.numel(), v.device, f"extraction from {len(v)} games of {n} players"
    )
    return method(v)


METHODS: dict[str, type] = {"and": And, "and-or": AndOr, "sparse": SparseAndOr}
