"""Intervals of what is averaged over training runs and over inputs: seeds × inputs, both drawn at random."""

import numpy as np
from jaxtyping import Float

from harsanyi.analyses.statistics.bootstrap import LEAST_GAMES, Bootstrap, Interval, within
from harsanyi.analyses.statistics.studentised import ROUNDING, t_quantile


def two_way_interval(
    part: Float[np.ndarray, "seeds games columns"],
    whole: Float[np.ndarray, "seeds games columns"] | None = None,
    *,
    least: float = -np.inf,
    most: float = np.inf,
    bootstrap: Bootstrap = Bootstrap(),
) -> list[Interval]:
    """The mean over seeds of each seed's mean, or share, over the same games, for other seeds and other
    games.

    A share is r_s = Σ_g part_sg / Σ_g whole_sg, the value θ = mean_s r_s. An interval over seeds holds the
    inputs fixed, one over inputs the training runs; this one holds neither. With the influence
    u_sg = G (part_sg − r_s whole_sg) / Σ_g whole_sg, the mean squares of the two-way random effects model are
    M_s = G Σ_s (r_s − θ)² / (S − 1), M_g = S Σ_g ū_g² / (G − 1) and M_sg = Σ (u_sg − ū_g)² / ((S − 1)(G −
    1)). The squared standard error of θ is (M_s + M_g − M_sg) / (S G), at least max(M_s, M_g) / (S G). The
    interval is a t interval with Satterthwaite's degrees of freedom (Searle, Casella, McCulloch, "Variance
    Components", 1992, chapter 5; Satterthwaite, 1946). benchmarks/README.md says how often it holds the
    truth.

    Args:
        part: `(seeds, games, columns)`, the same games for every seed.
        whole: likewise, for shares; by default the mean of `part`.
        least, most: what no value can be below and above.
        bootstrap: its confidence.

    Returns:
        an interval for each column; NaN bounds for fewer than three seeds or games.

    >>> seeds, games = np.array([0.0, 1.0, 2.0])[:, None, None], np.arange(5.0)[None, :, None]
    >>> two_way_interval(seeds + games)[0]  # of seeds alone 3 ± 2.48, of games alone 3 ± 1.96
    Interval(value=3.0, low=0.75..., high=5.24...)
    """
    seeds, games, _ = part.shape
    weights = np.ones_like(part) if whole is None else np.asarray(whole, dtype=np.float64)
    total = weights.sum(1)
    shares = np.divide(part.sum(1), total, out=np.full(total.shape, np.nan), where=total > 0)
    values = shares.mean(0)
    if seeds < LEAST_GAMES or games < LEAST_GAMES:
        return [Interval(float(value), np.nan, np.nan) for value in values]
    with np.errstate(invalid="ignore", divide="ignore"):  # of shares of nothing
        influence = games * (part - shares[:, None] * weights) / total[:, None]
    reach = _reach(shares - values, influence, bootstrap.confidence)
    reach = np.where(reach <= ROUNDING * np.abs(values), 0.0, reach)
    bounds = zip(values, values - reach, values + reach, strict=True)
    return [within(Interval(*map(float, each)), least, most) for each in bounds]


def _reach(seeds: np.ndarray, influence: np.ndarray, confidence: float) -> np.ndarray:
    """How far the interval reaches to either side, from the deviations of seeds and of cells."""
    runs, games, _ = influence.shape
    of_games = influence.mean(0)
    squares = (
        games * (seeds**2).sum(0) / (runs - 1),
        runs * (of_games**2).sum(0) / (games - 1),
        ((influence - of_games) ** 2).sum((0, 1)) / ((runs - 1) * (games - 1)),
    )
    by_seed, by_game, by_both = squares
    together = np.maximum(by_seed + by_game - by_both, np.maximum(by_seed, by_game))
    freedom = (runs - 1, games - 1, (runs - 1) * (games - 1))
    spread = sum(square**2 / free for square, free in zip(squares, freedom, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = np.fmin(np.fmax(together**2 / spread, min(runs, games) - 1), runs * games - 1)
    return np.asarray(t_quantile(degrees + 1, confidence) * np.sqrt(together / (runs * games)))
