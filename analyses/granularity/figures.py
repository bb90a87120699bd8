"""Figures of a granularity study: errors and knowledge against the number of pretraining classes.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from harsanyi.analyses.drawing.palette import (
    BAND,
    COLUMN,
    DISCARDED,
    FAINT,
    NETWORK_COLOURS,
    PAGE,
    PRESERVED,
    SCRATCH,
    label_axes,
    legend_above,
    new_axes,
)

BASELINE = "baseline"
MARKERS = ("o", "s", "^", "D", "v", "P")
# Of more values than these, ticks are powers of ten.
MOST_TICKS = 7
# The least distance of ticks, as a share of a logarithmic axis.
NEAREST_TICKS = 0.06
# Errors on ImageNet-1k after pretraining on ImageNet-21k with so many classes, and without ("Towards
# Understanding the Effect of Pretraining Label Granularity").
PUBLISHED_BASELINE = 0.2209
PUBLISHED_ERRORS = {38: 0.2725, 21843: 0.1749}
LADDER = {
    "accuracy": ("accuracy on the target", NETWORK_COLOURS[0], "o"),
    "preserved_share": ("preserved, of before", PRESERVED, "s"),
    "rare_after": ("rare, of after", SCRATCH, "^"),
}


def plot_granularity(
    summary: pd.DataFrame,
    size: int,
    ax: Axes | None = None,
    *,
    quantity: str = "error",
    misalignment: float = 0.0,
    error: str = "error",
) -> Axes:
    """Error on the target against the number of pretraining classes, a line a kind, beside the baseline.

    Args:
        summary: of `summary_table`. Whiskers, and the band around the baseline, are its intervals over seeds.
        size: training samples.
        quantity: error, accuracy or error_difference, to the baseline, which is then the line at 0.
        misalignment: of the labels that are shown.
        error: what the table's error is called; of a task other than classification it is 1 less its measure.

    >>> row = dict(level="", size=9, misalignment=0.0, quantity="error", low=0.2, high=0.5, seeds=3)
    >>> rows = [{**row, "kind": "random", "classes": k, "value": 0.4} for k in (4, 16)]
    >>> rows += [{**row, "kind": "baseline", "classes": 4, "value": 0.3}]
    >>> ax = plot_granularity(pd.DataFrame(rows), 9)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['baseline', 'random']
    """
    rows = summary[(summary["size"] == size) & (summary.quantity == quantity)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    _baseline(ax, rows[rows.kind == BASELINE])
    if quantity == "error_difference":
        ax.axhline(0, color=FAINT, linewidth=1, linestyle="dashed", label=BASELINE)
    rows = rows[(rows.kind != BASELINE) & (rows.misalignment == misalignment)]
    _kind_lines(ax, rows, "classes")
    less = error.replace("error", "error less that of the baseline", 1)
    words = {"error": error, "error_difference": less}
    _class_axis(ax, rows.classes, _on_target(words.get(quantity, quantity)))
    legend_above(ax)
    return ax


def plot_published(ax: Axes | None = None) -> Axes:
    """The published errors on ImageNet-1k by the number of ImageNet-21k classes in pretraining.

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
    _class_axis(ax, pd.Series(classes), "error on ImageNet-1k")
    ax.set_xlim(15, 60_000)
    legend_above(ax)
    return ax


