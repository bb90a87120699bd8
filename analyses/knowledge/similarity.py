"""How similar the knowledge of two networks is."""

import pandas as pd
import torch

from harsanyi.analyses.knowledge.amounts import (
    Amount,
    amounts_table,
    by_order,
    require_same_games,
    split_by_sign,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import Interactions


def similarity(
    one: Interactions,
    other: Interactions,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How alike the knowledge of two networks is: Σ min(x, y) / Σ max(x, y), between 0 and 1.

    x and y are the effects split by sign, max(I, 0) and max(−I, 0), AND and OR apart: 2 · 2 · 2ⁿ numbers a
    game, none negative. All effects count, not only salient ones. The sums go over an order's coalitions and
    over the games, so that a game weighs as much as its strength (a Jaccard similarity as in Jiang, Cheng,
    Li, "Why pre-training is beneficial for downstream classification tasks?").

    Args:
        one, other: interactions of the same games over the same players.
        bootstrap: of the intervals over games.

    Returns:
        tidy: kind ("and", "or", "both"), order ("1" … "n", "all"), value, low, high, games. NaN where both
        have no strength.

    >>> from harsanyi.interactions import And, extract
    >>> one, other = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (5.0, 3.0))
    >>> table = similarity(one, other)
    >>> table[table.kind == "both"][["order", "value"]].values.tolist()  # x₁ + x₂ in both; 3x₁x₂ and x₁x₂
    [['all', 0.6], ['1', 1.0], ['2', 0.3333333333333333]]
    """
    require_same_games({"one": one, "other": other})
    quantities = {"similarity": similarity_amounts(one, other)}
    return amounts_table(quantities, signs=False, bootstrap=bootstrap).drop(columns="quantity")


def reached(
    one: Interactions,
    final: Interactions,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The share of the final knowledge that is there already: Σ min(x, x_final) / Σ x_final.

    x are the effects split by sign; sums, arguments and columns as for `similarity`. What is there beyond the
    final effect does not count, for or against. NaN where nothing is there at the end.

    >>> from harsanyi.interactions import And, extract
    >>> one, final = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (3.0, 5.0))
    >>> table = reached(one, final)
    >>> table[table.kind == "both"][["order", "value"]].values.tolist()
    [['all', 0.6], ['1', 1.0], ['2', 0.3333333333333333]]
    """
    require_same_games({"one": one, "final": final})
    quantities = {"reached": reached_amounts(one, final)}
    return amounts_table(quantities, signs=False, bootstrap=bootstrap).drop(columns="quantity")


def similarity_amounts(one: Interactions, other: Interactions) -> tuple[Amount, Amount]:
    x, y = split_by_sign(one.effects), split_by_sign(other.effects)
    return by_order(torch.minimum(x, y), one.orders), by_order(torch.maximum(x, y), one.orders)


def reached_amounts(one: Interactions, final: Interactions) -> tuple[Amount, Amount]:
    """What of the final strength is there already, and all of it: the parts of `reached`."""
    x, y = split_by_sign(one.effects), split_by_sign(final.effects)
    return by_order(torch.minimum(x, y), one.orders), by_order(y, one.orders)
