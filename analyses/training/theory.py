"""The theory of two-phase learning: the interactions that a network with noisy weights can learn."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Amount, amounts_table, by_sign_and_order, measured
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import Interactions, and_interactions, reconstruct
from harsanyi.interactions.effects.transforms import coalition_orders, player_count

# JᵀJ and diag(c)/σ² of one player (absent, present); those of n players are the n-th Kronecker powers.
FIT = np.array([[2.0, 1.0], [1.0, 1.0]])
PENALTY = np.diag([1.0, 2.0])

Dividends = Float64[Tensor, "games coalitions"]


def learned_dividends(dividends: Dividends, variance: float) -> Dividends:
    """The interactions ŵ that a network learns of its final w* while its weights are noisy.

    ŵ = (JᵀJ + 2ⁿ diag(c))⁻¹ JᵀJ w*, with J[S, T] = 1 where T ⊆ S, else 0, and c_T = 2^{|T|} σ². This is the
    least squares fit to the final network on all masked inputs, where the trigger of every AND interaction T
    has noise of variance 2^{|T|} σ². σ² falls from a large value (start of training: ŵ = 0) to 0 (end:
    ŵ = w*). Low orders come first: for a single dividend, the share ŵ(T) / w*(T) falls with |T| at every σ²
    (Ren et al., "Towards the Dynamics of a DNN Learning Symbolic Interactions", 2024; Zhang et al.,
    "Two-Phase Dynamics of Interactions Explains the Starting Point of a DNN Learning Over-Fitted Features",
    2024). Subsets and the constant partly replace a dividend that is too noisy, so a low order can be
    stronger for a while than at the end. This is the second phase; in the first phase, the interactions of
    the random start disappear.

    Both matrices are n-fold Kronecker powers of 2×2 matrices K and D. With WᵀDW = 1 and WᵀKW = Λ,
    ŵ = W^{⊗n} Λ^{⊗n} (Λ^{⊗n} + 2ⁿσ²)⁻¹ (WᵀD)^{⊗n} w*, in O(n 2ⁿ) operations for each game without a 2ⁿ × 2ⁿ
    matrix. The formula also shows why the share falls: it is the mean of λ / (λ + 2ⁿσ²), where λ is a product
    of one eigenvalue for each player; the small eigenvalue (0.22, not 2.28) has probability 0.86 for a player
    of T and 0.14 for any other player.

    Args:
        dividends: w*, `(games, 2**n)`.
        variance: σ² ≥ 0, a pure number since triggers are 0 or 1.

    Returns:
        ŵ, `(games, 2**n)`, in the unit of the dividends.

    Raises:
        ValueError: for a variance below 0.

    >>> learned_dividends(torch.tensor([[0.0, 1.0]], dtype=torch.float64), variance=0.5).numpy().round(12)
    array([[0.25, 0.25]])
    """
    from scipy.linalg import eigh  # here, since this import takes part of a second

    if not variance >= 0:
        raise ValueError(f"expected a variance of 0 or more, got {variance}")
    n = player_count(dividends)
    eigenvalues, vectors = eigh(FIT, PENALTY)  # WᵀKW = Λ, WᵀDW = 1
    small, large = eigenvalues.tolist()
    orders = coalition_orders(n, dividends.device).double()
    spectrum = small ** (n - orders) * large**orders
    shares = spectrum / (spectrum + 2**n * variance)
    return _each_player(shares * _each_player(dividends, vectors.T @ PENALTY), vectors)


def final_dividends(interactions: Interactions) -> Dividends:
    """The dividends w* of the sum of AND and OR interactions; an OR is a sum of dividends of its subsets.

    w*(∅) = 0, as in `Interactions.effects`: a constant of the score is no interaction.
    """
    (dividends,) = measured(_final_dividends, interactions)["dividends"]
    return dividends


def theory_curve(
    interactions: Interactions,
    variances: Iterable[float],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Strength of each order in theory at each σ²: the mean over games of Σ_{|S|=m} |ŵ(S)|.

    From the largest variance to 0, it shows the succession in which the final interactions should appear,
    low orders first; see `learned_dividends`. σ² is no training step: a run can be compared by its
    succession, not by its speed.

    Args:
        interactions: of the end of the run; AND and OR together, as `final_dividends`.
        variances: the values of σ².
        bootstrap: of the intervals over games.

    Returns:
        tidy: variance, sign ("positive", "negative", "both"), order ("1" … "n", "all"), strength in the unit
        of the score, low, high, games.

    >>> from harsanyi.interactions import And, extract
    >>> curve = theory_curve(extract(torch.tensor([[0.0, 1.0, 1.0, 3.0]]), And()), [10.0, 0.1, 0.0])
    >>> curve = curve[curve.sign == "both"].pivot(index="order", columns="variance", values="strength")
    >>> curve.round(2).rename_axis(None, axis=0)
    variance  0.0   0.1   10.0
    1          2.0  1.50  0.09
    2          1.0  0.44  0.02
    all        3.0  1.94  0.11
    """
    values = list(variances)
    amounts = measured(partial(_expected_strengths, variances=values), interactions)["strengths"]
    tables = []
    for variance, amount in zip(values, amounts, strict=True):
        table = amounts_table({"strength": (amount,)}, bootstrap=bootstrap)
        tables.append(table[table.kind == "both"].assign(variance=variance))
    columns = ["variance", "sign", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True)[columns].rename(columns={"value": "strength"})


def _final_dividends(interactions: Interactions) -> dict[str, tuple[Dividends]]:
    dividends = and_interactions(reconstruct(interactions.and_, interactions.or_))
    return {"dividends": (torch.where(interactions.orders > 0, dividends, 0.0),)}


def _expected_strengths(interactions: Interactions, variances: list[float]) -> dict[str, tuple[Amount, ...]]:
    """The strength of each order in theory, at each variance."""
    dividends, orders = final_dividends(interactions), interactions.orders

    def at(variance: float) -> Amount:
        expected = torch.where(orders > 0, learned_dividends(dividends, variance), 0.0)
        return by_sign_and_order(expected[:, None], orders)

    return {"strengths": tuple(map(at, variances))}


def _each_player(table: Tensor, matrix: np.ndarray) -> Tensor:
    """matrix^{⊗n} on the last axis. Each pass takes the first player and moves it to the end."""
    factor = torch.from_numpy(matrix).to(table)
    games, size = table.shape
    for _ in range(player_count(table)):
        table = (factor @ table.reshape(games, 2, size // 2)).transpose(1, 2).reshape(games, size)
    return table
