"""The difference of two rates on the same inputs: by hand, and how often its interval holds the truth."""

import numpy as np
import pytest
from scipy.stats import norm

from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.paired_rates import paired_rate_difference


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, neither)
    return tuple(np.repeat(np.array(right, dtype=bool), counts) for right in ((1, 1, 0, 0), (1, 0, 1, 0)))


def test_by_hand():
    # Of 98 inputs 7 and 2 differ: d = 5/100, s² = (10 − 25/100) / 100².
    found = paired_rate_difference(*answers(50, 7, 2, 39))
    error = 9.75**0.5 / 100
    # The same closed form in float64.
    assert found.value == pytest.approx(5 / 98, rel=1e-15)
    assert (found.low, found.high) == pytest.approx(
        (0.05 - 1.959963985 * error, 0.05 + 1.959963985 * error), rel=1e-8
    )
    assert found.p == pytest.approx(2 * (1 - norm.cdf(0.05 / error)), rel=1e-9)
    wider = paired_rate_difference(*answers(50, 7, 2, 39), bootstrap=Bootstrap(confidence=0.99))
    assert wider.low < found.low < found.high < wider.high


def test_p_says_where_the_interval_leaves_zero():
    found = paired_rate_difference(*answers(40, 12, 3, 45))
    edge = paired_rate_difference(*answers(40, 12, 3, 45), bootstrap=Bootstrap(confidence=1 - found.p))
    assert edge.low == pytest.approx(0, abs=1e-12)  # float64 around 0.1


@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.03, 0.01), (0.2, 0.1)])
def test_it_holds_the_truth_as_often_as_it_says(shares):
    rng = np.random.default_rng(0)
    draws = rng.multinomial(200, [0.6, *shares, 0.4 - sum(shares)], size=2000)
    found = [paired_rate_difference(*answers(*counts)) for counts in draws.tolist()]
    held = np.mean([each.low <= shares[0] - shares[1] <= each.high for each in found])
    # 2,000 draws: 95% within four standard errors of 0.5 points; conservative where answers hardly differ.
    assert held > 0.93


def test_other_inputs_are_refused():
    with pytest.raises(ValueError, match=r"expected answers to the same inputs; got \(2,\) and \(3,\)"):
        paired_rate_difference(np.ones(2, dtype=bool), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="expected answers to the same inputs"):
        paired_rate_difference(np.ones(0, dtype=bool), np.ones(0, dtype=bool))
