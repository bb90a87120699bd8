"""Methods that split a value table into AND and OR interactions, and `extract`, which applies one to a game.

A method is a small frozen object with its settings. It takes value tables and gives `Interactions`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from harsanyi.interactions.effects.about import About
from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.effects.transforms import (
    and_interactions,
    or_interactions,
    player_count,
    require_finite_tables,
)
from harsanyi.interactions.evaluate import evaluate
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.machine.memory import require_memory
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.sparse.fit import BEST_OF, Rate, SparseMethod, rates_of, sparse_and_or
from harsanyi.interactions.sparse.joint import sparse_and_or_joint
from harsanyi.interactions.sparse.ranges import effect_ranges

# Memory of an extraction in tables: v, AND, OR, and the copies of transforms and solvers.
EXTRACTION_TABLES = 8


@runtime_checkable
class Method(Protocol):
    """How value tables become interactions."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions: ...


@dataclass(frozen=True)
class And:
    """Everything as AND interactions: the Harsanyi dividends of v. All OR interactions are zero."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        require_finite_tables(v)
        return Interactions(
            and_interactions(v), torch.zeros_like(v, dtype=torch.float64), v.double(), str(self)
        )


@dataclass(frozen=True)
class AndOr:
    """The even split: v/2 as AND, v/2 as OR interactions (γ = 0)."""

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        require_finite_tables(v)
        half = v.double() / 2
        return Interactions(and_interactions(half), or_interactions(half), v.double(), str(self))


@dataclass(frozen=True)
class SparseAndOr:
    """The split of least strength Σ|I_and| + |I_or| that explains the table up to noise.

    Args:
        noise: c in |δ(T)| ≤ c · |v(N) − v(∅)|.
        tolerance: relative duality gap to reach; the result has the gap reached.
        method: of the solver, see `sparse_and_or`.
        max_steps: of the solver, whatever the gap then; by default the method's own number.
        ranges: for how many of each game's strongest interactions to compute the range of their effect over
            splits that are at most 1% stronger (`effect_ranges`). Each costs a few times as much as the
            split.
        rate: of the solver "sgd", see `sparse_and_or`; the interactions' `method` states the rates.
    """

    noise: float = 0.04
    tolerance: float = 1e-3
    method: SparseMethod = "splitting"
    max_steps: int | None = None
    ranges: int = 0
    rate: Rate | None = None

    def __str__(self) -> str:
        # As the files of versions without rates have it.
        return repr(self).replace(", rate=None", "")

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        fit = sparse_and_or(
            v,
            self.noise,
            tolerance=self.tolerance,
            method=self.method,
            max_steps=self.max_steps,
            rate=self.rate,
        )
        named = self if self.rate != BEST_OF else replace(self, rate=rates_of(self.rate, player_count(v)))
        interactions = Interactions(fit.and_, fit.or_, v.double(), str(named), fit.gap)
        if not self.ranges:
            return interactions
        return replace(interactions, ranges=effect_ranges(interactions, self.noise, top=self.ranges))


@dataclass(frozen=True)
class JointSparseAndOr:
    """The splits of several networks that are sparsest together; see `sparse_and_or_joint`.

    Args:
        noise, tolerance, max_steps: as in `SparseAndOr`.
        specific: α, the price of an interaction in every network but the one where it is strongest.
        networks: their names, for the record.
    """

    noise: float = 0.04
    specific: float = 0.5
    tolerance: float = 1e-3
    max_steps: int | None = None
    networks: tuple[str, ...] = ()

    def __call__(self, v: Float[Tensor, "games coalitions"]) -> Interactions:
        return self.together({"network": v})["network"]

    def together(self, tables: Mapping[str, Float[Tensor, "games coalitions"]]) -> dict[str, Interactions]:
        """The interactions of all networks.

        Args:
            tables: value tables by name of the network.

        Returns:
            Interactions by name; the gap of a game is that of all networks together.
        """
        v = torch.stack([table.double() for table in tables.values()], dim=1)
        fit = sparse_and_or_joint(
            v, self.noise, specific=self.specific, tolerance=self.tolerance, max_steps=self.max_steps
        )
        return {
            name: Interactions(fit.and_[:, i], fit.or_[:, i], v[:, i], str(self), fit.gap)
            for i, name in enumerate(tables)
        }


def extract(
    game: Game | Tensor, method: Method, *, about: About | None = None, **options: Any
) -> Interactions:
    """The AND and OR interactions of every game.

    Args:
        game: a `Game`, which is evaluated on all 2**n coalitions, or its value tables `(games, 2**n)`.
        method: `And()`, `AndOr()`, `SparseAndOr()` or `JointSparseAndOr()`.
        about: what the games are, in words; by default what the game says of itself.
        options: for `evaluate` (games, plan, batch_size, progress).

    Returns:
        Interactions `(games, 2**n)` in float64, in the unit of the score.

    Raises:
        ValueError: for tables of another shape, and for NaN or infinities in one, naming the game.

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
    return replace(method(v), about=_about(game, options) if about is None else about)


def extract_each(
    tables: Mapping[str, Float[Tensor, "games coalitions"]],
    method: Method,
    about: Mapping[str, About] | None = None,
) -> Iterator[tuple[str, Interactions]]:
    """The interactions of several networks by name: together with a joint method, else one by one.

    Args:
        tables: value tables by name of the network.
        method: as for `extract`.
        about: what the games of each network are, in words.

    Yields:
        The name of a network and its interactions.

    >>> v = torch.tensor([[0.0, 2.0, 2.0, 2.0]])
    >>> [name for name, _ in extract_each({"before": v, "after": v}, JointSparseAndOr())]
    ['before', 'after']
    """
    words = about or {}
    if tables and isinstance(method, JointSparseAndOr):
        for name, interactions in method.together(tables).items():
            yield name, replace(interactions, about=words.get(name, About()))
    else:
        for name, v in tables.items():
            yield name, extract(v, method, about=words.get(name, About()))


def _about(game: Game | Tensor, options: Mapping[str, Any]) -> About:
    """What evaluated games are, and the plan that evaluated them."""
    known = getattr(game, "about", None)
    if isinstance(game, Tensor) or not isinstance(known, About):
        return About()
    plan = choose(game, options.get("plan", "auto"), memory=options.get("memory")).name
    chosen = options.get("games")
    selected = known if chosen is None else known.select(list(chosen), game.games)
    return replace(selected, plan=plan)


# The methods by the names of the command line.
METHODS: dict[str, type] = {"and": And, "and-or": AndOr, "sparse": SparseAndOr, "joint": JointSparseAndOr}
