"""Claims about quantities: means, shares and times against SciPy and literal loops; what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    ratio_interval,
    sum_intervals,
)
from harsanyi.analyses.statistics.claims import (
    Place,
    Quantity,
    claims_table,
    quantities_at,
    require_claims,
    told_claims,
)

# Sums of a few float64 numbers of size ~1, in another order.
EXACT = 1e-12
FEW = 6  # t intervals
FAST = Bootstrap(resamples=400)


@pytest.fixture
def numbers() -> np.ndarray:
    """Four columns above 0, of which the second and fourth are wholes of the first and third."""
    drawn = np.random.default_rng(0).uniform(0.1, 1.0, (FEW, 4))
    drawn[:, 1] += drawn[:, 0]
    drawn[:, 3] += drawn[:, 2]
    return drawn


def quantity(*parts: np.ndarray, **more) -> Quantity:
    return Quantity("inputs", tuple(range(len(parts[0]))), parts, **more)


def literal_jackknife(value, games: int) -> tuple[float, float]:
    """A value of all games with its standard error, leaving out a game at a time."""
    everyone = list(range(games))
    without = [value([game for game in everyone if game != left]) for left in everyone]
    mean = sum(without) / games
    error = math.sqrt((games - 1) / games * sum((one - mean) ** 2 for one in without))
    return value(everyone), error


def test_a_share_has_the_interval_of_the_report_and_a_p_of_its_own(numbers):
    share = quantity(numbers[:, 0], numbers[:, 1])
    table = claims_table({"share": share}, ["share > 0.2"])
    (expected,) = ratio_interval(numbers[:, :1], numbers[:, 1:2])
    assert table.loc[0, ["value", "low", "high"]].tolist() == [expected.value, expected.low, expected.high]
    beyond = stats.ttest_1samp(numbers[:, 0] - 0.2 * numbers[:, 1], 0.0)
    assert table.p[0] == pytest.approx(beyond.pvalue, rel=1e-9)
    assert table.loc[0, ["over", "count"]].tolist() == ["inputs", FEW]


def test_a_difference_of_shares_is_paired(numbers):
    first, second = quantity(*numbers.T[:2]), quantity(*numbers.T[2:])
    table = claims_table({"a": first, "b": second}, ["a - b < 0.1"])

    def value(games: list[int]) -> float:
        (a, b, c, d) = (sum(numbers[game, k] for game in games) for k in range(4))
        return a / b - c / d

    expected, error = literal_jackknife(value, FEW)
    reach = stats.t.ppf(0.975, FEW - 1) * error
    found = table.loc[0, ["value", "low", "high"]].tolist()
    assert found == pytest.approx([expected, expected - reach, expected + reach], abs=EXACT)
    p = 2 * stats.t.sf(abs(expected - 0.1) / error, FEW - 1)
    assert table.p[0] == pytest.approx(p, rel=1e-9)


def test_a_mean_less_a_share_is_told_too(numbers):
    table = claims_table({"a": quantity(numbers[:, 0]), "b": quantity(*numbers.T[2:])}, ["a - b > 0"])
    expected = numbers[:, 0].mean() - numbers[:, 2].sum() / numbers[:, 3].sum()
    assert table.value[0] == pytest.approx(expected, abs=EXACT)
    assert table.low[0] < expected < table.high[0]


def test_units_are_paired_by_number_and_not_by_place(numbers):
    first = Quantity("seeds", tuple(range(FEW)), (numbers[:, 0],))
    moved = Quantity("seeds", (5, 3, 1, 4), (numbers[[5, 3, 1, 4], 2],))
    table = claims_table({"a": first, "b": moved}, ["a - b < 0"])
    both = [1, 3, 4, 5]
    expected = stats.ttest_rel(numbers[both, 0], numbers[both, 2])
    assert table.loc[0, "count"] == 4
    assert (table.low[0], table.high[0]) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    assert table.p[0] == pytest.approx(expected.pvalue, rel=1e-9)


def test_other_statistics_draw_the_same_units_for_both():
    random = np.random.default_rng(1)
    one, other = (quantity(*random.uniform(0.5, 1.0, (2, 20)), statistic=np.maximum) for _ in range(2))
    table = claims_table({"a": one, "b": other}, ["a - b < 3", "a > 0"], bootstrap=FAST)
    columns = tuple(part[:, None] for part in (*one.parts, *other.parts))
    (expected,) = sum_intervals(
        columns, lambda a, b, c, d: np.maximum(a, b) - np.maximum(c, d), Bootstrap(resamples=400)
    )
    assert table.loc[0, ["value", "low", "high"]].tolist() == list(vars(expected).values())
    (alone,) = sum_intervals(columns[:2], np.maximum, FAST)
    assert table.loc[1, ["value", "low", "high"]].tolist() == list(vars(alone).values())
    assert table.p.isna().all()
    # A mean beside a time: the mean is a sum over a number of units.
    mixed = claims_table({"a": one, "b": quantity(other.parts[0])}, ["a - b < 3"], bootstrap=FAST)
    assert mixed.value[0] == pytest.approx(alone.value - other.parts[0].mean(), abs=EXACT)


def test_quantities_of_a_table_are_told_alone():
    rows = [{"kind": kind, "gain": 0.2, "gain_low": 0.1, "gain_high": 0.3, "games": 9} for kind in ("a", "b")]
    places = {kind: Place("found", {"kind": kind}, "gain") for kind in ("a", "b", "c")}
    found = quantities_at(places, {"found": pd.DataFrame(rows)}, over="inputs")
    table = claims_table(found, ["a > 0.05", "c > 0.05"])
    assert table.verdict.tolist() == ["holds", "cannot be told"]
    assert (table.loc[0, "count"], table.value[0]) == (9, 0.2)
    assert math.isnan(table.p[0])
    with pytest.raises(ValueError, match="'a - b > 0' subtracts, and 'a' has an interval alone"):
        claims_table(found, ["a - b > 0"])
    missing = quantities_at(places, {}, over="inputs")
    assert missing["a"].shown is not None
    assert math.isnan(missing["a"].shown.value)


def test_what_is_not_there_is_refused(numbers):
    found = {"share": quantity(numbers[:, 0]), "error": Quantity("seeds", (0, 1), (np.zeros(2),))}
    with pytest.raises(
        ValueError, match="'shares > 0' names 'shares', which is no quantity of this study: it has share, er"
    ):
        require_claims(["shares > 0"], found)
    with pytest.raises(ValueError, match="'share > x' is no claim"):
        require_claims(["share > x"], found)
    with pytest.raises(ValueError, match="over 6 inputs and the other over 2 seeds, with none in common"):
        claims_table(found, ["share - error > 0"])


def test_no_claims_no_table():
    assert told_claims(lambda: pytest.fail("asked for quantities"), []) == {}


def test_an_interval_that_is_shown_is_the_one_that_tells():
    wilson = Interval(1.0, 0.6, 1.0)
    right = quantity(np.ones(6), shown=wilson)
    table = claims_table(
        {"right": right, "half": quantity(np.full(6, 0.5))}, ["right > 0.7", "right - half > 0"]
    )
    assert table.verdict.tolist() == ["cannot be told", "holds"]
    assert table.low.tolist() == [0.6, 0.5]
