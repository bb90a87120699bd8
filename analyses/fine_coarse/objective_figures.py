"""Figures of the split objective: coarse answers against β, and by all β where levels are three or more.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harsanyi.analyses.drawing.marks import dots_with_bars, line_with_band
from harsanyi.analyses.drawing.palette import COLUMN, FAINT, NETWORK_COLOURS, label_axes, new_axes
from harsanyi.analyses.fine_coarse.figures import POINTS, signed_points
from harsanyi.analyses.fine_coarse.objective_sweep import betas_of
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.shown import number

# Quantity of `objective_summary` → label of its axis.
AXES = {
    "accuracy": "coarse answers right",
    "loss": "loss of coarse answers (nats)",
    "accuracy_difference": f"{POINTS}\nto β = 0",
    "loss_difference": "Δ loss to β = 0 (nats)",
}
# Names of objectives in which every β is this number.
ENDS = {0.0: "coarse labels", 1.0: "fine labels"}


def plot_objectives(table: pd.DataFrame, ax: Axes | None = None, *, quantity: str = "accuracy") -> Axes:
    """A quantity of the coarsest answers against β of L_coarse + β L_intra; the band is the table's interval.

    The axis is linear from 0 to the least positive β and logarithmic from there. β = 0 and β = 1 stand as
    open points with their names.

    Args:
        table: of `harsanyi.analyses.fine_coarse.objective_sweep.objective_summary`, for two levels.
        ax: to draw on; new axes by default.
        quantity: accuracy, loss, or the difference of either to β = 0, which is 0 there.

    Returns:
        the axes.

    Raises:
        ValueError: for another quantity, no rows of it, several data sets, or more than one β an objective.

    >>> row = dict(level="coarse", classes=4, quantity="accuracy", value=0.9, low=0.8, high=0.95)
    >>> table = pd.DataFrame([{**row, "betas": beta} for beta in ("0", "1", "0.1")])
    >>> plot_objectives(table).lines[0].get_xdata().tolist()
    [0.0, 0.1, 1.0]
    """
    rows = _coarsest(table, quantity)
    betas = [betas_of(words) for words in rows.betas]
    if any(len(objective) > 1 for objective in betas):
        raise ValueError("expected one β an objective, got several: draw them with plot_objective_rows")
    rows = rows.assign(beta=[beta for (beta,) in betas]).sort_values("beta")
    ax, colour = ax or new_axes(COLUMN, 2.4), NETWORK_COLOURS[1]
    line_with_band(ax, rows.beta, rows, colour, marker="o", markersize=3.5, linewidth=1.2)
    if quantity.endswith("difference"):
        ax.axhline(0, color=FAINT, linewidth=0.6)
    _scale(ax, rows.beta.tolist())
    ends = rows[rows.beta.isin(list(ENDS))]
    ax.plot(ends.beta, ends.value, "o", color=colour, markerfacecolor="white", markersize=5)
    ax.yaxis.set_major_formatter(FuncFormatter(_number(quantity)))
    label_axes(ax, "β", AXES[quantity])
    return ax


def plot_objective_rows(table: pd.DataFrame, ax: Axes | None = None, *, quantity: str = "accuracy") -> Axes:
    """A quantity of the coarsest answers, a row for each objective (β from coarse to fine), with whiskers.

    Args:
        table, ax, quantity: as for `plot_objectives`, for any number of levels; rows are in the table's
            order.

    Returns:
        the axes.

    Raises:
        ValueError: as `plot_objectives`, but for several β.

    >>> row = dict(level="coarse", classes=4, quantity="accuracy", value=0.9, low=0.8, high=0.95)
    >>> table = pd.DataFrame([{**row, "betas": betas} for betas in ("0 0", "1 0.3")])
    >>> [label.get_text() for label in plot_objective_rows(table).get_yticklabels()]
    ['0, 0: coarse labels', '1, 0.3']
    """
    rows = _coarsest(table, quantity)
    ax = ax or new_axes(COLUMN, 0.8 + 0.26 * len(rows))
    heights = range(len(rows))
    dots_with_bars(ax, heights, rows, NETWORK_COLOURS[1], horizontal=True)
    if quantity.endswith("difference"):
        ax.axvline(0, color=FAINT, linewidth=0.6)
    ax.set_yticks(heights, [_row_name(words) for words in rows.betas])
    ax.invert_yaxis()
    ax.margins(x=0.08, y=0.12)
    ax.xaxis.set_major_formatter(FuncFormatter(_number(quantity)))
    label_axes(ax, AXES[quantity].replace("\n", " "), "β, coarse to fine")
    return ax


def _coarsest(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The rows of the level with fewest classes, one for each objective."""
    require_columns(table, ["betas", "level", "classes", "quantity", "value", "low", "high"])
    if quantity not in AXES:
        raise ValueError(f"expected a quantity out of {', '.join(AXES)}; got {quantity!r}")
    rows = table[(table.quantity == quantity) & (table.classes == table.classes.min())]
    if rows.empty or rows.duplicated("betas").any():
        raise ValueError(
            f"expected one {quantity} of each β, got {len(rows)} rows: choose a network and a data set"
        )
    return rows


def _scale(ax: Axes, betas: list[float]) -> None:
    """An axis with every β, on which 0 is as far from the least positive β as a tripling is wide."""
    positive = [beta for beta in betas if beta > 0]
    if positive:
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.45)
    ax.xaxis.set_major_locator(FixedLocator(betas))
    ax.xaxis.set_minor_locator(NullLocator())
    names = {beta: f"{beta:g}" + (f"\n{ENDS[beta]}" if beta in ENDS else "") for beta in betas}
    ax.xaxis.set_major_formatter(FuncFormatter(lambda beta, _: names.get(beta, f"{beta:g}")))


def _row_name(words: str) -> str:
    betas = betas_of(words)
    name = ENDS.get(betas[0]) if len(set(betas)) == 1 else None
    return ", ".join(words.split()) + (f": {name}" if name else "")


def _number(quantity: str) -> Callable[[float, int], str]:
    """The format of a quantity on an axis."""
    if quantity == "accuracy_difference":
        return signed_points
    if quantity == "accuracy":
        return lambda share, _: f"{100 * share:.3g}%"
    return lambda loss, _: number(loss, ".3g")
