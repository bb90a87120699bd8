"""The exact projection on the AND-OR splits of a table, by the symmetry of the players.

A split (a, b, d) explains a table u when Z a − J Z b + κ d = u, with Z the subset sums and J the complement.
The projection on all such splits needs (ZZᵀ + JZZᵀJ + κ²)⁻¹. ZZᵀ and JZZᵀJ are n-fold Kronecker powers of two
2×2 matrices, so they treat all players alike, and one orthogonal basis makes both block diagonal (Schur–Weyl
duality). On m players every Kronecker power K^{⊗m} has blocks of size m + 1, m − 1, m − 3, …. There are as
many of each size as there are ways to build it player by player, and all of one size are equal. With the
players in two halves, each in its basis, the whole sum has blocks no larger than (m + 1)²: 49 at n = 12
instead of 4096, with κ or without.

Splits and tables have coalitions first and games last, `(blocks, 2**n, games)`. Butterflies then add long
rows, and the rest are products of small matrices with long rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.butterfly import butterfly_

Columns = Float64[Tensor, "coalitions games"]
Blocks = Float64[Tensor, "blocks coalitions games"]

# ZZᵀ and JZZᵀJ for one player.
AND_FACTOR = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
OR_FACTOR = AND_FACTOR.flip(0, 1)


class Projection:
    """The three maps of the projection, exact and in O(2^{3n/2}) per game.

    They are the map from a split to its table, the transposed map, and the inverse of their product.

    Args:
        n: players.
        kappa: κ, the scale of the noise block; 0 for splits without one.
        device: of the tables.

    >>> u = torch.rand(2**5, 3, dtype=torch.float64)
    >>> p = Projection(5, 2.0, u.device)
    >>> torch.allclose(p.explained(p.transposed(p.inverse(u))), u)  # the shortest split of u
    True
    """

    def __init__(self, n: int, kappa: float, device: torch.device) -> None:
        self.kappa = kappa
        first, second = _SchurBasis(n // 2), _SchurBasis(n - n // 2)
        self._first, self._second = first.basis.to(device), second.basis.to(device)
        sectors = [(row, column) for column in second.sectors for row in first.sectors]
        blocks = [(first.block(row), second.block(column)) for row, column in sectors]
        self._inverses = [_inverse(*block, kappa).to(device) for block in blocks]
        places = [_places(row, column, 2**first.m) for row, column in sectors]
        self._to_sectors = torch.cat(places).to(device)
        self._from_sectors = self._to_sectors.argsort()
        self._sizes = [len(place) for place in places]

    def explained(self, split: Blocks) -> Columns:
        """Z a − J Z b + κ d."""
        sums = butterfly_(split[:2].clone(), axis=1)
        table = sums[0].sub_(sums[1].flip(0))
        return table.add_(split[2], alpha=self.kappa) if self.kappa else table

    def transposed(self, y: Columns) -> Blocks:
        """(Zᵀy, −ZᵀJy, κy)."""
        blocks = y.new_empty(3 if self.kappa else 2, *y.shape)
        blocks[0] = y
        torch.neg(y.flip(0), out=blocks[1])
        butterfly_(blocks[:2], lower=True, axis=1)
        if self.kappa:
            torch.mul(y, self.kappa, out=blocks[2])
        return blocks

    def inverse(self, r: Columns) -> Columns:
        """(ZZᵀ + JZZᵀJ + κ²)⁻¹ r."""
        halves = self._first.T @ r.reshape(len(self._first), -1)
        halves = self._second.T @ _swapped(halves, len(self._second))
        sectors = halves.view(r.shape)[self._to_sectors]
        solved = torch.cat(
            [
                (inverse @ rows.view(len(inverse), -1)).view(rows.shape)
                for inverse, rows in zip(self._inverses, sectors.split(self._sizes), strict=True)
            ]
        )
        halves = self._second @ solved[self._from_sectors].view(halves.shape)
        return (self._first @ _swapped(halves, len(self._first))).view(r.shape)


def _swapped(halves: Tensor, other: int) -> Tensor:
    """A table with one half of the players along its rows, turned to have the other half there."""
    return halves.view(len(halves), other, -1).transpose(0, 1).reshape(other, -1)


@lru_cache(maxsize=16)
def projection(n: int, kappa: float, device: torch.device) -> Projection:
    """The `Projection` of a number of players and a scale, from a cache of the last few.

    Args:
        n, kappa, device: as for `Projection`.

    Returns:
        The projection; do not change it.
    """
    return Projection(n, kappa, device)


@dataclass(frozen=True)
class _Sector:
    """The columns of a Schur basis with blocks of one size: `copies` groups of `size` columns."""

    start: int
    size: int
    copies: int

    def columns(self) -> Tensor:
        """The numbers of the columns, `(size, copies)`."""
        return self.start + torch.arange(self.size * self.copies).view(self.copies, self.size).T


class _SchurBasis:
    """The orthogonal basis of tables of m players in which Kronecker powers are block diagonal."""

    def __init__(self, m: int) -> None:
        self.m = m
        blocks = [torch.ones(1, 1, dtype=torch.float64)]
        for _ in range(m):
            blocks = [grown for block in blocks for grown in _with_another_player(block) if len(grown)]
        blocks.sort(key=len, reverse=True)
        sizes = [len(block) for block in blocks]
        self.basis = torch.cat(blocks).T.contiguous()
        self.sectors = [
            _Sector(sum(sizes[: sizes.index(size)]), size, sizes.count(size)) for size in dict.fromkeys(sizes)
        ]

    def block(self, sector: _Sector) -> tuple[Tensor, Tensor]:
        """The block of ZZᵀ and the block of JZZᵀJ, the same for all copies of a sector."""
        basis = self.basis[:, sector.start : sector.start + sector.size]
        return basis.T @ _power(AND_FACTOR, self.m) @ basis, basis.T @ _power(OR_FACTOR, self.m) @ basis


def _with_another_player(block: Tensor) -> Iterator[Tensor]:
    """The two blocks, as rows, of one block of size d and one more player: of sizes d + 1 and d − 1.

    Rows go from the empty to the full coalition; the coefficients are those of Clebsch and Gordan.
    """
    size = len(block)
    without, with_ = (torch.kron(block, unit) for unit in torch.eye(2, dtype=torch.float64)[:, None])
    present = torch.arange(size + 1, dtype=torch.float64)[:, None] / size
    absent = 1 - present
    nothing = torch.zeros_like(without[:1])
    yield absent.sqrt() * torch.cat([without, nothing]) + present.sqrt() * torch.cat([nothing, with_])
    yield absent[1:-1].sqrt() * with_[:-1] - present[1:-1].sqrt() * without[1:]


def _power(factor: Tensor, m: int) -> Tensor:
    power = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(m):
        power = torch.kron(power, factor)
    return power


def _inverse(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], kappa: float) -> Tensor:
    """The inverse of the block that one block of each half make together."""
    both = torch.kron(second[0], first[0]) + torch.kron(second[1], first[1])
    both = both + kappa**2 * torch.eye(len(both), dtype=torch.float64)
    return torch.cholesky_inverse(torch.linalg.cholesky(both))


def _places(row: _Sector, column: _Sector, width: int) -> Tensor:
    """Where the blocks of two sectors lie in a table `(second half, first half)`: copies last."""
    places = width * column.columns()[:, None, :, None] + row.columns()[None, :, None, :]
    return places.flatten()
