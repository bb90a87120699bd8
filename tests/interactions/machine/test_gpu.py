"""What runs on the CPU runs on a GPU, to the same numbers."""

import pytest
import torch

from harsanyi.interactions import (
    AndOr,
    Players,
    SparseAndOr,
    and_interactions,
    extract,
    or_interactions,
    reconstruct,
    sparse_and_or_joint,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

# float64 on both sides; sums of 2**8 terms in another order.
EXACT = 1e-10


@pytest.fixture
def v():
    return torch.randn(5, 2**8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_transforms(v):
    for transform in (and_interactions, or_interactions):
        found = transform(v.cuda())
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), transform(v), rtol=0, atol=EXACT)
    halves = and_interactions(v.cuda() / 2), or_interactions(v.cuda() / 2)
    torch.testing.assert_close(reconstruct(*halves).cpu(), v, rtol=0, atol=EXACT)


def test_even_split_and_its_views(v):
    on_gpu, on_cpu = extract(v.cuda(), AndOr()), extract(v, AndOr())
    torch.testing.assert_close(on_gpu.strength().cpu(), on_cpu.strength(), rtol=0, atol=EXACT)
    assert on_gpu.to("cpu").top(3)[0][0].players == on_cpu.top(3)[0][0].players


@pytest.mark.parametrize("method", ["splitting", "interior-point"])
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_sparse_split(v, noise, method):
    sparse = SparseAndOr(noise=noise, method=method)
    on_gpu, on_cpu = extract(v.cuda(), sparse), extract(v, sparse)
    assert on_gpu.gap.max() <= 1e-3
    strength = on_gpu.effects.abs().sum((1, 2)).cpu()
    # Both are within their gap of the same optimum.
    torch.testing.assert_close(strength, on_cpu.effects.abs().sum((1, 2)), rtol=5e-3, atol=0)


def test_joint_split_and_ranges(v):
    together = sparse_and_or_joint(torch.stack([v, v.flip(0)], dim=1).cuda())
    assert together.gap.max() <= 1e-3
    assert together.and_.device.type == "cuda"
    ranges = extract(v.cuda(), SparseAndOr(ranges=2)).ranges
    assert (ranges.lowest <= ranges.effect + EXACT).all()
    assert (ranges.effect <= ranges.highest + EXACT).all()


def test_players():
    players = Players.grid(8, 8, 2, 2)
    coalitions = torch.tensor([[True, False, False, True]])
    games = torch.zeros(1, dtype=torch.int64)
    kept = players.to("cuda").keep(games.cuda(), coalitions.cuda(), ndim=4)
    assert torch.equal(kept.cpu(), players.keep(games, coalitions, ndim=4))
