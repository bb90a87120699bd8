"""p against SciPy and against the confidence that excludes 0, and their correction against a literal loop."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    mean_difference_interval,
    ratio_difference_interval,
)
from harsanyi.analyses.statistics.comparisons import told_apart, with_corrected
from harsanyi.analyses.statistics.correlation import correlation_table

# Sums of a dozen float64 numbers, and the tail of Student's t by two routines.
ROUNDING = 1e-9


@pytest.mark.parametrize("games", [3, 5, 9])
def test_few_differences_have_the_p_of_a_paired_t_test(games):
    first, second = np.random.default_rng(games).normal(0.5, 1.0, (2, games, 4))
    for found, one, other in zip(mean_difference_interval(first - second), first.T, second.T, strict=True):
        assert found.p == pytest.approx(stats.ttest_rel(one, other).pvalue, rel=ROUNDING)


@pytest.mark.parametrize("shift", [0.1, 0.2, 0.3, 0.45])
def test_p_is_where_the_interval_just_touches_zero(shift):
    """With 40 games: at a confidence above 1 − p the interval holds 0, below it does not."""
    random = np.random.default_rng(3)
    whole = random.lognormal(size=(40, 1))
    shares = [(whole * random.beta(2, 2, whole.shape), whole) for _ in range(2)]
    shares[0] = (shares[0][0] + shift * whole, whole)
    (found,) = ratio_difference_interval(*shares)
    step = 6 / 2000  # three resamples to a tail: quantiles are interpolated, and p counts one more
    for confidence, holds in ((1 - found.p - step, False), (1 - found.p + step, True)):
        if 0 < confidence < 1:
            (at,) = ratio_difference_interval(*shares, bootstrap=Bootstrap(confidence=confidence))
            assert (at.low <= 0 <= at.high) == holds


def test_the_p_of_a_coefficient_belongs_to_its_interval():
    x = np.random.default_rng(0).normal(size=30)
    points = pd.DataFrame({"x": x, "y": 0.4 * x + np.random.default_rng(1).normal(size=30)})
    p = correlation_table(points, [("x", "y")]).p.iloc[0]
    table = correlation_table(points, [("x", "y")], bootstrap=Bootstrap(confidence=1 - p))
    # One bound is 0, up to the rounding of tanh.
    assert min(abs(table.low.iloc[0]), abs(table.high.iloc[0])) < ROUNDING


def test_the_correction_is_that_of_a_literal_loop_over_each_family():
    p = np.random.default_rng(0).uniform(0, 0.3, 12)
    p[4] = np.nan
    table = with_corrected(pd.DataFrame({"p": p, "family": ["a", "b"] * 6}), by=["family"])
    for _, family in table.groupby("family"):
        known = sorted(family.p.dropna())
        for row in family.itertuples():
            if np.isnan(row.p):
                assert np.isnan(row.p_corrected)
                continue
            larger = [one * len(known) / (rank + 1) for rank, one in enumerate(known) if one >= row.p]
            assert row.p_corrected == pytest.approx(min(larger), rel=ROUNDING)


def test_of_many_comparisons_without_an_effect_hardly_one_is_left():
    """2,000 tables of 20 differences: 5% of p < 0.05, and 5% of tables have one or more after correction."""
    differences = np.random.default_rng(0).normal(size=(5, 2000 * 20))
    p = np.array([found.p for found in mean_difference_interval(differences)])
    table = with_corrected(pd.DataFrame({"p": p, "table": np.arange(p.size) // 20}), by=["table"])
    # Four standard errors of a share of 5% of 40,000 and of 2,000.
    assert (table.p < 0.05).mean() == pytest.approx(0.05, abs=4 * 0.0011)
    left = (table.p_corrected < 0.05).groupby(table.table).any().mean()
    assert left == pytest.approx(0.05, abs=4 * 0.0049)


def test_one_comparison_needs_no_sentence():
    assert told_apart(with_corrected(pd.DataFrame({"p": [0.01, np.nan]})), "differences") == ""
