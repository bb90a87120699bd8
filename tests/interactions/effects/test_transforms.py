"""Transforms against literal loops, closed forms and axioms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data import constant, majority, or_of, planted, polynomial, product, xor
from harsanyi.interactions import (
    and_interactions,
    coalition_masks,
    coalition_orders,
    or_interactions,
    reconstruct,
)
from harsanyi.interactions.effects.transforms import subset_sums, touching_sums
from tests import reference

# Sums of at most 2**8 terms of size ~1 in float64: 2**8 · 2**-53 is far below.
EXACT = 1e-10


def random_table(n: int, seed: int, games: tuple[int, ...] = ()) -> torch.Tensor:
    return torch.randn(*games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("name", ["and_interactions", "or_interactions"])
def test_transform_is_the_literal_sum(name, n):
    v = random_table(n, seed=n)
    fast = {"and_interactions": and_interactions, "or_interactions": or_interactions}[name]
    torch.testing.assert_close(fast(v), getattr(reference, name)(v), rtol=0, atol=EXACT)


@pytest.mark.parametrize("n", range(6))
def test_reconstruction_is_the_literal_sum(n):
    and_, or_ = random_table(n, seed=n), random_table(n, seed=n + 100)
    torch.testing.assert_close(reconstruct(and_, or_), reference.reconstruct(and_, or_), rtol=0, atol=EXACT)


@given(n=st.integers(0, 8), seed=st.integers(0, 2**32), share=st.floats(-2, 2))
def test_universal_matching(n, seed, share):
    v = random_table(n, seed, (3,))
    back = reconstruct(and_interactions(share * v), or_interactions((1 - share) * v))
    torch.testing.assert_close(back, v, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    "game",
    [
        polynomial(),
        or_of(3, 5),
        xor(5),
        majority(),
        product([0.5, -1.0, 2.0, 3.0]),
        constant(2.5, 4),
        planted(7),
    ],
    ids=lambda game: game.name,
)
def test_closed_forms(game):
    torch.testing.assert_close(and_interactions(game.table()), game.dividends(), rtol=0, atol=EXACT)


def test_polynomial_by_hand():
    """3x₁ − 2x₂x₃ − x₃x₄x₅ + 5x₄x₆."""
    v = reference.table_of(
        lambda t: 3 * (0 in t) - 2 * ({1, 2} <= set(t)) - ({2, 3, 4} <= set(t)) + 5 * ({3, 5} <= set(t)), 6
    )
    expected = {(0,): 3.0, (1, 2): -2.0, (2, 3, 4): -1.0, (3, 5): 5.0}
    result = and_interactions(v)
    for coalition in reference.subsets(tuple(range(6))):
        assert result[reference.index(coalition, 6)].item() == expected.get(coalition, 0.0)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_or_of_k_variables(k):
    """As OR: one interaction. As AND: (−1)^{|S|+1} on every non-empty coalition."""
    v = reference.table_of(lambda t: float(bool(t)), k)
    assert or_interactions(v).tolist() == [0.0] * (2**k - 1) + [1.0]
    signs = -((-1.0) ** coalition_orders(k).double())
    signs[0] = 0
    assert and_interactions(v).tolist() == signs.tolist()


def test_xor_by_hand():
    v = reference.table_of(lambda t: len(t) % 2, 5)
    orders = coalition_orders(5).double()
    expected = torch.where(orders > 0, (-2.0) ** (orders - 1), 0.0)
    torch.testing.assert_close(and_interactions(v), expected, rtol=0, atol=EXACT)


@given(seed=st.integers(0, 2**32), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_linearity(seed, a, b):
    v, w = random_table(5, seed), random_table(5, seed + 1)
    for transform in (and_interactions, or_interactions):
        torch.testing.assert_close(
            transform(a * v + b * w), a * transform(v) + b * transform(w), rtol=0, atol=EXACT
        )


@given(seed=st.integers(0, 2**32), dummy=st.integers(0, 4))
def test_dummy(seed, dummy):
    """A player that adds a constant is in no interaction but its own."""
    others = random_table(4, seed)
    masks = coalition_masks(5)
    rest = masks[:, [i for i in range(5) if i != dummy]]
    v = others[(rest.long() * 2 ** torch.arange(3, -1, -1)).sum(1)] + 1.5 * masks[:, dummy]
    for transform in (and_interactions, or_interactions):
        joint = transform(v)[masks[:, dummy] & (masks.sum(1) > 1)]
        torch.testing.assert_close(joint, torch.zeros_like(joint), rtol=0, atol=EXACT)
        assert transform(v)[2 ** (4 - dummy)].item() == pytest.approx(1.5, abs=EXACT)


@given(seed=st.integers(0, 2**32))
def test_symmetry(seed):
    """Renaming the players renames the interactions."""
    v = random_table(4, seed)
    permutation = torch.randperm(4, generator=torch.Generator().manual_seed(seed)).tolist()

    def renamed(table):
        return table.view(2, 2, 2, 2).permute(permutation).flatten()

    for transform in (and_interactions, or_interactions):
        torch.testing.assert_close(transform(renamed(v)), renamed(transform(v)), rtol=0, atol=EXACT)


def test_unit_noise_has_variance_two_to_the_order():
    games = 40_000
    result = and_interactions(random_table(4, seed=0, games=(games,)))
    expected = 2.0 ** coalition_orders(4).double()
    # The variance of a normal variable is estimated with relative error √(2/games) = 0.7%; five of those.
    torch.testing.assert_close(result.var(0), expected, rtol=5 * (2 / games) ** 0.5, atol=0)


def test_any_leading_batch_and_the_order_of_players():
    v = random_table(3, seed=0, games=(2, 5))
    assert and_interactions(v).shape == (2, 5, 8)
    torch.testing.assert_close(and_interactions(v)[1, 3], and_interactions(v[1, 3]))
    # Player 0 is the most significant bit: {0} is entry 4.
    assert and_interactions(v)[0, 0, 4].item() == pytest.approx((v[0, 0, 4] - v[0, 0, 0]).item(), abs=EXACT)


@pytest.mark.parametrize("transform", [and_interactions, or_interactions, subset_sums, touching_sums])
def test_tables_may_lie_in_any_order(transform):
    v = random_table(3, seed=0, games=(2, 5))
    for lying in (v.transpose(0, 1), v.mT.contiguous().mT, v[:, ::2], v[:1].expand(4, -1, -1)):
        assert torch.equal(transform(lying), transform(lying.contiguous()))


def test_types_and_input_untouched():
    v = random_table(4, seed=0).float()
    kept = v.clone()
    assert and_interactions(v).dtype == or_interactions(v).dtype == torch.float64
    assert and_interactions(v, dtype=torch.float32).dtype == torch.float32
    assert torch.equal(v, kept)


@pytest.mark.parametrize("transform", [and_interactions, or_interactions])
def test_differentiable(transform):
    assert torch.autograd.gradcheck(transform, random_table(4, 0, (2,)).requires_grad_())


def test_reconstruct_differentiable():
    tables = (random_table(3, 0).requires_grad_(), random_table(3, 1).requires_grad_())
    assert torch.autograd.gradcheck(reconstruct, tables)


@pytest.mark.parametrize("shape", [(3,), (2, 6), (0,), ()])
@pytest.mark.parametrize("transform", [and_interactions, or_interactions])
@pytest.mark.usefixtures("unchecked")
def test_a_length_that_is_no_power_of_two(transform, shape):
    with pytest.raises(ValueError, match="no power of two"):
        transform(torch.zeros(shape))


@pytest.mark.usefixtures("unchecked")
def test_reconstruct_refuses_different_shapes():
    with pytest.raises(ValueError, match="one shape"):
        reconstruct(torch.zeros(4), torch.zeros(8))


def test_coalitions_in_index_order():
    masks = coalition_masks(4)
    for i, mask in enumerate(masks):
        assert reference.index(tuple(mask.nonzero()[:, 0].tolist()), 4) == i
    assert torch.equal(coalition_orders(4), masks.sum(1))


@pytest.mark.slow
def test_n_of_24():
    """16.8 million coalitions: a term of order 24 and one of order 1 come back."""
    v = torch.zeros(2**24, dtype=torch.float64)
    v[2**23 :] += 2.0  # player 0
    v[-1] += 3.0
    result = and_interactions(v)
    assert result[2**23].item() == 2.0
    assert result[-1].item() == 3.0
    assert result.abs().sum().item() == 5.0
