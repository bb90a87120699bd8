"""Figures of origins: their shares, their strengths by order, and how alike they are.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

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
    """What origins keep, learn and have in common with scratch: a row an origin, shares over all orders.

    Args:
        table: of `compare_many`. Whiskers are its intervals; a share that is not there is not drawn.

    >>> row = dict(quantity="new_share", kind="both", sign="both", order="all", low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "origin": name, "value": 0.4} for name in ("a", "b", "a − b")])
    >>> [label.get_text() for label in plot_origins(table).get_yticklabels()]
    ['a', 'b']
    """
    names = origins_of(table)
    total = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    shown = [quantity for quantity in PLOTTED_SHARES if quantity in set(total.quantity)]
    ax = ax or new_axes(COLUMN + 0.6, 0.9 + 0.42 * len(names))
    for i, quantity in enumerate(shown):
        rows = total[total.quantity == quantity].set_index("origin").reindex(names)
        y = np.arange(len(names)) + 0.22 * (i - (len(shown) - 1) / 2)
        label, colour = SHARE_COLOURS[quantity]
        ax.hlines(y, rows.low, rows.high, color=colour, linewidth=1.2)
        ax.plot(rows.value, y, MARKERS[i], color=colour, markersize=4, label=label)
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
    """Strength by order that origins preserve, discard or newly learn, mean an input: a line an origin.

    Args:
        table: of `compare_many`; bars are its intervals.
        quantity: which.
        unit: of the score, for the axis.

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
        # Side by side, so that intervals do not hide one another.
        x = rows.order.astype(int) + 0.3 * (i - (len(names) - 1) / 2) / max(len(names), 2)
        ax.plot(x, rows.value, markersize=3, linewidth=1.2, label=name, **style)
        ax.vlines(x, rows.low, rows.high, color=style["color"], linewidth=0.8)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    label_axes(ax, "order", f"{quantity} strength Σ|I| per input\n({unit})")
    legend_above(ax)
    return ax


def plot_origin_similarities(
    table: pd.DataFrame, network: Literal["before", "after"] = "after", ax: Axes | None = None
) -> Axes:
    """How alike the networks of each pair of origins are, in percent: Σ min / Σ max over all orders.

    Args:
        table: of `origin_similarities`.
        network: which of each origin's two.

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
    """As many ways to draw a line as there are colours, then the same again dashed."""
    return [
        {"color": colour, "marker": marker, "linestyle": line}
        for line, marker in zip(("solid", "dashed"), MARKERS, strict=False)
        for colour in NETWORK_COLOURS
    ]