def draw_beside_published(summary: pd.DataFrame, size: int) -> Figure:
    """`plot_granularity` and, on its own scales, `plot_published`: other data, networks and recipes.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, quantity="error", seeds=3)
    >>> len(draw_beside_published(pd.DataFrame([{**row, "value": 0.4, "low": 0.2, "high": 0.5}]), 9).axes)
    2
    """
    figure = Figure((PAGE, 3.3), layout="constrained")
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
) -> Axes:
    """Error on the target against the number of training samples, a line for each number of classes.

    Args:
        summary: of `summary_table`.
        kind: of pretraining labels; without misalignment.
        quantity, error: as for `plot_granularity`.

    >>> row = dict(kind="random", level="", classes=4, misalignment=0.0, quantity="error", seeds=3)
    >>> rows = [{**row, "size": size, "value": 0.4, "low": 0.2, "high": 0.5} for size in (8, 64)]
    >>> plot_sizes(pd.DataFrame(rows), "random").get_legend().get_texts()[0].get_text()
    '4 classes'
    """
    rows = summary[(summary.quantity == quantity) & (summary.misalignment == 0)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    direct = rows[rows.kind == BASELINE].sort_values("size")
    if len(direct):
        style = {"color": NETWORK_COLOURS[0], "marker": "x", "linestyle": "dashed"}
        _whiskered(ax, direct["size"], direct, BASELINE, **style)
    own = rows[rows.kind == kind]
    groups = (
        [("one class a sample", own)]
        if kind == "per-sample"
        else [(f"{count} classes", some) for count, some in own.groupby("classes")]
    )
    shades = np.linspace(0.85, 0.15, len(groups))
    for (name, some), marker, shade in zip(groups, cycle(MARKERS), shades, strict=False):
        some = some.sort_values("size")
        _whiskered(ax, some["size"], some, name, color=_shade(shade), marker=marker)
    _log_axis(ax, rows["size"])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    name = quantity.replace("_", " ")
    if "error" in name:
        name = error.replace("error", name, 1)
    label_axes(ax, "training samples", _on_target(name))
    legend_above(ax)
    return ax


def plot_misalignment(
    summary: pd.DataFrame, size: int, ax: Axes | None = None, *, error: str = "error"
) -> Axes:
    """Error on the target against the share of pretraining labels that were moved, a line a kind and level.

    Those of which none were moved in any run are left out; `error` as for `plot_granularity`.

    >>> row = dict(kind="random", level="", classes=4, size=9, quantity="error", seeds=3)
    >>> rows = [{**row, "misalignment": share, "value": 0.4, "low": 0.2, "high": 0.5} for share in (0.0, 0.5)]
    >>> plot_misalignment(pd.DataFrame(rows), 9).get_legend().get_texts()[0].get_text()
    'random, 4 classes'
    """
    rows = summary[(summary["size"] == size) & (summary.quantity == "error")]
    moved = rows[rows.misalignment > 0][["kind", "classes"]].drop_duplicates()
    lines = rows.merge(moved)
    ax = ax or new_axes(COLUMN + 0.4, 2.1 + 0.17 * len(moved))
    _baseline(ax, rows[rows.kind == BASELINE])
    groups = lines.groupby(["kind", "classes"])
    for ((kind, classes), some), style in zip(groups, cycle(_styles()), strict=False):
        some = some.sort_values("misalignment")
        _whiskered(ax, some.misalignment, some, f"{kind}, {classes} classes", **style)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    label_axes(ax, "pretraining labels that were moved", _on_target(error))
    legend_above(ax)
    return ax


def plot_ladder(
    summary: pd.DataFrame, ladder: pd.DataFrame, kind: str, size: int, ax: Axes | None = None
) -> Axes:
    """Accuracy, preserved share and rare share against the number of pretraining classes.

    Args:
        summary: of `summary_table`.
        ladder: of `ladder_summary`, over all orders; a quantity it has not is not drawn.
        kind, size: of the runs that are shown, without misalignment.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> summary = pd.DataFrame([{**row, "quantity": "accuracy", "value": 0.4}])
    >>> ladder = pd.DataFrame([{**row, "quantity": "preserved_share", "order": "all", "value": 0.3}])
    >>> [text.get_text() for text in plot_ladder(summary, ladder, "random", 9).get_legend().get_texts()]
    ['accuracy on the target', 'preserved, of before']
    """
    both = pd.concat([summary, ladder[ladder.order == "all"]])
    both = both[(both.kind == kind) & (both["size"] == size) & (both.misalignment == 0)]
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    for quantity, (name, colour, marker) in LADDER.items():
        rows = both[both.quantity == quantity].sort_values("classes")
        if len(rows):
            _whiskered(ax, rows.classes, rows, name, color=colour, marker=marker)
    _class_axis(ax, both.classes, "share")
    ax.set_ylim(0, 1.04)
    legend_above(ax)
    return ax


def draw_ladders(summary: pd.DataFrame, ladder: pd.DataFrame, size: int) -> Figure:
    """Accuracy, preserved share and rare share side by side, a line a kind of pretraining labels in each.

    Args:
        summary, ladder, size: as for `plot_ladder`; a quantity the ladder has not has no panel.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> summary = pd.DataFrame([{**row, "quantity": "accuracy", "value": 0.4}])
    >>> ladder = pd.DataFrame([{**row, "quantity": "preserved_share", "order": "all", "value": 0.3}])
    >>> [ax.get_ylabel() for ax in draw_ladders(summary, ladder, 9).axes]
    ['accuracy on the target', 'preserved, of before']
    """
    both = pd.concat([summary, ladder[ladder.order == "all"]])
    both = both[(both["size"] == size) & (both.misalignment == 0)]
    panels = [
        (quantity, name) for quantity, (name, *_) in LADDER.items() if (both.quantity == quantity).any()
    ]
    figure = Figure((PAGE, 2.9), layout="constrained")
    for ax, (quantity, name) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        rows = both[both.quantity == quantity]
        _baseline(ax, rows[rows.kind == BASELINE])
        _kind_lines(ax, rows[rows.kind != BASELINE], "classes")
        _class_axis(ax, rows[rows.kind != BASELINE].classes, name)
    handles, names = figure.axes[0].get_legend_handles_labels()
    options = {"frameon": False, "fontsize": "small", "columnspacing": 1.2, "handlelength": 1.6}
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), **options)
    return figure


