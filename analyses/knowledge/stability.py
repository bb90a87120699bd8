"""Stability of knowledge: on noisy, shifted or differently divided inputs, beside the original inputs."""

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
    share_interval,
)
from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, Interactions, reconstruct

BOUNDS = ("value", "low", "high")


def stability_table(
    clean: Mapping[str, Interactions],
    varied: Mapping[str, Interactions],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The similarity of each network's interactions on original and on varied inputs: Σ min / Σ max.

    The measure is `similarity`, coalition by coalition, so the players must be the same on both.

    Args:
        clean: interactions on the original inputs, by network.
        varied: interactions on the varied inputs, by network and in the same order of inputs.
        bootstrap: of the intervals over games.

    Returns:
        columns network, kind, order, value, low, high, games.

    >>> from harsanyi.interactions import And, extract
    >>> clean, noisy = ({"net": extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And())} for v in (5.0, 3.0))
    >>> stability_table(clean, noisy).value.tolist()[0]
    0.6
    """
    tables = [
        similarity(clean[name], network, bootstrap=bootstrap).assign(network=name)
        for name, network in varied.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["network", *table.columns[:-1]]]


def shares_table(
    change: KnowledgeChange, clean: KnowledgeChange, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """The shares of a knowledge change on varied inputs or with other players, beside the original shares.

    Args:
        change: on the varied inputs.
        clean: on the original inputs, in the same order; number and kind of players may differ.
        bootstrap: of the intervals over games.

    Returns:
        columns quantity (preserved_share, …), kind ("both", "and", "or"), value, low, high, difference (value
        less the original value), difference_low, difference_high (paired: both on the same resampled inputs),
        p (of the difference), games. All orders and signs together.

    Raises:
        ValueError: if the two have different numbers of games.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after, varied = (extract(torch.tensor([[0.0, 0.0, 0.0, v]]), And()) for v in (4.0, 2.0, 3.0))
    >>> table = shares_table(compare(before, varied), compare(before, after))
    >>> table.loc[:0, ["quantity", "value", "difference"]].values.tolist()
    [['preserved_share', 0.75, 0.25]]
    """
    if change.games != clean.games:
        raise ValueError(
            f"expected changes of the same inputs, got {change.games} and {clean.games} games: select the "
            "same inputs for both"
        )
    tables = []
    for quantity, names in (SHARE_AMOUNTS | SCRATCH_SHARE_AMOUNTS).items():
        amounts = [[getattr(shares, name) for name in names] for shares in (change, clean)]
        if any(amount is None for pair in amounts for amount in pair):
            continue
        varied, original = [(_by_kind(part), _by_kind(whole)) for part, whole in amounts]
        values = pd.DataFrame(map(vars, share_interval(*varied, bootstrap=bootstrap)))
        intervals = ratio_difference_interval(varied, original, bootstrap=bootstrap)
        differences = pd.DataFrame(map(vars, intervals))
        columns = dict(zip(BOUNDS, ("difference", "difference_low", "difference_high"), strict=True))
        table = pd.concat([values, differences.rename(columns=columns)], axis=1)
        table.insert(0, "kind", ["both", *KINDS])
        table.insert(0, "quantity", quantity)
        tables.append(table.assign(games=change.games))
    return pd.concat(tables, ignore_index=True)


def _by_kind(amount: Amount) -> Float64[np.ndarray, "games columns"]:
    """Strength of both kinds together, of AND and of OR, for each game."""
    kinds = amount.sum((2, 3))
    return torch.cat([kinds.sum(1, keepdim=True), kinds], dim=1).cpu().numpy()


def approximation_table(
    networks: Mapping[str, Interactions],
    threshold: float = SALIENT_THRESHOLD,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How well salient interactions alone explain the scores of all masked versions of the inputs.

    error: √(Σ_g mean_T (v_g(T) − v̂_g(T))² / Σ_g var_T v_g(T)), where v̂ is the sum of the salient interactions
    and the constants of the empty coalition. 0 is exact, 1 no better than the mean score of each input. The
    weight of a game is its variance. salient: number of salient interactions, mean over games.

    Args:
        networks: interactions by network.
        threshold: of salience.
        bootstrap: of the intervals over games.

    Returns:
        columns network, quantity ("error", "salient"), value, low, high, games. The error is NaN where the
        scores do not vary.

    >>> from harsanyi.interactions import And, extract
    >>> interactions = extract(torch.tensor([[0.0, 0.0, 0.0, 4.0]]), And())
    >>> approximation_table({"net": interactions}).value.tolist()
    [0.0, 1.0]
    """
    rows = []
    for name, network in networks.items():
        squares = [each[:, None] for each in unexplained(network, threshold)]
        (squared,) = ratio_interval(*squares, least=0.0, bootstrap=bootstrap)
        # The square root is monotonic, so it maps the bounds to bounds.
        error = {bound: float(np.sqrt(getattr(squared, bound))) for bound in BOUNDS}
        counts = network.salient(threshold).count().double()[:, None].cpu().numpy()
        (count,) = mean_interval(counts, least=0.0, bootstrap=bootstrap)
        rows += [
            {"network": name, "quantity": quantity, **bounds, "games": network.games}
            for quantity, bounds in (("error", error), ("salient", vars(count)))
        ]
    return pd.DataFrame(rows)


def unexplained(
    network: Interactions, threshold: float = SALIENT_THRESHOLD
) -> tuple[Float64[np.ndarray, " games"], Float64[np.ndarray, " games"]]:
    """The mean square of what salient interactions leave of the scores, and the scores' variance, by game.

    Args:
        network: interactions.
        threshold: of salience.

    >>> from harsanyi.interactions import And, extract
    >>> [part.tolist() for part in unexplained(extract(torch.tensor([[0.0, 0.0, 0.0, 4.0]]), And()))]
    [[0.0], [3.0]]
    """
    part = network.only(network.salient(threshold))
    residual = network.v - reconstruct(part.and_, part.or_)
    variance = network.v.var(1, correction=0)
    return (residual**2).mean(1).cpu().numpy(), variance.cpu().numpy()
