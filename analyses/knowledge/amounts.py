"""Amounts: strength by kind, sign and order, and tidy tables of them with intervals."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Protocol, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, mean_interval, share_interval
from harsanyi.interactions import KINDS, SIGNS, Interactions
from harsanyi.interactions.effects.strength import by_order, split_by_sign

Amount = Float64[Tensor, "games kinds signs orders"]
# One amount: its mean over games. Two amounts: the ratio of their sums over games.
Quantities = Mapping[str, tuple[Amount, ...]]
Name = TypeVar("Name", bound=Hashable)


class OfGames(Protocol):
    """Interactions, or more of them, of some games."""

    @property
    def games(self) -> int:
        """How many games."""

    def blocks(self, size: int | None = None) -> Iterator[Self]:
        """The games in order, a few at a time."""


def by_sign_and_order(
    effects: Float64[Tensor, "games kinds coalitions"], orders: Int64[Tensor, " coalitions"]
) -> Amount:
    """The strength Σ|I| of effects, by sign and order."""
    return by_order(split_by_sign(effects), orders)


def amounts_table(
    quantities: Quantities, *, signs: bool = True, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Means of amounts over games, and shares of their sums over games, with intervals.

    Args:
        quantities: by name, one amount for a mean, a part and the whole for a share.
        signs: whether there are rows for each sign; else both signs together, and no column sign.
        bootstrap: of the intervals over games.

    Returns:
        columns quantity, kind ("both", "and", "or"), sign ("both", "positive", "negative"), order ("all",
        "1" … "n"), value, low, high, games. A share is NaN where the whole is 0; bounds are NaN where
        there is no interval (`statistics.bootstrap`).
    """
    found = _intervals(quantities, signs, bootstrap)
    return pd.DataFrame(
        {"quantity": quantity, **label, **vars(interval), "games": len(amounts[0])}
        for quantity, amounts in quantities.items()
        for label, interval in zip(
            group_labels(amounts[0].shape[-1] - 1, signs=signs), found[quantity], strict=True
        )
    )


def measured(
    measure: Callable[..., Mapping[Name, tuple[Tensor, ...]]], *results: OfGames, size: int | None = None
) -> dict[Name, tuple[Tensor, ...]]:
    """What a function measures of all games, in the memory that it takes for a few.

    Args:
        measure: takes the results on some games, and gives tensors by name, with a row for each game that
            does not depend on the other games.
        results: `Interactions`, or trajectories, on the same games.
        size: games at a time; by default as `Interactions.blocks` has them.

    Returns:
        the tensors of all games, by name.

    >>> from harsanyi.interactions import And, extract
    >>> network = extract(torch.eye(4).double(), And())
    >>> measured(lambda games: {"of both": (games.and_[:, -1],)}, network)
    {'of both': (tensor([ 1., -1., -1.,  1.], dtype=torch.float64),)}
    """
    found: dict[Name, tuple[Tensor, ...]] = {}
    done, count = 0, results[0].games
    for block in zip(*(result.blocks(size) for result in results), strict=True):
        rows = slice(done, done := done + block[0].games)
        for name, parts in measure(*block).items():
            if name not in found:  # room for all rows at once: kept one by one, they tear memory to pieces
                found[name] = tuple(_room_like(part, count) for part in parts)
            for whole, part in zip(found[name], parts, strict=True):
                whole[rows] = part
    return found


def _room_like(part: Tensor, count: int) -> Tensor:
    """Room for so many rows, which lie as those of a part: the last bits of sums depend on how they lie."""
    outer_first = sorted(range(part.ndim), key=part.stride, reverse=True)
    shape = (count, *part.shape[1:])
    return torch.empty_permuted(shape, outer_first, dtype=part.dtype, device=part.device)


def _intervals(quantities: Quantities, signs: bool, bootstrap: Bootstrap) -> dict[str, list[Interval]]:
    """The intervals of each quantity: those of all means at once, and those of all shares."""
    found: dict[str, list[Interval]] = {}
    ways: dict[int, Callable[..., list[Interval]]] = {
        1: partial(mean_interval, least=0.0),
        2: share_interval,
    }
    for count, of_columns in ways.items():
        columns = {
            quantity: [group_sums(amount, signs=signs) for amount in amounts]
            for quantity, amounts in quantities.items()
            if len(amounts) == count
        }
        if columns:
            parts = (np.concatenate(part, axis=1) for part in zip(*columns.values(), strict=True))
            intervals = iter(of_columns(*parts, bootstrap=bootstrap))
            found |= {
                quantity: list(islice(intervals, part.shape[1])) for quantity, (part, *_) in columns.items()
            }
    return found


def group_labels(n: int, *, signs: bool = True) -> list[dict[str, str]]:
    """Every combination of kind, sign and order of n players, with "both" and "all"."""
    return [labels for labels, _ in _groups(n, signs)]


def group_sums(amount: Amount, *, signs: bool = True) -> np.ndarray:
    """The sums of an amount for each of `group_labels`, `(games, labels)`."""
    sums = [pick(amount) for _, pick in _groups(amount.shape[-1] - 1, signs)]
    return torch.stack(sums, dim=1).cpu().numpy()


def total_row(table: pd.DataFrame, **columns: object) -> pd.Series:
    """The first row over all kinds, signs and orders with these values of other columns.

    >>> table = pd.DataFrame({"quantity": ["new", "new"], "order": ["1", "all"], "value": [0.1, 0.3]})
    >>> float(total_row(table, quantity="new").value)
    0.3
    """
    totals = {name: "both" for name in ("kind", "sign") if name in table} | {"order": "all"}
    rows = table
    for column, value in (totals | columns).items():
        rows = rows[rows[column] == value]
    return rows.iloc[0]


def require_same_games(networks: Mapping[str, Interactions]) -> None:
    """A ValueError for interactions of different games or players; it names the two networks."""
    (first, expected), *others = networks.items()
    for name, network in others:
        if network.v.shape != expected.v.shape:
            raise ValueError(
                "expected the same games and players: "
                f"{first} has {expected.games} games of {expected.n} players, "
                f"{name} has {network.games} of {network.n}"
            )


def _groups(n: int, signs: bool) -> Iterator[tuple[dict[str, str], Callable[[Tensor], Tensor]]]:
    """Every combination of kind, sign and order, with the function that sums an amount over it."""
    kinds = [("both", slice(None)), *((kind, slice(i, i + 1)) for i, kind in enumerate(KINDS))]
    each_sign = [(sign, slice(i, i + 1)) for i, sign in enumerate(SIGNS)] if signs else []
    orders = [("all", slice(None)), *((str(m), slice(m, m + 1)) for m in range(1, n + 1))]
    for kind, k in kinds:
        for sign, s in [("both", slice(None)), *each_sign]:
            for order, m in orders:
                yield (
                    {"kind": kind, **({"sign": sign} if signs else {}), "order": order},
                    lambda amount, k=k, s=s, m=m: amount[:, k, s, m].sum((1, 2, 3)),  # type: ignore[misc]
                )


def orders_of(table: pd.DataFrame) -> list[str]:
    """The orders in the column `order` of a table, ascending, "all" last.

    >>> orders_of(pd.DataFrame({"order": ["all", "10", "9", "9"]}))
    ['9', '10', 'all']
    """
    return sorted(set(table.order), key=lambda order: float("inf") if order == "all" else int(order))
