"""Games whose interactions are known in closed form, to test methods against."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

Coalition = tuple[int, ...]
Effects = Mapping[Coalition, float]


@dataclass(frozen=True, eq=False)
class SyntheticGame:
    """v(T) = Σ_{S ⊆ T} and_effects[S] + Σ_{S ∩ T ≠ ∅} or_effects[S] over n players; a Game of its own.

    A game that is not a sum of few terms has a `formula` as well, (batch, n) bool → (batch,) float64, beside
    all its dividends as AND effects. Both give the same values.

    Attributes:
        n: players.
        and_effects: coalition → effect.
        or_effects: coalition → effect.
        name: for messages.
        formula: v of coalitions.

    Raises:
        ValueError: for a player outside 0..n-1, a player named twice in a coalition, or an OR effect of the
            empty coalition.

    >>> game = SyntheticGame(2, and_effects={(0, 1): 3.0}, or_effects={(0, 1): 1.0})
    >>> game.table().tolist(), game.dividends().tolist()
    ([0.0, 1.0, 1.0, 4.0], [0.0, 1.0, 1.0, 2.0])
    """

    n: int
    and_effects: Effects = field(default_factory=dict)
    or_effects: Effects = field(default_factory=dict)
    name: str = "synthetic"
    formula: Callable[[Tensor], Tensor] | None = None

    games = 1  # a SyntheticGame is a batch of one
    device = torch.device("cpu")

    def __post_init__(self) -> None:
        for coalition in (*self.and_effects, *self.or_effects):
            if len(set(coalition)) < len(coalition) or not set(coalition) <= set(range(self.n)):
                raise ValueError(f"coalition {coalition} does not name distinct players of 0..{self.n - 1}")
        if () in self.or_effects:
            raise ValueError("an OR effect of the empty coalition never appears: give it as an AND effect")

    def value(self, coalitions: Bool[Tensor, "batch n"]) -> Float64[Tensor, " batch"]:
        """v of each coalition, a row each, true where the player is present."""
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n or coalitions.dtype != torch.bool:
            shape = tuple(coalitions.shape)
            raise ValueError(f"expected bool coalitions (batch, {self.n}), got {coalitions.dtype} {shape}")
        if self.formula is not None:
            return self.formula(coalitions).double()
        total = torch.zeros(len(coalitions), dtype=torch.float64)
        # A number times a bool tensor is float32: hence double() first.
        for coalition, effect in self.and_effects.items():
            total += effect * coalitions[:, list(coalition)].all(dim=1).double()
        for coalition, effect in self.or_effects.items():
            total += effect * coalitions[:, list(coalition)].any(dim=1).double()
        return total

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch n"]
    ) -> Float64[Tensor, " batch"]:
        """As `value`; `games` are all 0, as there is one game."""
        assert games.shape == coalitions.shape[:1], (games.shape, coalitions.shape)
        assert not games.any(), "a SyntheticGame has only game 0"
        return self.value(coalitions)

    def table(self) -> Float64[Tensor, " coalitions"]:
        """v of all 2**n coalitions in index order, player 0 the most significant bit."""
        shifts = torch.arange(self.n - 1, -1, -1)
        return self.value((torch.arange(2**self.n)[:, None] >> shifts & 1).bool())

    def dividends(self) -> Float64[Tensor, " coalitions"]:
        """The AND interactions of the whole game, (2**n,) in index order.

        An OR effect w of A is Σ_{∅≠S⊆A} (−1)^{|S|+1} w of AND effects.
        """
        dividends = torch.zeros(2**self.n, dtype=torch.float64)
        for coalition, effect in self.and_effects.items():
            dividends[self._index(coalition)] += effect
        for coalition, effect in self.or_effects.items():
            for part in subsets(coalition):
                if part:
                    dividends[self._index(part)] += (-1) ** (len(part) + 1) * effect
        return dividends

    def _index(self, coalition: Coalition) -> int:
        return sum(1 << (self.n - 1 - player) for player in coalition)


def subsets(players: Iterable[int]) -> list[Coalition]:
    """All subsets, smallest first.

    >>> subsets((0, 2))
    [(), (0,), (2,), (0, 2)]
    """
    players = tuple(players)
    return [s for order in range(len(players) + 1) for s in itertools.combinations(players, order)]


def polynomial() -> SyntheticGame:
    """v = 3 x₁ − 2 x₂x₃ − x₃x₄x₅ + 5 x₄x₆ over six players; x₁ is player 0.

    >>> polynomial().table()[-1].item()
    5.0
    """
    effects = {(0,): 3.0, (1, 2): -2.0, (2, 3, 4): -1.0, (3, 5): 5.0}
    return SyntheticGame(6, effects, name="polynomial")


def or_of(k: int, n: int) -> SyntheticGame:
    """v = 1 as soon as one of the first k of n players is present.

    >>> or_of(2, 2).dividends().tolist()
    [0.0, 1.0, 1.0, -1.0]
    """
    return SyntheticGame(n, or_effects={tuple(range(k)): 1.0}, name=f"or of {k}")


def xor(n: int) -> SyntheticGame:
    """v = 1 for an odd number of players; I(S) = (−2)^{|S|−1}, I(∅) = 0.

    >>> xor(2).dividends().tolist()
    [0.0, 1.0, 1.0, -2.0]
    """
    effects = {s: (-2.0) ** (len(s) - 1) for s in subsets(range(n)) if s}
    return SyntheticGame(n, effects, name="xor", formula=lambda coalitions: coalitions.sum(dim=1) % 2)


def majority() -> SyntheticGame:
    """v = 1 with two or more of three players; each pair has +1, all three −2.

    >>> majority().dividends().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, -2.0]
    """
    effects = {(0, 1): 1.0, (0, 2): 1.0, (1, 2): 1.0, (0, 1, 2): -2.0}
    return SyntheticGame(3, effects, name="majority", formula=lambda coalitions: coalitions.sum(dim=1) >= 2)


def product(a: Iterable[float]) -> SyntheticGame:
    """v = Π (1 + aᵢ xᵢ), a player for each factor; I(S) = Π_{i∈S} aᵢ.

    >>> product([2.0, 3.0]).dividends().tolist()
    [1.0, 3.0, 2.0, 6.0]
    """
    factors = torch.tensor(list(a), dtype=torch.float64)
    effects = {s: math.prod(factors[list(s)].tolist()) for s in subsets(range(len(factors)))}
    return SyntheticGame(
        len(factors),
        effects,
        name="product",
        formula=lambda coalitions: (1 + factors * coalitions).prod(dim=1),
    )


def constant(c: float, n: int) -> SyntheticGame:
    """v = c for every coalition; I(∅) = c and nothing else.

    >>> constant(2.5, 2).dividends().tolist()
    [2.5, 0.0, 0.0, 0.0]
    """
    return SyntheticGame(n, {(): c}, name="constant")


def planted(
    n: int,
    and_terms: int = 10,
    or_terms: int = 10,
    seed: int = 0,
    strengths: tuple[float, float] = (0.5, 2.0),
) -> SyntheticGame:
    """Draw random AND and OR effects of random signs, with uniform strengths.

    The coalitions of a kind are distinct, their orders uniform in 1..n. An OR of one player is the AND of
    that player: no method can separate the two.

    Args:
        n: players.
        and_terms, or_terms: number of effects of each kind.
        seed: of the draw.
        strengths: smallest and largest |effect|, in the unit of the game's outputs.

    Returns:
        the game with these effects.

    Raises:
        ValueError: for more terms than coalitions.

    >>> game = planted(6, seed=1)
    >>> len(game.and_effects), len(game.or_effects), game.table().shape
    (10, 10, torch.Size([64]))
    """
    if max(and_terms, or_terms) > 2**n - 1:
        raise ValueError(
            f"expected at most {2**n - 1} terms, the coalitions of {n} players; "
            f"got {max(and_terms, or_terms)}"
        )
    rng = np.random.default_rng(seed)

    def draw(terms: int) -> dict[Coalition, float]:
        effects: dict[Coalition, float] = {}
        while len(effects) < terms:
            order = int(rng.integers(1, n + 1))
            coalition = tuple(sorted(rng.choice(n, order, replace=False).tolist()))
            if coalition not in effects:
                effects[coalition] = float(rng.choice([-1.0, 1.0]) * rng.uniform(*strengths))
        return effects

    return SyntheticGame(n, draw(and_terms), draw(or_terms), name=f"planted {seed}")
