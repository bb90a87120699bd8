"""The projection against dense matrices, and the basis that makes it fast against what it must do."""

import pytest
import torch
from torch import Tensor

from harsanyi.interactions.sparse.projection import Projection, _SchurBasis, projection
from tests import reference

# Sums of at most 3 · 2**7 products of numbers near 1 in float64; the matrix has a condition of 5.5**n.
EXACT = 1e-10
SIZES = range(7)
SCALES = [0.0, 2.0, 3.0]
CPU = torch.device("cpu")


def dense(n: int, kappa: float) -> Tensor:
    """The literal matrix of Z a − J Z b + κ d: rows are coalitions T, columns those of a, b and d, if any."""
    matrix = torch.zeros(2**n, 3, 2**n, dtype=torch.float64)
    players = tuple(range(n))
    for t in reference.subsets(players):
        row, rest = reference.index(t, n), set(players) - set(t)
        matrix[row, 2, row] = kappa
        for s in reference.subsets(players):
            matrix[row, 0, reference.index(s, n)] = set(s) <= set(t)
            matrix[row, 1, reference.index(s, n)] = -float(set(s) <= rest)
    return matrix[:, : 3 if kappa else 2].flatten(1)


def split_and_table(n: int, kappa: float, games: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    split = torch.randn(3 if kappa else 2, 2**n, games, dtype=torch.float64, generator=generator)
    return split, torch.randn(2**n, games, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("kappa", SCALES)
@pytest.mark.parametrize("n", SIZES)
def test_the_maps_are_the_dense_matrix_and_its_transpose(n, kappa):
    split, table = split_and_table(n, kappa)
    fast, matrix = Projection(n, kappa, CPU), dense(n, kappa)
    torch.testing.assert_close(fast.explained(split), matrix @ split.flatten(0, 1), rtol=0, atol=EXACT)
    transposed = (matrix.T @ table).view(split.shape)
    torch.testing.assert_close(fast.transposed(table), transposed, rtol=0, atol=EXACT)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kappa", SCALES)
@pytest.mark.parametrize("n", SIZES)
def test_the_inverse_is_the_dense_one(n, kappa, batched):
    _, table = split_and_table(n, kappa)
    matrix = dense(n, kappa)
    expected = torch.linalg.solve(matrix @ matrix.T, table)
    found = Projection(n, kappa, CPU, batched=batched).inverse(table)
    torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("n", [12, 16])
def test_batched_products_are_few(n):
    """Sizes up to (n / 2 + 1)², halved from one product to the next: one for each binary digit."""
    alone, batched = (Projection(n, 3.0, CPU, batched=batched) for batched in (False, True))
    assert len(batched._sizes) <= ((n // 2 + 1) ** 2).bit_length() < len(alone._sizes) == (n // 4 + 1) ** 2


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kappa", SCALES)
@pytest.mark.parametrize("n", [9, 12])
def test_the_inverse_undoes_the_maps_where_no_dense_matrix_fits(n, kappa, batched):
    _, table = split_and_table(n, kappa)
    fast = Projection(n, kappa, CPU, batched=batched)
    back = fast.explained(fast.transposed(fast.inverse(table)))
    # The product of the maps has a condition of 5.5**n (κ = 0): of 1e9 at twelve players.
    torch.testing.assert_close(back, table, rtol=0, atol=2**-53 * 5.5**n)


@pytest.mark.parametrize("kappa", SCALES)
@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_the_players_of_both_halves_are_treated_alike(n, kappa):
    """Renumber the players, each from one half into the other, as far as an odd number allows."""
    _, table = split_and_table(n, kappa)
    fast = Projection(n, kappa, CPU)

    def reversed_players(values: Tensor) -> Tensor:
        return values.view(*n * [2], -1).permute(*range(n - 1, -1, -1), n).reshape(values.shape)

    expected = reversed_players(fast.inverse(table))
    torch.testing.assert_close(fast.inverse(reversed_players(table)), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("kappa", SCALES)
def test_presence_and_absence_are_treated_alike(kappa):
    """The complement exchanges a and b, so the inverse commutes with it."""
    _, table = split_and_table(6, kappa)
    fast = Projection(6, kappa, CPU)
    torch.testing.assert_close(fast.inverse(table.flip(0)), fast.inverse(table).flip(0), rtol=0, atol=EXACT)


def test_games_are_projected_apart():
    _, table = split_and_table(5, 2.0, games=4)
    fast = Projection(5, 2.0, CPU)
    alone = fast.inverse(table[:, 2:3].contiguous())
    torch.testing.assert_close(fast.inverse(table)[:, 2:3], alone, rtol=0, atol=EXACT)


@pytest.mark.parametrize("m", range(6))
def test_the_schur_basis_is_orthogonal(m):
    basis = _SchurBasis(m).basis
    torch.testing.assert_close(basis.T @ basis, torch.eye(2**m, dtype=torch.float64), rtol=0, atol=EXACT)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("m", range(1, 6))
def test_a_kronecker_power_falls_apart_into_equal_blocks(m, symmetric):
    """Of any 2×2 matrix: all outside the blocks is zero, and the copies in a sector have one and the same."""
    factor = torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(m))
    factor = factor + factor.T if symmetric else factor
    power = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(m):
        power = torch.kron(power, factor)
    schur = _SchurBasis(m)
    rotated = schur.basis.T @ power @ schur.basis
    expected = torch.zeros_like(rotated)
    for sector in schur.sectors:
        copies = sector.columns().T
        for columns in copies:
            expected[columns[:, None], columns] = rotated[copies[0][:, None], copies[0]]
    # m factors with entries up to 3.
    torch.testing.assert_close(rotated, expected, rtol=0, atol=EXACT * 3**m)


@pytest.mark.parametrize("m", range(6))
def test_sectors_have_the_sizes_of_schur_and_weyl(m):
    """m + 1, m − 1, …: the multiplicity of a size is the number of ways to come to it player by player."""
    ways = {1: 1}
    for _ in range(m):
        grown: dict[int, int] = {}
        for size, count in ways.items():
            for other in (size - 1, size + 1):
                if other:
                    grown[other] = grown.get(other, 0) + count
        ways = grown
    sectors = _SchurBasis(m).sectors
    assert {sector.size: sector.copies for sector in sectors} == ways
    assert torch.cat([sector.columns().flatten() for sector in sectors]).sort().values.tolist() == [
        *range(2**m)
    ]


def test_a_projection_is_made_once():
    assert projection(4, 2.0, CPU) is projection(4, 2.0, CPU)
    assert projection(4, 2.0, CPU) is not projection(4, 0.0, CPU)
