"""Bootstrap intervals against a literal loop over resamples, and the settings that are refused."""

import numpy as np
import pytest

from harsanyi import analyses
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    bootstrap_intervals,
    ratio_interval,
    sum_intervals,
)


def test_interval_is_the_percentiles_of_literal_resamples():
    random = np.random.default_rng(0)
    part, whole = random.random((7, 1)), 1 + random.random((7, 1))
    bootstrap = Bootstrap(confidence=0.8, resamples=60, seed=4)
    (interval,) = ratio_interval(part, whole, bootstrap=bootstrap)
    draws = np.random.default_rng(4).integers(0, 7, (60, 7))
    ratios = [part[games].sum() / whole[games].sum() for games in draws]
    low, high = np.quantile(ratios, [0.1, 0.9])
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.value == part.sum() / whole.sum()


def test_sums_of_resamples_are_those_of_the_games_drawn():
    """More resamples than a batch; columns without a value in some resamples; equal columns."""
    random = np.random.default_rng(1)
    part, whole = random.random((9, 5)), random.random((9, 5))
    whole[1:, 1] = 0.0  # drawn in some resamples only
    whole[:, 2] = 0.0
    part[:, 3] = whole[:, 3]
    bootstrap = Bootstrap(confidence=0.9, resamples=250, seed=5)

    def ratio(above, below):
        return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)

    found = sum_intervals((part, whole), ratio, bootstrap)
    literal = bootstrap_intervals(
        (part, whole), lambda above, below, axis: ratio(above.sum(axis), below.sum(axis)), bootstrap
    )
    for one, other in zip(found, literal, strict=True):
        # Sums of nine numbers of size 1 in another order.
        assert list(vars(one).values()) == pytest.approx(list(vars(other).values()), rel=1e-13, nan_ok=True)
    assert (found[3].value, found[3].low, found[3].high) == (1.0, 1.0, 1.0)
    assert np.isnan(found[1].low)
    assert np.isnan(found[2].value)


def test_defaults_and_name():
    assert analyses.Bootstrap is Bootstrap
    assert Bootstrap() == Bootstrap(confidence=0.95, resamples=2000, seed=0)


@pytest.mark.parametrize(
    "setting", [{"confidence": 0.0}, {"confidence": 1.0}, {"resamples": 0}, {"seed": -1}]
)
def test_refused(setting):
    with pytest.raises(ValueError, match="expected a confidence above 0 and below 1, 1 resample or more"):
        Bootstrap(**setting)
