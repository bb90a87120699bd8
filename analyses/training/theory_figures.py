"""Figures of two-phase learning: the orders of a run beside those of theory, their succession, the loss."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter

from harsanyi.analyses.drawing.lettering import name_points
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    FAINT,
    FONT,
    NETWORK_COLOURS,
    PAGE,
    Drawing,
    label_axes,
    new_axes,
)
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.report.words import NO_VALUE, with_interval
from harsanyi.analyses.training.figures import draw_orders, draw_scale, plot_performance
from harsanyi.analyses.training.trajectory import hardly_there
from harsanyi.shown import power


def plot_theory_orders(theory: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """Strength by order (rows) in theory as σ² falls (columns), relative to the maximum of the order.

    Args:
        theory: of `theory_table`.
        series: the name of the run from whose end theory starts.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(series="run", step=float("nan"), sign="both", order="1", strength=1.0)
    >>> table = pd.DataFrame([{**row, "variance": variance} for variance in (1.0, 0.0)])
    >>> plot_theory_orders(table, "run").images[0].get_array().shape
    (1, 2)
    """
    ax = ax or new_axes(COLUMN, 0.8 + 0.17 * theory.order.nunique())
    draw_scale(_draw_theory(theory, series, ax), ax)
    return ax


def plot_succession(succession: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """When each order (number) reaches a share of its final strength: step of the run (y), σ² of theory (x).

    Lines are intervals. The text is the rank correlation of step and falling σ²; orders with less than 1% of
    the strength are hollow, and not in it.

    Args:
        succession: of `succession_table`.
        series: the name of the run.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(series="run", order="1", share=0.5, value=0.5, low=0.4, high=0.6, games=9)
    >>> table = pd.DataFrame([{**row, "quantity": name} for name in ("step", "variance", "step_with_noise")])
    >>> print(plot_succession(table, "run").texts[-1].get_text())
    50% of each order is reached;
    rank correlation 0.50 [0.40, 0.60]
    """
    ax = ax or new_axes(COLUMN, 2.2)
    rows = succession[succession.series == series].set_index(["quantity", "order"])
    step, variance = rows.loc["step"], rows.loc["variance"]
    lines: dict[str, Any] = {"color": FAINT, "linewidth": 0.6, "zorder": 1}
    ax.vlines(variance.value, step.low, step.high, **lines)
    ax.hlines(step.value, variance.low, variance.high, **lines)
    faint = hardly_there(pd.DataFrame(step))
    marks: dict[str, Any] = {"s": 12, "linewidths": 0.8, "zorder": 2}
    ax.scatter(variance.value[~faint], step.value[~faint], color=NETWORK_COLOURS[1], **marks)
    ax.scatter(variance.value[faint], step.value[faint], facecolors="none", edgecolors=FAINT, **marks)
    agreement = with_interval(rows.loc["step_with_noise"].iloc[0], ".2f")
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.margins(0.12)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    places = pd.DataFrame({"x": variance.value, "y": step.value, "low": step.low, "high": step.high})
    name_points(
        ax, places.assign(left=variance.high, right=variance.low), list(step.index), [FAINT] * len(step)
    )
    known = f";\nrank correlation {agreement}" if agreement != NO_VALUE else ""
    note = f"{rows.share.iloc[0]:.0%} of each order is reached{known}"
    ax.text(0, 1.04, note, fontsize=FONT, transform=ax.transAxes)
    label_axes(ax, f"σ², theory of {series}", f"step of {series}")
    return ax


def draw_two_phases(
    theory: pd.DataFrame, succession: pd.DataFrame, performance: pd.DataFrame, series: str
) -> Figure:
    """A run beside theory: strength by order of both, the loss of the run, and the succession of orders.

    Args:
        theory: of `theory_table`.
        succession: of `succession_table`.
        performance: columns series, step, split, loss, as for `plot_performance`; without rows of the run,
            the loss is not drawn.
        series: the name of the run.

    Returns:
        a figure that pyplot does not know.

    >>> import torch
    >>> from harsanyi.analyses.training.succession import succession_table, theory_table
    >>> from harsanyi.analyses.training.trajectory import Trajectory
    >>> from harsanyi.interactions import And, extract
    >>> states = tuple(extract(torch.tensor([[0.0, 1.0, 1.0, v]] * 2), And()) for v in (2.0, 3.0))
    >>> run, noise = Trajectory("run", (0, 9), states), [1.0, 0.1, 0.0]
    >>> tables = theory_table(run, noise), succession_table(run, noise), pd.DataFrame({"series": []})
    >>> len(draw_two_phases(*tables, "run").axes)  # with the scale of colours, without the loss
    4
    """
    orders = succession[succession.series == series].order.nunique() - 1
    figure = Drawing((PAGE, 3.1 + 0.15 * orders), layout="constrained")
    (left, right), (below, corner) = figure.subplots(2, 2, height_ratios=[1 + 0.15 * orders, 1.7])
    chosen = theory[(theory.series == series) & (theory.sign == "both") & theory.step.notna()]
    strength = _strength(chosen, "step")
    steps = [f"{step:g}" for step in strength]
    draw_orders(left, strength, steps)
    label_axes(left, f"step of {series}", "order")
    draw_scale(_draw_theory(theory, series, right), right)
    plot_succession(succession, series, corner)
    if series in set(performance.series):
        draw_loss_below(left, [float(step) for step in strength.columns], performance, series, below)
    else:
        below.remove()
    return figure


def draw_loss_below(
    above: Axes, steps: Sequence[float], performance: pd.DataFrame, series: str, ax: Axes
) -> None:
    """The loss of a run over the columns of a picture of orders, equally far apart whatever the steps.

    Args:
        above: the picture, of `draw_orders`.
        steps: of its columns.
        performance: columns series, step, split, loss, as for `plot_performance`.
        series: the name of the run.
        ax: to draw on.
    """
    columns = {step: column for column, step in enumerate(steps)}
    plot_performance(performance.assign(step=performance.step.map(columns)), series, ax)
    ax.set_xticks(above.get_xticks(), [label.get_text() for label in above.get_xticklabels()])
    ax.set_xlim(above.get_xlim())


def _draw_theory(theory: pd.DataFrame, series: str, ax: Axes) -> AxesImage:
    """Strength by order in theory, with labels."""
    chosen = theory[(theory.series == series) & (theory.sign == "both") & theory.variance.notna()]
    strength = _strength(chosen, "variance").sort_index(axis=1, ascending=False)
    image = draw_orders(ax, strength, [power(float(str(variance))) for variance in strength], max_ticks=6)
    label_axes(ax, f"σ², theory of {series}", "order")
    return image


def _strength(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    """Strength with orders down and `columns` across."""
    orders = [order for order in orders_of(rows) if order != "all"]
    return rows.pivot(index="order", columns=columns, values="strength").loc[orders]
