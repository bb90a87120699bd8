"""Bootstrap intervals against a literal loop over resamples, and the settings that are refused."""

import numpy as np
import pytest

from harsanyi import analyses
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_interval


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


def test_defaults_and_name():
    assert analyses.Bootstrap is Bootstrap
    assert Bootstrap() == Bootstrap(confidence=0.95, resamples=2000, seed=0)


@pytest.mark.parametrize(
    "setting", [{"confidence": 0.0}, {"confidence": 1.0}, {"resamples": 0}, {"seed": -1}]
)
def test_refused(setting):
    with pytest.raises(ValueError, match="expected a confidence above 0 and below 1, 1 resample or more"):
        Bootstrap(**setting)
