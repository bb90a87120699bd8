"""Figures of one comparison: strength by order, shares, sparsity, universal matching, ranges."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harsanyi.analyses.comparison.labels import sign_colour
from harsanyi.analyses.drawing.marks import line_with_band, share_axis
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    DISCARDED,
    EDGE,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    NEW,
    PRESERVED,
    SHARE_COLOURS,
    growing,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import select_game
from harsanyi.interactions import (
    KINDS,
    SALIENT_THRESHOLD,
    SIGNS,
    Interactions,
    reconstruct,
)
from harsanyi.shown import power

# `plot_sparsity` shows strengths from this share of the strongest on.
MIN_RELATIVE_STRENGTH = 1e-3
# Of the strength of all orders: a higher order with less is not drawn, as captions say.
MIN_ORDER_SHARE = 0.01
LEFT_OUT = f"highest orders with less than {MIN_ORDER_SHARE:.0%} of the strength are left out"
# More dots become one picture inside vector files.
MAX_VECTOR_DOTS = 2000


def plot_strength_by_order(
    change: KnowledgeChange | pd.DataFrame,
    kind: Literal["both", "and", "or"] = "both",
    ax: Axes | None = None,
    *,
    unit: str | None = None,
) -> Axes:
    """Strength by order, before (left bars) and after (right bars), split into preserved and other strength.

    Bars show the salient strength Σ|I|, as a mean over inputs; positive effects go up, negative ones down.
    The preserved strength is the same in both bars. Highest orders with next to no strength are left out.

    Args:
        change: between two networks, or its `KnowledgeChange.table()`.
        kind: AND, OR, or both together.
        ax: to draw on; new axes by default.
        unit: of the score, for the axis; by default the games' own.

    Returns:
        the axes.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.rand(3, 8).double(), And()) for _ in range(2))
    >>> len(plot_strength_by_order(compare(before, after)).containers)
    8
    """
    if kind not in ("both", *KINDS):
        raise ValueError(f'expected kind="both", "and" or "or", got {kind!r}')
    preserved, discarded, new = (_by_order(change, part, kind) for part in ("preserved", "discarded", "new"))
    last = _last_order((preserved + discarded + new).sum(0))
    ax = ax or new_axes(growing(2.05 + 0.45 * last), 2.6)
    orders = np.arange(1, last + 1)
    sides = ((-0.2, discarded, DISCARDED, "discarded"), (0.2, new, NEW, "new"))
    for shift, part, colour, name in sides:
        for sign, shared, rest in zip((1, -1), preserved, part, strict=True):
            x, base = orders + shift, sign * shared[:last]
            ax.bar(x, base, 0.36, color=PRESERVED, label="preserved", **EDGE)
            ax.bar(x, sign * rest[:last], 0.36, base, color=colour, label=name, **EDGE)
    ax.axhline(0, color="black", linewidth=0.6)
    unit = _unit(None if isinstance(change, pd.DataFrame) else change.before, unit)
    label_axes(ax, "order (left bars before, right bars after)", f"strength Σ|I| per input\n({unit})")
    ax.set_xticks(orders[:: 1 + last // 15])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):,g}"))
    ax.margins(y=0.16)  # for the words above and below the bars
    for y, va, text in ((0.99, "top", "positive effects ↑"), (0.01, "bottom", "negative effects ↓")):
        ax.text(0.995, y, text, va=va, ha="right", fontsize=FONT, color=FAINT, transform=ax.transAxes)
    legend_above(ax)
    return ax


def plot_shares(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The shares of `KnowledgeChange.table()` by order and, at the right, over all orders.

    Whiskers are the table's intervals; – stands where there is no strength. Highest orders with next to no
    strength are left out.

    Args:
        table: of `KnowledgeChange.table()`.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> row = dict(quantity="new_share", kind="both", sign="both", value=0.4, low=0.2, high=0.5, games=9)
    >>> table = pd.DataFrame([{**row, "order": "all"}, {**row, "order": "1"}])
    >>> [label.get_text() for label in plot_shares(table).get_xticklabels()]
    ['1', 'all']
    """
    both = table[(table.kind == "both") & (table.sign == "both")]
    orders = _drawn_orders(both)
    ax = ax or new_axes(growing(2.5 + 0.45 * len(orders)), 2.6)
    # Each order takes 1 along the axis, all orders together 2.
    centres, widths = np.arange(len(orders), dtype=float), np.full(len(orders), 0.84)
    centres[-1] += 0.7
    widths[-1] *= 2
    shown = [quantity for quantity in SHARE_COLOURS if quantity in set(both.quantity)]
    for i, quantity in enumerate(shown):
        rows = both[both.quantity == quantity].set_index("order").loc[orders]
        x = centres + ((i + 0.5) / len(shown) - 0.5) * widths
        _share_bars(ax, x, widths / len(shown), rows, *SHARE_COLOURS[quantity])
    ax.axvline(centres[-1] - 1.05, color=FAINT, linewidth=0.6)
    ax.set_xticks(centres, orders)
    ax.set_xlim(-0.7, centres[-1] + 1.1)
    share_axis(ax, 1.12)
    ax.set_yticks([0, 0.5, 1])
    label_axes(ax, "order", "share of strength")
    legend_above(ax)
    return ax


