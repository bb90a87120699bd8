"""Figures of a granularity study: errors against the number of pretraining classes and of samples.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.marks import percent_tick
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    FAINT,
    NETWORK_COLOURS,
    PAGE,
    Drawing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.granularity.axes import (
    KIND_STYLES,
    MARKERS,
    beside,
    draw_baseline,
    draw_kinds,
    draw_whiskered,
    level_colour,
    set_class_axis,
    set_log_axis,
)
from harsanyi.analyses.granularity.kinds import KIND_WORDS, counted_in_words
from harsanyi.analyses.granularity.runs import BASELINE

# The name of each number of samples on an axis.
SAMPLES = {"size": "training samples", "pretrain_size": "pretraining samples"}
# Of the levels of one kind, from few classes to many.
LEVEL_LINES: tuple[dict[str, Any], ...] = (
    {"linestyle": "solid"},
    {"linestyle": "dashed", "markerfacecolor": "white"},
    {"linestyle": "dotted", "fillstyle": "left"},
    {"linestyle": "dashdot", "fillstyle": "bottom"},
)
# Between the lines of a figure of misalignment, so that no point hides another.
SHIFT = 0.02
# Errors of a ViT-B/16 on ImageNet-1k after pretraining on ImageNet-21k with so many classes, and without
# ("Towards Understanding the Effect of Pretraining Label Granularity"): 1 less the accuracies 77.91%, and
# 72.75%, 80.26%, 81.28% and 82.51%.
PUBLISHED_BASELINE = 0.2209
PUBLISHED_ERRORS = {38: 0.2725, 2281: 0.1974, 5995: 0.1872, 21843: 0.1749}


def plot_granularity(
    summary: pd.DataFrame,
    size: int,
    ax: Axes | None = None,
    *,
    quantity: str = "error",
    misalignment: float = 0.0,
    error: str = "error",
) -> Axes:
    """Error on the target against the number of pretraining classes, a line for each kind, with the baseline.

    Args:
        summary: of `summary_table`. Whiskers, and the band around the baseline, are its intervals over seeds.
        size: training samples.
        ax: to draw on; new axes by default.
        quantity: error, accuracy or error_difference (to the baseline, which is then the line at 0).
        misalignment: of the labels.
        error: the name of the table's error, one of `ERRORS`.

    Returns:
        the axes.

    >>> row = dict(level="", size=9, misalignment=0.0, quantity="error", low=0.2, high=0.5, seeds=3)
    >>> rows = [{**row, "kind": "random", "classes": k, "value": 0.4} for k in (4, 16)]
    >>> rows += [{**row, "kind": "baseline", "classes": 4, "value": 0.3}]
    >>> ax = plot_granularity(pd.DataFrame(rows), 9)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['baseline', 'random classes']
    """
    rows = summary[(summary["size"] == size) & (summary.quantity == quantity)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    draw_baseline(ax, rows[rows.kind == BASELINE])
    if quantity == "error_difference":
        ax.axhline(0, color=FAINT, linewidth=1, linestyle="dashed", label=BASELINE)
    rows = rows[(rows.kind != BASELINE) & (rows.misalignment == misalignment)]
    draw_kinds(ax, rows, "classes")
    less = error.replace("error", "error less that of the baseline", 1)
    words = {"error": error, "error_difference": less}
    set_class_axis(ax, rows.classes, _on_target(words.get(quantity, quantity)))
    legend_above(ax)
    return ax


def plot_published(ax: Axes | None = None) -> Axes:
    """The published errors of a ViT-B/16 on ImageNet-1k by the number of ImageNet-21k pretraining classes.

    >>> len(plot_published().lines)
    2
    """
    ax = ax or new_axes(COLUMN, 2.7)
    ax.axhline(PUBLISHED_BASELINE, color=FAINT, linewidth=1, linestyle="dashed", label="published baseline")
    classes = list(PUBLISHED_ERRORS)
    ax.plot(
        classes,
        list(PUBLISHED_ERRORS.values()),
        "*",
        color=NETWORK_COLOURS[2],
        markersize=6,
        label="published",
    )
    set_class_axis(ax, pd.Series(classes), "error on ImageNet-1k, ViT-B/16")
    ax.set_xlim(15, 60_000)
    legend_above(ax)
    return ax


def draw_beside_published(summary: pd.DataFrame, size: int) -> Figure:
    """`plot_granularity` and, on its own scales, `plot_published`: other data, networks and recipes.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, quantity="error", seeds=3)
    >>> len(draw_beside_published(pd.DataFrame([{**row, "value": 0.4, "low": 0.2, "high": 0.5}]), 9).axes)
    2
    """
    figure = Drawing((PAGE, 3.3), layout="constrained")
    own, published = figure.subplots(1, 2)
    plot_granularity(summary, size, own)
    plot_published(published)
    return figure


def plot_sizes(
    summary: pd.DataFrame,
    kind: str,
    ax: Axes | None = None,
    *,
    quantity: str = "error",
    error: str = "error",
    by: Literal["size", "pretrain_size"] = "size",
) -> Axes:
    """Error on the target against the number of training samples, a line for each number of classes.

    Args:
        summary: of `summary_table`; for one number of the samples that are not on the axis.
        kind: of pretraining labels; without misalignment.
        ax: to draw on; new axes by default.
        quantity, error: as for `plot_granularity`.
        by: the samples on the axis, "size" of the target, or "pretrain_size" of pretraining.

    Returns:
        the axes.

    >>> row = dict(kind="random", level="", classes=4, misalignment=0.0, quantity="error", seeds=3)
    >>> rows = [{**row, "size": size, "value": 0.4, "low": 0.2, "high": 0.5} for size in (8, 64)]
    >>> plot_sizes(pd.DataFrame(rows), "random").get_legend().get_texts()[0].get_text()
    '4 classes'
    """
    rows = summary[(summary.quantity == quantity) & (summary.misalignment == 0)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    direct = rows[rows.kind == BASELINE].sort_values("size")
    if by == "pretrain_size":
        draw_baseline(ax, direct)
    elif len(direct):
        draw_whiskered(
            ax, direct["size"], direct, BASELINE, color=NETWORK_COLOURS[0], marker="x", linestyle="dashed"
        )
    own = rows[rows.kind == kind]
    groups = (
        [(KIND_WORDS[kind], own)]
        if kind == "per-sample"
        else [(f"{count} classes", line) for count, line in own.groupby("classes")]
    )
    shades = np.linspace(0, 1, max(len(groups), 2))
    places = own[by] if by == "pretrain_size" else rows[by]  # the baseline has no pretraining
    factors = beside(places, len(groups))
    for (name, line), marker, shade, factor in zip(groups, cycle(MARKERS), shades, factors, strict=False):
        line = line.sort_values(by)
        draw_whiskered(ax, line[by] * factor, line, name, color=level_colour(shade), marker=marker)
    set_log_axis(ax, places)
    ax.yaxis.set_major_formatter(percent_tick)
    name = quantity.replace("_", " ")
    if "error" in name:
        name = error.replace("error", name, 1)
    label_axes(ax, SAMPLES[by], _on_target(name))
    legend_above(ax)
    return ax


def plot_misalignment(
    summary: pd.DataFrame, size: int, ax: Axes | None = None, *, error: str = "error"
) -> Axes:
    """Error on the target against the share of moved pretraining labels, a line for each kind and level.

    Args:
        summary: of `summary_table`; levels without moved labels are left out.
        size: training samples.
        ax: to draw on; new axes by default.
        error: as for `plot_granularity`.

    Returns:
        the axes.

    >>> row = dict(kind="random", level="", classes=4, size=9, quantity="error", seeds=3)
    >>> rows = [{**row, "misalignment": share, "value": 0.4, "low": 0.2, "high": 0.5} for share in (0.0, 0.5)]
    >>> plot_misalignment(pd.DataFrame(rows), 9).get_legend().get_texts()[0].get_text()
    '4 random classes'
    """
    rows = summary[(summary["size"] == size) & (summary.quantity == "error")]
    moved = rows[rows.misalignment > 0][["kind", "classes"]].drop_duplicates()
    lines = rows.merge(moved)
    ax = ax or new_axes(COLUMN + 0.4, 2.1 + 0.17 * len(moved))
    draw_baseline(ax, rows[rows.kind == BASELINE])
    shifts = iter(SHIFT * (np.arange(len(moved)) - (len(moved) - 1) / 2))
    for kind, of_kind in lines.groupby("kind"):
        for marks, (classes, line) in zip(cycle(LEVEL_LINES), of_kind.groupby("classes"), strict=False):
            line = line.sort_values("misalignment")
            style = KIND_STYLES[str(kind)] | marks
            name = counted_in_words(str(kind), classes)
            draw_whiskered(ax, line.misalignment + next(shifts), line, name, **style)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(percent_tick)
    label_axes(ax, "pretraining labels that were moved", _on_target(error))
    legend_above(ax)
    return ax


def _on_target(name: str) -> str:
    """The label of an axis: a quantity on the target, its meaning (in brackets) on a second line."""
    name, bracket, meaning = name.partition(" (")
    return f"{name} on the target" + (f"\n({meaning}" if bracket else "")
