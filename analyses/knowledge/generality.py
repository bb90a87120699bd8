"""Generality of interactions: in how many inputs and in how many networks the same interaction is salient."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import (
    amounts_table,
    by_sign_and_order,
    require_same_games,
)
from harsanyi.analyses.knowledge.change import (
    KnowledgeChange,
    knowledge_parts,
    salient_effects,
    shared_effects,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap, share_interval
from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, SIGNS, Interactions, coalition_masks
from harsanyi.interactions.effects.strength import Parts, by_order, split_by_sign

# Quantities of `found_table`.
OTHER_INPUTS, FOUND_PREFIX = "other_inputs", "found_in_"
# The amount of a network that each part of a change is a part of.
WHOLE_OF_PART = {"preserved": "all_before", "discarded": "all_before", "new": "all_after"}
# Largest number of points of a curve over the number of inputs.
MAX_CURVE_POINTS = 20


def generality_table(
    networks: Mapping[str, Interactions], threshold: float = SALIENT_THRESHOLD
) -> pd.DataFrame:
    """A row for each interaction that is salient in some input, with the inputs and networks that share it.

    An interaction is a kind, a coalition and a sign. Players must be the same places in all inputs, as the
    cells of a grid are. Superpixels, masks and words of different inputs share only their number.

    Args:
        networks: interactions of the same games by network (or by seed).
        threshold: of salience, in each network and game by itself.

    Returns:
        the most general interaction first: network, kind, players (numbers, spaces between), order, sign,
        inputs (number of inputs in which it is salient in this network), in_another (those of them in which
        it is salient in another network too), in_all (those in which it is salient in all networks), strength
        (Σ|I| over the inputs, in the unit of the score), games.

    Raises:
        ValueError: for different games or players.

    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 2.0]])
    >>> table = generality_table({"first": extract(v, And()), "second": extract(-v, And())})
    >>> table.loc[table.network == "first", ["players", "sign", "inputs", "in_another"]].values.tolist()
    [['0 1', 'positive', 2, 0], ['0', 'positive', 1, 0]]
    """
    require_same_games(networks)
    strengths = {
        name: split_by_sign(salient_effects(network, threshold)) for name, network in networks.items()
    }
    counts = torch.stack([strength > 0 for strength in strengths.values()]).sum(0)
    tables = [_rows_of(name, strength, counts, len(networks)) for name, strength in strengths.items()]
    return pd.concat(tables, ignore_index=True)


def _rows_of(name: str, strength: Parts, counts: Int64[Tensor, "..."], networks: int) -> pd.DataFrame:
    """The rows of one network; `counts` are the numbers of networks in which an effect is salient."""
    salient = strength > 0
    kind, sign, coalition = salient.any(0).nonzero(as_tuple=True)
    columns = {
        "inputs": salient.sum(0),
        "in_another": (salient & (counts > 1)).sum(0),
        "in_all": (salient & (counts == networks)).sum(0),
        "strength": strength.sum(0),
    }
    masks = coalition_masks(strength.shape[-1].bit_length() - 1, coalition.cpu()).numpy()
    table = pd.DataFrame(
        {
            "network": name,
            "kind": [KINDS[i] for i in kind.tolist()],
            "players": [" ".join(map(str, np.flatnonzero(mask))) for mask in masks],
            "order": masks.sum(1),
            "sign": [SIGNS[i] for i in sign.tolist()],
            **{column: sums[kind, sign, coalition].cpu().numpy() for column, sums in columns.items()},
            "games": len(strength),
        }
    )
    return table.sort_values(["inputs", "strength"], ascending=False, kind="stable")


def sharing_table(
    networks: Mapping[str, Interactions],
    threshold: float = SALIENT_THRESHOLD,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The share of each network's salient strength in interactions that are salient in k inputs or more.

    Σ_g Σ_{S: c(S) ≥ k} |I_g(S)| / Σ_g Σ_S |I_g(S)| over salient S, by order, where c(S) is the number of
    inputs in which the same kind, coalition and sign is salient in the network. The share is 1 at k = 1. Only
    for players that are the same places in all inputs, as the cells of a grid are. The intervals keep the
    counts c fixed.

    Args:
        networks: interactions of the same games by network.
        threshold: of salience.
        bootstrap: of the intervals over games.

    Returns:
        columns network, order ("all", "1" … "n"), inputs (k, at most 20 values from 1 to the number of
        games), value, low, high, games. NaN where an order has no strength.

    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 1.0, 4.0], [0.0, 0.0, 0.0, 2.0]])
    >>> table = sharing_table({"network": extract(v, And())})
    >>> table[table.order == "all"][["inputs", "value"]].values.round(3).tolist()  # {0} is in one input
    [[1.0, 1.0], [2.0, 0.833]]
    """
    require_same_games(networks)
    tables = []
    for name, network in networks.items():
        strength = split_by_sign(salient_effects(network, threshold))
        counts = (strength > 0).sum(0)
        steps = np.unique(
            np.linspace(1, network.games, min(network.games, MAX_CURVE_POINTS)).round().astype(int)
        )
        whole = _order_sums(strength, network.orders)
        shared = [
            _order_sums(torch.where(counts >= k, strength, 0.0), network.orders) for k in steps.tolist()
        ]
        intervals = share_interval(np.concatenate(shared, 1), np.tile(whole, len(steps)), bootstrap=bootstrap)
        orders = ["all", *map(str, range(1, network.n + 1))]
        table = pd.DataFrame(map(vars, intervals))
        table.insert(0, "inputs", np.repeat(steps, len(orders)))
        table.insert(0, "order", orders * len(steps))
        table.insert(0, "network", name)
        tables.append(table.assign(games=network.games))
    return pd.concat(tables, ignore_index=True)


