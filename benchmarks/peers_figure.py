"""The figure of `benchmarks.peers`: seconds an input of each way, for one case."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analyses.figures import FAINT, FONT, NETWORKS, PAGE, label_axes, new_axes, whole
from benchmarks.peer_ways import DIFFERENCES, EVERY, FIRST, FURTHER

FIGURE = Path("docs/figures/peers.png")
# The case that is told apart at a glance.
SHOWN = ("resnet18", 12)
BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": FONT}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the figure's case."""
    return table[(table.network == SHOWN[0]) & (table.n == SHOWN[1])]


def plot_peers(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Seconds an input on a logarithmic axis, from smallest to largest with the median marked."""
    rows = shown(table)
    rows = rows[rows.gives != DIFFERENCES]
    ax = ax or new_axes(PAGE, 1.2 + 0.25 * len(rows))
    for place, row in enumerate(rows.itertuples()):
        colour = NETWORKS[2] if row.package.startswith("harsanyi") else NETWORKS[0]
        inside, gives = (colour, EVERY) if row.gives == EVERY else ("white", "one value a player or pixel")
        ax.hlines(place, row.low, row.high, color=colour, linewidth=1.5)
        ax.scatter(row.seconds, place, s=44, color=inside, edgecolor=colour, zorder=3, label=gives)
        ax.annotate(f"{row.seconds:,.3g} s", (row.high, place), (8, 0), **BESIDE)
    ax.set_yticks(range(len(rows)), rows.way)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    seconds_axis(ax, rows)
    marks = {gives: mark for mark, gives in zip(*ax.get_legend_handles_labels(), strict=True)}
    ax.legend(marks.values(), marks.keys(), loc="lower left", fontsize=FONT, frameon=False)
    whole(ax).suptitle(finding(rows), x=0.01, ha="left", fontsize=FONT + 1)
    return ax


def seconds_axis(ax: Axes, rows: pd.DataFrame) -> None:
    """Logarithmic, as wide as the rows, with plain numbers."""
    ax.set_xscale("log")
    ax.set_xlim(0.8 * rows.low.min(), 1.3 * rows.high.max())
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.5)
    label_axes(ax, f"seconds an input ({rows.threads.iloc[0]} CPU threads, logarithmic axis)", "")


def finding(rows: pd.DataFrame) -> str:
    """What the figure shows, in its title."""
    every = rows[rows.gives == EVERY].set_index("way").seconds
    peer = every.drop([FIRST, FURTHER]).min()
    return (
        f"All {2 ** SHOWN[1]:,} interactions of {SHOWN[1]} patches in a ResNet-18: {every[FIRST]:.3g} s, and "
        f"{every[FURTHER]:.3g} s\nfor each input after, beside {peer:.3g} s by the fastest peer"
    )
