"""Figures of fine against coarse training: Δ by width, redundancy and β, the loss in parts.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from harsanyi.analyses.drawing.lettering import name_points
from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band, percent_tick
from harsanyi.analyses.drawing.palette import (
    BAND,
    COARSE,
    COLUMN,
    FAINT,
    FINE,
    FONT,
    NETWORK_COLOURS,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.shown import number

POINTS = "Δ accuracy (points)"
# Text on a cell is white above this share of the colour scale.
WHITE_TEXT_SHARE = 0.6
PART_COLOURS = {
    "coarse": ("between coarse classes", COARSE),
    "intra": ("within them", FINE),
}
# Of data sets: none of these is that of fine or of coarse training.
DATA_COLOURS = NETWORK_COLOURS[3:]
# A shorter logarithmic axis has ticks at 2 and 5, too: it may have one power of ten.
DECADES_ALONE = 100
SPLIT_LINES = {"train": "solid", "held out": "dashed"}


def plot_delta_map(table: pd.DataFrame, ax: Axes | None = None, *, limit: float | None = None) -> Axes:
    """Δ of each width (rows) and number of samples (columns), in points of accuracy; white is 0.

    "n.s." stands where the interval holds 0 or is not known.

    Args:
        table: width, size, value, low, high, one row a cell.
        ax: to draw on; new axes by default.
        limit: Δ of the darkest colours, a share; by default the largest there is.

    Returns:
        the axes.

    >>> row = dict(width=2, size=50, value=0.1, low=0.05, high=0.15)
    >>> table = pd.DataFrame([row, {**row, "size": 9, "low": -0.1}])
    >>> [text.get_text().splitlines() for text in plot_delta_map(table).texts]
    [['+10.0', 'n.s.'], ['+10.0']]
    """
    require_columns(table, ["width", "size", "value", "low", "high"])
    if table.duplicated(["width", "size"]).any():
        raise ValueError(
            "expected one Δ of each width and size: choose a data set, a grouping and a training"
        )
    cells = [table.pivot(index="width", columns="size", values=name) for name in ("value", "low", "high")]
    value, low, high = (cell.to_numpy(float) for cell in cells)
    ax = ax or new_axes(COLUMN, 0.9 + 0.36 * len(value))
    limit = limit or float(np.nanmax(np.abs(value))) or 1.0
    image = ax.imshow(value, aspect="auto", origin="lower", cmap="PuOr_r", vmin=-limit, vmax=limit)
    for (i, j), delta in np.ndenumerate(value):
        if np.isfinite(delta):
            significant = low[i, j] > 0 or high[i, j] < 0
            points = number(100 * delta, "+.1f") if abs(delta) >= 5e-4 else "0"
            text = points + ("" if significant else "\nn.s.")
            colour = "white" if abs(delta) > WHITE_TEXT_SHARE * limit else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=FONT, color=colour, linespacing=0.9)
    ax.set_yticks(range(len(value)), [str(width) for width in cells[0].index])
    ax.set_xticks(range(len(cells[0].columns)), [f"{size:,}" for size in cells[0].columns])
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.05, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(signed_points))
    bar.ax.tick_params(labelsize=FONT)
    bar.set_label(POINTS, fontsize=FONT)
    label_axes(ax, "samples", "hidden units")
    return ax


def plot_redundancy(
    table: pd.DataFrame, ax: Axes | None = None, *, colours: Mapping[str, str] | None = None
) -> Axes:
    """Δ against boundary redundancy, a colour a data set; whiskers are the table's intervals.

    Args:
        table: data, redundancy, value, low, high (of Δ); also redundancy_low and redundancy_high where the
            redundancy is measured. A column grouping names the points.
        ax: to draw on; new axes by default.
        colours: of the data sets, by name, where several figures show them; by default one after the other.
            Not those of fine and coarse training.

    Returns:
        the axes.

    >>> row = dict(data="circles", redundancy=0.2, value=0.1, low=0.05, high=0.15)
    >>> plot_redundancy(pd.DataFrame([row])).get_legend().get_texts()[0].get_text()
    'circles'
    """
    require_columns(table, ["data", "redundancy", "value", "low", "high"])
    ax = ax or new_axes(COLUMN, 2.4)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    shades = dict(zip(dict.fromkeys(table.data), cycle(DATA_COLOURS), strict=False)) | dict(colours or {})
    for name, rows in table.groupby("data", sort=False):
        colour = shades[str(name)]
        dots_with_bars(ax, rows.redundancy, rows, colour, str(name))
        if "redundancy_low" in rows:
            ax.hlines(rows.value, rows.redundancy_low, rows.redundancy_high, color=colour, linewidth=1.2)
    ax.yaxis.set_major_formatter(FuncFormatter(signed_points))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.margins(x=0.16, y=0.15)
    label_axes(ax, "boundary redundancy", POINTS)
    legend_above(ax)
    if "grouping" in table:
        of_points = [shades[data] for data in table.data]
        places = {"redundancy": "x", "value": "y", "redundancy_low": "left", "redundancy_high": "right"}
        name_points(ax, table.rename(columns=places), list(map(str, table.grouping)), of_points)
    return ax


def plot_loss_split(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The loss between coarse classes and the loss within them, by step; solid: training, dashed: held out.

    Args:
        table: part ("coarse", "intra"), split ("train", "held out"), step, value, low, high, in nats; as of
            `loss_split`, whose bounds are above 0. The axis is logarithmic.

    >>> row = dict(part="coarse", split="train", value=0.7, low=0.6, high=0.8)
    >>> len(plot_loss_split(pd.DataFrame([{**row, "step": step} for step in (0, 10)])).lines)
    1
    """
    require_columns(table, ["part", "split", "step", "value", "low", "high"])
    ax = ax or new_axes(COLUMN, 2.4)
    for part, (name, colour) in PART_COLOURS.items():
        for split, style in SPLIT_LINES.items():
            rows = table[(table.part == part) & (table.split == split)].sort_values("step")
            if len(rows):
                label = f"{name}, {split}"
                line_with_band(ax, rows.step, rows, colour, label, linestyle=style, linewidth=1.2)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())  # a short axis would mix 0.1 and 2 × 10⁻¹
    low, high = ax.get_ylim()
    if high < DECADES_ALONE * low:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    label_axes(ax, "step", "loss (nats)")
    legend_above(ax)
    return ax


