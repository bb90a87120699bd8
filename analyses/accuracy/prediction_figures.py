"""Figures of predictions: by parts of the knowledge, how discriminative those are, how many can go.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from harsanyi.analyses.drawing.palette import (
    BAND,
    COLUMN,
    DISCARDED,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    NEW,
    PAGE,
    PRESERVED,
    SCRATCH,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.knowledge.amounts import orders_of

# In this order, side by side.
COLOURS = {
    "all salient": NETWORK_COLOURS[5],
    "preserved": PRESERVED,
    "also_scratch": SCRATCH,
    "exclusive": NETWORK_COLOURS[1],
    "new": NEW,
    "discarded": DISCARDED,
    "only_scratch": NETWORK_COLOURS[3],
}
WORDS = {
    "all salient": "all\nsalient",
    "also_scratch": "also in\nscratch",
    "discarded": "discarded,\nof before",
}
# Of removal; the first two may run together.
ORDERS = {
    "fewest": (NETWORK_COLOURS[0], "solid"),
    "greedy": (NETWORK_COLOURS[1], "dashed"),
    "strongest": (NETWORK_COLOURS[2], "solid"),
    "weakest": (NETWORK_COLOURS[3], "solid"),
}


def plot_restricted(
    table: pd.DataFrame,
    quantity: Literal["accuracy", "agreement", "accuracy_share"] = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """How well each part predicts alone (filled), and the salient knowledge without it (outlined).

    Whiskers are the table's intervals. Solid line: the network itself; dashed: its constants alone. What was
    discarded belongs to the network before: that network and its constants are drawn at its bar.

    Args:
        table: of `restricted_prediction`.

    >>> row = dict(version="only", quantity="accuracy", value=0.4, low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "knowledge": name} for name in ("nothing", "new", "everything")])
    >>> [label.get_text() for label in plot_restricted(table).get_xticklabels()]
    ['new']
    """
    chosen = table[table.quantity == quantity].set_index(["knowledge", "version"])
    parts = [name for name in COLOURS if (name, "only") in chosen.index]
    ax = ax or new_axes(min(PAGE, max(COLUMN, 1 + 0.75 * len(parts))), 2.6)
    for x, name in enumerate(parts):
        colour, pair = COLOURS[name], (name, "without") in chosen.index
        _bar(ax, x - 0.2 * pair, chosen.loc[(name, "only")], color=colour, linewidth=0)
        if pair:
            outline: dict[str, Any] = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.4}
            _bar(ax, x + 0.2, chosen.loc[(name, "without")], **outline)
    _lines(ax, chosen, parts)
    ax.bar([0], [np.nan], color=FAINT, linewidth=0, label="only")
    ax.bar([0], [np.nan], facecolor="none", edgecolor=FAINT, linewidth=1.4, label="without")
    ax.set_xticks(range(len(parts)), [WORDS.get(name, name) for name in parts])
    ax.set(xlim=(-0.7, len(parts) - 0.3), ylim=(0, None if quantity == "accuracy_share" else 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    words = {"accuracy_share": "accuracy,\nof that of all salient", "agreement": "same answer as the network"}
    label_axes(ax, "", words.get(quantity, quantity))
    legend_above(ax)
    return ax


def plot_discrimination(
    table: pd.DataFrame,
    quantity: Literal["discriminative_share", "margin", "strength"] = "discriminative_share",
    ax: Axes | None = None,
    *,
    unit: str = "score",
) -> Axes:
    """How discriminative the parts of the knowledge are, per order and, at the right, over all orders.

    Args:
        table: of `discrimination_table`. Whiskers are its intervals.
        unit: of the score, for the axis.

    >>> row = dict(quantity="margin", kind="both", value=0.4, low=0.2, high=0.5, games=9, knowledge="new")
    >>> ax = plot_discrimination(pd.DataFrame([{**row, "order": o} for o in ("all", "1")]), "margin")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['1', 'all']
    """
    chosen = table[(table.quantity == quantity) & (table.kind == "both")]
    chosen = chosen[chosen.sign == "both"] if "sign" in chosen else chosen
    orders, parts = orders_of(chosen), [name for name in COLOURS if name in set(chosen.knowledge)]
    ax = ax or new_axes(min(PAGE, max(COLUMN, 1 + 0.13 * len(parts) * len(orders))), 2.6)
    for number, name in enumerate(parts):
        rows = chosen[chosen.knowledge == name].set_index("order").loc[orders]
        x = np.arange(len(orders)) + 0.7 * ((number + 0.5) / len(parts) - 0.5)
        ax.vlines(x, rows.low, rows.high, color=COLOURS[name], linewidth=1.2)
        ax.plot(x, rows.value, "o", color=COLOURS[name], markersize=4, label=name.replace("_", " "))
    ax.axvline(len(orders) - 1.5, color=FAINT, linewidth=0.6)
    ax.set_xticks(range(len(orders)), orders)
    if quantity == "discriminative_share":
        ax.set_ylim(0, 1.02)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        label_axes(ax, "order", "share of strength\nthat is discriminative")
    else:
        ax.axhline(0, color="black", linewidth=0.6)
        words = {"margin": "margin over other classes", "strength": "strength Σ|I| per input"}
        label_axes(ax, "order", f"{words[quantity]}\n({unit})")
    legend_above(ax)
    return ax


def plot_pruning(standing: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The share of games whose answer still stands, against how many interactions were removed.

    Args:
        standing: tables of `Pruning.standing()` of several orders of removal, one below the other. Bands are
            their intervals.

    >>> rows = [dict(order="greedy", removed=r, value=1 - r / 2, low=0.1, high=0.9) for r in (0, 2)]
    >>> len(plot_pruning(pd.DataFrame(rows)).lines)
    1
    """
    ax = ax or new_axes(COLUMN, 2.4)
    for order in dict.fromkeys(standing.order):
        rows = standing[standing.order == order].sort_values("removed")
        colour, style = ORDERS[order]
        ax.plot(
            rows.removed,
            rows.value,
            drawstyle="steps-post",
            color=colour,
            linestyle=style,
            linewidth=1.4,
            label=order,
        )
        ax.fill_between(rows.removed, rows.low, rows.high, step="post", color=colour, alpha=BAND, linewidth=0)
    # One removal and a thousand are both to be seen, and none has a place.
    ax.set_xscale("symlog", linthresh=1, linscale=0.4)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    ax.set(xlim=(0, max(standing.removed.max(), 1)), ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    label_axes(ax, "interactions removed", "inputs whose answer stands")
    legend_above(ax)
    return ax


def _bar(ax: Axes, x: float, row: Any, **style: Any) -> None:
    """One bar with its whisker; – where there is no value."""
    if np.isnan(row.value):
        ax.text(x, 0.01, "–", ha="center", va="bottom", fontsize=FONT, color=FAINT)
        return
    ax.bar(x, row.value, 0.36, **style)
    if np.isfinite(row.low) and np.isfinite(row.high):
        ax.vlines(x, row.low, row.high, color="black", linewidth=0.8)


def _lines(ax: Axes, chosen: pd.DataFrame, parts: list[str]) -> None:
    """The network itself and its constants: of `after` across, of `before` at what was discarded."""
    for name, style, words in (
        ("everything", "solid", "network"),
        ("nothing", (0, (3, 2)), "constants"),
    ):
        line: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": style}
        if (name, "only") in chosen.index:
            end = parts.index("discarded") if "discarded" in parts else len(parts)
            value = chosen.value[name, "only"]
            ax.hlines(value, -0.7, end - 0.5, label=words, **line)
        if "discarded" in parts and (f"{name} of before", "only") in chosen.index:
            x = parts.index("discarded")
            ax.hlines(chosen.value[f"{name} of before", "only"], x - 0.4, x + 0.4, **line)
