"""The theory curve of two-phase learning: the interactions that a network can learn while it is noisy."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from scipy.linalg import eigh
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import amounts_table, by_sign_and_order
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import Interactions, and_interactions, reconstruct
from harsanyi.interactions.effects.transforms import coalition_orders, player_count

# JᵀJ and diag(c)/σ² of one player, without it first; those of n players are the n-th Kronecker powers.
FIT = np.array([[2.0, 1.0], [1.0, 1.0]])
PENALTY = np.diag([1.0, 2.0])

Dividends = Float64[Tensor, "games coalitions"]


def learned(dividends: Dividends, variance: float) -> Dividends:
    """The interactions ŵ that a network learns of its final w* while its weights are noisy.

    ŵ = (JᵀJ + 2ⁿ diag(c))⁻¹ JᵀJ w*, with J[S, T] = 1 where T ⊆ S, else 0, and c_T = 2^{|T|} σ²: the least
    squares fit to the final network on all masked inputs, when noise of variance 2^{|T|} σ² in the trigger of
    every AND interaction T punishes relying on it. σ² falls from large (start of training: ŵ = 0) to 0 (end:
    ŵ = w*), and low orders come first: of a lone dividend, the part ŵ(T) / w*(T) falls with |T| at every σ²
    (Ren et al., "Towards the Dynamics of a DNN Learning Symbolic Interactions", 2024; Zhang et al.,
    "Two-Phase Dynamics of Interactions Explains the Starting Point of a DNN Learning Over-Fitted Features",
    2024). Dividends also stand in for each other: what is too noisy is partly carried by its subsets and the
    constant, so that a low order can for a while be stronger than at the end. This is the second phase; in
    the first, the interactions of the random start go.

    Both matrices are n-fold Kronecker powers, of 2×2 matrices K and D. With WᵀDW = 1 and WᵀKW = Λ,
    ŵ = W^{⊗n} Λ^{⊗n} (Λ^{⊗n} + 2ⁿσ²)⁻¹ (WᵀD)^{⊗n} w*: O(n 2ⁿ) a game, no matrix built. It also tells why
    the part falls: it is the mean of λ / (λ + 2ⁿσ²), λ the product of an eigenvalue a player, where a player
    of T draws the small one (0.22, not 2.28) with probability 0.86 and any other player with 0.14.

    Args:
        dividends: w*, `(games, 2**n)`.
        variance: σ² ≥ 0, a pure number: triggers are 0 or 1.

    >>> learned(torch.tensor([[0.0, 1.0]], dtype=torch.float64), variance=0.5).numpy().round(12)
    array([[0.25, 0.25]])
    """
    if not variance >= 0:
        raise ValueError(f"expected a variance of 0 or more, got {variance}")
    n = player_count(dividends)
    eigenvalues, vectors = eigh(FIT, PENALTY)  # WᵀKW = Λ, WᵀDW = 1
    small, large = eigenvalues.tolist()
    orders = coalition_orders(n, dividends.device).double()
    spectrum = small ** (n - orders) * large**orders
    kept = spectrum / (spectrum + 2**n * variance)
    return _each_player(kept * _each_player(dividends, vectors.T @ PENALTY), vectors)


def final_dividends(interactions: Interactions) -> Dividends:
    """The dividends w* of what AND and OR interactions add up to, an OR being dividends of all its subsets.

    w*(∅) = 0, as in `Interactions.effects`: a constant added to the score is no interaction.
    """
    dividends = and_interactions(reconstruct(interactions.and_, interactions.or_))
    return torch.where(interactions.orders > 0, dividends, 0.0)


def theory_curve(
    interactions: Interactions,
    variances: Iterable[float],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Strength of each order that theory expects at each σ²: the mean over games of Σ_{|S|=m} |ŵ(S)|.

    Read from the largest variance to 0, it is the order in which the final interactions should appear: low
    orders first, as far as `learned` goes. σ² is no training step: only the succession can be compared with
    a run, not the pace.

    Args:
        interactions: of the end of the run; AND and OR go in together, as `final_dividends`.
        variances: the σ².

    Returns:
        tidy: variance, sign ("positive", "negative", "both"), order ("1" … "n", "all"), strength in the unit
        of the score, low, high (bootstrap over the games), games.

    >>> from harsanyi.interactions import And, extract
    >>> curve = theory_curve(extract(torch.tensor([[0.0, 1.0, 1.0, 3.0]]), And()), [10.0, 0.1, 0.0])
    >>> curve = curve[curve.sign == "both"].pivot(index="order", columns="variance", values="strength")
    >>> curve.round(2).rename_axis(None, axis=0)
    variance  0.0   0.1   10.0
    1          2.0  1.50  0.09
    2          1.0  0.44  0.02
    all        3.0  1.94  0.11
    """
    dividends = final_dividends(interactions)
    tables = []
    for variance in variances:
        found = torch.where(interactions.orders > 0, learned(dividends, variance), 0.0)
        amount = by_sign_and_order(found[:, None], interactions.orders)
        table = amounts_table({"strength": (amount,)}, bootstrap=bootstrap)
        tables.append(table[table.kind == "both"].assign(variance=variance))
    columns = ["variance", "sign", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True)[columns].rename(columns={"value": "strength"})


def _each_player(table: Tensor, matrix: np.ndarray) -> Tensor:
    """matrix^{⊗n} on the last axis. A pass does the first player and puts it last: after n, all are back."""
    factor = torch.from_numpy(matrix).to(table)
    games, size = table.shape
    for _ in range(player_count(table)):
        table = (factor @ table.reshape(games, 2, size // 2)).transpose(1, 2).reshape(games, size)
    return table
