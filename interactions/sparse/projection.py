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
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.butterfly import butterfly_

Columns = Float64[Tensor, "coalitions games"]
Blocks = Float64[Tensor, "blocks coalitions games"]

# ZZᵀ and JZZᵀJ for one player.
AND_FACTOR = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
OR_FACTOR = AND_FACTOR.flip(0, 1)
# In the place of a row that a block has only to be as large as others.
PADDING = -1


class Projection:
    """The three maps of the projection, exact and in O(2^{3n/2}) per game.

    They are the map from a split to its table, the transposed map, and the inverse of their product.

    Args:
        n: players.
        kappa: κ, the scale of the noise block; 0 for splits without one.
        device: of the tables.
        batched: blocks of about one size in one product, padded with zeros, so that the number of products
            grows as log n and not as n². By default where launches cost more than padding: not on a CPU.

    >>> u = torch.rand(2**5, 3, dtype=torch.float64)
    >>> p = Projection(5, 2.0, u.device)
    >>> torch.allclose(p.explained(p.transposed(p.inverse(u))), u)  # the shortest split of u
    True
    """

    def __init__(self, n: int, kappa: float, device: torch.device, *, batched: bool | None = None) -> None:
        self.kappa = kappa
        first, second = _SchurBasis(n // 2), _SchurBasis(n - n // 2)
        self._first, self._second = first.basis.to(device), second.basis.to(device)
        products = [
            _Product(
                _inverse(first.block(row), second.block(column), kappa), _places(row, column, 2**first.m)
            )
            for column in second.sectors
            for row in first.sectors
        ]
        if batched or (batched is None and device.type != "cpu"):
            products = _batched(products)
        self._inverses = [product.inverses.to(device) for product in products]
        self._sizes = [product.places.numel() for product in products]
        places = torch.cat([product.places.flatten() for product in products])
        real = (places != PADDING).nonzero()[:, 0]
        self._to_products = places.clamp_min(0).to(device)
        self._from_products = real[places[real].argsort()].to(device)

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
        rows = halves.view(r.shape).index_select(0, self._to_products).split(self._sizes)
        solved = [
            torch.bmm(inverses, part.view(*inverses.shape[:2], -1)).view(part.shape)
            for inverses, part in zip(self._inverses, rows, strict=True)
        ]
        halves = torch.cat(solved).index_select(0, self._from_products).view(halves.shape)
        return (self._first @ _swapped(self._second @ halves, len(self._first))).view(r.shape)


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
    return torch.cholesky_inverse(torch.linalg.cholesky(both))[None]


def _places(row: _Sector, column: _Sector, width: int) -> Tensor:
    """Where the blocks of two sectors lie in a table `(second half, first half)`: `(1, size, copies)`."""
    places = width * column.columns()[:, None, :, None] + row.columns()[None, :, None, :]
    return places.flatten(2).flatten(0, 1)[None]


@dataclass(frozen=True)
class _Product:
    """Blocks that are solved by one batched product.

    Attributes:
        inverses: `(factors, size, size)`.
        places: of what they multiply in a table, `(factors, size, columns)`; some may be PADDING.
    """

    inverses: Tensor
    places: Tensor

    @property
    def size(self) -> int:
        return self.places.shape[1]

    def padded(self, size: int) -> "_Product":
        """A factor for each column, of a larger size."""
        more, columns = size - self.size, self.places.shape[2]
        inverses = F.pad(self.inverses, (0, more, 0, more)).expand(columns, -1, -1)
        return _Product(inverses, F.pad(self.places, (0, 0, 0, more), value=PADDING).permute(2, 1, 0))


def _batched(products: list[_Product]) -> list[_Product]:
    """Products of nearly one size as one: no size is doubled by padding."""
    groups: list[list[_Product]] = []
    for product in sorted(products, key=lambda product: product.size, reverse=True):
        if not groups or 2 * product.size <= groups[-1][0].size:
            groups.append([])
        groups[-1].append(product)
    padded = [[product.padded(group[0].size) for product in group] for group in groups]
    return [
        _Product(torch.cat([each.inverses for each in group]), torch.cat([each.places for each in group]))
        for group in padded
    ]
