"""The error of interactions from forwards in a lower precision, measured against float64.

`precision_error` takes a game, evaluates a few of its games in both precisions and gives the largest
differences.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from harsanyi.failing import FIRST_GAMES, answers_of, first_answered
from harsanyi.interactions.effects.transforms import and_interactions, coalition_orders
from harsanyi.interactions.evaluate import evaluate
from harsanyi.interactions.game.masked_model import MaskedModel


@dataclass(frozen=True)
class PrecisionError:
    """The largest differences of AND interactions from those of float64 forwards, in the unit of the score.

    Attributes:
        precision: of the forwards.
        games: how many were compared.
        by_order: the largest |difference| of an interaction of each order, 0 to n.
        largest_effect: max |I(S)| over the non-empty coalitions, in float64.
    """

    precision: str
    games: int
    by_order: Float64[Tensor, " orders"]
    largest_effect: float

    @property
    def largest(self) -> float:
        """The largest difference of all orders."""
        return float(self.by_order.max())

    def describe(self) -> str:
        """The comparison in one sentence."""
        return (
            f"{self.precision}: interactions differ from those in float64 by up to {self.largest:.2g}, where "
            f"the strongest is {self.largest_effect:.2g} ({self.games} games)"
        )


def precision_error(game: MaskedModel, games: int = 2) -> PrecisionError:
    """Compare the interactions of some games with those of a copy of the network in float64.

    They are the first games that the network answers in both.

    Independent errors of size ε in every v(T) become 2^{|S|/2} ε in I(S).

    Args:
        game: in the precision to measure.
        games: how many to compare; each costs 2**n forwards in float64 beside its own.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> inputs, players = torch.randn(1, 1, 4, 4), Players.grid(4, 4, 2, 2)
    >>> errors = [
    ...     precision_error(MaskedModel(net, inputs, players, labels=[0], precision=name)).largest
    ...     for name in ("float32", "bf16")
    ... ]
    >>> errors[0] < 1e-5 < errors[1]
    True
    """
    games = min(games, game.games)
    own, exact = _tables_of_first(game, games)
    games, own, exact = len(own), and_interactions(own), and_interactions(exact)
    orders = coalition_orders(game.n, own.device)
    differences = (own - exact).abs().amax(0)
    by_order = torch.zeros(game.n + 1, dtype=torch.float64, device=own.device)
    by_order.scatter_reduce_(0, orders, differences, "amax")
    return PrecisionError(game.precision, games, by_order.cpu(), float(exact[:, 1:].abs().max()))


def _tables_of_first(game: MaskedModel, count: int) -> tuple[Tensor, Tensor]:
    """The tables of the first games that a network answers, in its own precision and in float64."""

    def tables(games: list[int]) -> tuple[Tensor, Tensor]:
        own = evaluate(game, games=games, progress=False)
        return own, evaluate(_in_float64(game, games), progress=False)

    parts, failed = answers_of(range(count), tables)
    if failed:
        number, first = first_answered(game.games, lambda number: tables([number]))
        others = range(number + 1, min(FIRST_GAMES, game.games))
        parts = [([number], first), *answers_of(others, tables)[0]]
    own, exact = (torch.cat(each)[:count] for each in zip(*(part for _, part in parts), strict=True))
    return own, exact


def _in_float64(game: MaskedModel, games: list[int]) -> MaskedModel:
    """Some games of a copy of the network in float64."""
    model, baseline = game.model, game.baseline_of(games)
    return game.select(
        games,
        model=copy.deepcopy(model).double() if isinstance(model, nn.Module) else model,
        baseline=baseline.double() if baseline.is_floating_point() else baseline,
        precision="float32",
    )
