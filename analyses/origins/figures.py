"""Figures of origins: shares, strength by order, similarity of each pair."""

from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars
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
from harsanyi.analyses.origins.origins import origins_of

PLOTTED_SHARES = ("preserved_share", "new_share", "scratch_share")
MARKERS = ("o", "s", "^")


def plot_origins(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Shares of preserved, of new and of scratch strength of each origin; bars are intervals.

    Args:
        table: of `compare_many`; a share that it lacks is not drawn.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(quantity="new_share", kind="both", sign="both", order="all", low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "origin": name, "value": 0.4} for name in ("a", "b", "a − b")])
    >>> [label.get_text() for label in plot_origins(table).get_yticklabels()]
    ['a', 'b']
    """
    names = origins_of(table)
    totals = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    shown = [quantity for quantity in PLOTTED_SHARES if quantity in set(totals.quantity)]
    ax = ax or new_axes(COLUMN + 0.6, 0.9 + 0.42 * len(names))
    for i, quantity in enumerate(shown):
        rows = totals[totals.quantity == quantity].set_index("origin").reindex(names)
        y = np.arange(len(names)) + 0.22 * (i - (len(shown) - 1) / 2)
        label, colour = SHARE_COLOURS[quantity]
        dots_with_bars(ax, y, rows, colour, label, marker=MARKERS[i], horizontal=True)
    for edge in range(1, len(names)):
        ax.axhline(edge - 0.5, color=FAINT, linewidth=0.3)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    label_axes(ax, "share of strength", "")
    legend_above(ax)
    return ax


def plot_origin_orders(
    table: pd.DataFrame,
    quantity: Literal["preserved", "discarded", "new"] = "preserved",
    ax: Axes | None = None,
    *,
    unit: str = "score",
) -> Axes:
    """Preserved, discarded or new strength by order, mean over inputs: a line for each origin.

    Bars are intervals.

    Args:
        table: of `compare_many`.
        quantity: the part of the strength.
        ax: to draw on; a new figure by default.
        unit: of the score, for the axis.

    Returns:
        the axes.

    >>> row = dict(quantity="new", kind="both", sign="both", low=0.2, high=0.5, games=9, value=0.4)
    >>> table = pd.DataFrame([{**row, "origin": "a", "order": order} for order in ("1", "2", "all")])
    >>> len(plot_origin_orders(table, "new").lines)
    1
    """
    chosen = table[(table.kind == "both") & (table.sign == "both") & (table.quantity == quantity)]
    chosen = chosen[chosen.order != "all"]
    names = origins_of(table)
    ax = ax or new_axes(COLUMN, 2.1 + 0.15 * len(names))
    for i, (name, style) in enumerate(zip(names, cycle(_styles()), strict=False)):
        rows = chosen[chosen.origin == name]
        # Side by side, so that no interval hides another.
        x = rows.order.astype(int) + 0.3 * (i - (len(names) - 1) / 2) / max(len(names), 2)
        dots_with_bars(ax, x, rows, label=name, bar_width=0.8, markersize=3, linewidth=1.2, **style)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    label_axes(ax, "order", f"{quantity} strength Σ|I| per input\n({unit})")
    legend_above(ax)
    return ax


def plot_origin_similarities(
    table: pd.DataFrame, network: Literal["before", "after"] = "after", ax: Axes | None = None
) -> Axes:
    """Similarity of the networks of each pair of origins, in percent: Σ min / Σ max over all orders.

    Args:
        table: of `origin_similarities`.
        network: of each origin, before or after.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(network="after", kind="both", order="all", low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "one": "a", "other": "b", "value": 0.4}])
    >>> [text.get_text() for text in plot_origin_similarities(table).texts]
    ['40']
    """
    rows = table[(table.network == network) & (table.kind == "both") & (table.order == "all")]
    names = list(dict.fromkeys([*rows.one, *rows.other]))
    square = np.full((len(names), len(names)), np.nan)
    for row in rows.itertuples():
        square[names.index(row.other), names.index(row.one)] = row.value
    ax = ax or new_axes(1.6 + 0.36 * len(names), 1.1 + 0.36 * len(names))
    ax.imshow(square[1:, :-1], cmap="cividis", vmin=0, vmax=1)
    for y, x in zip(*np.nonzero(np.isfinite(square)), strict=True):
        colour = "white" if square[y, x] < 0.5 else "black"
        text = f"{100 * square[y, x]:.0f}"
        ax.text(x, y - 1, text, ha="center", va="center", fontsize=FONT, color=colour)
    ax.set_xticks(range(len(names) - 1), names[:-1], rotation=90, parse_math=False)
    ax.set_yticks(range(len(names) - 1), names[1:], parse_math=False)
    label_axes(ax, "", f"similarity {network}, %")
    return ax


def _styles() -> list[dict[str, Any]]:
    """Arguments of `dots_with_bars`: every colour solid, then every colour dashed."""
    return [
        {"colour": colour, "marker": marker, "linestyle": line}
        for line, marker in zip(("solid", "dashed"), MARKERS, strict=False)
        for colour in NETWORK_COLOURS
    ]
