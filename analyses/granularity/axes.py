"""Lines with whiskers, the baseline and logarithmic axes, for the figures of a granularity study."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from harsanyi.analyses.drawing.palette import BAND, DISCARDED, FAINT, NETWORK_COLOURS, label_axes
from harsanyi.analyses.granularity.runs import BASELINE

MARKERS = ("o", "s", "^", "D", "v", "P")
# Of more values than these, ticks are powers of ten.
MAX_TICKS = 7
# The least distance of ticks, as a share of a logarithmic axis.
MIN_TICK_DISTANCE = 0.06


def draw_kinds(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    """A line a kind; points of equal x are moved aside a little, so that whiskers do not hide one another."""
    kinds = list(dict.fromkeys(rows.kind))
    for i, (kind, style) in enumerate(zip(kinds, cycle(line_styles()), strict=False)):
        some = rows[rows.kind == kind].sort_values(x)
        draw_whiskered(ax, some[x] * 1.03 ** (i - (len(kinds) - 1) / 2), some, kind, **style)


def draw_whiskered(ax: Axes, x: pd.Series, rows: pd.DataFrame, name: str, **style: Any) -> None:
    ax.plot(x, rows.value, markersize=3.5, linewidth=1.2, label=name, **style)
    known = np.isfinite(rows.low.to_numpy(float))
    ax.vlines(x[known], rows.low[known], rows.high[known], color=style["color"], linewidth=0.9)


def draw_baseline(ax: Axes, rows: pd.DataFrame) -> None:
    for value, low, high in rows[["value", "low", "high"]].to_numpy(float):
        ax.axhline(value, color=FAINT, linewidth=1, linestyle="dashed", label=BASELINE)
        if np.isfinite(low):
            ax.axhspan(low, high, color=DISCARDED, alpha=2 * BAND, linewidth=0)


def set_class_axis(ax: Axes, classes: pd.Series, y: str) -> None:
    set_log_axis(ax, classes)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    label_axes(ax, "pretraining classes", y)


def set_log_axis(ax: Axes, values: pd.Series) -> None:
    """Logarithmic, ticks at the values where they are few."""
    ax.set_xscale("log")
    shown = _readable_ticks(sorted(set(values)))
    if 0 < len(shown) <= MAX_TICKS:
        ax.set_xticks(shown)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def level_colour(share: float) -> Any:
    return colormaps["cividis"](share)


def line_styles() -> list[dict[str, Any]]:
    """As many ways to draw a line as there are kinds, then the same again dotted."""
    return [
        {"color": colour, "marker": marker, "linestyle": line}
        for line in ("solid", "dotted")
        for colour, marker in zip((*NETWORK_COLOURS[1:], NETWORK_COLOURS[0]), MARKERS, strict=True)
    ]


def _readable_ticks(values: list[float]) -> list[float]:
    """The values without those so near the one before that their labels would touch."""
    if not values:
        return values
    span, kept = values[-1] / values[0], values[:1]
    for value in values[1:]:
        if value / kept[-1] > span**MIN_TICK_DISTANCE:
            kept.append(value)
    return kept
