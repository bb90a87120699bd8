"""How often intervals hold the truth, by simulation: `python -m benchmarks.coverage`.

Each population is drawn anew 2,000 times (correlations 1,000), for 3, 5, 10, 40 and 100 games. A cell is the
share of the 95% intervals that hold the truth; "–" where there is no interval. Strengths of inputs are
skewed: log-normal with σ = 0.8 (skewness 3.7) or gamma of shape 2 (1.4). Where 40 inputs are named, the
number of games is that of seeds.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from benchmarks.tables import show
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    mean_interval,
    rate_interval,
    ratio_difference_interval,
    share_interval,
    sum_intervals,
)
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.analyses.statistics.two_way import two_way_interval

GAMES = (3, 5, 10, 40, 100)
REPEATS, CORRELATIONS = 2000, 1000
SPREAD = 0.8
# Columns that share their draws; each block has draws of its own.
BLOCK = 100

# Draws (games, repeats) and returns the intervals of each repeat.
Draw = Callable[[np.random.Generator, int, int, Bootstrap], Sequence[Interval]]
# Inputs that all seeds share, where games are seeds.
INPUTS = 40


def normal_mean(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    return mean_interval(random.normal(1.0, 1.0, (games, repeats)), bootstrap=how)


def gamma_mean(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    return mean_interval(random.gamma(2.0, 0.5, (games, repeats)), least=0.0, bootstrap=how)


def log_normal_mean(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    values = random.lognormal(-(SPREAD**2) / 2, SPREAD, (games, repeats))
    return mean_interval(values, least=0.0, bootstrap=how)


def share(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    """Parts of skewed strengths, 40% in the mean."""
    whole = random.lognormal(0.0, SPREAD, (games, repeats))
    return share_interval(whole * random.beta(2.0, 3.0, whole.shape), whole, bootstrap=how)


def paired_shares(
    random: np.random.Generator, games: int, repeats: int, how: Bootstrap
) -> Sequence[Interval]:
    """Two networks' shares of 60% and 40% on the same games, which are as hard for both."""
    whole = random.lognormal(0.0, SPREAD, (games, repeats))
    hard, own, other = (random.beta(2.0, 2.0, whole.shape) for _ in range(3))
    first = (whole * (0.3 + 0.3 * hard + 0.3 * own), whole)
    second = (whole * (0.1 + 0.3 * hard + 0.3 * other), whole)
    return ratio_difference_interval(first, second, bootstrap=how)


