"""Lines with whiskers, the baseline and logarithmic axes, for the figures of a granularity study."""

from typing import Any, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, NullLocator

from harsanyi.analyses.drawing.marks import dots_with_bars, percent_tick
from harsanyi.analyses.drawing.palette import BAND, DISCARDED, FAINT, LEVELS, NETWORK_COLOURS, label_axes
from harsanyi.analyses.granularity.kinds import kind_in_words
from harsanyi.analyses.granularity.runs import BASELINE
from harsanyi.analyses.granularity.settings import Kind

MARKERS = ("o", "s", "^", "D", "v", "P")
# In every figure the same.
KIND_STYLES: dict[str, dict[str, Any]] = {
    kind: {"color": colour, "marker": marker}
    for kind, colour, marker in zip(
        get_args(Kind),
        (*NETWORK_COLOURS[1:], NETWORK_COLOURS[0]),
        MARKERS,
        strict=True,
    )
}
# With more values than these, ticks are powers of ten.
MAX_TICKS = 7
# Between ticks, as a share of a logarithmic axis.
MIN_TICK_DISTANCE = 0.06
# Between the lines of two kinds, as a share of a logarithmic axis; an axis of a single value spans this much.
ASIDE, MIN_SPAN = 0.025, 3.0


def draw_kinds(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    """Draw a line for each kind. Points of about equal x stand side by side, so that none hides another.

    Args:
        ax: to draw on.
        rows: kind, value, low, high and the column `x`.
        x: the name of the column on the horizontal axis.
    """
    kinds = list(dict.fromkeys(rows.kind))
    apart = np.array(_apart(sorted(set(rows[x])), ASIDE))
    for kind, factor in zip(kinds, beside(rows[x], len(kinds)), strict=True):
        line = rows[rows.kind == kind].sort_values(x)
        places = apart[np.searchsorted(apart, line[x].to_numpy(), side="right") - 1]
        draw_whiskered(ax, places * factor, line, kind_in_words(kind), **KIND_STYLES[kind])


def beside(x: pd.Series, lines: int) -> np.ndarray:
    """By how much the places of each of some lines are multiplied, so that they stand side by side.

    Args:
        x: places of all lines on a logarithmic axis.
        lines: how many.

    Returns:
        a factor for each line.

    >>> beside(pd.Series([1.0, 16.0]), 2).round(3).tolist()
    [0.966, 1.035]
    """
    aside = max(x.max() / x.min(), MIN_SPAN) ** ASIDE if len(x) else 1.0
    return aside ** (np.arange(lines) - (lines - 1) / 2)


def draw_whiskered(ax: Axes, x: pd.Series | np.ndarray, rows: pd.DataFrame, name: str, **style: Any) -> None:
    """Draw a line of values with the whiskers of their intervals.

    Args:
        ax: to draw on.
        x: the horizontal place of each row.
        rows: value, low, high; a row whose low is NaN has no whisker.
        name: of the line, in the legend.
        style: of the line, as `Axes.plot` takes it; with a colour.
    """
    line: dict[str, Any] = {"markersize": 3.5, "linewidth": 1.2, "linestyle": "solid"}
    dots_with_bars(ax, x, rows, style.pop("color"), name, bar_width=0.9, **line | style)


def draw_baseline(ax: Axes, rows: pd.DataFrame) -> None:
    """The baseline's value as a dashed line, its interval as a band."""
    for value, low, high in rows[["value", "low", "high"]].to_numpy(float):
        ax.axhline(value, color=FAINT, linewidth=1, linestyle="dashed", label=BASELINE)
        if np.isfinite(low):
            ax.axhspan(low, high, color=DISCARDED, alpha=2 * BAND, linewidth=0)


def set_class_axis(ax: Axes, classes: pd.Series, y: str) -> None:
    """Set a logarithmic axis of pretraining classes, and a vertical axis of percentages.

    Args:
        ax: to change.
        classes: the numbers of classes that are drawn, for the ticks.
        y: the label of the vertical axis.
    """
    set_log_axis(ax, classes)
    ax.yaxis.set_major_formatter(percent_tick)
    label_axes(ax, "pretraining classes", y)


def set_log_axis(ax: Axes, values: pd.Series) -> None:
    """A logarithmic axis, with ticks at the values where these are few."""
    ax.set_xscale("log")
    shown = _apart(sorted(set(values)), MIN_TICK_DISTANCE)  # their labels do not touch
    if 0 < len(shown) <= MAX_TICKS:
        ax.set_xticks(shown)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def level_colour(share: float) -> Any:
    """The colour of a level, by its place from few (0) to many (1) classes."""
    return LinearSegmentedColormap.from_list("levels", LEVELS)(share)


def _apart(values: list[float], distance: float) -> list[float]:
    """Of rising values, those further from the one before than a share of a logarithmic axis."""
    if not values:
        return values
    span, ticks = values[-1] / values[0], values[:1]
    for value in values[1:]:
        if value / ticks[-1] > span**distance:
            ticks.append(value)
    return ticks
