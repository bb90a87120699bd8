"""Intervals over seeds × inputs: against literal loops, and how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import coverage
from harsanyi.analyses.statistics.two_way import two_way_interval

# Sums of a few dozen float64 numbers of size 1, and a square root.
ROUNDING = 1e-9


def literal(part: np.ndarray, whole: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of the influences, cell by cell."""
    seeds, games = part.shape
    shares = [sum(part[s]) / sum(whole[s]) for s in range(seeds)]
    value = sum(shares) / seeds
    cells = [
        [games * (part[s, g] - shares[s] * whole[s, g]) / sum(whole[s]) for g in range(games)]
        for s in range(seeds)
    ]
    of_games = [sum(cells[s][g] for s in range(seeds)) / seeds for g in range(games)]
    by_seed = games * sum((share - value) ** 2 for share in shares) / (seeds - 1)
    by_game = seeds * sum(u**2 for u in of_games) / (games - 1)
    both = [(cells[s][g] - of_games[g]) ** 2 for s in range(seeds) for g in range(games)]
    by_both = sum(both) / ((seeds - 1) * (games - 1))
    together = max(by_seed + by_game - by_both, by_seed, by_game)
    freedom = together**2 / (
        by_seed**2 / (seeds - 1) + by_game**2 / (games - 1) + by_both**2 / ((seeds - 1) * (games - 1))
    )
    freedom = min(max(freedom, min(seeds, games) - 1), seeds * games - 1)
    reach = stats.t.ppf(0.975, freedom) * (together / (seeds * games)) ** 0.5
    return value, value - reach, value + reach


@pytest.mark.parametrize(("seeds", "games"), [(3, 40), (5, 4), (12, 12)])
def test_shares_have_the_mean_squares_of_a_literal_loop(seeds, games):
    random = np.random.default_rng(seeds)
    whole = random.lognormal(size=(seeds, games, 3))
    part = whole * random.beta(2, 3, whole.shape)
    for column, found in enumerate(two_way_interval(part, whole)):
        expected = literal(part[..., column], whole[..., column])
        assert (found.value, found.low, found.high) == pytest.approx(expected, rel=ROUNDING)


def test_alike_in_all_cells_has_no_width_and_bounds_are_possible_ones():
    (found,) = two_way_interval(np.full((3, 5, 1), 0.3), np.ones((3, 5, 1)))
    assert found.low == found.high == found.value == pytest.approx(0.3)
    right = np.ones((3, 5, 1))
    right[0, 0] = 0
    (found,) = two_way_interval(right, least=0.0, most=1.0)
    assert found.high == 1.0


@pytest.mark.parametrize("shape", [(2, 40, 1), (5, 2, 1)])
def test_two_seeds_or_two_inputs_have_no_interval(shape):
    (found,) = two_way_interval(np.random.default_rng(0).random(shape))
    assert np.isfinite(found.value)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("seeds", [3, 10])
def test_both_are_covered_where_seeds_alone_are_too_narrow(seeds):
    """600 populations: four standard errors of 95% are 3.6 points."""
    assert coverage("share, seeds × 40 inputs", seeds, 600) > 0.95 - 0.036
    assert coverage("accuracy, seeds × 40 inputs", seeds, 600) > 0.95 - 0.036
    if seeds == 10:
        assert coverage("the same over seeds alone", seeds, 600) < 0.85
