"""AND and OR interactions of value tables, and back: butterflies over the coalition index.

A table has shape `(..., 2**n)`. Its last axis is indexed by coalition: the mask read as a binary number,
player 0 the most significant bit.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from harsanyi.interactions.effects.butterfly import butterfly_

Table = Float[Tensor, "*games coalitions"]


def player_count(table: Tensor) -> int:
    """The n of a table whose last axis has 2**n entries; a ValueError for any other length."""
    length = table.shape[-1] if table.ndim else 0
    if length < 1 or length & (length - 1):
        raise ValueError(
            f"expected a table of shape (..., 2**n), one entry per coalition of n players; got shape "
            f"{tuple(table.shape)}, and {length} is no power of two"
        )
    return length.bit_length() - 1


def require_finite_tables(v: Tensor, first: int = 0) -> None:
    """Refuse value tables with NaN or infinities, with a ValueError that names the game.

    Args:
        v: `(games, …, 2**n)`.
        first: the number of the first game.

    >>> require_finite_tables(torch.tensor([[0.0, 1.0], [0.0, torch.nan]]))
    Traceback (most recent call last):
    ValueError: the value table of game 1 holds NaN or infinite values
    """
    wrong = ~v.isfinite().flatten(1).all(-1)
    if wrong.any():
        game = first + int(wrong.nonzero()[0])
        raise ValueError(f"the value table of game {game} holds NaN or infinite values")


def coalition_masks(
    n: int, indices: Int64[Tensor, " coalitions"] | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "coalitions players"]:
    """Coalitions as boolean masks.

    Args:
        n: players.
        indices: of the coalitions; all 2**n in order by default.
        device: of the masks of all 2**n; those of `indices` are on its device.

    Returns:
        `(coalitions, n)`, True for the players of a coalition.

    >>> coalition_masks(2).int().tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if indices is None:
        indices = torch.arange(2**n, device=device)
    bits = torch.arange(n - 1, -1, -1, device=indices.device)
    return (indices[:, None] >> bits & 1).bool()


def coalition_index(coalitions: Bool[Tensor, "*batch players"]) -> Int64[Tensor, "*batch"]:
    """The index of each coalition among all 2**n: the inverse of `coalition_masks`.

    >>> coalition_index(torch.tensor([[True, False], [True, True]])).tolist()
    [2, 3]
    """
    places = 1 << torch.arange(coalitions.shape[-1] - 1, -1, -1, device=coalitions.device)
    return (coalitions * places).sum(-1)


def coalition_orders(n: int, device: torch.device | str | None = None) -> Int64[Tensor, " coalitions"]:
    """The order (number of players) of each of the 2**n coalitions.

    >>> coalition_orders(3).tolist()
    [0, 1, 1, 2, 1, 2, 2, 3]
    """
    orders = torch.zeros(1, dtype=torch.int64, device=device)
    for _ in range(n):
        orders = torch.cat([orders, orders + 1])
    return orders


def subset_sums(table: Table) -> Table:
    """The zeta transform Σ_{T⊆S} table(T), the inverse of `and_interactions`.

    >>> subset_sums(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist()
    [1.0, 3.0, 5.0, 15.0]
    """
    return butterfly_(_copied(table))


def superset_sums(table: Table) -> Table:
    """The transposed zeta transform Σ_{T⊇S} table(T).

    >>> superset_sums(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist()
    [15.0, 10.0, 12.0, 8.0]
    """
    return butterfly_(_copied(table), lower=True)


def touching_sums(table: Table) -> Table:
    """Σ_{S∩T≠∅} table(S): the sum of the whole table less that over the subsets of the complement of T.

    >>> touching_sums(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist()
    [0.0, 10.0, 12.0, 14.0]
    """
    sums = _copied(table)
    sums[..., 0] = 0
    butterfly_(sums)
    return sums[..., -1:] - complemented(sums)


def complemented(table: Table) -> Table:
    """The table of the complements, T ↦ table(N∖T): the last axis reversed."""
    return table.flip(-1)


def and_interactions(v: Table, *, dtype: torch.dtype = torch.float64) -> Table:
    """AND interactions (Harsanyi dividends) of value tables.

    I(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T): the effect on the score that appears only when all players of S are
    present (Harsanyi, "A Simplified Bargaining Model for the n-Person Cooperative Game", 1963). O(n 2ⁿ) per
    game, on the table's device, differentiable.

    Args:
        v: value tables `(..., 2**n)`, in the unit of the score.
        dtype: of the arithmetic and the result. The error grows as 2^{n/2}: float32 loses 5 digits by n = 14.

    Raises:
        ValueError: if the last axis is no power of two.

    >>> v = torch.tensor([0.0, 1.0, 1.0, 5.0])  # two players, worth 1 each, and 3 more together
    >>> and_interactions(v).tolist()
    [0.0, 1.0, 1.0, 3.0]
    """
    player_count(v)
    return butterfly_(_copied(v, dtype), sign=-1)


def or_interactions(v: Table, *, dtype: torch.dtype = torch.float64) -> Table:
    """OR interactions of value tables.

    I(S) = −Σ_{T⊆S} (−1)^{|S|−|T|} v(N∖T) for S ≠ ∅, and I(∅) = v(∅): the effect that appears as soon as one
    player of S is present (Li and Zhang, "Defining and Quantifying AND-OR Interactions for Faithful and
    Concise Explanation of DNNs", 2023). Shapes, cost and errors as `and_interactions`.

    >>> v = torch.tensor([0.0, 2.0, 2.0, 2.0])  # either player is enough
    >>> or_interactions(v).tolist()
    [0.0, 0.0, 0.0, 2.0]
    """
    player_count(v)
    interactions = butterfly_(complemented(v).to(dtype).contiguous(), sign=-1)
    interactions.neg_().add_(0.0)  # −0 + 0 is 0
    interactions[..., 0] = v[..., 0]
    return interactions


def reconstruct(and_: Table, or_: Table) -> Table:
    """The value tables that AND and OR interactions add up to (universal matching).

    v(T) = Σ_{S⊆T} I_and(S) + I_or(∅) + Σ_{S∩T≠∅} I_or(S).

    >>> v = torch.rand(3, 2**5, dtype=torch.float64)
    >>> torch.allclose(reconstruct(and_interactions(v / 4), or_interactions(v * 3 / 4)), v)
    True
    """
    if and_.shape != or_.shape:
        raise ValueError(f"expected AND and OR of one shape, got {tuple(and_.shape)} and {tuple(or_.shape)}")
    player_count(and_)
    return subset_sums(and_) + or_[..., :1] + touching_sums(or_)


def _copied(table: Table, dtype: torch.dtype | None = None) -> Table:
    """A copy whose games follow each other, however those of the table lie."""
    if dtype in (None, table.dtype):
        return table.clone(memory_format=torch.contiguous_format)  # the cheaper call
    return table.to(dtype, memory_format=torch.contiguous_format)
