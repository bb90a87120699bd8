"""What is measured on each input: ratios of sums over inputs, with their differences to the run as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.analyses.knowledge.change import (
    SCRATCH_SHARE_AMOUNTS,
    SHARE_AMOUNTS,
    KnowledgeChange,
    salient_effects,
)
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    ratio_difference_interval,
    ratio_interval,
    within,
)
from harsanyi.interactions import Interactions, connected
from harsanyi.interactions.game.neighbours import Adjacency, neighbouring_pairs

# All orders of two players and more.
ALL = "all"
# Of the networks together, as shares of their knowledge are.
OF_CHANGE = ""
# What no value can be below and above; the others have no upper bound.
SHARES = ("joint_share", "neighbour_share", "connected_share", "top_kept", "agreement")
IN_BOUNDS = dict.fromkeys((*SHARE_AMOUNTS, *SCRATCH_SHARE_AMOUNTS, *SHARES), (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Measure:
    """A ratio of sums over inputs.

    Attributes:
        quantity: its name.
        network: of which it is; "" of a change from one to the other.
        order: "2", "3", …, or "all" for all of two players and more.
        above, below: what is summed, `(games,)`.
        by_chance: what is summed in place of `above` where strength knows no neighbours; None for quantities
            without chance.
    """

    quantity: str
    network: str
    order: str
    above: np.ndarray
    below: np.ndarray
    by_chance: np.ndarray | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """By which measures of the same are paired."""
        return self.quantity, self.network, self.order

    @property
    def chance(self) -> float:
        """Its value by chance; NaN where there is none."""
        whole = self.below.sum()
        return float(self.by_chance.sum() / whole) if self.by_chance is not None and whole else np.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """What no value can be below and above."""
        return IN_BOUNDS.get(self.quantity, (0.0, np.inf))


def change_measures(change: KnowledgeChange) -> list[Measure]:
    """The shares of a knowledge change.

    Args:
        change: of any players.
    """
    found = []
    for name, (part, whole) in (SHARE_AMOUNTS | SCRATCH_SHARE_AMOUNTS).items():
        amounts = [getattr(change, amount) for amount in (part, whole)]
        if all(amount is not None for amount in amounts):
            above, below = (amount.sum((1, 2, 3)).cpu().numpy() for amount in amounts)
            found.append(Measure(name, OF_CHANGE, ALL, above, below))
    return found


def order_measures(name: str, network: Interactions, threshold: float) -> list[Measure]:
    """How much of the salient strength is of two players and more, and the mean order.

    Args:
        name: of the network.
        network: its interactions.
        threshold: of salience.

    Returns:
        joint_share and mean_order, of all games.
    """
    strength, orders = _strength(network, threshold), network.orders.double()
    whole = _numbers(strength.sum(1))
    return [
        Measure("joint_share", name, ALL, _numbers((strength * (orders > 1)).sum(1)), whole),
        Measure("mean_order", name, ALL, _numbers((strength * orders).sum(1)), whole),
    ]


def neighbour_measures(
    name: str, network: Interactions, adjacencies: Sequence[Adjacency], threshold: float
) -> list[Measure]:
    """How much of the salient strength of two players and more is between neighbours.

    neighbour_share: each interaction counts with the share of neighbours among its pairs of players.
    connected_share: it counts where all its players hang together. neighbour_lift and connected_lift are
    these by their values for coalitions of the same orders at random. strength: the mean over inputs.

    Args:
        name: of the network.
        network: its interactions.
        adjacencies: which players are neighbours, one for all games or one each.
        threshold: of salience.

    Returns:
        by order and of all orders.
    """
    strength, orders = _strength(network, threshold).cpu(), network.orders.cpu()
    tables = {
        "neighbour": torch.stack([neighbouring_pairs(one) for one in adjacencies]),
        "connected": torch.stack([connected(one).double() for one in adjacencies]),
    }
    found = []
    for order in (ALL, *map(str, range(2, network.n + 1))):
        of_order = orders > 1 if order == ALL else orders == int(order)
        here = strength * of_order
        whole = _numbers(here.sum(1))
        found.append(Measure("strength", name, order, whole, np.ones(network.games)))
        for what, table in tables.items():
            above = _numbers((here * table).sum(1))
            chance = _numbers((here * _mean_of_orders(table, orders)).sum(1))
            found.append(Measure(f"{what}_share", name, order, above, whole, by_chance=chance))
            found.append(Measure(f"{what}_lift", name, order, above, chance))
    return found


def mean_measures(measured: Sequence[Sequence[Measure]]) -> list[Measure]:
    """The mean over several partitions of the same inputs: sums of each input are averaged.

    Args:
        measured: what each partition measures, in one order.
    """
    found = []
    for same in zip(*measured, strict=True):
        above, below = (np.mean([getattr(one, part) for one in same], 0) for part in ("above", "below"))
        found.append(replace(same[0], above=above, below=below))
    return found


def measures_table(
    measured: Mapping[str, Sequence[Measure]],
    groups: Mapping[str, str],
    clean: Sequence[Measure],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """All measures with their intervals, and their paired differences to those of the run as it is.

    Args:
        measured: by name of the variation.
        groups: of the variations.
        clean: those of the run as it is.
        bootstrap: of the intervals over inputs.

    Returns:
        columns variation, group, network, quantity, order, value, low, high, chance, difference,
        difference_low, difference_high, p, games; differences are NaN where the run itself has no such
        quantity.

    >>> ones = np.ones(4)
    >>> clean, varied = ([Measure("new_share", "", "all", part * ones, ones)] for part in (0.5, 0.75))
    >>> table = measures_table({"blur": varied}, {"blur": "shift"}, clean)
    >>> table[["variation", "value", "difference"]].values.tolist()
    [['blur', 0.75, 0.25]]
    """
    there = {one.key: one for one in clean}
    rows = [(name, one) for name, measures in measured.items() for one in measures]
    if not rows:
        return pd.DataFrame()
    above, below = (np.stack([getattr(one, part) for _, one in rows], 1) for part in ("above", "below"))
    pairs = [there.get(one.key, one) for _, one in rows]
    second = [np.stack([getattr(one, part) for one in pairs], 1) for part in ("above", "below")]
    values = ratio_interval(above, below, bootstrap=bootstrap)
    differences = ratio_difference_interval((above, below), (second[0], second[1]), bootstrap=bootstrap)
    found = []
    for (name, one), value, less in zip(rows, values, differences, strict=True):
        inside = within(value, *one.bounds)
        same = one.key not in there or there[one.key] is one
        found.append(
            {"variation": name, "group": groups[name], "network": one.network, "quantity": one.quantity}
            | {"order": one.order, **vars(inside), "chance": one.chance}
            | {
                column: np.nan if same else getattr(less, bound)
                for column, bound in (
                    *(("difference", "value"), ("difference_low", "low")),
                    *(("difference_high", "high"), ("p", "p")),
                )
            }
            | {"games": len(one.above)}
        )
    return pd.DataFrame(found)


def _strength(network: Interactions, threshold: float) -> Float64[Tensor, "games coalitions"]:
    """The salient strength of AND and OR together."""
    return salient_effects(network, threshold).abs().sum(1)


def _mean_of_orders(table: Tensor, orders: Tensor) -> Tensor:
    """The mean over all coalitions of an order, at each of them."""
    bins = torch.zeros(len(table), int(orders.max()) + 1, dtype=torch.float64)
    sums = bins.index_add(1, orders, table)
    counts = torch.bincount(orders).double()
    return (sums / counts)[:, orders]


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