def plot_sparsity(
    networks: Mapping[str, Interactions],
    threshold: float = SALIENT_THRESHOLD,
    ax: Axes | None = None,
) -> Axes:
    """Strengths |I|, sorted, as shares of each game's strongest: few are salient, the rest close to zero.

    Lines are medians over games, bands go from the 25th to the 75th percentile; AND and OR are ranked
    together. The dashed line is the threshold of salience; the legend gives the mean number of salient
    interactions a game.

    Args:
        networks: interactions by network.
        threshold: of salience, a share of the strongest.
        ax: to draw on; new axes by default.

    Returns:
        the axes.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> ax = plot_sparsity({"pretrained": extract(torch.eye(8)[7:].double(), And())})
    >>> ax.get_legend().get_texts()[0].get_text()
    'pretrained: 1.0 of 7 salient (mean)'
    """
    ax = ax or new_axes(COLUMN, 2.6)
    for colour, (name, interactions) in zip(cycle(NETWORK_COLOURS), networks.items()):
        strength = interactions.effects.abs().flatten(1)
        largest = strength.amax(1, keepdim=True)
        relative = (strength / largest.where(largest > 0, 1)).sort(descending=True).values
        relative = relative[:, : _possible(interactions)]
        quartiles = np.quantile(relative.cpu().numpy(), [0.25, 0.5, 0.75], axis=0)
        rows = pd.DataFrame(quartiles.T, columns=["low", "value", "high"])
        rank = np.arange(1, len(rows) + 1)
        count = interactions.salient(threshold).count().double().mean()
        label = f"{name}: {count:,.1f} of {len(rank):,} salient (mean)"
        line_with_band(ax, rank, rows, colour, label)
    ax.axhline(threshold, color="black", linewidth=0.8, linestyle="dashed")
    if threshold > 0:
        words, across = f"salient above {threshold:g}", ax.get_yaxis_transform()
        ax.text(0.02, 0.92 * threshold, words, va="top", fontsize=FONT, transform=across)
    ax.set(
        xscale="log",
        yscale="log",
        ylim=(min(MIN_RELATIVE_STRENGTH, threshold / 10) or MIN_RELATIVE_STRENGTH, 1.3),
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.minorticks_off()
    label_axes(ax, "rank of the interaction", "strength |I| / max|I|")
    legend_above(ax)
    return ax


def plot_matching(
    interactions: Interactions,
    game: int,
    threshold: float = SALIENT_THRESHOLD,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
) -> Axes:
    """One game's output on all 2ⁿ masked inputs (line) and the sum of its salient interactions (dots).

    The legend gives the number of interactions in the sum, its root mean square error in the unit of the
    score, and R² over the masked inputs (– for a constant output).

    Args:
        interactions: of a network.
        game: number of the input.
        threshold: of salience, a share of the strongest.
        ax: to draw on; new axes by default.
        unit: of the score, for the axis; by default the games' own.

    Returns:
        the axes.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> ax = plot_matching(extract(torch.rand(2, 16).double(), And()), game=1, threshold=0.0)
    >>> ax.get_legend().get_texts()[0].get_text().splitlines()[0]
    'sum of 15 of 15 interactions,'
    """
    ax = ax or new_axes(COLUMN, 2.6)
    effects = select_game(interactions, game)
    salient = effects.salient(threshold)
    salient_effects = effects.only(salient)
    order = effects.v[0].argsort(stable=True)
    v = effects.v[0, order].cpu().numpy()
    matched = reconstruct(salient_effects.and_, salient_effects.or_)[0, order].cpu().numpy()
    counts = f"{int(salient.count()):,} of {_possible(effects):,} interactions"
    rank = np.arange(1, len(v) + 1)
    dots: dict[str, Any] = {"markersize": 3 if len(v) < 300 else 1.5, "markeredgewidth": 0}
    label = f"sum of {counts},\n{_closeness(matched, v)}"
    ax.plot(
        rank, matched, "o", color=NETWORK_COLOURS[2], label=label, rasterized=len(v) > MAX_VECTOR_DOTS, **dots
    )
    ax.plot(rank, v, color="black", linewidth=1.2, label="network")
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    label_axes(ax, "masked inputs, by output", f"output ({_unit(interactions, unit)})")
    legend_above(ax)
    return ax


def plot_ranges(
    interactions: Interactions, game: int, ax: Axes | None = None, *, unit: str | None = None
) -> Axes:
    """The strongest effects of a game (dots) and their ranges in nearly sparsest splits (lines).

    Thick lines join effects that some split has; thin grey ones end at bounds that certainly no split passes.

    Args:
        interactions: with ranges, from `SparseAndOr(ranges=…)`.
        game: number of the input.
        ax: to draw on; new axes by default.
        unit: of the score, for the axis; by default the games' own.

    Returns:
        the axes.

    >>> import torch
    >>> from harsanyi.interactions import SparseAndOr, extract
    >>> interactions = extract(torch.tensor([[0.0, 1.0, 1.0, 2.0]]), SparseAndOr(noise=0.0, ranges=2))
    >>> len(plot_ranges(interactions, 0).get_yticklabels())
    2
    """
    if interactions.ranges is None:
        raise ValueError("these interactions have no ranges: extract them with SparseAndOr(ranges=5)")
    effect, low, high, lowest, highest = (
        getattr(interactions.ranges, part)[game].tolist()
        for part in ("effect", "low", "high", "lowest", "highest")
    )
    rows = list(range(len(effect)))
    ax = ax or new_axes(COLUMN + 0.6, 0.9 + 0.24 * len(rows))
    ax.axvline(0, color="black", linewidth=0.6)
    # In the legend black stands for both signs.
    ax.plot([], [], "o", color="black", markersize=2, label="effect")
    ax.plot([], [], color="black", linewidth=2.5, alpha=0.5, label="some split has it")
    ax.hlines(rows, lowest, highest, color=FAINT, linewidth=1, label="no split goes beyond")
    colours = [sign_colour(value) for value in effect]
    ax.hlines(rows, low, high, colors=colours, linewidth=2.5, alpha=0.5)
    ax.scatter(effect, rows, c=colours, s=16, zorder=3)
    top = select_game(interactions, game).top(len(rows))[0]
    labels = [f"{item.kind.upper()} {{{', '.join(map(str, item.players))}}}" for item in top]
    ax.set_yticks(rows, labels)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    label_axes(ax, f"effect ({_unit(interactions, unit)})", "")
    legend_above(ax)
    return ax


def _unit(interactions: Interactions | None, unit: str | None) -> str:
    """The unit of the score, for an axis: what the caller says, else what the games say."""
    return unit or (interactions.about.unit if interactions else "") or "score"


def _by_order(change: KnowledgeChange | pd.DataFrame, part: str, kind: str) -> np.ndarray:
    """The mean strength of a part for each sign and each order from 1 on, `(signs, orders)`."""
    if isinstance(change, pd.DataFrame):
        rows = change[(change.quantity == part) & (change.kind == kind)]
        by_order = rows.pivot(index="sign", columns="order", values="value")
        return by_order.loc[list(SIGNS), orders_of(rows)[:-1]].to_numpy(float)
    kinds = slice(None) if kind == "both" else [KINDS.index(kind)]
    return getattr(change, part)[:, kinds].sum(1).mean(0)[:, 1:].cpu().numpy()


def _last_order(strength: np.ndarray) -> int:
    """The highest order with more than `MIN_ORDER_SHARE` of the strength, from that of orders 1 to n.

    >>> _last_order(np.array([1.0, 5.0, 0.2, 0.001, 0.0]))
    3
    """
    shown = np.flatnonzero(strength > MIN_ORDER_SHARE * strength.sum())
    return int(shown[-1]) + 1 if len(shown) else len(strength)


def _drawn_orders(both: pd.DataFrame) -> list[str]:
    """The orders of a table of changes, without the highest ones that have next to no strength."""
    orders = orders_of(both)
    whole = both[both.quantity.isin(["all_before", "all_after"])]
    if whole.empty or orders[:-1] != [str(order) for order in range(1, len(orders))]:
        return orders
    strength = whole.groupby("order").value.sum()
    return [*orders[: _last_order(strength.loc[orders[:-1]].to_numpy())], orders[-1]]


def _closeness(matched: np.ndarray, v: np.ndarray) -> str:
    """RMS error and R² in words.

    >>> _closeness(np.array([0.0, 1.1]), np.array([0.0, 1.0])), _closeness(np.array([1e-7]), np.zeros(1))
    ('RMS error 0.071, R² 0.98', 'RMS error 1.0·10⁻⁷, R² –')
    """
    error, spread = ((matched - v) ** 2).mean(), v.var()
    explained = 1 - error / spread if spread > 0 else np.nan
    shown = "–" if np.isnan(explained) else f"{explained:.2f}" if explained >= 0 else "below 0"
    return f"RMS error {power(np.sqrt(error), digits=2)}, R² {shown}"


def _possible(interactions: Interactions) -> int:
    """Interactions that a game can have: a non-empty coalition each, of every kind that the method gives."""
    kinds = int((interactions.effects != 0).any(2).any(0).sum())
    return max(kinds, 1) * (2**interactions.n - 1)


def _share_bars(
    ax: Axes, x: np.ndarray, widths: np.ndarray, rows: pd.DataFrame, label: str, colour: str
) -> None:
    """One quantity's bars with whiskers, the last bar with its percentage."""
    value, low, high = (rows[name].to_numpy(float) for name in ("value", "low", "high"))
    defined = np.isfinite(value)
    ax.bar(x[defined], value[defined], 0.9 * widths[defined], color=colour, label=label, **EDGE)
    for position in x[~defined]:
        ax.text(position, 0.01, "–", ha="center", va="bottom", fontsize=FONT, color=FAINT)
    known = np.isfinite(low) & np.isfinite(high)
    ax.vlines(x[known], low[known], high[known], color="black", linewidth=0.8)
    if defined[-1]:
        top = high[-1] if known[-1] else value[-1]
        ax.text(x[-1], top + 0.01, f"{100 * value[-1]:.0f}", ha="center", va="bottom", fontsize=FONT)
