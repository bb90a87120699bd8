"""Tables of interactions: a row for each game, or for each effect with a range."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, Interactions, coalition_masks

RANGE_COLUMNS = ("effect", "low", "high", "lowest", "highest")


def games_table(
    networks: Mapping[str, Interactions], inputs: Sequence[str], threshold: float = SALIENT_THRESHOLD
) -> pd.DataFrame:
    """A row for each network and input: strength, salient count, what is unexplained, and the certified gap.

    Args:
        networks: interactions of the same games by network.
        inputs: what the games' inputs are called.
        threshold: of salience.

    Returns:
        columns network, game, input, strength (Σ|I|, in the unit of the score), salient (count), residual
        (the largest |v − what the interactions add up to|), gap (empty without a sparse method).
    """
    rows = [
        pd.DataFrame(
            {
                "network": name,
                "game": range(found.games),
                "input": inputs,
                "strength": found.effects.abs().sum((1, 2)),
                "salient": found.salient(threshold).count(),
                "residual": found.residual.abs().amax(1),
                "gap": np.nan if found.gap is None else found.gap,
            }
        )
        for name, found in networks.items()
    ]
    return pd.concat(rows, ignore_index=True)


def ranges_table(networks: Mapping[str, Interactions], inputs: Sequence[str]) -> pd.DataFrame:
    """A row for each of the strongest interactions whose range was asked for.

    Returns:
        columns network, game, input, kind, players (numbers, spaces between), order, effect, low and high
        (met), lowest and highest (certified), as in `EffectRanges`.
    """
    return pd.concat(
        [_ranges_of(name, found, inputs) for name, found in networks.items() if found.ranges is not None],
        ignore_index=True,
    )


def _ranges_of(name: str, found: Interactions, inputs: Sequence[str]) -> pd.DataFrame:
    ranges = found.ranges
    assert ranges is not None
    top = ranges.effect.shape[1]
    masks = coalition_masks(found.n, ranges.coalition.flatten())
    players = [np.flatnonzero(mask) for mask in masks.numpy()]
    return pd.DataFrame(
        {
            "network": name,
            "game": np.repeat(np.arange(found.games), top),
            "input": np.repeat(np.asarray(inputs, dtype=object), top),
            "kind": [KINDS[kind] for kind in ranges.kind.flatten().tolist()],
            "players": [" ".join(map(str, one)) for one in players],
            "order": [len(one) for one in players],
            **{part: getattr(ranges, part).flatten() for part in RANGE_COLUMNS},
        }
    )
