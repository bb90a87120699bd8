"""Planning against closed forms, the bootstrap of the change itself, and laws that the curve must follow."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from harsanyi.analyses.accuracy.inputs_needed import inputs_needed, planning_curve
from harsanyi.analyses.knowledge.change import KnowledgeChange, compare
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, extract

EXACT = 1e-12


def random_interactions(seed: int, games: int = 40, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_change(games: int = 40) -> KnowledgeChange:
    before, after, scratch = (random_interactions(seed, games) for seed in range(3))
    return compare(before, after, scratch=scratch, threshold=0.1)


def change_with_shares(shares: Tensor) -> KnowledgeChange:
    """One interaction of strength 1 before, of strength `share` after: equal denominators."""
    before, after = torch.zeros(2, len(shares), 4, dtype=torch.float64)
    before[:, 3], after[:, 3] = 1, shares
    return compare(extract(before, And()), extract(after, And()))


def curve_of(counts: list[int], widths: list[float], quantity: str = "new_share") -> pd.DataFrame:
    return pd.DataFrame({"quantity": quantity, "inputs": counts, "half_width": widths, "games": counts[-1]})


@pytest.fixture(scope="module")
def shares() -> Tensor:
    return 0.2 + 0.6 * torch.rand(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_half_width_of_a_mean(shares):
    """With equal denominators the share is a mean of m draws: ±1.96 s/√m, normal enough from 8 on."""
    curve = planning_curve(change_with_shares(shares), ["preserved_share"], draws=20_000)
    assert curve.value.to_numpy() == pytest.approx(shares.mean().item(), abs=EXACT)
    scatter = shares.std(correction=0).item()
    for row in curve[curve.inputs >= 8].itertuples():
        # 20,000 draws leave ±1% (one standard error) to a percentile's distance from the middle.
        assert row.half_width == pytest.approx(1.96 * scatter / np.sqrt(row.inputs), rel=0.03)
        assert (row.low + row.high) / 2 == pytest.approx(row.value, abs=0.1 * row.half_width)


def test_all_inputs_at_once_scatter_like_the_bootstrap():
    """The last point of the curve estimates what the intervals of the change's table do."""
    change = random_change()
    table = change.table(bootstrap=Bootstrap(resamples=10_000))
    table = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    expected = table.set_index("quantity")
    quantities = ["preserved_share", "new_share", "scratch_share", "only_scratch_share"]
    curve = planning_curve(change, quantities, [40], draws=10_000, seed=1).set_index("quantity")
    assert curve.index.tolist() == quantities
    for quantity, row in curve.iterrows():
        assert row.value == pytest.approx(expected.value[quantity], abs=EXACT)
        # Percentiles of 40 inputs beside bootstrap-t: the t quantile is 3% above the normal one, the error as
        # much too small without its 39ths, and skewness moves both bounds by tenths of a standard error.
        for bound in ("low", "high"):
            assert row[bound] == pytest.approx(expected[bound][quantity], abs=0.3 * row.half_width)


def test_a_literal_draw_of_two(shares):
    """All 9 ordered pairs of 3 games; the percentiles of many draws are those of the pairs."""
    change = random_change(games=3)
    part, whole = (one.sum((1, 2, 3)).tolist() for one in (change.new, change.all_after))
    pairs = [(part[i] + part[j]) / (whole[i] + whole[j]) for i in range(3) for j in range(3)]
    curve = planning_curve(change, ["new_share"], [2], draws=5000, confidence=0.9)
    assert (curve.low[0], curve.high[0]) == pytest.approx((min(pairs), max(pairs)), abs=EXACT)


def test_the_curve_narrows():
    curve = planning_curve(random_change())
    assert " ".join(curve.columns) == "quantity inputs value low high half_width games"
    assert (curve.games == 40).all()
    for quantity in ("preserved_share", "new_share"):
        rows = curve[curve.quantity == quantity]
        assert rows.inputs.tolist() == [2, 4, 8, 16, 32, 40]
        assert (rows.half_width.diff()[1:] < 0).all()
        assert rows.value.nunique() == 1
        assert ((rows.low < rows.value) & (rows.value < rows.high)).all()
    narrow, wide = (planning_curve(random_change(), confidence=level).half_width for level in (0.5, 0.9))
    assert (narrow < wide).all()


