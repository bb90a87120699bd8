"""Verdicts by the place of the margin, and how often they are wrong."""

import math

import numpy as np
import pytest

from harsanyi.analyses.statistics.bootstrap import Interval, mean_interval
from harsanyi.analyses.statistics.verdict import Claim, verdict


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (0.05, "holds"),
        (0.1, "cannot be told"),
        (0.2, "cannot be told"),
        (0.3, "cannot be told"),
        (0.31, "fails"),
    ],
)
def test_the_margin_is_below_in_or_above_the_interval(margin, expected):
    assert verdict(Interval(0.2, 0.1, 0.3), margin) == expected


def test_without_an_interval_nothing_can_be_told():
    assert verdict(Interval(5.0, math.nan, math.nan)) == "cannot be told"
    assert verdict(Interval(math.nan, math.nan, math.nan)) == "cannot be told"
    with pytest.raises(ValueError, match="expected a finite margin, got nan"):
        verdict(Interval(0.2, 0.1, 0.3), math.nan)


def test_at_the_margin_itself_three_seeds_rarely_decide():
    """Means that equal the margin: 2.5% of 4,000 verdicts are wrong to each side, give or take 4 · 0.25%."""
    differences = np.random.default_rng(0).normal(0.3, 1.0, (3, 4000))
    told = [verdict(interval, 0.3) for interval in mean_interval(differences)]
    for wrong in ("holds", "fails"):
        assert told.count(wrong) / 4000 == pytest.approx(0.025, abs=4 * 0.0025)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a < 0.5", ("holds", "fails", "cannot be told")),
        ("a > 0.5", ("fails", "holds", "cannot be told")),
        ("a - b < .5", ("holds", "fails", "cannot be told")),
    ],
)
def test_a_claim_says_less_or_more_than_its_margin(text, told):
    below, above, across = Interval(0.2, 0.1, 0.3), Interval(0.8, 0.6, 0.9), Interval(0.4, 0.1, 0.6)
    assert tuple(Claim.of(text).told(interval) for interval in (below, above, across)) == told
    assert Claim.of(text).told(Interval(0.2, math.nan, math.nan)) == "cannot be told"


@pytest.mark.parametrize("text", ["a", "a < b", "a <= 0.5", "a - b", "a < 0.5%", "a - b - c < 1"])
def test_other_texts_are_no_claims(text):
    with pytest.raises(ValueError, match="is no claim: expected ONE - OTHER < MARGIN"):
        Claim.of(text)
