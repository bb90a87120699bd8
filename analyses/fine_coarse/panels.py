"""Figures of several panels: Δ by grouping, and the loss in parts by objective.

Functions take tables and return a whole `Figure`, which pyplot does not know.
"""

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import FONT, PAGE, Drawing, legend_over
from harsanyi.analyses.fine_coarse.figures import plot_delta_map, plot_loss_split
from harsanyi.analyses.statistics.correlation import require_columns


def draw_delta_maps(table: pd.DataFrame) -> Figure:
    """`plot_delta_map` of fine training for each grouping, two a row, all on one scale.

    Args:
        table: of `delta_table`, for one data set.

    >>> row = dict(quantity="delta", training="fine", width=2, size=50, value=0.1, low=0.0, high=0.2)
    >>> table = pd.DataFrame([{**row, "grouping": name} for name in ("together", "apart")])
    >>> [ax.get_title("left") for ax in draw_delta_maps(table).axes[:2]]
    ['together', 'apart']
    """
    require_columns(table, ["grouping", "quantity", "training", "width", "size", "value", "low", "high"])
    delta = table[(table.quantity == "delta") & (table.training == "fine")]
    names = list(dict.fromkeys(delta.grouping))
    across = min(2, len(names))
    rows, height = -(-len(names) // 2), 0.9 + 0.36 * delta.width.nunique()
    figure = Drawing((PAGE * across / 2, max(2.6, height) * rows), layout="constrained")
    panels = figure.subplots(rows, across, squeeze=False).flatten()
    for ax, name in zip(panels, names, strict=False):
        plot_delta_map(delta[delta.grouping == name], ax, limit=delta.value.abs().max())
        ax.set_title(name, fontsize=FONT + 1, loc="left")
    for ax in panels[len(names) :]:
        ax.remove()
    return figure


def draw_loss_split(table: pd.DataFrame) -> Figure:
    """`plot_loss_split` for each objective, side by side on one scale, with one legend.

    Args:
        table: of `loss_split`.

    >>> row = dict(part="coarse", split="train", step=0, value=0.7, low=0.6, high=0.8)
    >>> table = pd.DataFrame([{**row, "objective": name} for name in ("β = 1", "β = 0")])
    >>> [ax.get_xlabel() for ax in draw_loss_split(table).axes]
    ['step (β = 1)', 'step (β = 0)']
    """
    require_columns(table, ["objective", "part", "split", "step", "value", "low", "high"])
    objectives = list(table.groupby("objective", sort=False))
    figure = Drawing((PAGE, 3.2), layout="constrained")
    panels = figure.subplots(1, len(objectives), sharey=True, squeeze=False).flatten()
    for ax, (name, rows) in zip(panels, objectives, strict=True):
        plot_loss_split(rows, ax)
        ax.set_xlabel(f"step ({name})", fontsize=FONT)
    for ax in panels:
        if legend := ax.get_legend():
            legend.remove()
    for ax in panels[1:]:
        ax.set_ylabel("")
    legend_over(figure, columns=2)
    return figure