def test_one_seed_one_curve_whatever_the_counts():
    change = random_change()
    once, again, other = (planning_curve(change, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(once, again)
    assert not once.low.equals(other.low)
    some = planning_curve(change, counts=[16, 4, 4], seed=1)
    pd.testing.assert_frame_equal(some, once[once.inputs.isin([4, 16])].reset_index(drop=True))


def test_equal_inputs_do_not_scatter():
    curve = planning_curve(change_with_shares(torch.full((10,), 0.25, dtype=torch.float64)))
    assert curve.half_width.to_numpy() == pytest.approx(0, abs=EXACT)
    needed = inputs_needed(curve)
    assert needed.inputs.tolist() == [2, 2]
    assert not needed.extrapolated.any()


def test_bounds_are_nan_where_a_draw_has_nothing_to_share():
    before, after = torch.zeros(2, 4, 4, dtype=torch.float64)
    before[0, 3] = after[:, 3] = 1  # (3/4)^m of the draws have nothing before
    curve = planning_curve(compare(extract(before, And()), extract(after, And())), draws=500)
    kept, new = (curve[curve.quantity == name] for name in ("preserved_share", "new_share"))
    assert kept.value.tolist() == [1, 1]
    assert kept[["low", "high", "half_width"]].isna().all(axis=None)
    assert new.half_width.notna().all()
    needed = inputs_needed(curve, 1e-3).set_index("quantity")
    assert np.isnan(needed.inputs.preserved_share)
    assert not needed.extrapolated.preserved_share
    assert needed.inputs.new_share > 4


def test_needed_inputs_of_a_mean(shares):
    """m = (1.96 s / half width)², inside the curve and beyond it."""
    scatter = shares.std(correction=0).item()
    curve = planning_curve(change_with_shares(shares), ["preserved_share"], draws=20_000)
    for half_width in (0.1, 0.06, 0.03, 0.01):
        literal = (1.96 * scatter / half_width) ** 2
        needed = inputs_needed(curve, half_width).iloc[0]
        # Twice the 3% of the half widths, and a whole input.
        assert needed.inputs == pytest.approx(literal, rel=0.06, abs=1)
        assert needed.extrapolated == (literal > 64)


def test_needed_inputs_along_a_given_curve():
    law = curve_of([4, 16, 64], [0.4, 0.2, 0.1])  # 0.8/√m
    for half_width, inputs, beyond in (
        (0.5, 4, False),  # enough from the first count on: fewer were not tried
        (0.4, 4, False),
        (0.25, 11, False),  # 10.24
        (0.2, 16, False),
        (0.1, 64, False),
        (0.0999, 65, True),
        (0.05, 256, True),
        (0.01, 6400, True),
    ):
        found = inputs_needed(law.sample(frac=1, random_state=0), half_width)
        assert found.values.tolist() == [["new_share", half_width, inputs, beyond, 64]]


def test_needed_inputs_along_a_crooked_curve():
    dips = curve_of([2, 4, 8, 16], [0.3, 0.04, 0.2, 0.02])
    assert inputs_needed(dips, 0.05).inputs[0] == 16  # capped: (0.2/0.05)² · 8 = 128
    unknown = curve_of([2, 4, 8], [np.nan, np.nan, 0.1])
    assert inputs_needed(unknown, 0.2).inputs[0] == 8
    assert inputs_needed(unknown, 0.05).inputs[0] == 32
    start = curve_of([2, 16, 64], [0.02, 0.2, 0.1])  # 0.8/√m but for two inputs, too few for a law
    assert inputs_needed(start, 0.05).inputs[0] == 256
    two = pd.concat([curve_of([4], [0.2], "preserved_share"), curve_of([4], [0.1])])
    assert inputs_needed(two, 0.1).inputs.tolist() == [16, 4]
    assert inputs_needed(two, 0.1).extrapolated.tolist() == [True, False]


def test_needed_inputs_of_a_change():
    change = random_change()
    pd.testing.assert_frame_equal(inputs_needed(change, 0.1), inputs_needed(planning_curve(change), 0.1))


def test_bad_plans():
    change, alone = random_change(8), random_change(1)
    for counts in ([0, 4], [4, 9], []):
        with pytest.raises(ValueError, match="counts of inputs from 1 to their number; got 8 games and"):
            planning_curve(change, counts=counts)
    with pytest.raises(ValueError, match="expected two games or more"):
        planning_curve(alone)
    for quantities in (["preserved"], []):
        with pytest.raises(ValueError, match=r"expected shares out of \['preserved_share'"):
            planning_curve(change, quantities)
    without = compare(change.before, change.after)
    with pytest.raises(ValueError, match=r"got \['scratch_share'\]"):
        planning_curve(without, ["scratch_share"])
    for wrong in ({"draws": 1}, {"confidence": 1.0}, {"confidence": 0.0}):
        with pytest.raises(ValueError, match=r"2 draws or more and a confidence in \(0, 1\)"):
            planning_curve(change, **wrong)
    for half_width in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="half width above 0"):
            inputs_needed(change, half_width)
    with pytest.raises(ValueError, match=r"columns \['half_width'\]"):
        inputs_needed(curve_of([4], [0.1]).drop(columns="half_width"))
