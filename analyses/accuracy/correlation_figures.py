"""Figures of correlation and of inputs needed: knowledge against accuracy, shares against inputs."""

from itertools import cycle, pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses.drawing.marks import line_with_band, share_axis
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    SHARE_COLOURS,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.report.words import with_interval
from harsanyi.analyses.statistics.correlation import require_columns

# Share of the height of the axes that one line of text in the corner needs.
LINE_HEIGHT = 0.1
# Labels of counts whose ratio is smaller would overlap.
MIN_LABEL_RATIO = 1.3


def plot_correlation(
    points: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    table: pd.DataFrame | None = None,
) -> Axes:
    """Two columns of a table of points against each other, with the coefficients in the corner.

    Args:
        points: of `input_points` or `checkpoint_points`.
        x, y: names of the columns; shares and accuracy are in percent.
        by: name of the column with one colour for each value ("series"). The points of a value are joined by
            `step`, where there is such a column.
        ax: to draw on; a new figure by default.
        table: of `correlation_table`; its coefficients of x and y are written in the corner.

    Returns:
        the axes.

    Raises:
        ValueError: for columns that `points` lacks, or coefficients that `table` lacks.

    >>> points = pd.DataFrame({"series": "run", "step": [0, 1], "kept": [0.4, 0.2], "accuracy": [0.5, 0.6]})
    >>> ax = plot_correlation(points, "kept", "accuracy", by="series")
    >>> ax.get_ylabel(), ax.lines[0].get_xdata().tolist()
    ('accuracy', [0.4, 0.2])
    """
    require_columns(points, [x, y, *([by] if by else [])])
    parts = list(points.groupby(by, sort=False)) if by else [("", points)]
    ax = ax or new_axes(COLUMN, 2.6 + 0.17 * (len(parts) - 1))  # room for the legend
    joined = by is not None and "step" in points
    for colour, (name, part) in zip(cycle(NETWORK_COLOURS[1:]), parts):
        rows = part.sort_values("step") if joined else part
        ax.plot(
            rows[x].to_numpy(float),
            rows[y].to_numpy(float),
            marker="o",
            markersize=3.5,
            markeredgewidth=0,
            linestyle="-" if joined else "none",
            linewidth=0.8,
            color=colour,
            alpha=0.75,
            label=str(name) if by else None,
        )
    for column, axis in ((x, ax.xaxis), (y, ax.yaxis)):
        if column.endswith("_share") or column.startswith("accuracy"):
            axis.set_major_formatter(PercentFormatter(1))
        elif pd.api.types.is_bool_dtype(points[column]):
            axis.set_ticks([0, 1], labels=["no", "yes"])
    label_axes(ax, x.replace("_", " "), y.replace("_", " "))
    if table is not None:
        _write_corner(ax, _coefficients(table, x, y))
    if by:
        legend_above(ax)
    return ax


def plot_planning(curve: pd.DataFrame, ax: Axes | None = None, *, half_width: float = 0.05) -> Axes:
    """Intervals of shares by the number of inputs: bands that narrow around the value.

    Args:
        curve: of `planning_curve`.
        ax: to draw on; a new figure by default.
        half_width: distance of the dotted lines from each value.

    Returns:
        the axes.

    >>> curve = pd.DataFrame({"quantity": "new_share", "inputs": [2, 4], "value": 0.5, "low": [0.2, 0.3]})
    >>> ax = plot_planning(curve.assign(high=[0.8, 0.6]))
    >>> ax.get_xlabel(), [label.get_text() for label in ax.get_xticklabels()]
    ('inputs', ['2', '4'])
    """
    require_columns(curve, ["quantity", "inputs", "value", "low", "high"])
    ax = ax or new_axes(COLUMN, 2.6)
    colours = cycle(NETWORK_COLOURS[1:])
    for quantity, rows in curve.sort_values("inputs").groupby("quantity", sort=False):
        default = (str(quantity).replace("_", " "), next(colours))
        name, colour = SHARE_COLOURS.get(str(quantity), default)
        value = rows.value.iloc[0]
        line_with_band(ax, rows.inputs, rows, colour, name)
        for bound in (rows.low, rows.high):
            ax.plot(rows.inputs, bound, color=colour, linewidth=0.8, marker="o", markersize=2)
        for limit in (value - half_width, value + half_width):
            ax.axhline(limit, color=colour, linewidth=0.8, linestyle="dotted")
    ax.set_xscale("log", base=2)
    counts = sorted(set(curve.inputs))
    shown = [m for m, after in pairwise(counts) if after >= MIN_LABEL_RATIO * m] + counts[-1:]
    ax.set_xticks(shown, [str(m) for m in shown])
    ax.minorticks_off()
    share_axis(ax, 1)
    label_axes(ax, "inputs", "share of strength")
    legend_above(ax)
    return ax


def _coefficients(table: pd.DataFrame, x: str, y: str) -> list[str]:
    """The coefficients of x and y with intervals, and the number of points, as text."""
    rows = table[(table.x == x) & (table.y == y)]
    if rows.empty:
        raise ValueError(
            f"expected a table with coefficients of {x!r} and {y!r}; add the pair to correlation_table"
        )
    coefficients = [
        f"{row.coefficient.capitalize()} {with_interval(row, '.2f')}" for _, row in rows.iterrows()
    ]
    points, clusters = rows.points.iloc[0], rows.clusters.iloc[0]
    count = f"{points} points" + (f" in {clusters} clusters" if clusters < points else "")
    return [*coefficients, count]


def _write_corner(ax: Axes, lines: list[str]) -> None:
    """Lines of text in the upper left corner; the axis is extended above the points, without ticks."""
    low, high = ax.get_ylim()
    ticks = np.asarray(ax.get_yticks())
    ax.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
    ax.set_ylim(low, low + (high - low) / (1 - LINE_HEIGHT * len(lines)))
    ax.text(0.02, 0.99, "\n".join(lines), va="top", fontsize=FONT, color=FAINT, transform=ax.transAxes)
