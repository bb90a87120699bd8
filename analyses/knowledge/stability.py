"""How stable knowledge is: noisy, shifted and differently divided inputs against the inputs as they are."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64

from harsanyi.analyses.knowledge.amounts import Amount
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.knowledge.similarity import similarity
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    mean_interval,
    ratio_difference_interval,
    ratio_interval,
)
from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, Interactions, reconstruct

BOUNDS = ("value", "low", "high")


def stability_table(
    clean: Mapping[str, Interactions],
    varied: Mapping[str, Interactions],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How alike each network's interactions are on inputs as they are and on varied ones: Σ min / Σ max.

    The measure is `similarity`, coalition by coalition: the players must be the same on both.

    Args:
        clean, varied: interactions by network, game i of both from the same input.
        bootstrap: of the intervals.

    Returns:
        columns network, kind, order, value, low, high, games.

    >>> from harsanyi.interactions import And, extract
    >>> clean, noisy = ({"net": extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And())} for v in (5.0, 3.0))
    >>> stability_table(clean, noisy).value.tolist()[0]
    0.6
    """
    tables = [
        similarity(clean[name], one, bootstrap=bootstrap).assign(network=name) for name, one in varied.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["network", *table.columns[:-1]]]


def shares_table(
    change: KnowledgeChange, clean: KnowledgeChange, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """The shares of a knowledge change on varied inputs or with other players, beside the clean ones.

    Args:
        change: on the varied inputs.
        clean: on the same inputs as they are, game by game; number and kind of players may differ.
        bootstrap: of the intervals.

    Returns:
        columns quantity (preserved_share, …), kind ("both", "and", "or"), value, low, high, difference,
        difference_low, difference_high (value less the clean one, the inputs resampled in pairs), games. All
        orders and signs together.

    Raises:
        ValueError: if the two have different numbers of games.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> one, two, three = (extract(torch.tensor([[0.0, 0.0, 0.0, v]]), And()) for v in (4.0, 2.0, 3.0))
    >>> table = shares_table(compare(one, three), compare(one, two))
    >>> table.loc[:0, ["quantity", "value", "difference"]].values.tolist()
    [['preserved_share', 0.75, 0.25]]
    """
    if change.games != clean.games:
        raise ValueError(
            f"expected changes of the same inputs, got {change.games} and {clean.games} games; select them"
        )
    tables = []
    for quantity, names in (SHARE_AMOUNTS | SCRATCH_SHARE_AMOUNTS).items():
        amounts = [[getattr(one, name) for name in names] for one in (change, clean)]
        if any(amount is None for pair in amounts for amount in pair):
            continue
        here, there = [(_by_kind(above), _by_kind(below)) for above, below in amounts]
        values = pd.DataFrame(map(vars, ratio_interval(*here, bootstrap=bootstrap)))
        differences = pd.DataFrame(map(vars, ratio_difference_interval(here, there, bootstrap=bootstrap)))
        columns = dict(zip(BOUNDS, ("difference", "difference_low", "difference_high"), strict=True))
        table = pd.concat([values, differences.rename(columns=columns)], axis=1)
        table.insert(0, "kind", ["both", *KINDS])
        table.insert(0, "quantity", quantity)
        tables.append(table.assign(games=change.games))
    return pd.concat(tables, ignore_index=True)


def _by_kind(amount: Amount) -> Float64[np.ndarray, "games columns"]:
    """Both kinds together, AND, OR; a row a game."""
    kinds = amount.sum((2, 3))
    return torch.cat([kinds.sum(1, keepdim=True), kinds], dim=1).cpu().numpy()


def approximation_table(
    networks: Mapping[str, Interactions],
    threshold: float = SALIENT_THRESHOLD,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How well salient interactions alone explain the outputs on all masked versions of the inputs.

    error: √(Σ_g mean_T (v_g(T) − v̂_g(T))² / Σ_g var_T v_g(T)), where v̂ is what the salient interactions and
    the constants of the empty coalition add up to: 0 is exact, 1 no better than each input's mean output.
    A game weighs as much as its spread. salient: how many there are, mean a game.

    Args:
        networks: interactions by network.
        threshold: of salience.
        bootstrap: of the intervals.

    Returns:
        columns network, quantity ("error", "salient"), value, low, high, games. The error is NaN where the
        outputs do not vary.

    >>> from harsanyi.interactions import And, extract
    >>> found = extract(torch.tensor([[0.0, 0.0, 0.0, 4.0]]), And())
    >>> approximation_table({"net": found}).value.tolist()
    [0.0, 1.0]
    """
    rows = []
    for name, one in networks.items():
        salient = one.salient(threshold)
        kept = one.only(salient)
        missed = ((one.v - reconstruct(kept.and_, kept.or_)) ** 2).mean(1, keepdim=True).cpu().numpy()
        spread = one.v.var(1, correction=0, keepdim=True).cpu().numpy()
        # The root of an interval's bounds bounds the root.
        (squared,) = ratio_interval(missed, spread, bootstrap=bootstrap)
        error = {bound: float(np.sqrt(getattr(squared, bound))) for bound in BOUNDS}
        (count,) = mean_interval(salient.count().double()[:, None].cpu().numpy(), bootstrap=bootstrap)
        rows += [
            {"network": name, "quantity": quantity, **bounds, "games": one.games}
            for quantity, bounds in (("error", error), ("salient", vars(count)))
        ]
    return pd.DataFrame(rows)
