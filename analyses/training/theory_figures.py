"""The two-phase picture: the orders of a run beside those of theory, when each comes, and the loss below.

Every plot takes a table and returns the `Axes` it drew on, see drawing/palette.py.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from harsanyi.analyses.drawing.palette import COLUMN, FAINT, FONT, NETWORK_COLOURS, PAGE, label_axes, new_axes
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.report.words import with_interval
from harsanyi.analyses.training.figures import draw_orders, draw_scale, plot_performance


def plot_theory_orders(theory: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """Strength by order (rows) that theory expects as σ² falls (columns), each order's strongest set to 1.

    Args:
        theory: of `theory_beside`.
        series: the run whose end it is.

    >>> row = dict(series="run", step=float("nan"), sign="both", order="1", strength=1.0)
    >>> table = pd.DataFrame([{**row, "variance": variance} for variance in (1.0, 0.0)])
    >>> plot_theory_orders(table, "run").images[0].get_array().shape
    (1, 2)
    """
    ax = ax or new_axes(COLUMN, 0.8 + 0.17 * theory.order.nunique())
    draw_scale(_theory(theory, series, ax), ax)
    return ax


def plot_succession(succession: pd.DataFrame, series: str, ax: Axes | None = None) -> Axes:
    """When each order (number) reaches a share of its end: steps of the run up, theory's falling σ² across.

    Args:
        succession: of `succession`; lines are its intervals, the text its rank correlation of step and noise.
        series: the run.

    >>> row = dict(series="run", order="1", share=0.5, value=0.5, low=0.4, high=0.6, games=9)
    >>> table = pd.DataFrame([{**row, "quantity": one} for one in ("step", "variance", "step_with_noise")])
    >>> print(plot_succession(table, "run").texts[-1].get_text())
    50% of each order is there;
    rank correlation 0.50 [0.40, 0.60]
    """
    ax = ax or new_axes(COLUMN, 2.2)
    rows = succession[succession.series == series].set_index(["quantity", "order"])
    step, variance = rows.loc["step"], rows.loc["variance"]
    marks: dict[str, Any] = {"color": FAINT, "linewidth": 0.6, "zorder": 1}
    ax.vlines(variance.value, step.low, step.high, **marks)
    ax.hlines(step.value, variance.low, variance.high, **marks)
    ax.scatter(variance.value, step.value, s=90, color="white", edgecolors=NETWORK_COLOURS[1], zorder=2)
    for order, x, y in zip(step.index, variance.value, step.value, strict=True):
        ax.text(x, y, order, ha="center", va="center_baseline", fontsize=FONT, clip_on=True)
    agreement = with_interval(rows.loc["step_with_noise"].iloc[0], "{:.2f}".format)
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.margins(0.12)
    words = f"{rows.share.iloc[0]:.0%} of each order is there;\nrank correlation {agreement}"
    ax.text(0, 1.04, words.replace("-", "−"), fontsize=FONT, transform=ax.transAxes)
    label_axes(ax, f"σ², theory of {series}", f"step of {series}")
    return ax


def draw_two_phases(
    theory: pd.DataFrame, succession: pd.DataFrame, performance: pd.DataFrame, series: str
) -> Figure:
    """A run beside theory: strength by order of both, the loss under the run's steps, and when orders come.

    Args:
        theory: of `theory_beside`.
        succession: of `succession`.
        performance: columns series, step, split, loss, as for `plot_performance`; without rows of the run,
            there is no loss.
        series: the run.

    >>> import torch
    >>> from harsanyi.analyses.training.succession import succession_table, theory_beside
    >>> from harsanyi.analyses.training.trajectory import Trajectory
    >>> from harsanyi.interactions import And, extract
    >>> states = tuple(extract(torch.tensor([[0.0, 1.0, 1.0, v]] * 2), And()) for v in (2.0, 3.0))
    >>> run, noise = Trajectory("run", (0, 9), states), [1.0, 0.1, 0.0]
    >>> tables = theory_beside(run, noise), succession_table(run, noise), pd.DataFrame({"series": []})
    >>> len(draw_two_phases(*tables, "run").axes)  # with the scale of colours, without the loss
    4
    """
    orders = succession[succession.series == series].order.nunique() - 1
    figure = Figure((PAGE, 3.1 + 0.15 * orders), layout="constrained")
    (left, right), (below, corner) = figure.subplots(2, 2, height_ratios=[1 + 0.15 * orders, 1.7])
    chosen = theory[(theory.series == series) & (theory.sign == "both") & theory.step.notna()]
    strength = _strength(chosen, "step")
    steps = [f"{step:g}" for step in strength]
    draw_orders(left, strength, steps)
    label_axes(left, f"step of {series}", "order")
    draw_scale(_theory(theory, series, right), right)
    plot_succession(succession, series, corner)
    if series in set(performance.series):
        # On the columns of the picture above, which are as far apart whatever the steps.
        columns = {step: column for column, step in enumerate(strength)}
        plot_performance(performance.assign(step=performance.step.map(columns)), series, below)
        below.set_xticks(left.get_xticks(), [label.get_text() for label in left.get_xticklabels()])
        below.set_xlim(left.get_xlim())
    else:
        below.remove()
    return figure


def _theory(theory: pd.DataFrame, series: str, ax: Axes) -> AxesImage:
    """The picture of theory and its labels."""
    chosen = theory[(theory.series == series) & (theory.sign == "both") & theory.variance.notna()]
    strength = _strength(chosen, "variance").sort_index(axis=1, ascending=False)
    image = draw_orders(ax, strength, [f"{variance:.1g}" for variance in strength], most=6)
    label_axes(ax, f"σ², theory of {series}", "order")
    return image


def _strength(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    orders = [order for order in orders_of(rows) if order != "all"]
    return rows.pivot(index="order", columns=columns, values="strength").loc[orders]
