"""One game's interactions as shapiq's `InteractionValues`."""

from typing import Any

import numpy as np
from torch import Tensor

from harsanyi.interactions.effects.indices import banzhaf_interaction_indices
from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.effects.transforms import and_interactions, coalition_masks, reconstruct

# Of a table that is put together from its interactions again, as a share of its largest entry.
ROUNDING = 1e-9
OF_PLAYERS = ("SV", "BV")


def shapiq_values(interactions: Interactions, game: int, index: str, order: int | None) -> Any:
    """What `Interactions.to_shapiq` returns, with its errors.

    Args:
        interactions: of games.
        game: the number of one of them.
        index: shapiq's name of an index.
        order: the largest order of the index; None for the largest there is.

    Returns:
        shapiq's `InteractionValues`.
    """
    try:
        from shapiq.game_theory.moebius_converter import MoebiusConverter
    except ImportError as error:
        raise ImportError("to_shapiq needs shapiq: pip install 'harsanyi[shapiq]'") from error
    indices = ("Moebius", "BII", *MoebiusConverter.valid_indices)
    largest = 1 if index in OF_PLAYERS else interactions.n
    order = largest if order is None else order
    if index not in indices or not 1 <= order <= largest:
        raise ValueError(
            f"expected an index of {', '.join(indices)} and an order of 1 to {largest}; got {index!r} of "
            f"order {order}"
        )
    explained = reconstruct(interactions.and_[game], interactions.or_[game])
    left = (interactions.v[game] - explained).abs().max()
    estimated = bool(left > ROUNDING * interactions.v[game].abs().max())
    dividends = and_interactions(explained)
    if index == "BII":  # which shapiq does not convert to; of order 1 it calls them Banzhaf values
        banzhaf = banzhaf_interaction_indices(interactions.select([game]))[0]
        name = "BV" if order == 1 else index
        return _values(banzhaf, name, order, estimated, float(dividends[0]), smallest=1)
    if index == "Moebius":
        return _values(dividends, index, order, estimated, float(dividends[0]))
    moebius = _values(dividends, "Moebius", interactions.n, estimated, float(dividends[0]))
    convert: Any = MoebiusConverter(moebius)  # its index is typed as one of its literals
    values = convert(index, order)
    # shapiq's way to some indices forgets it.
    values.estimated, values.estimation_budget = moebius.estimated, moebius.estimation_budget
    return values


def _values(
    table: Tensor, index: str, order: int, estimated: bool, baseline: float, smallest: int = 0
) -> Any:
    """The entries of a table for coalitions of `smallest` to `order` players."""
    from shapiq import InteractionValues

    n = len(table).bit_length() - 1
    masks = coalition_masks(n).numpy()
    orders = masks.sum(1)
    shown = np.flatnonzero((smallest <= orders) & (orders <= order))
    return InteractionValues(
        values=table.cpu().numpy()[shown],
        index=index,
        max_order=order,
        n_players=n,
        min_order=smallest,
        interaction_lookup={tuple(np.flatnonzero(masks[s]).tolist()): i for i, s in enumerate(shown)},
        estimated=estimated,
        estimation_budget=2**n,
        baseline_value=baseline,
    )
