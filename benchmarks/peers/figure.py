"""The figure of `benchmarks.peers`: seconds an input of each way, a panel for each network.

It is drawn from the file only. It shows each network with the largest number of players measured. The network
that costs nothing is left out: it measures the packages and not the networks.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.peers.question import FREE, SMALL, TITLES
from benchmarks.peers.ways import DIFFERENCES, EVERY, FIRST, FURTHER, WAYS
from harsanyi.analyses.drawing.palette import FAINT, FONT, NETWORK_COLOURS, PAGE, label_axes, new_axes
from harsanyi.shown import counted

FIGURE = Path("docs/figures/peers.png")
PANELS_PER_ROW = 3
MARKS = {True: "every interaction", False: "one value a player or pixel"}
ANNOTATION: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": FONT}


def figure_of(table: pd.DataFrame) -> Figure:
    """A panel for each network of the file, on one axis of seconds."""
    table = figure_rows(table)
    if table.empty:
        raise ValueError(f"the file has no network to show: measure one of {', '.join(TITLES)}")
    cases = [table[table["network"] == name] for name in TITLES if name in set(table["network"])]
    ways, across = [way for way in WAYS if way in set(table["way"])], min(PANELS_PER_ROW, len(cases))
    down = ceil(len(cases) / across)
    figure = Figure((PAGE, 0.7 + down * (0.7 + 0.17 * len(ways))), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
    for ax, rows in zip(panels, cases, strict=False):
        plot_peers(rows, ax, ways)
        ax.tick_params(labelbottom=True)
    for empty in panels[len(cases) :]:
        empty.set_visible(False)
    seconds_axis(panels[0], table)
    marks = {name: mark for ax in panels for mark, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        marks.values(), marks.keys(), loc="outside lower left", ncols=2, fontsize=FONT, frameon=False
    )
    figure.suptitle(heading(table), x=0.01, ha="left", fontsize=FONT + 1)
    return figure


def figure_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the figure: of each network those with most players, without those of n differences.

    Networks that answer in a millisecond are left out: they would stretch the axis of all others.
    """
    rows = table[~table["network"].isin([FREE, *SMALL]) & (table["gives"] != DIFFERENCES)]
    return rows[rows["n"] == rows.groupby("network")["n"].transform("max")]


def plot_peers(rows: pd.DataFrame, ax: Axes | None = None, ways: Sequence[str] | None = None) -> Axes:
    """One case: seconds an input on a logarithmic axis, smallest to largest, with a mark at the median.

    Args:
        rows: of one network and number of players, at most one a way.
        ax: to draw on; new by default.
        ways: the ways on the axis, in order; by default those in the rows.
    """
    places = list(rows["way"]) if ways is None else list(ways)
    ax = ax or new_axes(PAGE, 1.2 + 0.25 * len(places))
    for row in rows.to_dict("records"):
        place, every = places.index(row["way"]), row["gives"] == EVERY
        colour = NETWORK_COLOURS[2] if row["way"] in (FIRST, FURTHER) else NETWORK_COLOURS[0]
        ax.hlines(place, row["low"], row["high"], color=colour, linewidth=1.5)
        inside = colour if every else "white"
        ax.scatter(row["seconds"], place, s=30, color=inside, edgecolor=colour, zorder=3, label=MARKS[every])
        number = ax.annotate(seconds(row), (row["high"], place), (7, 0), color=colour, **ANNOTATION)
        number.set_path_effects([withStroke(linewidth=3, foreground="white")])  # over the grid
    ax.set_yticks(range(len(places)), places)
    ax.set_ylim(len(places) - 0.4, -0.6)
    seconds_axis(ax, rows)
    ax.grid(axis="x", color=FAINT, linewidth=0.3, alpha=0.5)
    label_axes(ax, "", "")
    ax.set_title(finding(rows), fontsize=FONT, loc="left")
    return ax


def seconds(row: Any) -> str:
    """Seconds with two digits or more, and a mark where they were scaled."""
    number = f"{row['seconds']:,.0f}" if row["seconds"] >= 100 else f"{row['seconds']:.2g}"
    return f"≈ {number} s" if row["scaled"] > 1 else f"{number} s"


def seconds_axis(ax: Axes, rows: pd.DataFrame) -> None:
    """A logarithmic axis with space for numbers at the right; for a wide range only powers of ten."""
    low, high = rows["low"].min(), rows["high"].max()
    ax.set_xscale("log")
    ax.set_xlim(0.7 * low, high * (high / low) ** 0.55)
    ax.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 20 * low else (1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def heading(rows: pd.DataFrame) -> str:
    """The heading of the figure, in two lines."""
    scaled = "; ≈ scaled from a part of the forwards" if (rows["scaled"] > 1).any() else ""
    threads = counted(int(rows["threads"].iloc[0]), "CPU thread")
    return (
        f"Seconds an input ({threads}{scaled}), and how many times as fast\n"
        "a further input is done as by the fastest peer that gives every interaction"
    )


def finding(rows: pd.DataFrame) -> str:
    """The title of a panel: the case, and its result."""
    first = rows.iloc[0]
    every = rows[rows["gives"] == EVERY].set_index("way")["seconds"]
    faster = every.drop([FIRST, FURTHER]).min() / every[FURTHER]
    return f"{TITLES[first['network']]}\n{first['n']} players: {faster:.2g} times as fast"
