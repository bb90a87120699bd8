"""How general interactions are: in how many inputs, and in how many networks, the same one is salient."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import (
    Parts,
    amounts_table,
    by_order,
    require_same_games,
    split_by_sign,
)
from harsanyi.analyses.knowledge.change import (
    KnowledgeChange,
    knowledge_parts,
    salient_effects,
    shared_effects,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_interval
from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, SIGNS, Interactions, coalition_masks

OTHER_INPUTS, FOUND = "other_inputs", "found_in_"
# Points of a curve over the number of inputs.
MOST_COUNTS = 20


def generality_table(
    networks: Mapping[str, Interactions], threshold: float = SALIENT_THRESHOLD
) -> pd.DataFrame:
    """A row for each interaction that is salient in some input: where else it is, with the same sign.

    An interaction is a kind, a coalition and a sign. Players must be the same places in all inputs, the cells
    of a grid: superpixels, masks and words of different inputs share nothing but their number.

    Args:
        networks: interactions of the same games by network (or by seed).
        threshold: of salience, in each network and game by itself.

    Returns:
        the most general first: network, kind, players (numbers, spaces between), order, sign, inputs (how
        many have it in this network), in_another and in_all (how many of these have it in at least one other
        network, in all networks), strength (Σ|I| over these inputs, in the unit of the score), games.

    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 2.0]])
    >>> table = generality_table({"one": extract(v, And()), "other": extract(-v, And())})
    >>> table.loc[table.network == "one", ["players", "sign", "inputs", "in_another"]].values.tolist()
    [['0 1', 'positive', 2, 0], ['0', 'positive', 1, 0]]
    """
    require_same_games(networks)
    salient = {name: split_by_sign(salient_effects(one, threshold)) for name, one in networks.items()}
    has = torch.stack([strength > 0 for strength in salient.values()]).sum(0)
    tables = [_rows_of(name, strength, has, len(networks)) for name, strength in salient.items()]
    return pd.concat(tables, ignore_index=True)


def _rows_of(name: str, strength: Parts, has: Int64[Tensor, "..."], networks: int) -> pd.DataFrame:
    """One network's rows; `has` counts the networks in which an effect is salient."""
    there = strength > 0
    kind, sign, coalition = there.any(0).nonzero(as_tuple=True)
    counts = {
        "inputs": there.sum(0),
        "in_another": (there & (has > 1)).sum(0),
        "in_all": (there & (has == networks)).sum(0),
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
            **{column: one[kind, sign, coalition].cpu().numpy() for column, one in counts.items()},
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
    """The share of each network's salient strength in interactions that at least k inputs have, by order.

    Σ_g Σ_{S: c(S) ≥ k} |I_g(S)| / Σ_g Σ_S |I_g(S)| over salient S, where c(S) counts the inputs in which the
    same kind, coalition and sign is salient in the network; 1 at k = 1. Only for players that are the same
    places in all inputs, the cells of a grid. The intervals take the counts c as they are: they say how the
    share would vary over other inputs of such counts.

    Args:
        networks: interactions of the same games by network.
        threshold: of salience.
        bootstrap: of the intervals.

    Returns:
        columns network, order ("all", "1" … "n"), inputs (k, at most 20 values from 1 to the number of
        games), value, low, high, games. NaN where an order has no strength.

    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 1.0, 4.0], [0.0, 0.0, 0.0, 2.0]])
    >>> table = sharing_table({"one": extract(v, And())})
    >>> table[table.order == "all"][["inputs", "value"]].values.round(3).tolist()  # {0} is in one input
    [[1.0, 1.0], [2.0, 0.833]]
    """
    require_same_games(networks)
    tables = []
    for name, one in networks.items():
        strength = split_by_sign(salient_effects(one, threshold))
        counts = (strength > 0).sum(0)
        steps = np.unique(np.linspace(1, one.games, min(one.games, MOST_COUNTS)).round().astype(int))
        whole = _order_sums(strength, one.orders)
        above = [_order_sums(torch.where(counts >= k, strength, 0.0), one.orders) for k in steps.tolist()]
        found = ratio_interval(np.concatenate(above, 1), np.tile(whole, len(steps)), bootstrap=bootstrap)
        orders = ["all", *map(str, range(1, one.n + 1))]
        table = pd.DataFrame(map(vars, found))
        table.insert(0, "inputs", np.repeat(steps, len(orders)))
        table.insert(0, "order", orders * len(steps))
        table.insert(0, "network", name)
        tables.append(table.assign(games=one.games))
    return pd.concat(tables, ignore_index=True)


def found_table(
    networks: Mapping[str, Interactions],
    change: KnowledgeChange | None = None,
    threshold: float = SALIENT_THRESHOLD,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How much of a network's salient strength is found elsewhere: in other networks, in other inputs.

    found_in_B of A: Σ min(|I_A|, |I_B|) / Σ |I_A| over the interactions salient in A, the minimum where it is
    salient in B on the same input with the same sign, else 0. other_inputs: the mean, weighted by strength,
    of (c(S) − 1) / (games − 1), the share of the other inputs that have the same kind, coalition and sign
    among their salient ones; only for players that are the same places in all inputs.

    Args:
        networks: interactions of the same games by network.
        change: tells preserved, discarded and new parts apart. Their `found_in_` are other networks than the
            change's two; their `other_inputs` take the counts of the network they are a part of (before for
            the preserved), so that those of preserved and discarded average to that of before.
        threshold: of salience.
        bootstrap: of the intervals. The counts c are held fixed.

    Returns:
        columns network (or part), quantity, kind, sign, order, value, low, high, games. No other_inputs for
        one game.

    >>> from harsanyi.interactions import And, extract
    >>> one, other = (extract(torch.tensor([[0.0, 0.0, 1.0, v]]), And()) for v in (4.0, 2.0))
    >>> table = found_table({"one": one, "other": other})
    >>> table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")].value.tolist()
    [0.5, 1.0]
    """
    require_same_games(networks)
    salient = {name: salient_effects(one, threshold) for name, one in networks.items()}
    wholes = [(name, one, one, set(networks) - {name}) for name, one in salient.items()]
    if change is not None:
        parts = knowledge_parts(change.before, change.after, None, threshold=change.threshold)
        compared = {id(change.before), id(change.after)}
        others = {name for name, one in networks.items() if id(one) not in compared}
        wholes += [
            (part, parts[part], parts[whole], others)
            for part, whole in (
                ("preserved", "all_before"),
                ("discarded", "all_before"),
                ("new", "all_after"),
            )
        ]
    orders = next(iter(networks.values())).orders
    tables = []
    for name, effects, whole, others in wholes:
        strength = by_order(split_by_sign(effects), orders)
        quantities = {
            f"{FOUND}{other}": shared_effects(effects, one)
            for other, one in salient.items()
            if other in others
        }
        measured = {key: (by_order(split_by_sign(one), orders), strength) for key, one in quantities.items()}
        if len(effects) > 1:
            measured[OTHER_INPUTS] = by_order(_elsewhere(effects, whole), orders), strength
        if measured:
            table = amounts_table(measured, bootstrap=bootstrap)
            table.insert(0, "network", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _elsewhere(effects: Tensor, whole: Tensor) -> Parts:
    """Strength times the share of other inputs in which the whole's effect is salient with that sign."""
    counts = (split_by_sign(whole) > 0).sum(0)
    return split_by_sign(effects) * ((counts - 1).clamp_min(0) / (len(effects) - 1)).double()


def _order_sums(strength: Parts, orders: Int64[Tensor, " coalitions"]) -> Float64[np.ndarray, "games orders"]:
    """Sums over all orders and over each from 1 on, a row a game."""
    sums = by_order(strength, orders).sum((1, 2))[:, 1:]
    return torch.cat([sums.sum(1, keepdim=True), sums], dim=1).cpu().numpy()
