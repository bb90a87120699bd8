"""`SparseMoebius`: a game of many players as a sum of few effects, and the error of the sum.

The transforms of this room give their result in this form. The error is measured on random coalitions that
the effects were not estimated from.
"""

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
from harsanyi.interactions.many_players.draws import uniform_coalitions

# Random coalitions to measure the error of a sum on, by default; it is then known to a tenth of itself.
HELD_OUT_COALITIONS = 1000


@dataclass(frozen=True)
class SparseMoebius:
    """The effects of few coalitions of one game, with their sum beside the game on other coalitions.

    Attributes:
        coalitions: `(terms, n)`, the players of each effect.
        effects: `(terms,)`, in the unit of the score.
        samples: distinct coalitions that the effects were estimated from, a forward each.
        held_out_v, held_out_predicted: the score, and the sum of effects, on coalitions drawn uniformly from
            all 2**n, apart from the samples.
        method: the transform, in words.
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
        """Players of the game."""
        return self.coalitions.shape[1]

    @cached_property
    def held_out_error(self) -> float:
        """Σ (v − v̂)² / Σ (v − mean v)² over the held-out coalitions: the share of variance not explained.

        0 where the sum equals the game; 1 or more where the mean predicts as well. For a constant game 0 or
        ∞.
        """
        residual = (self.held_out_v - self.held_out_predicted).square().sum()
        total = (self.held_out_v - self.held_out_v.mean()).square().sum()
        return 0.0 if residual == 0 else (residual / total).item()

    def predict(self, coalitions: Bool[Tensor, "coalitions n"]) -> Float64[Tensor, " coalitions"]:
        """The sum of the effects that appear in each coalition.

        Σ_{S⊆T} I(S) for AND, I(∅) + Σ_{S∩T≠∅} I(S) for OR.

        >>> pair = torch.tensor([[True, True]])
        >>> nothing = torch.zeros(0, dtype=torch.float64)
        >>> fit = SparseMoebius(pair, torch.tensor([3.0]).double(), 4, nothing, nothing, "by hand")
        >>> fit.predict(torch.tensor([[True, False], [True, True]])).tolist()
        [0.0, 3.0]
        """
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n:
            raise ValueError(f"expected coalitions of {self.n} players, got shape {tuple(coalitions.shape)}")
        return appearances(self.coalitions, coalitions, self.kind) @ self.effects

    def table(self, names: tuple[str, ...] | None = None) -> pd.DataFrame:
        """The effects as a table, the strongest first.

        Args:
            names: of all n players; numbers by default.

        Returns:
            Columns players, order, effect.

        Raises:
            ValueError: for names that are not one a player.
        """
        if names is not None and len(names) != self.n:
            raise ValueError(f"expected a name for each of {self.n} players, got {len(names)}")
        labels = range(self.n) if names is None else names
        rows = [
            (tuple(label for label, present in zip(labels, row, strict=True) if present), sum(row), effect)
            for row, effect in zip(self.coalitions.tolist(), self.effects.tolist(), strict=True)
        ]
        table = pd.DataFrame(rows, columns=["players", "order", "effect"])
        return table.sort_values("effect", key=abs, ascending=False, kind="stable", ignore_index=True)


def appearances(
    terms: Bool[Tensor, "terms n"], coalitions: Bool[Tensor, "coalitions n"], kind: Kind = "and"
) -> Float64[Tensor, "coalitions terms"]:
    """The design matrix of a sum of effects.

    Args:
        terms: the players of each effect.
        coalitions: to evaluate.
        kind: "and", where all players of a term must be present, or "or", where one is enough.

    Returns:
        `(coalitions, terms)` in float64: 1 where a term's effect appears in a coalition, else 0.
    """
    assert kind in KINDS, kind
    common, orders = coalitions.double() @ terms.double().T, terms.sum(1)
    return (common == orders).double() if kind == "and" else ((common > 0) | (orders == 0)).double()


def masks_of(terms: Collection[tuple[int, ...]], n: int) -> Bool[Tensor, "terms n"]:
    """Coalitions of n players as masks, from the numbers of their members.

    >>> masks_of([(0, 2), ()], 3).int().tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    masks = torch.zeros(len(terms), n, dtype=torch.bool)
    for row, members in zip(masks, terms, strict=True):
        row[list(members)] = True
    return masks


def scores_of(
    game: Game, game_number: int, coalitions: Bool[Tensor, "coalitions n"]
) -> Float64[Tensor, " coalitions"]:
    """The scores of coalitions of one game.

    Args:
        game: a batch of games.
        game_number: which of them.
        coalitions: to evaluate.

    Returns:
        `(coalitions,)` in float64 on the CPU.

    Raises:
        ValueError: for an unknown game number; as `evaluate` for scores that are not finite.
    """
    if not 0 <= game_number < game.games:
        raise ValueError(f"expected a game number of 0 to {game.games - 1}, got {game_number}")
    if not len(coalitions):
        return torch.zeros(0, dtype=torch.float64)
    return evaluate(game, coalitions.to(game.device), games=[game_number], progress=False)[0].cpu()


def with_held_out_error(
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
    """Measure the error of a transform's estimate on random coalitions.

    Args:
        game, game_number: the game, and which of its batch.
        terms, effects: the estimate: the players of each effect, and the effect in the unit of the score.
        used: the samples that it was made from.
        held_out: how many random coalitions to draw; those among the samples are left out.
        seed: of the draw.
        method, kind, approximate: for the result.

    Returns:
        The estimate, with the scores and the sums of effects of the random coalitions.

    Raises:
        ValueError: for fewer than 2 random coalitions.
    """
    if held_out < 2:
        raise ValueError(f"expected 2 or more coalitions to be held out, got {held_out}")
    drawn = excluding(uniform_coalitions(game.n, held_out, seed), used)
    if len(drawn) < 2:  # with few players the samples may be all coalitions
        drawn = uniform_coalitions(game.n, held_out, seed)
    v = scores_of(game, game_number, drawn)
    predicted = appearances(terms, drawn, kind) @ effects
    return SparseMoebius(terms, effects, len(used), v, predicted, method, kind, approximate)


def excluding(
    coalitions: Bool[Tensor, "coalitions n"], used: Bool[Tensor, "samples n"]
) -> Bool[Tensor, "left n"]:
    """The distinct coalitions that are not among the samples, in order of first appearance."""
    seen = {row.tobytes() for row in used.numpy()}
    new: list[int] = []
    for i, row in enumerate(coalitions.numpy()):
        if row.tobytes() not in seen:
            seen.add(row.tobytes())
            new.append(i)
    return coalitions[new]
