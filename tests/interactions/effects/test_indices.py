"""Indices computed from interactions against definitions, captum and shapiq."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues

from harsanyi.interactions import (
    And,
    AndOr,
    MaskedModel,
    Players,
    SparseAndOr,
    banzhaf_interaction_indices,
    banzhaf_values,
    extract,
    faithful_shapley_indices,
    k_shapley_indices,
    reconstruct,
    shapley_interaction_indices,
    shapley_taylor_indices,
    shapley_values,
)
from tests import reference

N = 5
METHODS = [And(), AndOr(), SparseAndOr(noise=0.0)]


def shapiqs(table):
    """shapiq's exact computation of the indices of a value table; skips where it is not installed."""
    shapiq = pytest.importorskip("shapiq", reason="shapiq, which indices are compared with, is not installed")
    return shapiq.ExactComputer(
        lambda coalitions: table.numpy()[coalitions @ (2 ** np.arange(N - 1, -1, -1))], n_players=N
    )


@pytest.fixture
def v():
    return torch.randn(2, 2**N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_values_by_definition(v, method):
    result = extract(v, method)
    for game in range(2):
        torch.testing.assert_close(
            shapley_values(result)[game], reference.shapley_values(v[game]), rtol=0, atol=1e-10
        )
        torch.testing.assert_close(
            banzhaf_values(result)[game], reference.banzhaf_values(v[game]), rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_interaction_indices_are_shapiqs(v, method):
    computer = shapiqs(v[0])
    result = shapley_interaction_indices(extract(v, method))[0]
    for order in (1, 2, 3):
        exact = computer("SII", order)
        for coalition in reference.subsets(tuple(range(N))):
            if len(coalition) == order:
                assert result[reference.index(coalition, N)].item() == pytest.approx(
                    exact[coalition], abs=1e-10
                )
    assert result[0].item() == 0


@pytest.mark.parametrize(("name", "ours"), [("SV", shapley_values), ("BV", banzhaf_values)])
def test_values_are_shapiqs(v, name, ours):
    exact = shapiqs(v[0])(name, 1)
    result = ours(extract(v, AndOr()))[0]
    assert result.tolist() == pytest.approx([exact[(i,)] for i in range(N)], abs=1e-10)


INDICES = {
    "BII": lambda interactions, order: banzhaf_interaction_indices(interactions),
    "k-SII": k_shapley_indices,
    "STII": shapley_taylor_indices,
    "FSII": faithful_shapley_indices,
}


@pytest.mark.parametrize("order", [1, 2, 3, N])
@pytest.mark.parametrize("name", INDICES)
def test_indices_of_an_order_are_shapiqs(v, name, order):
    for method in METHODS:
        index = INDICES[name](extract(v, method), order)
        assert (index.dtype, index.shape) == (torch.float64, v.shape)
        for game in range(2):
            exact = shapiqs(v[game])(name, order)
            for coalition in reference.subsets(tuple(range(N))):
                if 0 < len(coalition) <= order:
                    # Sums of 32 numbers of size 1; shapiq solves FSII's least squares with weights of 10⁷.
                    assert index[game, reference.index(coalition, N)].item() == pytest.approx(
                        exact[coalition], abs=1e-8
                    )


@pytest.mark.parametrize("n", [1, 2, 4, 5])
@pytest.mark.parametrize("name", INDICES)
def test_indices_of_an_order_by_definition(name, n):
    table = torch.randn(2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    for order in range(1, n + 1):
        index = INDICES[name](extract(table[None], AndOr()), order)[0]
        literal = getattr(reference, name.replace("-", "_").lower())(table, order)
        if name == "BII":
            index = torch.where(reference.table_of(len, n) <= order, index, 0.0)
        # Sums of 2⁵ numbers of size 1, and for FSII the solution of normal equations of condition 10³.
        torch.testing.assert_close(index, literal, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["k-SII", "STII", "FSII"])
def test_indices_add_up_to_what_is_explained(v, name):
    result = extract(v, SparseAndOr(noise=0.04))
    explained = reconstruct(result.and_, result.or_)
    for order in range(1, N + 1):
        index = INDICES[name](result, order)
        torch.testing.assert_close(index.sum(-1), explained[:, -1] - explained[:, 0], rtol=0, atol=1e-10)
        assert (index[:, reference.table_of(len, N) > order] == 0).all()


def test_indices_of_many_players_lose_no_digits():
    """An OR of 16 players: as a sum of 65,535 ANDs its indices would cancel."""
    n = 16
    or_ = torch.zeros(1, 2**n, dtype=torch.float64)
    or_[0, -1] = 1.0
    result = extract(reconstruct(torch.zeros_like(or_), or_), And())
    exact = replace(result, and_=torch.zeros_like(or_), or_=or_)
    index = faithful_shapley_indices(exact, 2)
    pair = index[0, 3].item()
    # By symmetry 16 singles and 120 pairs add up to 1, and two players of an OR replace each other.
    assert 16 * index[0, 1].item() + 120 * pair == pytest.approx(1, abs=1e-12)
    assert pair < 0
    assert shapley_taylor_indices(exact, 2)[0, 3].item() == pytest.approx(-2 / n, abs=1e-15)


@pytest.mark.parametrize("order", [0, N + 1])
def test_an_order_that_no_coalition_has_is_refused(v, order):
    for name in ("k-SII", "STII", "FSII"):
        with pytest.raises(ValueError, match=f"an order of 1 to 5, the number of players; got {order}"):
            INDICES[name](extract(v, And()), order)


def test_shapley_values_are_captums():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        )
    net.double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    players = Players.grid(4, 4, 2, 2)
    game = MaskedModel(net, x, players, labels=[2, 0], score="logit")
    ours = shapley_values(extract(game, AndOr(), progress=False))
    theirs = ShapleyValues(net).attribute(
        x, target=torch.tensor([2, 0]), feature_mask=players.owner[None, None]
    )
    # captum answers in float32.
    torch.testing.assert_close(
        ours[:, players.owner][:, None].float(), theirs.detach().float(), rtol=1e-5, atol=1e-6
    )
