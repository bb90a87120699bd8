"""Shapley and Banzhaf values and Shapley interaction indices, computed from AND and OR interactions.

Both kinds share their effect evenly: an OR is worth its effect to whoever comes first, as an AND to whoever
comes last. So each index is one weighted sum per kind.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.effects.transforms import coalition_masks, superset_sums


def shapley_values(interactions: Interactions) -> Float64[Tensor, "games players"]:
    """Shapley values φ_i = Σ_{S∋i} (I_and(S) + I_or(S)) / |S| (Harsanyi 1963).

    >>> from harsanyi.interactions import And, extract
    >>> shapley_values(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())).tolist()
    [[2.5, 2.5]]
    """
    return _shared(interactions, 1 / interactions.orders.clamp_min(1).double())


def banzhaf_values(interactions: Interactions) -> Float64[Tensor, "games players"]:
    """Banzhaf values β_i = Σ_{S∋i} (I_and(S) + I_or(S)) / 2^{|S|−1} (Grabisch 2000).

    >>> from harsanyi.interactions import And, extract
    >>> banzhaf_values(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())).tolist()
    [[2.5, 2.5]]
    """
    return _shared(interactions, 2.0 ** (1 - interactions.orders.double()))


def shapley_interaction_indices(interactions: Interactions) -> Float64[Tensor, "games coalitions"]:
    """Shapley interaction indices of all coalitions S ≠ ∅ (Grabisch and Roubens 1999).

    SII(S) = Σ_{T⊇S} (I_and(T) + (−1)^{|S|+1} I_or(T)) / (|T| − |S| + 1): the discrete derivative of an OR
    with respect to S alternates in sign with |S|. Entry ∅ is 0. O(n² 2ⁿ) a game.
    """
    orders, n = interactions.orders, interactions.n
    index = torch.zeros_like(interactions.v)
    for order in range(1, n + 1):  # of the coalitions S
        weight = torch.where(orders >= order, 1 / (orders - order + 1).clamp_min(1).double(), 0.0)
        both = interactions.and_ - (-1) ** order * interactions.or_
        index += torch.where(orders == order, superset_sums(weight * both), 0.0)
    return index


def _shared(interactions: Interactions, weight: Tensor) -> Tensor:
    """Σ_{S∋i} weight(S) (I_and(S) + I_or(S)) for each player i."""
    members = coalition_masks(interactions.n, device=interactions.v.device).double()
    return (interactions.effects.sum(1) * weight) @ members
