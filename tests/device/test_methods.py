"""Value tables become interactions on an accelerator as on the CPU."""

import pytest
import torch

from harsanyi.interactions import (
    And,
    AndOr,
    SparseAndOr,
    and_interactions,
    extract,
    or_interactions,
    reconstruct,
    sparse_and_or_joint,
)
from tests.device import games

# float64 on both sides; sums of 2**4 terms in another order.
EXACT = 1e-10
# Solvers stop at a gap of 1e-3 of the strength, and go the same way up to rounding.
SOLVED = 1e-5


@pytest.fixture
def v():
    return torch.randn(3, 2**4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def require_same(on_device, on_host, device, tolerance=EXACT):
    for name in ("and_", "or_", "v"):
        found, expected = getattr(on_device, name), getattr(on_host, name)
        assert found.device == device
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=tolerance)


def test_transforms(device, v):
    for transform in (and_interactions, or_interactions):
        found = transform(v.to(device))
        assert found.device == device
        torch.testing.assert_close(found.cpu(), transform(v), rtol=0, atol=EXACT)
    halves = and_interactions(v.to(device) / 2), or_interactions(v.to(device) / 2)
    torch.testing.assert_close(reconstruct(*halves).cpu(), v, rtol=0, atol=EXACT)


@pytest.mark.parametrize("method", [And(), AndOr()])
def test_exact_methods(device, v, method):
    require_same(extract(v.to(device), method), extract(v, method), device)


@pytest.mark.parametrize(
    "method",
    [
        SparseAndOr(noise=0.0),
        SparseAndOr(noise=0.05),
        SparseAndOr(method="interior-point"),
        SparseAndOr(method="sgd", max_steps=50),
    ],
)
def test_sparse_methods(device, v, method):
    require_same(extract(v.to(device), method), extract(v, method), device, SOLVED)


@pytest.mark.slow
def test_ranges_of_effects(device, v):
    method, v = SparseAndOr(ranges=1), v[:1]
    found, expected = (extract(table, method).ranges for table in (v.to(device), v))
    for name, values in vars(expected).items():
        if isinstance(values, torch.Tensor):
            # Bisected to a gap of 1e-3 of the strength.
            torch.testing.assert_close(getattr(found, name).cpu(), values, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_several_networks_at_once(device, v):
    both = torch.stack([v, v.flip(0)], dim=1)
    found, expected = sparse_and_or_joint(both.to(device)), sparse_and_or_joint(both)
    for name in ("and_", "or_"):
        assert getattr(found, name).device == device
        torch.testing.assert_close(getattr(found, name).cpu(), getattr(expected, name), rtol=0, atol=SOLVED)


def test_views_and_files(device, v, tmp_path):
    found, expected = extract(v.to(device), AndOr()), extract(v, AndOr())
    torch.testing.assert_close(found.strength().cpu(), expected.strength(), rtol=0, atol=EXACT)
    assert torch.equal(found.salient().count().cpu(), expected.salient().count())
    require_same(found.only(found.salient()), expected.only(expected.salient()), device)
    require_same(found.select([2, 1]), expected.select([2, 1]), device)
    strongest = [[(each.players, each.kind) for each in game] for game in expected.top(4)]
    assert [[(each.players, each.kind) for each in game] for game in found.top(4)] == strongest
    found.save(tmp_path / "interactions.h5")
    loaded = type(found).load(tmp_path / "interactions.h5")
    torch.testing.assert_close(loaded.and_, expected.and_, rtol=0, atol=EXACT)


def test_from_a_game(device):
    cpu = torch.device("cpu")
    found = extract(games.images_game(device), AndOr(), progress=False)
    expected = extract(games.images_game(cpu), AndOr(), progress=False)
    # Sums of 2**6 float32 outputs near 1.
    require_same(found, expected, device, 1e-4)
