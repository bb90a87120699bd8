"""Tables of interactions: a row for each game, or a row for each effect with a range."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import measured
from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, Interactions, coalition_masks

RANGE_COLUMNS = ("effect", "low", "high", "lowest", "highest")


def games_table(
    networks: Mapping[str, Interactions], inputs: Sequence[str], threshold: float = SALIENT_THRESHOLD
) -> pd.DataFrame:
    """A row for each network and input: strength, salient count, residual and certified gap.

    Args:
        networks: interactions of the same games by network.
        inputs: the names of the games' inputs.
        threshold: of salience.

    Returns:
        columns network, game, input, strength (Σ|I|, in the unit of the score), salient (count), residual
        (the largest |v − sum of the interactions|), gap (NaN without a sparse method).
    """
    rows = []
    for name, network in networks.items():
        of_games = measured(partial(_of_games, threshold=threshold), network)
        columns = {column: values for column, (values,) in of_games.items()}
        gap = np.nan if network.gap is None else network.gap
        about = {"network": name, "game": range(network.games), "input": inputs}
        rows.append(pd.DataFrame({**about, **columns, "gap": gap}))
    return pd.concat(rows, ignore_index=True)


def _of_games(network: Interactions, threshold: float) -> dict[str, tuple[Tensor]]:
    """A number for each game, by column."""
    return {
        "strength": (network.effects.abs().sum((1, 2)),),
        "salient": (network.salient(threshold).count(),),
        "residual": (network.residual.abs().amax(1),),
    }


def ranges_table(networks: Mapping[str, Interactions], inputs: Sequence[str]) -> pd.DataFrame:
    """A row for each interaction with a range: the strongest of each game.

    Returns:
        columns network, game, input, kind, players (numbers, spaces between), order, effect, low and high
        (values that occur in a split), lowest and highest (certified bounds), as in `EffectRanges`.
    """
    return pd.concat(
        [
            _ranges_of(name, network, inputs)
            for name, network in networks.items()
            if network.ranges is not None
        ],
        ignore_index=True,
    )


def _ranges_of(name: str, network: Interactions, inputs: Sequence[str]) -> pd.DataFrame:
    """The rows of one network."""
    ranges = network.ranges
    assert ranges is not None
    count = ranges.effect.shape[1]
    masks = coalition_masks(network.n, ranges.coalition.flatten())
    players = [np.flatnonzero(mask) for mask in masks.numpy()]
    return pd.DataFrame(
        {
            "network": name,
            "game": np.repeat(np.arange(network.games), count),
            "input": np.repeat(np.asarray(inputs, dtype=object), count),
            "kind": [KINDS[kind] for kind in ranges.kind.flatten().tolist()],
            "players": [" ".join(map(str, numbers)) for numbers in players],
            "order": [len(numbers) for numbers in players],
            **{part: getattr(ranges, part).flatten() for part in RANGE_COLUMNS},
        }
    )
