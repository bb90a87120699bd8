"""Figures of a study of features: errors, responses and movements of every kind of network, with panels.

Functions take the table of `feature_summary` and return a whole `Figure`, which pyplot does not know.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars, share_axis
from harsanyi.analyses.drawing.palette import FONT, PAGE, Drawing, label_axes
from harsanyi.analyses.fine_coarse.feature_figures import FEATURE_COLOURS, LEVEL_COLOURS

MARKERS = ("o", "s", "^", "D", "v", "P")
ERROR_WORDS = {
    "easy": "easy",
    "hard": "hard: common replaced",
    "hard-noise": "hard, noise alone",
    "mirror": "mirror: fine replaced",
    "mirror-noise": "mirror, noise alone",
}
MOVED_WORDS = {"features": "features", "kernel": "tangent kernel"}


def draw_errors(table: pd.DataFrame, samples: Sequence[str] = ("hard", "mirror")) -> Figure:
    """Wrong superclasses by layers: a row for each scale, a column for each kind of samples.

    Args:
        table: of `feature_summary`. A colour for the labels, a marker for the optimiser; bars are intervals.
        samples: the kinds.

    >>> row = dict(layers="2", scale=0.1, optimiser="plain-sgd", level="fine", quantity="error", of="hard")
    >>> table = pd.DataFrame([row | dict(value=0.2, low=0.1, high=0.3, games=6)])
    >>> [ax.get_title("left") for ax in draw_errors(table, ["hard"]).axes]
    ['scale 0.1, hard: common replaced']
    """
    columns = {ERROR_WORDS[name]: {"quantity": "error", "of": name} for name in samples}
    figure, panels = _panels(table, columns, LEVEL_COLOURS, "level", "wrong superclasses")
    for ax in panels:
        share_axis(ax)
        ax.set_ylim(-0.03, 1.03)
    return figure


def draw_responses(table: pd.DataFrame) -> Figure:
    """A class's output on one patch of its feature, by layers: a row a scale, a column for each labels.

    Args:
        table: of `feature_summary`. A colour for the feature, a marker for the optimiser; bars are intervals.
    """
    columns = {f"{level} labels": {"quantity": "response", "level": level} for level in LEVEL_COLOURS}
    figure, panels = _panels(table, columns, FEATURE_COLOURS, "of", "output on the feature (nats)")
    for ax in panels:
        ax.axhline(0, color="black", linewidth=0.6)
    return figure


def draw_movements(table: pd.DataFrame) -> Figure:
    """How far features and tangent kernel moved relative to the start, by layers, on a logarithmic axis.

    Args:
        table: of `feature_summary`. A row a scale; a colour for the labels, a marker for the optimiser.
    """
    columns = {words: {"quantity": name} for name, words in MOVED_WORDS.items()}
    figure, panels = _panels(table, columns, LEVEL_COLOURS, "level", "moved, share of the start")
    for ax in panels:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.axhline(1, color="black", linewidth=0.6)
    return figure


def _panels(
    table: pd.DataFrame,
    columns: dict[str, dict[str, str]],
    colours: dict[str, str],
    coloured: str,
    written: str,
) -> tuple[Figure, list[Axes]]:
    """Panels of one scale and one column each, on shared axes, with one legend above.

    `coloured` is the column whose values have the colours, `written` stands on the vertical axes.
    """
    scales, names = sorted(table.scale.unique()), list(dict.fromkeys(table.layers))
    figure = Drawing((PAGE, 0.6 + 1.9 * len(scales)), layout="constrained")
    panels = figure.subplots(len(scales), len(columns), squeeze=False, sharex=True, sharey=True)
    for across, scale in zip(panels, scales, strict=True):
        for ax, (title, chosen) in zip(across, columns.items(), strict=True):
            rows = table[table.scale == scale]
            for column, value in chosen.items():
                rows = rows[rows[column] == value]
            _draw(ax, rows, names, colours, coloured)
            ax.set_title(f"scale {scale:g}, {title}", fontsize=FONT, loc="left")
            label_axes(ax, "", written if ax is across[0] else "")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(colours), frameon=False, fontsize=FONT)
    residual = any("-" in name for name in names)
    figure.supxlabel("layers" + (" (res.: residual)" if residual else ""), fontsize=FONT)
    return figure, list(panels.flatten())


def _draw(ax: Axes, rows: pd.DataFrame, names: list[str], colours: dict[str, str], coloured: str) -> None:
    """One panel: dots of every colour and optimiser side by side, at each number of layers."""
    optimisers, noun = list(dict.fromkeys(rows.optimiser)), "labels" if coloured == "level" else "features"
    series = [(name, optimiser) for name in colours for optimiser in optimisers]
    shifts = 0.6 * ((np.arange(len(series)) + 0.5) / max(len(series), 1) - 0.5)
    for shift, (name, optimiser) in zip(shifts, series, strict=True):
        own = rows[(rows[coloured] == name) & (rows.optimiser == optimiser)]
        own = own.set_index("layers").reindex(names).reset_index()
        label = f"{name} {noun}" + (f", {optimiser}" if len(optimisers) > 1 else "")
        marker = MARKERS[optimisers.index(optimiser) % len(MARKERS)]
        places = np.arange(len(names)) + shift
        dots_with_bars(ax, places, own, colours[name], label, bar_width=1, marker=marker)
    ax.set_xticks(range(len(names)), [name.replace("-residual", "\nres.") for name in names])