def paired_means(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    """Differences of two strengths of the same games."""
    common = random.lognormal(-(SPREAD**2) / 2, SPREAD, (games, repeats))
    first, second = (common * random.gamma(4.0, scale, common.shape) for scale in (0.5, 0.25))
    return mean_interval(first - second, bootstrap=how)


def rate_of(truth: float) -> Draw:
    def draw(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
        return rate_interval(random.random((games, repeats)) < truth, bootstrap=how)

    return draw


def seeds_and_inputs(random: np.random.Generator, seeds: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts of skewed strengths, 40% in the mean: a fifth varies with the seed, half with the input."""
    whole = random.lognormal(0.0, SPREAD, (1, INPUTS, repeats)) * random.gamma(
        8.0, 1 / 8, (seeds, INPUTS, repeats)
    )
    sizes = (seeds, 1, repeats), (1, INPUTS, repeats), (seeds, INPUTS, repeats)
    by_seed, by_input, by_both = (random.beta(2.0, 3.0, size) for size in sizes)
    return whole * (0.2 * by_seed + 0.5 * by_input + 0.3 * by_both), whole


def two_way_share(random: np.random.Generator, seeds: int, repeats: int, how: Bootstrap) -> list[Interval]:
    part, whole = seeds_and_inputs(random, seeds, repeats)
    return two_way_interval(part, whole, least=0.0, most=1.0, bootstrap=how)


def share_over_seeds(random: np.random.Generator, seeds: int, repeats: int, how: Bootstrap) -> list[Interval]:
    """The same, as if the inputs were all there are."""
    part, whole = seeds_and_inputs(random, seeds, repeats)
    return mean_interval(part.sum(1) / whole.sum(1), bootstrap=how)


def two_way_accuracy(random: np.random.Generator, seeds: int, repeats: int, how: Bootstrap) -> list[Interval]:
    """Right answers, 80%: inputs are hard or easy for all seeds, seeds are better or worse."""
    sizes = (seeds, 1, repeats), (1, INPUTS, repeats), (seeds, INPUTS, repeats)
    by_seed, by_input, by_both = (random.normal(0.0, 1.0, size) for size in sizes)
    right = 0.3 * by_seed + by_input + 0.7 * by_both < np.sqrt(0.09 + 1 + 0.49) * ndtri(0.8)
    return two_way_interval(right * 1.0, least=0.0, most=1.0, bootstrap=how)


def slope(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
    """Another statistic of sums: the slope of a line through skewed points."""
    x = random.lognormal(0.0, SPREAD, (games, repeats))
    y = x * (1 + 0.5 * random.normal(size=x.shape))

    def of_sums(*sums: np.ndarray) -> np.ndarray:
        sx, sy, sxx, sxy = sums
        return np.asarray((games * sxy - sx * sy) / (games * sxx - sx * sx))

    return sum_intervals((x, y, x * x, x * y), of_sums, how)


def correlation_of(skewed: bool, coefficient: str) -> Draw:
    """ρ = 0.5 of normal numbers, or of their exponentials."""

    def draw(random: np.random.Generator, games: int, repeats: int, how: Bootstrap) -> list[Interval]:
        found = []
        for _ in range(repeats * CORRELATIONS // REPEATS):
            points = random.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], games)
            points = np.exp(SPREAD * points) if skewed else points
            table = correlation_table(pd.DataFrame(points, columns=["x", "y"]), [("x", "y")], bootstrap=how)
            (row,) = table[table.coefficient == coefficient][["value", "low", "high"]].to_numpy(float)
            found.append(Interval(*row.tolist()))
        return found

    return draw


# The name of a population, its intervals, and the truth.
POPULATIONS: dict[str, tuple[Draw, float]] = {
    "mean, normal (seeds)": (normal_mean, 1.0),
    "mean, gamma": (gamma_mean, 1.0),
    "mean, log-normal": (log_normal_mean, 1.0),
    "share of sums": (share, 0.4),
    "paired difference of means": (paired_means, 1.0),
    "paired difference of shares": (paired_shares, 0.2),
    "share, seeds × 40 inputs": (two_way_share, 0.4),
    "the same over seeds alone": (share_over_seeds, 0.4),
    "accuracy, seeds × 40 inputs": (two_way_accuracy, 0.8),
    "rate 50%": (rate_of(0.5), 0.5),
    "rate 80%": (rate_of(0.8), 0.8),
    "rate 95%": (rate_of(0.95), 0.95),
    "Pearson, normal": (correlation_of(False, "pearson"), 0.5),
    "Pearson, log-normal": (
        correlation_of(True, "pearson"),
        (np.exp(0.5 * SPREAD**2) - 1) / (np.exp(SPREAD**2) - 1),
    ),
    "Spearman": (correlation_of(True, "spearman"), 6 / np.pi * np.arcsin(0.25)),
    "anything else: a slope": (slope, 1.0),
}


def coverage(population: str, games: int, repeats: int = REPEATS) -> float:
    """The share of a population's intervals that hold the truth; NaN where there are none."""
    draw, truth = POPULATIONS[population]
    random = np.random.default_rng([games, *population.encode()])
    found: list[Interval] = []
    for block in range(repeats // BLOCK):
        found += draw(random, games, BLOCK, Bootstrap(seed=block))
    told = [one for one in found if np.isfinite(one.low)]
    if len(told) < len(found) / 2:
        return np.nan
    return float(np.mean([one.low <= truth <= one.high for one in told]))


def main() -> None:
    show(
        {
            "95% interval of": population,
            **{
                str(games): "–" if np.isnan(held := coverage(population, games)) else f"{held:.1%}"
                for games in GAMES
            },
        }
        for population in POPULATIONS
    )


if __name__ == "__main__":
    main()
