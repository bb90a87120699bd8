"""Intervals against SciPy and literal loops over games and resamples, and how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import GAMES, POPULATIONS, coverage
from harsanyi import analyses
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    bootstrap_intervals,
    interval_kind,
    mean_interval,
    positive_mean_interval,
    rate_interval,
    ratio_difference_interval,
    ratio_interval,
    share_interval,
    sum_intervals,
)

# Sums of a dozen float64 numbers of size 1 in another order, and a square root of a difference of them.
ROUNDING = 1e-9


def strengths(games: int, columns: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(games, columns))


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


@pytest.mark.parametrize("games", [3, 5, 9])
def test_few_games_have_the_t_interval_of_scipy(games):
    values = strengths(games, 4)
    for interval, column in zip(mean_interval(values), values.T, strict=True):
        literal = stats.ttest_1samp(column, 0.0).confidence_interval(0.95)
        assert bounds(interval) == pytest.approx(tuple(literal), rel=ROUNDING)
        assert interval.value == pytest.approx(column.mean(), rel=ROUNDING)


@pytest.mark.parametrize("games", [3, 9])
def test_few_ratios_and_their_differences_have_the_error_of_a_literal_jackknife(games):
    parts = [strengths(games, seed=seed)[:, 0] for seed in range(4)]

    def value(kept: list[int]) -> tuple[float, float]:
        sums = [part[kept].sum() for part in parts]
        return sums[0] / sums[1], sums[0] / sums[1] - sums[2] / sums[3]

    everything = list(range(games))
    without = np.array([value([game for game in everything if game != left_out]) for left_out in everything])
    error = np.sqrt((games - 1) / games * ((without - without.mean(0)) ** 2).sum(0))
    reach = stats.t.ppf(0.975, games - 1) * error
    columns = [part[:, None] for part in parts]
    found = [
        *ratio_interval(columns[0], columns[1]),
        *ratio_difference_interval((columns[0], columns[1]), (columns[2], columns[3])),
    ]
    for interval, middle, width in zip(found, value(everything), reach, strict=True):
        assert bounds(interval) == pytest.approx((middle - width, middle + width), rel=ROUNDING)


@pytest.mark.parametrize("how", ["mean", "ratio", "difference"])
def test_ten_games_have_the_bootstrap_t_interval_of_a_literal_loop(how):
    """t of every resample: its distance over the spread of its own residuals; more resamples than a batch."""
    games, resamples, seed = 12, 250, 5
    first, whole, second, other = (strengths(games, seed=seed)[:, 0] for seed in range(4))
    if how == "mean":
        whole = np.ones(games)

    def value_and_error(drawn: np.ndarray) -> tuple[float, float]:
        ratio, less = first[drawn].sum() / whole[drawn].sum(), second[drawn].sum() / other[drawn].sum()
        influence = (first[drawn] - ratio * whole[drawn]) / whole[drawn].sum()
        if how != "difference":
            return ratio, np.sqrt((influence**2).sum())
        influence = influence - (second[drawn] - less * other[drawn]) / other[drawn].sum()
        return ratio - less, np.sqrt((influence**2).sum())

    middle, error = value_and_error(np.arange(games))
    # A batch has a hundred resamples.
    random = np.random.default_rng(seed)
    draws = np.concatenate([random.integers(0, games, (count, games)) for count in (100, 100, 50)])
    drawn = [value_and_error(draw) for draw in draws]
    few, many = np.quantile([(value - middle) / spread for value, spread in drawn], [0.1, 0.9])
    bootstrap = Bootstrap(confidence=0.8, resamples=resamples, seed=seed)
    a, b, c, d = (part[:, None] for part in (first, whole, second, other))
    (found,) = {
        "mean": lambda: mean_interval(a, bootstrap=bootstrap),
        "ratio": lambda: ratio_interval(a, b, bootstrap=bootstrap),
        "difference": lambda: ratio_difference_interval((a, b), (c, d), bootstrap=bootstrap),
    }[how]()
    assert bounds(found) == pytest.approx((middle - many * error, middle - few * error), rel=ROUNDING)
    assert found.value == pytest.approx(middle, rel=ROUNDING)


@pytest.mark.parametrize("games", [3, 8, 50])
def test_rates_have_the_interval_of_wilson(games):
    truths = np.arange(games)[:, None] < np.array([0, 1, games // 2, games])
    for interval, right in zip(rate_interval(truths), truths.sum(0), strict=True):
        literal = stats.binomtest(int(right), games).proportion_ci(0.95, method="wilson")
        assert bounds(interval) == pytest.approx(tuple(literal), rel=ROUNDING, abs=ROUNDING)


def test_all_right_is_no_certainty_and_other_numbers_are_no_rate():
    (found,) = rate_interval(np.ones((8, 1)))
    assert found.value == found.high == 1.0
    assert found.low < 0.7
    with pytest.raises(ValueError, match="expected truth values, 0 or 1, for a rate"):
        rate_interval(np.full((8, 1), 0.5))


def test_too_few_games_have_a_value_and_no_interval():
    two = np.array([[1.0], [3.0]])
    for (found,) in (
        mean_interval(two),
        rate_interval(two > 2),
        ratio_interval(two, 4 * np.ones((2, 1))),
        ratio_difference_interval((two, two), (two, 2 * two)),
    ):
        assert np.isfinite(found.value)
        assert np.isnan(bounds(found)).all()
    for found in (
        *sum_intervals((strengths(9),), lambda total: total, Bootstrap()),
        *bootstrap_intervals((strengths(9),), lambda values, axis: values.max(axis), Bootstrap()),
    ):
        assert np.isfinite(found.value)
        assert np.isnan(bounds(found)).all()


def test_anything_else_has_expanded_percentiles_of_literal_resamples():
    """Columns without a value in some resamples, and equal columns, by sums and by any statistic."""
    part, whole = strengths(11, 5), strengths(11, 5, seed=1)
    whole[1:, 1] = 0.0  # drawn in some resamples only
    whole[:, 2] = 0.0
    part[:, 3] = whole[:, 3]
    bootstrap = Bootstrap(confidence=0.9, resamples=250, seed=5)

    def ratio(above, below):
        return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)

    found = sum_intervals((part, whole), ratio, bootstrap)
    by_any = bootstrap_intervals(
        (part, whole), lambda above, below, axis: ratio(above.sum(axis), below.sum(axis)), bootstrap
    )
    random = np.random.default_rng(5)
    draws = np.concatenate([random.integers(0, 11, (count, 11)) for count in (100, 100, 50)])
    tail = stats.norm.cdf(-stats.t.ppf(0.95, 10) * np.sqrt(11 / 10))
    literal = [
        np.quantile(ratio(part[draws].sum(1), whole[draws].sum(1)), end, 0) for end in (tail, 1 - tail)
    ]
    for one, other, *expected in zip(found, by_any, *literal, strict=True):
        assert bounds(one) == pytest.approx(tuple(expected), rel=ROUNDING, nan_ok=True)
        assert bounds(other) == pytest.approx(tuple(expected), rel=ROUNDING, nan_ok=True)
    assert (found[3].value, found[3].low, found[3].high) == (1.0, 1.0, 1.0)
    assert np.isnan(found[1].low)
    assert np.isnan(found[2].value)


def test_shares_and_strengths_stay_in_their_range():
    whole = strengths(5)
    part = whole * np.array([[0.0], [0.9], [1.0], [1.0], [1.0]])
    (share,) = share_interval(part, whole)
    assert 0 <= share.low < share.high == 1.0
    one_of_five = whole * np.eye(5)[:, :1]
    assert mean_interval(one_of_five)[0].low < 0
    assert mean_interval(one_of_five, least=0.0)[0].low == 0.0


@pytest.mark.parametrize("games", [3, 9])
def test_few_losses_have_the_t_interval_of_the_logarithm(games):
    losses = strengths(games, 3) ** 3  # so unequal that a symmetric interval reaches below 0
    for interval, column in zip(positive_mean_interval(losses), losses.T, strict=True):
        middle, error = column.mean(), stats.sem(column)
        literal = stats.t.interval(0.95, games - 1, loc=np.log(middle), scale=error / middle)
        assert bounds(interval) == pytest.approx(tuple(np.exp(literal)), rel=ROUNDING)
        assert interval.value == pytest.approx(middle, rel=ROUNDING)
    assert min(each.low for each in mean_interval(losses)) < 0


def test_losses_of_many_or_two_seeds_or_of_none_at_all():
    losses = strengths(20)
    assert positive_mean_interval(losses) == mean_interval(losses)
    assert np.isnan(positive_mean_interval(losses[:2])[0].low)
    assert positive_mean_interval(np.zeros((5, 1))) == [Interval(0.0, 0.0, 0.0)]
    with pytest.raises(AssertionError, match="losses"):
        positive_mean_interval(-losses)
    kinds = {n: interval_kind(n, of="means above 0") for n in (2, 3, 10)}
    assert kinds == {2: "", 3: "t intervals of the logarithm", 10: "bootstrap-t intervals"}


@pytest.mark.parametrize("games", [5, 30])
def test_games_that_are_alike_have_an_interval_of_no_width(games):
    """Up to rounding: 0.1 has none of a power of two."""
    values = np.full((games, 1), 0.1)
    (mean,), (ratio,) = mean_interval(values), ratio_interval(values * strengths(games), strengths(games))
    assert bounds(mean) == (mean.value, mean.value)
    assert bounds(ratio) == (ratio.value, ratio.value)


@pytest.mark.parametrize(("have", "told"), [(1, False), (12, True)])
def test_what_hardly_any_game_has_has_no_interval(have, told):
    """A resample lacks the one game with something once in e times: it has no spread, and t no quantile."""
    values = np.zeros((20, 1))
    values[:have] = strengths(have)
    for (found,) in (mean_interval(values), ratio_interval(values, np.ones((20, 1)))):
        assert np.isfinite(bounds(found)).all() == told
    (of_nothing,) = ratio_interval(np.zeros((20, 1)), values)
    assert np.isfinite(of_nothing.low) or have == 1


@pytest.mark.slow
@pytest.mark.parametrize("games", GAMES)
@pytest.mark.parametrize("population", [name for name in POPULATIONS if "seeds alone" not in name])
def test_intervals_hold_the_truth_as_often_as_the_table_says(population, games):
    """Of 400 intervals at 95% two standard errors are 2.2%; benchmarks/README.md has what falls short."""
    held = coverage(population, games, repeats=400)
    if (games < 10 and "slope" in population) or (
        games < 5 and ("Pearson" in population or "Spearman" in population)
    ):
        assert np.isnan(held)
        return
    least = 0.84 if games < 10 else 0.86 if games == 10 else 0.89
    assert held >= least
    if "normal (seeds)" in population:
        assert 0.92 <= held <= 0.98


def test_defaults_and_name():
    assert analyses.Bootstrap is Bootstrap
    assert Bootstrap() == Bootstrap(confidence=0.95, resamples=2000, seed=0)


@pytest.mark.parametrize(
    "setting", [{"confidence": 0.0}, {"confidence": 1.0}, {"resamples": 0}, {"seed": -1}]
)
def test_refused(setting):
    with pytest.raises(ValueError, match="expected a confidence above 0 and below 1, 1 resample or more"):
        Bootstrap(**setting)
