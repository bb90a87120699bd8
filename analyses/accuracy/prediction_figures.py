"""Figures of predictions: accuracy of parts of the knowledge, discrimination, pruning."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band, share_axis
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    DISCARDED,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    NEW,
    PRESERVED,
    SCRATCH,
    growing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.knowledge.restricted_numbers import R2
from harsanyi.analyses.report.words import part_in_words

# Parts are drawn side by side in this order.
PART_COLOURS = {
    "all salient": NETWORK_COLOURS[5],
    "preserved": PRESERVED,
    "also_scratch": SCRATCH,
    "exclusive": NETWORK_COLOURS[1],
    "new": NEW,
    "discarded": DISCARDED,
    "only_scratch": NETWORK_COLOURS[3],
}
PART_LABELS = {
    "all salient": "all\nsalient",
    "also_scratch": "also in\nscratch",
    "discarded": "discarded,\nof before",
}
# Lines of orders of removal; one of the first two is dashed since they can coincide.
ORDER_STYLES = {
    "fewest": ("fewest possible", NETWORK_COLOURS[0], "solid"),
    "greedy": ("most harmful next", NETWORK_COLOURS[1], "dashed"),
    "strongest": ("strongest first", NETWORK_COLOURS[2], "solid"),
    "weakest": ("weakest first", NETWORK_COLOURS[3], "solid"),
}


def plot_restricted(
    table: pd.DataFrame,
    quantity: Literal["accuracy", "agreement", "accuracy_share", "r2"] = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Prediction from each part alone (filled), and from the salient knowledge without it (outlined).

    Whiskers are intervals. Solid line: the whole network; dashed: its constants alone; dotted: chance; short
    lines over the bars: a random part as strong. The discarded part belongs to the network before, so the
    lines at its bar are those of that network.

    Args:
        table: of `restricted_prediction`, or with "r2" of `restricted_numbers`.
        quantity: of the table.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(version="only", quantity="accuracy", value=0.4, low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "knowledge": name} for name in ("nothing", "new", "everything")])
    >>> [label.get_text() for label in plot_restricted(table).get_xticklabels()]
    ['new']
    """
    chosen = table[table.quantity == quantity].set_index(["knowledge", "version"])
    parts = [name for name in PART_COLOURS if (name, "only") in chosen.index]
    ax = ax or new_axes(growing(1 + 0.75 * len(parts)), 2.6)
    for x, name in enumerate(parts):
        colour, pair = PART_COLOURS[name], (name, "without") in chosen.index
        _bar(ax, x - 0.2 * pair, chosen.loc[(name, "only")], color=colour, linewidth=0)
        if pair:
            outline: dict[str, Any] = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.4}
            _bar(ax, x + 0.2, chosen.loc[(name, "without")], **outline)
    _lines(ax, chosen, parts)
    _random_parts(ax, chosen, parts)
    ax.bar([0], [np.nan], color=FAINT, linewidth=0, label="only")
    ax.bar([0], [np.nan], facecolor="none", edgecolor=FAINT, linewidth=1.4, label="without")
    ax.set_xticks(range(len(parts)), [PART_LABELS.get(name, name) for name in parts])
    ax.set_xlim(-0.7, len(parts) - 0.3)
    if quantity == R2:
        ax.axhline(0, color="black", linewidth=0.6)
    else:
        share_axis(ax, None if quantity == "accuracy_share" else 1.02)
    labels = {
        R2: "R²",
        "accuracy_share": "accuracy,\nof that of all salient",
        "agreement": "same answer as the network",
    }
    label_axes(ax, "", labels.get(quantity, quantity))
    legend_above(ax)
    return ax


