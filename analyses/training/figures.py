"""Figures of training runs: shares by step, shares of the final knowledge, strength by order, loss."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band, share_axis
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
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.training.trajectory import hardly_there, least_share

# The first loss is cut off where it exceeds every later one by this factor.
CUT_OFF_RATIO = 4
FRACTIONS = {"fraction": "value", "fraction_low": "low", "fraction_high": "high"}
PLOTTED_SHARES = ("preserved_share", "discarded_share", "new_share")


def plot_shares_over_training(table: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """Shares of preserved, discarded and new strength along a run, by step; bands are intervals.

    Args:
        table: of `trajectory_table` with a pretrained network.
        series: the name of the run.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(series="run", kind="both", order="all", quantity="new_share", low=0.1, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "step": step, "value": step / 10} for step in (0, 3)])
    >>> len(plot_shares_over_training(table, "run").lines)
    1
    """
    ax = ax or new_axes(COLUMN, 2.4)
    for quantity in PLOTTED_SHARES:
        name, colour = SHARE_COLOURS[quantity]
        _line(ax, _rows(table, series, quantity), name, colour)
    share_axis(ax, 1)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_axes(ax, f"step of {series}", "share of strength")
    legend_above(ax)
    return ax


def plot_reached(
    table: pd.DataFrame,
    quantity: str = "reached",
    ax: Axes | None = None,
    *,
    unit: Literal["step", "share of the run"] = "share of the run",
) -> Axes:
    """The share of its final knowledge that each run has, by step; of "reached" with lines at 50% and 90%.

    Args:
        table: of `trajectory_table`.
        quantity: "reached", or a similarity.
        ax: to draw on; a new figure by default.
        unit: of the horizontal axis.

    Returns:
        the axes.

    >>> row = dict(series="run", kind="both", order="all", quantity="reached", low=0.1, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "step": step, "value": step / 3} for step in (0, 3)])
    >>> plot_reached(table).get_legend().get_texts()[0].get_text()
    'run'
    """
    ax = ax or new_axes(COLUMN, 2.4)
    for colour, series in zip(cycle(NETWORK_COLOURS[1:]), dict.fromkeys(table.series)):
        rows = _rows(table, series, quantity)
        if unit != "step":
            rows = rows.assign(step=rows.step / rows.step.max())
        _line(ax, rows, series, colour)
    for share in (0.5, 0.9) if quantity == "reached" else ():
        ax.axhline(share, color=FAINT, linewidth=0.6, linestyle="dotted")
        across: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "fontsize": FONT, "color": FAINT}
        ax.text(0.01, share + 0.01, f"{share:.0%}", va="bottom", **across)
    share_axis(ax)
    labels = {
        "reached": "of the end, already there\n(Σ min / Σ end)",
        "similarity_own": "similarity to the end\n(Σ min / Σ max)",
    }
    label_axes(ax, unit, labels.get(quantity, quantity.replace("_", " ")))
    legend_above(ax)
    return ax


def plot_orders_over_training(
    table: pd.DataFrame, series: str, ax: Axes | None = None, *, tolerance: float = 0.0
) -> Axes:
    """Strength by order (rows) at each checkpoint of a run (columns), relative to the maximum of the order.

    Orders that never have strength are left out; the numbers of those with less than 1% of the strength at
    the end, or than `tolerance`, are grey.

    Args:
        table: of `trajectory_table`, or another with the columns series, step, quantity, kind, order, value.
        series: the name of the run.
        ax: to draw on; a new figure by default.
        tolerance: strength an input that a split alone may make; see `least_share`.

    Returns:
        the axes.

    >>> row = dict(series="run", kind="both", quantity="strength", games=9)
    >>> row = {**row, "value": 1.0}
    >>> table = pd.DataFrame([{**row, "step": s, "order": o} for s in (0, 3) for o in ("1", "all")])
    >>> plot_orders_over_training(table, "run").images[0].get_array().shape
    (1, 2)
    """
    chosen = table[(table.series == series) & (table.quantity == "strength") & (table.kind == "both")]
    orders = [order for order in orders_of(chosen) if order != "all"]
    strength = chosen.pivot(index="order", columns="step", values="value").loc[orders]
    strength = strength[(strength > 0).any(axis=1)]
    ax = ax or new_axes(COLUMN, 0.8 + 0.17 * len(strength))
    image = draw_orders(ax, strength, [f"{step:g}" for step in strength.columns])
    last = strength.iloc[:, -1].to_numpy()
    grey_orders(ax, last < least_share(last.sum(), tolerance) * last.sum())
    draw_scale(image, ax)
    label_axes(ax, f"step of {series}", "order")
    return ax


def plot_times_to_reach(times: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The time at which each run reaches a share of its final knowledge, by order, as a share of the run.

    Orders without strength at the end are left out; those with less than 1% of it are grey.

    Args:
        times: tables of `time_to_reach` of several runs with the same share.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(kind="both", share=0.5, fraction=0.4, fraction_low=0.3, fraction_high=0.5, games=9)
    >>> times = pd.DataFrame([{**row, "series": "run", "order": order} for order in ("1", "all")])
    >>> [label.get_text() for label in plot_times_to_reach(times).get_xticklabels()]
    ['1', 'all']
    """
    ax = ax or new_axes(COLUMN, 2.4)
    both = times[(times.kind == "both") & times.fraction.notna()]  # no strength, no time
    orders, runs = orders_of(both), list(dict.fromkeys(both.series))
    for number, (colour, series) in enumerate(zip(cycle(NETWORK_COLOURS[1:]), runs, strict=False)):
        rows = both[both.series == series].set_index("order").reindex(orders)[list(FRACTIONS)]
        x = np.arange(len(orders)) + 0.24 * (number - (len(runs) - 1) / 2)
        faint = hardly_there(both[both.series == series].set_index("order").loc[orders])
        drawn = rows.rename(columns=FRACTIONS)
        dots_with_bars(ax, x[~faint], drawn[~faint], colour, series)
        if faint.any():
            dots_with_bars(ax, x[faint], drawn[faint], FAINT, "")
    ax.set_xticks(range(len(orders)), orders)
    share_axis(ax)
    label_axes(ax, "order", f"share of the run until {both.share.iloc[0]:.0%} is there")
    legend_above(ax)
    return ax


