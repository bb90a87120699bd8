"""The explained share against sums written out."""

import math

import pytest
import torch

from harsanyi.analyses.knowledge.explained import explained_share
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import AndOr, extract, reconstruct

FEW = Bootstrap(resamples=50)


def test_it_is_the_share_of_sums_over_games_and_coalitions():
    v = torch.rand(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    interactions = extract(v, AndOr())
    salient = interactions.only(interactions.salient(0.5))
    sums = reconstruct(salient.and_, salient.or_)
    left = spread = 0.0
    for game in range(3):
        mean = sum(v[game].tolist()) / 8
        for s in range(8):
            left += (v[game, s].item() - sums[game, s].item()) ** 2
            spread += (v[game, s].item() - mean) ** 2
    share = explained_share(salient, bootstrap=FEW)
    assert share.value == pytest.approx(1 - left / spread, abs=1e-12)  # two dozen terms of size 1
    assert share.low <= share.value <= share.high


def test_all_interactions_explain_all_and_constants_have_nothing_to_explain():
    v = torch.rand(2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert explained_share(extract(v, AndOr()), bootstrap=FEW).value == pytest.approx(1, abs=1e-12)
    assert math.isnan(explained_share(extract(torch.ones(2, 8).double(), AndOr()), bootstrap=FEW).value)
