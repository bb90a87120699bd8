"""Values with intervals: lines with bands, dots with bars, an axis of shares."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses.drawing.palette import BAND
from harsanyi.shown import number


def line_with_band(
    ax: Axes,
    x: pd.Series | np.ndarray,
    rows: pd.DataFrame,
    colour: str,
    label: str = "",
    *,
    step: bool = False,
    **line: Any,
) -> None:
    """A line of values, and a band between their bounds.

    Args:
        ax: to draw on.
        x: places along the axis.
        rows: columns value, low, high; no band where a bound is NaN.
        colour: of line and band.
        label: in the legend; no entry by default.
        step: whether each value holds up to the next place.
        line: style of the line.

    >>> from harsanyi.analyses.drawing.palette import new_axes
    >>> ax, rows = new_axes(3, 2), pd.DataFrame({"value": [0.5, 0.6], "low": 0.4, "high": 0.7})
    >>> line_with_band(ax, pd.Series([0, 1]), rows, "black", "network")
    >>> len(ax.lines), len(ax.collections)
    (1, 1)
    """
    steps: dict[str, Any] = {"drawstyle": "steps-post"} if step else {}
    band: dict[str, Any] = {"step": "post"} if step else {}
    ax.plot(x, rows.value, color=colour, label=label, **{"linewidth": 1.4} | steps | line)
    ax.fill_between(x, rows.low, rows.high, color=colour, alpha=BAND, linewidth=0, **band)


def dots_with_bars(
    ax: Axes,
    places: pd.Series | np.ndarray | range,
    rows: pd.DataFrame,
    colour: str,
    label: str = "",
    *,
    horizontal: bool = False,
    bar_width: float = 1.2,
    **dots: Any,
) -> None:
    """Dots of values, and bars between their bounds.

    Args:
        ax: to draw on.
        places: along the x axis; along the y axis where `horizontal`.
        rows: columns value, low, high; no dot where the value is NaN, no bar where a bound is.
        colour: of dots and bars.
        label: in the legend; no entry by default.
        horizontal: whether values are on the x axis.
        bar_width: in points.
        dots: style of the dots; a `linestyle` joins them.

    >>> from harsanyi.analyses.drawing.palette import new_axes
    >>> ax, rows = new_axes(3, 2), pd.DataFrame({"value": [0.5], "low": 0.4, "high": 0.7})
    >>> dots_with_bars(ax, np.array([2.0]), rows, "black", "network", horizontal=True)
    >>> ax.lines[0].get_xydata().tolist()
    [[0.5, 2.0]]
    """
    bars = ax.hlines if horizontal else ax.vlines
    bounded = rows[["low", "high"]].notna().all(axis=1).to_numpy()
    bars(
        np.asarray(places)[bounded], rows.low[bounded], rows.high[bounded], color=colour, linewidth=bar_width
    )
    x, y = (rows.value, places) if horizontal else (places, rows.value)
    style: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none"}
    ax.plot(x, y, color=colour, label=label, **style | dots)


def percent_tick(share: float, _: float = 0) -> str:
    """A share on an axis, with as many digits as it needs.

    >>> [percent_tick(share) for share in (0.035, 0.04, 0.25)]
    ['3.5%', '4%', '25%']
    """
    return f"{number(100 * share, '.3g')}%"


def share_axis(ax: Axes, top: float | None = 1.02) -> None:
    """A y axis of shares in percent, from 0 to `top`."""
    ax.set_ylim(0, top)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