def plot_performance(performance: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """Loss of a run on training inputs and on held-out inputs, and the difference, by step.

    Where the first loss is far above all later ones, as with random weights, the axis ends below it and the
    first loss is written as a number.

    Args:
        performance: columns series, step, split ("train", "held out"), loss.
        series: the name of the run.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> rows = [dict(series="run", step=s, split=p, loss=1.0) for s in (0, 3) for p in ("train", "held out")]
    >>> len(plot_performance(pd.DataFrame(rows), "run").lines)
    3
    """
    ax = ax or new_axes(COLUMN, 1.8)
    losses = performance[performance.series == series].pivot(index="step", columns="split", values="loss")
    styles = {"train": "solid", "held out": "dashed"}
    for split in (split for split in styles if split in losses):
        ax.plot(
            losses.index, losses[split], color="black", linestyle=styles[split], linewidth=1.2, label=split
        )
    if set(styles) <= set(losses):
        gap = losses["held out"] - losses["train"]
        ax.plot(losses.index, gap, color=NETWORK_COLOURS[2], linewidth=1.2, label="gap")
    _cut_off_start(ax, losses)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_axes(ax, f"step of {series}", "loss (nats)")
    legend_above(ax)
    return ax


def _cut_off_start(ax: Axes, losses: pd.DataFrame) -> None:
    """End the axis above all but the first loss where that is far above, and write the first loss."""
    start, rest = losses.iloc[0].max(), losses.iloc[1:].max().max()
    if not start > CUT_OFF_RATIO * rest:
        return
    lowest = min(0.0, *(np.asarray(line.get_ydata(), dtype=float).min() for line in ax.lines))
    ax.set_ylim(lowest - 0.05 * rest, 1.15 * rest)
    note = f"start: {start:.0f} ↑"
    ax.text(0.98, 0.97, note, va="top", ha="right", fontsize=FONT, color=FAINT, transform=ax.transAxes)


def draw_orders(ax: Axes, strength: pd.DataFrame, ticks: Sequence[str], max_ticks: int = 9) -> AxesImage:
    """Draw strengths relative to the maximum of the order.

    Args:
        ax: to draw on.
        strength: a row for each order, a column for each state.
        ticks: labels of the columns.
        max_ticks: largest number of labels that are written; they are evenly spaced.

    Returns:
        the picture, for `draw_scale`.
    """
    relative = strength.div(strength.max(axis=1).where(strength.max(axis=1) > 0, 1), axis=0)
    image = ax.imshow(relative.to_numpy(), aspect="auto", origin="lower", cmap="cividis", vmin=0, vmax=1)
    ax.set_yticks(range(len(strength)), list(strength.index))
    every = range(0, len(ticks), 1 + (len(ticks) - 1) // max_ticks)
    ax.set_xticks(list(every), [ticks[i] for i in every])
    return image


def grey_orders(ax: Axes, faint: np.ndarray) -> None:
    """Grey numbers for the rows of orders that hardly exist."""
    for label, hardly in zip(ax.get_yticklabels(), faint, strict=True):
        label.set_color(FAINT if hardly else "black")
        label.set_alpha(0.5 if hardly else 1.0)


def draw_scale(image: AxesImage, ax: Axes) -> None:
    """The colour scale of `draw_orders`, right of the axes."""
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=FONT)
    bar.set_label("of the order's most", fontsize=FONT)


def _rows(table: pd.DataFrame, series: str, quantity: str) -> pd.DataFrame:
    """The rows of a quantity of a run over all kinds and orders, by step."""
    chosen = (table.series == series) & (table.quantity == quantity)
    return table[chosen & (table.kind == "both") & (table.order == "all")].sort_values("step")


def _line(ax: Axes, rows: pd.DataFrame, name: str, colour: str) -> None:
    """A quantity by step; nothing where it has no rows."""
    if len(rows):
        line_with_band(ax, rows.step, rows, colour, name, marker="o", markersize=3)