def found_table(
    networks: Mapping[str, Interactions],
    change: KnowledgeChange | None = None,
    threshold: float = SALIENT_THRESHOLD,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The share of a network's salient strength that other networks and other inputs have too.

    found_in_B of A: Σ min(|I_A|, |I_B|) / Σ |I_A| over the interactions that are salient in A; the minimum
    counts where the interaction is salient in B on the same input with the same sign. other_inputs: the mean,
    weighted by strength, of (c(S) − 1) / (games − 1), the share of the other inputs in which the same kind,
    coalition and sign is salient; only for players that are the same places in all inputs.

    Args:
        networks: interactions of the same games by network.
        change: for rows of its preserved, discarded and new parts. Their found_in_ compares with networks
            other than the two of the change. Their other_inputs uses the counts of the network that they are
            a part of (before for preserved), so that preserved and discarded average to before.
        threshold: of salience.
        bootstrap: of the intervals over games; the counts c are fixed.

    Returns:
        columns network (or part), quantity, kind, sign, order, value, low, high, games. No other_inputs for
        a single game.

    Raises:
        ValueError: for different games or players.

    >>> from harsanyi.interactions import And, extract
    >>> first, second = (extract(torch.tensor([[0.0, 0.0, 1.0, v]]), And()) for v in (4.0, 2.0))
    >>> table = found_table({"first": first, "second": second})
    >>> table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")].value.tolist()
    [0.5, 1.0]
    """
    require_same_games(networks)
    salient = {name: salient_effects(network, threshold) for name, network in networks.items()}
    # Name of the row, effects, the network they are a part of, names of the networks to compare with.
    rows = [(name, effects, effects, set(networks) - {name}) for name, effects in salient.items()]
    if change is not None:
        parts = knowledge_parts(change.before, change.after, None, threshold=change.threshold)
        compared = {id(change.before), id(change.after)}
        others = {name for name, network in networks.items() if id(network) not in compared}
        rows += [(part, parts[part], parts[whole], others) for part, whole in WHOLE_OF_PART.items()]
    orders = next(iter(networks.values())).orders
    tables = []
    for name, effects, whole, others in rows:
        strength = by_sign_and_order(effects, orders)
        quantities = {
            f"{FOUND_PREFIX}{other}": (
                by_sign_and_order(shared_effects(effects, salient[other]), orders),
                strength,
            )
            for other in salient
            if other in others
        }
        if len(effects) > 1:
            quantities[OTHER_INPUTS] = by_order(_shared_strength(effects, whole), orders), strength
        if quantities:
            table = amounts_table(quantities, bootstrap=bootstrap)
            table.insert(0, "network", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _shared_strength(effects: Tensor, whole: Tensor) -> Parts:
    """Strength times the share of other inputs in which the effect of `whole` is salient with that sign."""
    counts = (split_by_sign(whole) > 0).sum(0)
    return split_by_sign(effects) * ((counts - 1).clamp_min(0) / (len(effects) - 1)).double()


def _order_sums(strength: Parts, orders: Int64[Tensor, " coalitions"]) -> Float64[np.ndarray, "games orders"]:
    """Sums over all orders, then over each order from 1, for each game."""
    sums = by_order(strength, orders).sum((1, 2))[:, 1:]
    return torch.cat([sums.sum(1, keepdim=True), sums], dim=1).cpu().numpy()
