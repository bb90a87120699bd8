"""The networks of a run with players merged: measures, and what the strongest interactions consist of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.similarity import similarity_amounts
from harsanyi.analyses.partitions.measures import ALL, Measure, change_measures, order_measures
from harsanyi.analyses.partitions.merges import Merge
from harsanyi.interactions import (
    Interaction,
    Interactions,
    Method,
    constituents,
    extract_each,
    merge_players,
)
from harsanyi.interactions.effects.method_words import is_sparsest
from harsanyi.shown import signed

# The strongest interactions of each input that are looked for after a merge, and that are taken apart.
TOP, TAKEN_APART = 5, 3
# Finer interactions that are named of each.
NAMED = 3


@dataclass(frozen=True)
class MergedRun:
    """The networks of a run after a merge.

    Attributes:
        merge: of the players.
        summed: the interactions of the run, summed: exact.
        split: what the method finds in the merged value tables; the same for methods without sparsity.
    """

    merge: Merge
    summed: dict[str, Interactions]
    split: dict[str, Interactions]


def merged_run(networks: Mapping[str, Interactions], merge: Merge, method: Method) -> MergedRun:
    """Merge players of all networks, without a forward.

    Args:
        networks: interactions by name.
        merge: of their players.
        method: that split them.

    Returns:
        their interactions, summed and split again.
    """
    summed = {}
    for name, network in networks.items():
        if len(merge.partitions) == 1:
            summed[name] = merge_players(network, merge.partitions[0])
        else:
            parts = [
                merge_players(network.select([game]), partition)
                for game, partition in enumerate(merge.partitions)
            ]
            summed[name] = Interactions.joined(parts)
    tables = {name: network.v for name, network in summed.items()}
    about = {name: network.about for name, network in summed.items()}
    return MergedRun(merge, summed, dict(extract_each(tables, method, about)))


def merge_measures(
    networks: Mapping[str, Interactions], merged: MergedRun, threshold: float
) -> list[Measure]:
    """What a merge keeps.

    summed_strength: Σ|I| of the summed interactions, by that before; what is missing cancelled.
    split_strength: that of the method's own split of the merged tables. agreement: Σ min / Σ max of the two.
    top_kept: of the strongest interactions of each input before, the share whose merged interaction is
    salient with the same sign.

    Args:
        networks: interactions before the merge, by name.
        merged: those after it.
        threshold: of salience.

    Returns:
        with the shares of the change and the orders, all of the method's split.
    """
    found = change_measures(compare(**merged.split, threshold=threshold))
    for name, network in networks.items():
        split, summed = merged.split[name], merged.summed[name]
        before = network.effects.abs().sum((1, 2)).numpy()
        found += order_measures(name, split, threshold)
        for quantity, after in (("summed_strength", summed), ("split_strength", split)):
            found.append(Measure(quantity, name, ALL, after.effects.abs().sum((1, 2)).numpy(), before))
        alike, whole = (amount.sum((1, 2, 3)).numpy() for amount in similarity_amounts(summed, split))
        found.append(Measure("agreement", name, ALL, alike, whole))
        kept = _top_kept(network, split, merged.merge, threshold)
        found.append(Measure("top_kept", name, ALL, kept, np.ones(network.games)))
    return found


def constituents_table(networks: Mapping[str, Interactions], merged: Sequence[MergedRun]) -> pd.DataFrame:
    """Of which finer interactions the strongest merged ones consist, in words.

    Args:
        networks: interactions before the merges, by name.
        merged: after them.

    Returns:
        columns variation, network, game, input, players (the merged ones in words), kind, effect (the exact
        sum), finer (how many interactions it consists of), cancelled (1 − |Σ I| / Σ|I| of these), strongest
        (its strongest finer interactions).
    """
    rows = [
        _taken_apart(run.merge, name, game, networks[name], summed, one)
        for run in merged
        for name, summed in run.summed.items()
        for game, strongest in enumerate(summed.top(TAKEN_APART))
        for one in strongest
        if one.order and one.effect
    ]
    columns = ["variation", "network", "game", "input", "players", "kind", "effect", "finer", "cancelled"]
    return pd.DataFrame(rows, columns=[*columns, "strongest"])


def _taken_apart(
    merge: Merge, name: str, game: int, finer: Interactions, summed: Interactions, one: Interaction
) -> dict[str, object]:
    """A merged interaction, and of which finer ones it consists."""
    # A sparse split has the OR of a single player as the AND that it is.
    both = one.order == 1 and is_sparsest(summed.method)
    parts = [
        part
        for part in constituents(finer, merge.of_game(game), one.players, game)
        if both or part.kind == one.kind
    ]
    whole = sum(abs(part.effect) for part in parts)
    named = [
        f"{part.kind.upper()}: {finer.about.together(part.players, game)} ({signed(part.effect)})"
        for part in parts[:NAMED]
    ]
    return {
        "variation": merge.name,
        "network": name,
        "game": game,
        "input": summed.about.input(game),
        "players": summed.about.together(one.players, game),
        "kind": one.kind,
        "effect": one.effect,
        "finer": len(parts),
        "cancelled": 1 - abs(one.effect) / whole,
        "strongest": "; ".join(named),
    }


def _top_kept(network: Interactions, split: Interactions, merge: Merge, threshold: float) -> np.ndarray:
    """Of the strongest interactions of each game, the share that is salient after it with the same sign."""
    salient, sparsest = split.salient(threshold), is_sparsest(split.method)
    n, kept = network.n, np.zeros(network.games)
    for game, strongest in enumerate(network.top(TOP)):
        images = merge.of_game(game).images
        for one in strongest:
            place = int(images[sum(1 << (n - 1 - player) for player in one.players)])
            of_and = one.kind == "and" or (sparsest and place.bit_count() == 1)
            mask, effects = (salient.and_, split.and_) if of_and else (salient.or_, split.or_)
            kept[game] += bool(mask[game, place]) and effects[game, place].item() * one.effect > 0
    return kept / TOP
