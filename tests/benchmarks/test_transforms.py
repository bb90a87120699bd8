"""The transforms beside a loop in C: the same bits in every way, and the table."""

import shutil

import pandas as pd
import pytest
import torch

from benchmarks.transforms import __main__ as benchmark
from benchmarks.transforms.__main__ import Case, check, measured, shared, table
from benchmarks.transforms.plain import plain_butterfly
from tests import reference

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="the loop in C needs a C compiler")
# Sums of 2**5 terms near 1 in float64.
EXACT = 1e-12


@pytest.mark.parametrize("way", [lambda tables: plain_butterfly()(tables), shared])
def test_the_loop_in_c_gives_the_dividends(way):
    tables = torch.randn(5, 2**5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([reference.and_interactions(v) for v in tables])
    way(tables)
    torch.testing.assert_close(tables, expected, rtol=0, atol=EXACT)


def test_another_way_of_rounding_is_refused(monkeypatch):
    tables = torch.rand(3, 2**4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    check(tables)
    monkeypatch.setattr(benchmark, "passes", rounds_otherwise)
    with pytest.raises(ValueError, match="rounds_otherwise and the loop in C give other bits"):
        check(tables)


def rounds_otherwise(tables):
    """The first player first."""
    for player in reversed(range(4)):
        halves = tables.view(-1, 2, 2**player)
        halves[:, 1].sub_(halves[:, 0])


def test_the_rounds_and_their_table(monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH", 2**8)
    monkeypatch.setattr(benchmark, "CASES", {"4": Case(4, 2**4, 1), "4-alone": Case(4, 1, 3)})
    rounds = pd.concat([measured(name, 2) for name in benchmark.CASES])
    assert (rounds[["c", "harsanyi", "passes", "interactions"]] > 0).all(axis=None)
    batch, alone = table(rounds)
    assert (batch["n"], batch["games"], alone["games"]) == (4, 16, 1)
    assert alone["on all cores"] == "–" != batch["on all cores"]
