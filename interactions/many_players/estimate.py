"""`SparseMoebius`: a game of many players as a sum of few effects, and how far the sum is from the game."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from harsanyi.interactions.effects.interactions import KINDS, Kind
from harsanyi.interactions.evaluate import evaluate
from harsanyi.interactions.game.game import Game

HELD_OUT = 1000  # random coalitions to judge a sum by: its error is then known to a tenth of itself


@dataclass(frozen=True)
class SparseMoebius:
    """Effects of few coalitions of one game, and what their sum says of coalitions that were not used.

    Attributes:
        coalitions: `(terms, n)`, the players of each effect.
        effects: `(terms,)`, in the unit of the score.
        samples: forwards the effects were found from, each a coalition of its own.
        held_out_v, held_out_predicted: the game and the sum on coalitions drawn uniformly of all 2**n, which
            the effects were not found from.
        method: that found them.
        kind: of all effects, "and" or "or".
        approximate: whether the effects are estimates. Those of `low_order` are exact, their sum is not.
    """

    coalitions: Bool[Tensor, "terms n"]
    effects: Float64[Tensor, " terms"]
    samples: int
    held_out_v: Float64[Tensor, " held_out"]
    held_out_predicted: Float64[Tensor, " held_out"]
    method: str
    kind: Kind = "and"
    approximate: bool = True

    @property
    def n(self) -> int:
        return self.coalitions.shape[1]

    @cached_property
    def held_out_error(self) -> float:
        """Σ (v − v̂)² / Σ (v − mean v)² over the held-out coalitions: the share of variance not explained.

        0 where the sum is the game; 1 and more where the mean would do as well. Of a constant game 0 or ∞.
        """
        left = (self.held_out_v - self.held_out_predicted).square().sum()
        total = (self.held_out_v - self.held_out_v.mean()).square().sum()
        return 0.0 if left == 0 else (left / total).item()

    def predict(self, coalitions: Bool[Tensor, "coalitions n"]) -> Float64[Tensor, " coalitions"]:
        """The sum of the effects that appear in each coalition.

        Σ_{S⊆T} I(S) for AND, I(∅) + Σ_{S∩T≠∅} I(S) for OR.

        >>> one = torch.tensor([[True, True]])
        >>> nothing = torch.zeros(0, dtype=torch.float64)
        >>> fit = SparseMoebius(one, torch.tensor([3.0]).double(), 4, nothing, nothing, "by hand")
        >>> fit.predict(torch.tensor([[True, False], [True, True]])).tolist()
        [0.0, 3.0]
        """
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n:
            raise ValueError(f"expected coalitions of {self.n} players, got shape {tuple(coalitions.shape)}")
        return appearing(self.coalitions, coalitions, self.kind) @ self.effects

    def table(self, names: tuple[str, ...] | None = None) -> pd.DataFrame:
        """A row an effect, the strongest first: players (numbers, or names where given), order, effect.

        Raises:
            ValueError: for names that are not one a player.
        """
        if names is not None and len(names) != self.n:
            raise ValueError(f"expected a name for each of {self.n} players, got {len(names)}")
        named = range(self.n) if names is None else names
        rows = [
            (tuple(name for name, here in zip(named, row, strict=True) if here), sum(row), effect)
            for row, effect in zip(self.coalitions.tolist(), self.effects.tolist(), strict=True)
        ]
        table = pd.DataFrame(rows, columns=["players", "order", "effect"])
        return table.sort_values("effect", key=abs, ascending=False, kind="stable", ignore_index=True)


def appearing(
    terms: Bool[Tensor, "terms n"], coalitions: Bool[Tensor, "coalitions n"], kind: Kind = "and"
) -> Float64[Tensor, "coalitions terms"]:
    """1 where a term's effect appears in a coalition, else 0."""
    assert kind in KINDS, kind
    common, orders = coalitions.double() @ terms.double().T, terms.sum(1)
    return (common == orders).double() if kind == "and" else ((common > 0) | (orders == 0)).double()


def masks_of(terms: Collection[tuple[int, ...]], n: int) -> Bool[Tensor, "terms n"]:
    """Coalitions of n players from their members.

    >>> masks_of([(0, 2), ()], 3).int().tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    masks = torch.zeros(len(terms), n, dtype=torch.bool)
    for row, members in zip(masks, terms, strict=True):
        row[list(members)] = True
    return masks


def random_coalitions(n: int, count: int, seed: int) -> Bool[Tensor, "count n"]:
    """Coalitions drawn uniformly, with replacement."""
    return torch.rand(count, n, generator=torch.Generator().manual_seed(seed)) < 0.5


def sampled(
    game: Game, game_number: int, coalitions: Bool[Tensor, "coalitions n"]
) -> Float64[Tensor, " coalitions"]:
    """v of coalitions of one game, on the CPU."""
    if not 0 <= game_number < game.games:
        raise ValueError(f"expected a game number of 0 to {game.games - 1}, got {game_number}")
    if not len(coalitions):
        return torch.zeros(0, dtype=torch.float64)
    return evaluate(game, coalitions.to(game.device), games=[game_number], progress=False)[0].cpu()


def judged(
    game: Game,
    game_number: int,
    terms: Bool[Tensor, "terms n"],
    effects: Float64[Tensor, " terms"],
    used: Bool[Tensor, "samples n"],
    *,
    held_out: int,
    seed: int,
    method: str,
    kind: Kind = "and",
    approximate: bool = True,
) -> SparseMoebius:
    """The result, judged on `held_out` random coalitions outside those used."""
    if held_out < 2:
        raise ValueError(f"expected 2 or more coalitions to be held out, got {held_out}")
    drawn = without(random_coalitions(game.n, held_out, seed), used)
    if len(drawn) < 2:  # of few players, all coalitions may have been used
        drawn = random_coalitions(game.n, held_out, seed)
    v = sampled(game, game_number, drawn)
    predicted = appearing(terms, drawn, kind) @ effects
    return SparseMoebius(terms, effects, len(used), v, predicted, method, kind, approximate)


def without(
    coalitions: Bool[Tensor, "coalitions n"], used: Bool[Tensor, "samples n"]
) -> Bool[Tensor, "left n"]:
    """The distinct coalitions that are not among those used, in order of the first of each."""
    seen = {row.tobytes() for row in used.numpy()}
    fresh: list[int] = []
    for i, row in enumerate(coalitions.numpy()):
        if row.tobytes() not in seen:
            seen.add(row.tobytes())
            fresh.append(i)
    return coalitions[fresh]
