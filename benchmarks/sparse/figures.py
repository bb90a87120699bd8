"""The figures of docs/sparse.md, a section of `benchmarks.sparse`."""

import statistics
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from benchmarks.sparse.solvers import RATES, descents, optimum, programs, published_steps, with_gap
from benchmarks.sparse.summaries import median
from benchmarks.sparse.tables import DEFAULT_NOISE, SMALL, Size, real
from benchmarks.stopwatch import timed
from benchmarks.tables import Rows
from harsanyi.analyses.comparison.figures import plot_ranges
from harsanyi.analyses.drawing.palette import FONT, NETWORK_COLOURS, PAGE, figure_of
from harsanyi.interactions import effect_ranges, sparse_and_or


def figures(size: Size) -> Rows:
    """Figures for docs/sparse.md, only when asked for"""
    figure = Figure((PAGE, 2.5), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, noise in zip(axes, (0.0, 0.05), strict=True):
        plot_gaps(ax, real(*SMALL)[: size.games], noise, size)
    axes[0].set_ylabel("strength above the least", fontsize=FONT)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=FONT)
    yield saved(figure, "docs/figures/sparse_gap_by_time.png")
    split = with_gap(real(*SMALL)[:1], 1e-3)
    split = replace(split, ranges=effect_ranges(split, DEFAULT_NOISE, top=8))
    yield saved(figure_of(plot_ranges(split, 0, unit="log-odds, nats")), "docs/figures/sparse_ranges.png")


def saved(figure: Figure, path: str) -> dict[str, object]:
    """Write a figure; gives the row that says so."""
    figure.savefig(path, dpi=200)
    return {"written": path}


def plot_gaps(ax: Axes, v: Tensor, noise: float, size: Size) -> None:
    """The strength above the optimum of runs of several lengths, by their seconds a game."""
    _, optima = optimum(v, noise)
    one_game = programs(v[:1].float(), noise)
    published_steps(one_game, 1)  # which makes the dense matrices, once
    step = statistics.median(timed(published_steps, one_game, 200)[0] / 200 for _ in range(size.rounds))
    splitting, adam, recipe = [], [], []
    for steps in (40, 80, 160, 320, 640, 1280):
        seconds, fit = timed(sparse_and_or, v, noise, tolerance=0.0, max_steps=steps)
        splitting.append((seconds / len(v), fit))
    for steps in map(size.steps, (100, 300, 1000, 3000, 10_000)):
        seconds, fit = timed(descents, v, noise, steps, "adam")
        adam.append((seconds / len(v) / len(RATES["adam"][10]), fit))
        recipe.append((step * steps, descents(v, noise, steps, rates=(*RATES["sgd"][10], 3e-5, 1e-4))))
    lines = {"this splitting": splitting, "Adam, fast transforms": adam, "published recipe": recipe}
    for colour, (name, points) in zip(NETWORK_COLOURS[1:], lines.items(), strict=False):
        spent = [seconds for seconds, _ in points]
        above = [median(fit.objective / optima - 1) for _, fit in points]
        ax.plot(spent, above, "o-", color=colour, markersize=3, linewidth=1.2, label=name)
    ax.axhline(1e-3, color="black", linewidth=0.8, linestyle="dashed", label="0.1%, the default tolerance")
    ax.set(xscale="log", yscale="log", ylim=(3e-7, 10))
    ax.set_title(f"noise {noise:g}", fontsize=FONT, loc="left")
    ax.set_xlabel("seconds a game", fontsize=FONT)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    ax.tick_params(labelsize=FONT, length=3, width=0.6)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
