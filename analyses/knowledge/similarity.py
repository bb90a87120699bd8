"""Similarity of two networks' knowledge, and the share of the final knowledge that a checkpoint has."""

import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import (
    Amount,
    amounts_table,
    measured,
    require_same_games,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import Interactions
from harsanyi.interactions.effects.strength import Parts, by_order, split_by_sign


def similarity(
    first: Interactions, second: Interactions, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """The similarity of two networks' knowledge: Σ min(x, y) / Σ max(x, y), between 0 and 1.

    x and y are the effects split by sign, max(I, 0) and max(−I, 0), AND and OR apart: 2 · 2 · 2ⁿ numbers for
    each game, none negative. All effects count, not only salient ones. The sums are over the coalitions of an
    order and over the games, so the weight of a game is its strength (a Jaccard similarity as in Jiang,
    Cheng, Li, "Why pre-training is beneficial for downstream classification tasks?").

    Args:
        first, second: interactions of the same games over the same players.
        bootstrap: of the intervals over games.

    Returns:
        tidy: kind ("and", "or", "both"), order ("1" … "n", "all"), value, low, high, games. NaN where neither
        network has strength.

    Raises:
        ValueError: for different games or players.

    >>> from harsanyi.interactions import And, extract
    >>> first, second = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (5.0, 3.0))
    >>> table = similarity(first, second)
    >>> table[table.kind == "both"][["order", "value"]].values.tolist()  # x₁ + x₂ in both; 3x₁x₂ and x₁x₂
    [['all', 0.6], ['1', 1.0], ['2', 0.3333333333333333]]
    """
    require_same_games({"first": first, "second": second})
    quantities = measured(lambda *sides: {"similarity": similarity_amounts(*sides)}, first, second)
    return amounts_table(quantities, signs=False, bootstrap=bootstrap).drop(columns="quantity")


def reached(
    checkpoint: Interactions, final: Interactions, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """The share of the final knowledge that a checkpoint has: Σ min(x, x_final) / Σ x_final.

    x are the effects split by sign, the sums those of `similarity`. Strength beyond the final effect does
    not count.

    Args:
        checkpoint, final: interactions of the same games over the same players.
        bootstrap: of the intervals over games.

    Returns:
        the columns of `similarity`. NaN where the end has no strength.

    Raises:
        ValueError: for different games or players.

    >>> from harsanyi.interactions import And, extract
    >>> checkpoint, final = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (3.0, 5.0))
    >>> table = reached(checkpoint, final)
    >>> table[table.kind == "both"][["order", "value"]].values.tolist()
    [['all', 0.6], ['1', 1.0], ['2', 0.3333333333333333]]
    """
    require_same_games({"checkpoint": checkpoint, "final": final})
    quantities = measured(lambda *sides: {"reached": reached_amounts(*sides)}, checkpoint, final)
    return amounts_table(quantities, signs=False, bootstrap=bootstrap).drop(columns="quantity")


def similarity_amounts(first: Interactions, second: Interactions) -> tuple[Amount, Amount]:
    """Numerator and denominator of `similarity`."""
    return shared_and_all(split_by_sign(first.effects), split_by_sign(second.effects), first.orders)


def shared_and_all(x: Parts, y: Parts, orders: Int64[Tensor, " coalitions"]) -> tuple[Amount, Amount]:
    """Σ min(x, y) and Σ max(x, y) of effects split by sign, by order.

    Args:
        x, y: of `split_by_sign`.
        orders: of the coalitions.

    Returns:
        both sums, `(games, kinds, signs, orders)`.
    """
    return by_order(torch.minimum(x, y), orders), by_order(torch.maximum(x, y), orders)


def reached_amounts(checkpoint: Interactions, final: Interactions) -> tuple[Amount, Amount]:
    """Numerator and denominator of `reached`."""
    x, y = split_by_sign(checkpoint.effects), split_by_sign(final.effects)
    return by_order(torch.minimum(x, y), final.orders), by_order(y, final.orders)