def plot_beta(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy on coarse answers against β of L_coarse + β L_intra; dashed, training on coarse labels alone.

    Args:
        table: quantity, training, value, low, high, as `delta_table` gives them for one
            cell with betas: "fine" stands at β = 1.

    >>> row = dict(quantity="accuracy", value=0.9, low=0.8, high=0.95)
    >>> table = pd.DataFrame([{**row, "training": name} for name in ("fine", "coarse", "beta 0.5")])
    >>> plot_beta(table).lines[0].get_xdata().tolist()
    [0.5, 1.0]
    """
    require_columns(table, ["quantity", "training", "value", "low", "high"])
    rows = table[table.quantity == "accuracy"]
    if rows.duplicated("training").any():
        raise ValueError("expected one accuracy of each training: choose a data set, a grouping and a cell")
    ax = ax or new_axes(COLUMN, 2.4)
    coarse = rows[rows.training == "coarse"]
    swept = rows[rows.training != "coarse"]
    swept = swept.assign(beta=[_beta(name) for name in swept.training]).sort_values("beta")
    style: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.2}
    line_with_band(ax, swept.beta, swept, FINE, "fine classes", **style)
    for value, low, high in coarse[["value", "low", "high"]].to_numpy(float).tolist():
        ax.axhline(value, color=COARSE, linewidth=1.2, linestyle="dashed", label="coarse labels")
        ax.axhspan(low, high, color=COARSE, alpha=BAND, linewidth=0)
    ax.yaxis.set_major_formatter(percent_tick)
    label_axes(ax, "β", "coarse answers right")
    legend_above(ax)
    return ax


def signed_points(share: float, _: int = 0) -> str:
    """A difference of shares in points, for an axis.

    >>> signed_points(-0.015)
    '−1.5'
    """
    return number(100 * share, "+.3g") if share else "0"


def _beta(training: str) -> float:
    """β in the name of a training."""
    return 1.0 if training == "fine" else float(training.removeprefix("beta "))