def plot_discrimination(
    table: pd.DataFrame,
    quantity: Literal["discriminative_share", "margin", "strength"] = "discriminative_share",
    ax: Axes | None = None,
    *,
    unit: str = "score",
) -> Axes:
    """How discriminative the parts of the knowledge are, by order and, at the right, over all orders.

    Bars are intervals. Orders without strength are left out.

    Args:
        table: of `discrimination_table`.
        quantity: of the table.
        ax: to draw on; a new figure by default.
        unit: of the score, for the axis.

    Returns:
        the axes.

    >>> row = dict(quantity="margin", kind="both", value=0.4, low=0.2, high=0.5, games=9, knowledge="new")
    >>> ax = plot_discrimination(pd.DataFrame([{**row, "order": o} for o in ("all", "1")]), "margin")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['1', 'all']
    """
    chosen = table[(table.quantity == quantity) & (table.kind == "both")]
    chosen = chosen[chosen.sign == "both"] if "sign" in chosen else chosen
    chosen = chosen[chosen.value.notna()]  # orders without strength have no place
    orders, parts = orders_of(chosen), [name for name in PART_COLOURS if name in set(chosen.knowledge)]
    ax = ax or new_axes(growing(1 + 0.13 * len(parts) * len(orders)), 2.6)
    for number, name in enumerate(parts):
        rows = chosen[chosen.knowledge == name].set_index("order").reindex(orders)
        x = np.arange(len(orders)) + 0.7 * ((number + 0.5) / len(parts) - 0.5)
        dots_with_bars(ax, x, rows, PART_COLOURS[name], part_in_words(name))
    ax.axvline(len(orders) - 1.5, color=FAINT, linewidth=0.6)
    ax.set_xticks(range(len(orders)), orders)
    if quantity == "discriminative_share":
        share_axis(ax)
        label_axes(ax, "order", "share of strength\nthat is discriminative")
    else:
        ax.axhline(0, color="black", linewidth=0.6)
        labels = {"margin": "margin over other classes", "strength": "strength Σ|I| per input"}
        label_axes(ax, "order", f"{labels[quantity]}\n({unit})")
    legend_above(ax)
    return ax


def plot_pruning(standing: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The share of games with the same answer, by the number of removed interactions; bands are intervals.

    Args:
        standing: tables of `Pruning.standing()` of several orders of removal, one below the other.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> rows = [dict(order="greedy", removed=r, value=1 - r / 2, low=0.1, high=0.9) for r in (0, 2)]
    >>> len(plot_pruning(pd.DataFrame(rows)).lines)
    1
    """
    ax = ax or new_axes(COLUMN, 2.4)
    for order in dict.fromkeys(standing.order):
        rows = standing[standing.order == order].sort_values("removed")
        name, colour, style = ORDER_STYLES[order]
        line_with_band(ax, rows.removed, rows, colour, name, step=True, linestyle=style)
    # Shows 0, 1 and a thousand removals on one axis.
    ax.set_xscale("symlog", linthresh=1, linscale=0.4)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    ax.set_xlim(0, max(standing.removed.max(), 1))
    share_axis(ax)
    label_axes(ax, "interactions removed", "inputs with the same answer")
    legend_above(ax)
    return ax


def _bar(ax: Axes, x: float, row: Any, **style: Any) -> None:
    """A bar with its whisker; – where there is no value."""
    if np.isnan(row.value):
        ax.text(x, 0.01, "–", ha="center", va="bottom", fontsize=FONT, color=FAINT)
        return
    ax.bar(x, row.value, 0.36, **style)
    if np.isfinite(row.low) and np.isfinite(row.high):
        ax.vlines(x, row.low, row.high, color="black", linewidth=0.8)


def _random_parts(ax: Axes, chosen: pd.DataFrame, parts: list[str]) -> None:
    """Short lines of random parts as strong as each part, and the dotted line of chance."""
    label = "random part"
    for x, name in enumerate(parts):
        if (row := (f"random like {name}", "only")) in chosen.index:
            at = x - 0.2 * ((name, "without") in chosen.index)
            ax.hlines(chosen.value[row], at - 0.24, at + 0.24, color="black", linewidth=1.6, label=label)
            label = "_"
    if ("chance", "only") in chosen.index:
        line: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": "dotted"}
        ax.hlines(chosen.value["chance", "only"], -0.7, len(parts) - 0.3, label="chance", **line)


def _lines(ax: Axes, chosen: pd.DataFrame, parts: list[str]) -> None:
    """Lines of the whole network and its constants; those of `before` at the bar of the discarded part."""
    for name, style, label in (
        ("everything", "solid", "network"),
        ("nothing", (0, (3, 2)), "constants"),
    ):
        line: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": style}
        if (name, "only") in chosen.index:
            end = parts.index("discarded") if "discarded" in parts else len(parts)
            value = chosen.value[name, "only"]
            ax.hlines(value, -0.7, end - 0.5, label=label, **line)
        if "discarded" in parts and (f"{name} of before", "only") in chosen.index:
            x = parts.index("discarded")
            ax.hlines(chosen.value[f"{name} of before", "only"], x - 0.4, x + 0.4, **line)
