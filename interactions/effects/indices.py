"""Indices of players and of coalitions, computed from AND and OR interactions in closed form.

Each index pays every coalition a share of each AND that contains it, which depends on both orders alone. What
an index pays for an OR follows, since an OR is a sum of ANDs; these sums are taken in fractions, so that
nothing cancels. All indices are of what the interactions explain, v less its residual.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import comb

import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.effects.transforms import coalition_masks, superset_sums

# What a coalition of s players is paid of an AND of t ≥ s players, in an index of orders up to k.
Share = Callable[[int, int, int], Fraction | int]


def shapley_values(interactions: Interactions) -> Float64[Tensor, "games players"]:
    """Shapley values φ_i = Σ_{S∋i} (I_and(S) + I_or(S)) / |S| (Harsanyi 1963).

    Both kinds share their effect evenly among their players: in a random order an AND pays the last of them,
    an OR the first.

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
    return _index(interactions, interactions.n, lambda s, t, k: Fraction(1, t - s + 1))


def banzhaf_interaction_indices(interactions: Interactions) -> Float64[Tensor, "games coalitions"]:
    """Banzhaf interaction indices of all coalitions S ≠ ∅ (Grabisch and Roubens 1999).

    BII(S) = Σ_{T⊇S} (I_and(T) + (−1)^{|S|+1} I_or(T)) / 2^{|T|−|S|}: the mean discrete derivative with
    respect to S over all coalitions of the other players. Entry ∅ is 0. O(n² 2ⁿ) a game.

    >>> from harsanyi.interactions import And, extract
    >>> banzhaf_interaction_indices(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())).tolist()
    [[0.0, 2.5, 2.5, 3.0]]
    """
    return _index(interactions, interactions.n, lambda s, t, k: Fraction(1, 2 ** (t - s)))


def k_shapley_indices(interactions: Interactions, order: int) -> Float64[Tensor, "games coalitions"]:
    """k-Shapley interaction indices (k-SII), the n-Shapley values of Bordt and von Luxburg (2023).

    Φ_k(S) = Σ_{R⊇S, |R|≤k} B_{|R|−|S|} SII(R), with the Bernoulli numbers B (B₁ = −1/2). They add up to
    v(N) − v(∅); those of order 1 are Shapley values, those of order n the ANDs of v.

    Args:
        interactions: of the games.
        order: k, the largest order that is paid, 1 to n.

    Returns:
        `(games, 2**n)` in the unit of the score; 0 for ∅ and above k. O(k n 2ⁿ) a game.

    Raises:
        ValueError: for an order that no coalition has.

    >>> from harsanyi.interactions import And, extract
    >>> k_shapley_indices(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And()), 2).tolist()
    [[0.0, 1.0, 1.0, 3.0]]
    """
    return _index(interactions, order, _k_shapley)


def shapley_taylor_indices(interactions: Interactions, order: int) -> Float64[Tensor, "games coalitions"]:
    """Shapley–Taylor interaction indices (STII) of Sundararajan, Dhamdhere and Agarwal (2020).

    Below k, STII(S) = a(S), the AND of v. At k, STII(S) = Σ_{T⊇S} a(T) / C(|T|, k): what is of higher order
    is shared evenly among its coalitions of order k. They add up to v(N) − v(∅).

    Args, Returns, Raises: as `k_shapley_indices`.

    >>> from harsanyi.interactions import And, extract
    >>> shapley_taylor_indices(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And()), 1).tolist()
    [[0.0, 2.5, 2.5, 0.0]]
    """
    return _index(
        interactions, order, lambda s, t, k: Fraction(1, comb(t, k)) if s == k else Fraction(t == s)
    )


def faithful_shapley_indices(interactions: Interactions, order: int) -> Float64[Tensor, "games coalitions"]:
    """Faithful Shapley interaction indices (FSII, Faith-Shap) of Tsai, Yeh and Ravikumar (2023).

    The sum of ANDs up to order k that is closest to v in the least squares whose weights give Shapley values,
    exact at ∅ and N. With the ANDs a of v,

    FSII(S) = a(S) + (−1)^{k−|S|} |S|/(k+|S|) C(k,|S|) Σ_{T⊃S, |T|>k} C(|T|−1, k) / C(|T|+k−1, k+|S|) a(T)

    Args, Returns, Raises: as `k_shapley_indices`. They add up to v(N) − v(∅).

    >>> from harsanyi.interactions import And, extract
    >>> faithful_shapley_indices(extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And()), 1).tolist()
    [[0.0, 2.5, 2.5, 0.0]]
    """
    return _index(interactions, order, _faithful_shapley)


@cache
def _bernoulli(number: int) -> Fraction:
    """Bernoulli numbers, by Σ_{j≤m} C(m+1, j) B_j = 0 for m > 0."""
    if number == 0:
        return Fraction(1)
    return -sum(comb(number + 1, j) * _bernoulli(j) for j in range(number)) / Fraction(number + 1)


def _k_shapley(s: int, t: int, k: int) -> Fraction:
    between = range(min(k, t) - s + 1)  # players that a coalition between S and T has beside those of S
    return sum((_bernoulli(j) * comb(t - s, j) / (t - s - j + 1) for j in between), Fraction(0))


def _faithful_shapley(s: int, t: int, k: int) -> Fraction:
    if t <= k:
        return Fraction(t == s)
    share = Fraction(s * comb(k, s) * comb(t - 1, k), (k + s) * comb(t + k - 1, k + s))
    return (-1) ** (k - s) * share


def _index(interactions: Interactions, order: int, share: Share) -> Float64[Tensor, "games coalitions"]:
    """Σ_{T⊇S} of the shares of S in the AND and the OR of T, for 0 < |S| ≤ order; else 0."""
    n, orders = interactions.n, interactions.orders
    if not 1 <= order <= n:
        raise ValueError(f"expected an order of 1 to {n}, the number of players; got {order}")
    index = torch.zeros_like(interactions.v)
    for s in range(1, order + 1):
        of_and = {t: Fraction(share(s, t, order)) for t in range(s, n + 1)}
        # An OR of t players is the sum of all ANDs of 1 to t of them, with alternating signs.
        of_or = {
            t: sum(-((-1) ** u) * comb(t - s, u - s) * of_and[u] for u in range(s, t + 1)) for t in of_and
        }
        and_weight, or_weight = (
            index.new_tensor([0.0] * s + [float(weight) for weight in weights.values()])[orders]
            for weights in (of_and, of_or)
        )
        sums = superset_sums(and_weight * interactions.and_ + or_weight * interactions.or_)
        index += torch.where(orders == s, sums, 0.0)
    return index


def _shared(interactions: Interactions, weight: Tensor) -> Tensor:
    """Σ_{S∋i} weight(S) (I_and(S) + I_or(S)) for each player i."""
    members = coalition_masks(interactions.n, device=interactions.v.device).double()
    return (interactions.effects.sum(1) * weight) @ members
