"""Fit of counterfactuals: predicted beside measured changes, chosen players beside controls."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.strongest_changes import CHANGED_PARTS
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Difference,
    Interval,
    ratio_difference_interval,
    ratio_interval,
    sum_intervals,
    within,
)
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.interactions import KINDS

CHOSEN, CONTROL, DIFFERENCE = "chosen", "control", "chosen against control"
COALITION_COLUMNS = ["network", "game", "chosen"]
COLUMNS = [
    *("baseline", "part", "kind", "sample", "quantity"),
    *("value", "low", "high", "p", "coalitions", "games"),
]
# A spread below this share of the sum of squares is a rounding error.
MIN_RELATIVE_SPREAD = 1e-12


def calibration_table(table: pd.DataFrame, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """How well predicted changes x fit measured changes y, and how far chosen players exceed controls.

    For chosen coalitions and for controls: pearson and spearman of x and y; slope, of y on x by least
    squares; slope_through_origin, Σ xy / Σ x²; mean_measured, the mean of |y| in the unit of the score.

    For chosen coalitions against their controls, with d = |y| less the mean |y| of the coalition's controls:
    cohen_d, the mean of d in units of its standard deviation (it grows with the number of controls, since
    their mean varies less); cliff_delta, the share of controls whose |y| is smaller, less the share whose
    |y| is larger (Cliff, "Dominance statistics: Ordinal analyses to answer ordinal questions", 1993).

    Coalitions of one game are not independent, so the intervals are over games, each with all its coalitions.
    A coalition can stand in a group several times, as preserved and new or as AND and OR; it was measured
    once and counts once.

    Args:
        table: of `counterfactual_table`.
        bootstrap: of the intervals over games.

    Returns:
        columns baseline, part ("all", "preserved", "discarded", "new"), kind ("both", "and", "or"), sample
        ("chosen", "control", "chosen against control"), quantity, value, low, high, p (of coefficients and
        Cliff's delta), coalitions, games (with a coalition in the sample), p_corrected (`with_corrected`,
        over the rows of a sample and quantity). Values are NaN where nothing varies or there is no control,
        bounds where that happens in a resample or without one game, and where there are too few games.

    >>> row = {"baseline": "blur", "part": "new", "network": "after", "kind": "and", "chosen": "0"}
    >>> rows = [{**row, "game": x, "draw": 0, "predicted": x, "measured": 2.0 * x} for x in range(3)]
    >>> fit = calibration_table(pd.DataFrame(rows), bootstrap=Bootstrap(resamples=9)).head(5)
    >>> fit[["part", "kind", "sample", "quantity", "value"]]
      part  kind  sample              quantity  value
    0  all  both  chosen               pearson    1.0
    1  all  both  chosen              spearman    1.0
    2  all  both  chosen                 slope    2.0
    3  all  both  chosen  slope_through_origin    2.0
    4  all  both  chosen         mean_measured    2.0
    """
    rows = []
    for labels, group in _groups(table):
        for sample, coalitions in _samples(group).items():
            count = {"coalitions": len(coalitions), "games": coalitions.game.nunique()}
            measure = _effect_sizes if sample == DIFFERENCE else _agreement
            for quantity, interval in measure(coalitions, bootstrap):
                rows.append({**labels, "sample": sample, "quantity": quantity, **vars(interval), **count})
    return with_corrected(pd.DataFrame(rows, columns=COLUMNS), by=["sample", "quantity"])


def _groups(table: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """The rows of each baseline, part and kind, and of all together, every measurement once."""
    for baseline, rows in table.groupby("baseline", sort=False):
        for part in ("all", *CHANGED_PARTS):
            for kind in ("both", *KINDS):
                group = rows[rows.part.eq(part) | (part == "all")]
                group = group[group.kind.eq(kind) | (kind == "both")]
                if len(group):
                    labels = {"baseline": str(baseline), "part": part, "kind": kind}
                    yield labels, group.drop_duplicates([*COALITION_COLUMNS, "draw"])


def _samples(group: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Chosen coalitions, controls, and the differences of each chosen coalition from its controls."""
    chosen, control = group[group.draw == 0], group[group.draw > 0]
    measured = chosen[[*COALITION_COLUMNS, "measured"]]
    pairs = control.merge(measured, on=COALITION_COLUMNS, suffixes=("_control", ""))
    pairs["difference"] = pairs.measured.abs() - pairs.measured_control.abs()
    pairs["dominance"] = np.sign(pairs.difference)
    differences = pairs.groupby(COALITION_COLUMNS, as_index=False)[["difference", "dominance"]].mean()
    return {CHOSEN: chosen, CONTROL: control, DIFFERENCE: differences}


def _agreement(rows: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[tuple[str, Interval]]:
    """Coefficients, slopes and size of the measured change beside the predicted one."""
    table = correlation_table(rows, [("predicted", "measured")], clusters="game", bootstrap=bootstrap)
    found = map(Difference, table.value, table.low, table.high, table[P])
    yield from zip(table.coefficient, found, strict=True)
    x, y = rows.predicted, rows.measured
    centred = x - x.mean()
    sums = _by_game(rows.game, np.ones(len(rows)), centred, y, centred**2, centred * y)
    yield "slope", _interval(sums, _slope, bootstrap)
    above, below = _by_game(rows.game, x * y, y.abs()), _by_game(rows.game, x**2, np.ones(len(rows)))
    slope, size = ratio_interval(above, below, bootstrap=bootstrap)
    yield "slope_through_origin", slope
    yield "mean_measured", within(size, 0.0)


def _effect_sizes(rows: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[tuple[str, Interval]]:
    """Effect sizes of the differences between chosen coalitions and controls."""
    ones, difference = np.ones(len(rows)), rows.difference
    yield "cohen_d", _interval(_by_game(rows.game, ones, difference, difference**2), _cohen_d, bootstrap)
    above, below = _by_game(rows.game, rows.dominance), _by_game(rows.game, ones)
    nothing = np.zeros_like(above), np.ones_like(below)
    (delta,) = ratio_difference_interval((above, below), nothing, bootstrap=bootstrap)
    yield "cliff_delta", Difference(**vars(within(delta, -1.0, 1.0)) | {P: delta.p})


def _by_game(games: pd.Series, *columns: Any) -> np.ndarray:
    """The sum of each column over the coalitions of a game, `(games, columns)`."""
    table = pd.DataFrame(dict(enumerate(map(np.asarray, columns))))
    return table.groupby(games.to_numpy()).sum().to_numpy(float)


def _interval(sums: np.ndarray, statistic: Any, bootstrap: Bootstrap) -> Interval:
    """A statistic of the columns' totals over games."""
    columns = tuple(column[:, None] for column in sums.T)
    return sum_intervals(columns, statistic, bootstrap)[0]


def _slope(count: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return _divide(_about_mean(count, x, y, xy), _about_mean(count, x, x, xx))


def _cohen_d(count: np.ndarray, d: np.ndarray, dd: np.ndarray) -> np.ndarray:
    """Mean over standard deviation, that of a sample."""
    variance = _divide(_about_mean(count, d, d, dd), count - 1)
    return _divide(_divide(d, count), np.sqrt(variance))


def _about_mean(count: np.ndarray, x: np.ndarray, y: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Σ (x − x̄)(y − ȳ) from the sums; 0 where it is a rounding error."""
    spread = xy - _divide(x * y, count)
    return np.where(abs(spread) > MIN_RELATIVE_SPREAD * abs(xy), spread, 0.0)


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below; NaN where the denominator is not above 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