def plot_ladder_orders(
    ladder: pd.DataFrame,
    kind: str,
    size: int,
    quantity: str = "all_before",
    ax: Axes | None = None,
    *,
    unit: str = "score",
) -> Axes:
    """Salient strength by order, by default at the end of pretraining, a line for each number of classes.

    Args:
        ladder: of `ladder_summary`.
        kind, size: of the runs that are shown, without misalignment.
        quantity: all_before, all_after, preserved, discarded or new.
        unit: of the score.

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, seeds=3, low=0.2, high=0.5)
    >>> row |= {"quantity": "all_before", "value": 0.3}
    >>> rows = [{**row, "order": order} for order in ("1", "2", "all")]
    >>> len(plot_ladder_orders(pd.DataFrame(rows), "random", 9).lines)
    1
    """
    rows = ladder[(ladder.kind == kind) & (ladder["size"] == size) & (ladder.misalignment == 0)]
    rows = rows[(rows.quantity == quantity) & (rows.order != "all")]
    rows = rows.assign(number=rows.order.astype(int)).sort_values("number")
    ax = ax or new_axes(COLUMN + 0.4, 2.7)
    groups = list(rows.groupby("classes"))
    shades, shifts = np.linspace(0.85, 0.15, len(groups)), np.linspace(-0.15, 0.15, len(groups))
    for (classes, some), marker, shade, shift in zip(groups, cycle(MARKERS), shades, shifts, strict=False):
        _whiskered(ax, some.number + shift, some, f"{classes} classes", color=_shade(shade), marker=marker)
    ax.set_ylim(bottom=0)
    ax.set_xticks(sorted(set(rows.number)))
    label_axes(ax, "order", f"strength Σ|I| per input\n({unit})")
    legend_above(ax)
    return ax


def _kind_lines(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    """A line a kind; points of equal x are moved aside a little, so that whiskers do not hide one another."""
    kinds = list(dict.fromkeys(rows.kind))
    for i, (kind, style) in enumerate(zip(kinds, cycle(_styles()), strict=False)):
        some = rows[rows.kind == kind].sort_values(x)
        _whiskered(ax, some[x] * 1.03 ** (i - (len(kinds) - 1) / 2), some, kind, **style)


def _whiskered(ax: Axes, x: pd.Series, rows: pd.DataFrame, name: str, **style: Any) -> None:
    ax.plot(x, rows.value, markersize=3.5, linewidth=1.2, label=name, **style)
    known = np.isfinite(rows.low.to_numpy(float))
    ax.vlines(x[known], rows.low[known], rows.high[known], color=style["color"], linewidth=0.9)


def _baseline(ax: Axes, rows: pd.DataFrame) -> None:
    for value, low, high in rows[["value", "low", "high"]].to_numpy(float):
        ax.axhline(value, color=FAINT, linewidth=1, linestyle="dashed", label=BASELINE)
        if np.isfinite(low):
            ax.axhspan(low, high, color=DISCARDED, alpha=2 * BAND, linewidth=0)


def _on_target(name: str) -> str:
    """A quantity as an axis has it; what it is, in brackets, has a line of its own."""
    name, bracket, meaning = name.partition(" (")
    return f"{name} on the target" + (f"\n({meaning}" if bracket else "")


def _class_axis(ax: Axes, classes: pd.Series, y: str) -> None:
    _log_axis(ax, classes)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    label_axes(ax, "pretraining classes", y)


def _log_axis(ax: Axes, values: pd.Series) -> None:
    """Logarithmic, ticks at the values where they are few."""
    ax.set_xscale("log")
    shown = _apart(sorted(set(values)))
    if 0 < len(shown) <= MOST_TICKS:
        ax.set_xticks(shown)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _shade(share: float) -> Any:
    return colormaps["cividis"](share)


def _styles() -> list[dict[str, Any]]:
    """As many ways to draw a line as there are kinds, then the same again dotted."""
    return [
        {"color": colour, "marker": marker, "linestyle": line}
        for line in ("solid", "dotted")
        for colour, marker in zip((*NETWORK_COLOURS[1:], NETWORK_COLOURS[0]), MARKERS, strict=True)
    ]


def _apart(values: list[float]) -> list[float]:
    """The values without those so near the one before that their labels would touch."""
    if not values:
        return values
    span, kept = values[-1] / values[0], values[:1]
    for value in values[1:]:
        if value / kept[-1] > span**NEAREST_TICKS:
            kept.append(value)
    return kept
