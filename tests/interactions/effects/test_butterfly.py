"""The butterfly against its definition, and its ways against each other: the same bits by all of them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad

from harsanyi.interactions import and_interactions, or_interactions
from harsanyi.interactions.effects import butterfly
from harsanyi.interactions.effects.butterfly import butterfly_

WAYS = [(lower, sign) for lower in (False, True) for sign in (1, -1)]


def literal(table: Tensor, lower: bool, sign: int, axis: int) -> Tensor:
    """Entry by entry, player by player, the last one first."""
    result = table.movedim(axis, 0).clone()
    for bit in range(len(result).bit_length() - 1):
        for index in range(len(result)):
            if index >> bit & 1:
                with_, without = index, index ^ 1 << bit
                target, source = (without, with_) if lower else (with_, without)
                result[target] = result[target] + sign * result[source]
    return result.movedim(0, axis)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few entries: tables of a test have many, and players beyond them."""
    monkeypatch.setattr(butterfly, "BLOCK_ENTRIES", 2**6)
    monkeypatch.setattr(butterfly, "SMALL", 2**4)
    monkeypatch.setattr(butterfly, "PART", 3)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("lower", "sign"), WAYS)
@given(
    n=st.integers(0, 6),
    before=st.lists(st.integers(0, 3), max_size=2),
    after=st.lists(st.integers(0, 3), max_size=2),
    double=st.booleans(),
)
def test_it_is_its_definition_on_any_axis(lower, sign, n, before, after, double):
    table = random(*before, 2**n, *after).to(torch.float64 if double else torch.float32)
    expected = literal(table, lower, sign, len(before))
    found = butterfly_(table, lower=lower, sign=sign, axis=len(before))
    assert found is table
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("lower", "sign"), WAYS)
@pytest.mark.parametrize("shape", [(1, 9, 1), (37, 4, 1), (7, 5, 3), (2, 6, 4), (5, 2, 40), (33, 7, 1)])
@pytest.mark.usefixtures("small_blocks", "threads")
def test_it_is_its_definition_block_by_block(shape, lower, sign):
    """More blocks than a part, a rest, players beyond a block, and rows that leave none within."""
    lead, n, width = shape
    table = random(lead, 2**n, width)
    expected = literal(table, lower, sign, 1)
    assert torch.equal(butterfly_(table, lower=lower, sign=sign, axis=1), expected)


@pytest.mark.parametrize("transform", [and_interactions, or_interactions])
@pytest.mark.parametrize("n", [3, 10, 14])
def test_a_table_has_the_same_bits_whatever_batch_it_is_in(transform, n):
    """Alone by NumPy, in a batch by torch, in a large one in blocks, and under autograd."""
    tables = random(2**20 >> n, 2**n)
    together = transform(tables)
    for game in (0, len(tables) // 2, len(tables) - 1):
        assert torch.equal(transform(tables[game]), together[game])
        assert torch.equal(transform(tables[: game + 1])[game], together[game])
    assert torch.equal(transform(tables.requires_grad_()).detach(), together)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16, torch.complex64])
def test_other_dtypes(dtype):
    """Small whole numbers, which each of them holds exactly."""
    table = torch.arange(16) % 3
    expected = literal(table, False, 1, 0).to(dtype)
    assert torch.equal(butterfly_(table.to(dtype)), expected)


def test_the_error_grows_as_the_root_of_the_number_of_entries():
    """n roundings of unit numbers on the way to each entry, whose sizes grow to 2**(n/2)."""
    n = 16
    table = random(2**n)
    exact = table.numpy().astype("longdouble")  # 11 bits more
    for player in range(n):
        halves = exact.reshape(-1, 2, 2**player)
        halves[:, 1] -= halves[:, 0]
    error = abs(and_interactions(table).numpy() - exact).max()
    assert error <= n * 2 ** (n / 2) * 2**-53 * 4  # the largest of so many normal numbers is above 4


@pytest.mark.parametrize("shape", [(8,), (64, 2**10)])
def test_infinities_pass_without_a_warning(shape):
    table = torch.full(shape, torch.inf, dtype=torch.float64)
    found = and_interactions(table)
    assert found[..., 0].eq(torch.inf).all()
    assert found[..., 1:].isnan().all()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # torch's own, by torch.func.jvp
@pytest.mark.parametrize("transform", [and_interactions, or_interactions])
def test_what_torch_watches(transform):
    """torch.func's maps, forward derivatives and inference mode: NumPy would not see the first two."""
    table, tangent = random(4, 2**5), random(4, 2**5, seed=1)
    expected, derivative = transform(table), transform(tangent)  # linear
    assert torch.equal(torch.func.vmap(transform)(table), expected)
    assert torch.equal(torch.func.jvp(transform, (table,), (tangent,))[1], derivative)
    with forward_ad.dual_level():
        dual = transform(forward_ad.make_dual(table, tangent))
        assert torch.equal(forward_ad.unpack_dual(dual).tangent, derivative)
    with torch.inference_mode():
        assert torch.equal(transform(table), expected)


@pytest.mark.usefixtures("small_blocks", "threads")
def test_inference_mode_in_blocks():
    table = random(64, 2**5)
    expected = literal(table, False, -1, -1)
    with torch.inference_mode():
        assert torch.equal(and_interactions(table), expected)


def test_small_tables_of_several_threads_are_kept_apart():
    """Each thread has memory of its own for them."""
    tables = random(200, 2**9)
    expected = and_interactions(tables)
    with ThreadPoolExecutor(4) as pool:
        found = torch.stack(list(pool.map(and_interactions, tables)))
    assert torch.equal(found, expected)
