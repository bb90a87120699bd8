"""Amounts: strength by kind, sign and order, and the tidy tables with intervals that are made of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval, ratio_interval
from harsanyi.interactions import KINDS, SIGNS, Interactions

Amount = Float64[Tensor, "games kinds signs orders"]
Parts = Float64[Tensor, "games kinds signs coalitions"]
# One amount stands for its mean a game, two for the ratio of their sums over games.
Quantities = Mapping[str, tuple[Amount, ...]]


def split_by_sign(effects: Float64[Tensor, "games kinds coalitions"]) -> Parts:
    """max(I, 0) and max(−I, 0), neither of them negative."""
    return torch.stack([effects.clamp_min(0), -effects.clamp_max(0)], dim=2)


def by_order(parts: Parts, orders: Int64[Tensor, " coalitions"]) -> Amount:
    """The sums over the coalitions of each order, bin m for order m."""
    return parts @ torch.nn.functional.one_hot(orders).double()


def by_sign_and_order(
    effects: Float64[Tensor, "games kinds coalitions"], orders: Int64[Tensor, " coalitions"]
) -> Amount:
    """The strength Σ|I| of signed effects."""
    return by_order(split_by_sign(effects), orders)


def amounts_table(
    quantities: Quantities, *, signs: bool = True, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Means a game of amounts, and ratios of sums over games of pairs of them, with bootstrap intervals.

    Args:
        quantities: by name, one amount or a numerator and a denominator.
        signs: with rows for each sign; else both together, without the column.
        bootstrap: of the intervals.

    Returns:
        columns quantity, kind ("both", "and", "or"), sign ("both", "positive", "negative"), order ("all",
        "1" … "n"), value, low, high, games. A ratio is NaN where there is nothing to share.
    """
    rows = []
    for quantity, amounts in quantities.items():
        labels = group_labels(amounts[0].shape[-1] - 1, signs=signs)
        columns = [group_sums(amount, signs=signs) for amount in amounts]
        interval: Callable[..., Any] = mean_interval if len(amounts) == 1 else ratio_interval
        for label, found in zip(labels, interval(*columns, bootstrap=bootstrap), strict=True):
            rows.append({"quantity": quantity, **label, **vars(found), "games": len(amounts[0])})
    return pd.DataFrame(rows)


def group_labels(n: int, *, signs: bool = True) -> list[dict[str, str]]:
    """Every combination of kind, sign and order of n players, "both" and "all" among them."""
    return [labels for labels, _ in _groups(n, signs)]


def group_sums(amount: Amount, *, signs: bool = True) -> np.ndarray:
    """A column for each of `group_labels`, a row a game."""
    sums = [pick(amount) for _, pick in _groups(amount.shape[-1] - 1, signs)]
    return torch.stack(sums, dim=1).cpu().numpy()


def total_row(table: pd.DataFrame, **chosen: object) -> pd.Series:
    """The row of a table over all kinds, signs and orders, of what else is chosen (quantity, series, …)."""
    chosen = {name: "both" for name in ("kind", "sign") if name in table} | {"order": "all"} | chosen
    found = table
    for column, value in chosen.items():
        found = found[found[column] == value]
    return found.iloc[0]


def require_same_games(networks: Mapping[str, Interactions]) -> None:
    """Refuse interactions of different games or players, naming the two."""
    (first, expected), *others = networks.items()
    for name, network in others:
        if network.v.shape != expected.v.shape:
            raise ValueError(
                "expected the same games and players: "
                f"{first} has {expected.games} games of {expected.n} players, "
                f"{name} has {network.games} of {network.n}"
            )


def _groups(n: int, signs: bool) -> Iterator[tuple[dict[str, str], Callable[[Tensor], Tensor]]]:
    """Every combination of kind, sign and order, with the sum it stands for."""
    kinds = [("both", slice(None)), *((kind, slice(i, i + 1)) for i, kind in enumerate(KINDS))]
    apart = [(sign, slice(i, i + 1)) for i, sign in enumerate(SIGNS)] if signs else []
    orders = [("all", slice(None)), *((str(m), slice(m, m + 1)) for m in range(1, n + 1))]
    for kind, k in kinds:
        for sign, s in [("both", slice(None)), *apart]:
            for order, m in orders:
                yield (
                    {"kind": kind, **({"sign": sign} if signs else {}), "order": order},
                    lambda amount, k=k, s=s, m=m: amount[:, k, s, m].sum((1, 2, 3)),  # type: ignore[misc]
                )


def orders_of(table: pd.DataFrame) -> list[str]:
    """The orders in a table of knowledge change, ascending, "all" last.

    >>> orders_of(pd.DataFrame({"order": ["all", "10", "9", "9"]}))
    ['9', '10', 'all']
    """
    return sorted(set(table.order), key=lambda order: float("inf") if order == "all" else int(order))
