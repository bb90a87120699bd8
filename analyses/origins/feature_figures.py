"""Figures of features: measures of each origin, and how they rank the gain over no pretraining."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import (
    COLUMN,
    FAINT,
    NETWORK_COLOURS,
    PRESERVED,
    figure_of,
    label_axes,
    legend_above,
    new_axes,
)
from harsanyi.analyses.origins.feature_words import MEASURE_WORDS, describe_features, over_inputs
from harsanyi.analyses.origins.features import CKA, LESS
from harsanyi.analyses.origins.origins import origins_of

# What has a scale from 0 to 1, with its mark.
MARKS = {
    "preserved_share": ("o", PRESERVED),
    CKA: ("s", NETWORK_COLOURS[2]),
    "probe_accuracy": ("^", NETWORK_COLOURS[3]),
}


def plot_features(features: pd.DataFrame, shares: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Preserved share, CKA of features and linear probe of each origin; bars are intervals over inputs.

    Args:
        features: of `feature_table`.
        shares: of `compare_many`.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> share = dict(origin="a", quantity="preserved_share", kind="both", sign="both", order="all", value=0.3)
    >>> measured = dict(origin="a", measure="cka", value=0.8, low=0.7, high=0.9)
    >>> ax = plot_features(pd.DataFrame([measured]), pd.DataFrame([share | dict(low=0.2, high=0.4)]))
    >>> [line.get_xdata().tolist() for line in ax.lines]
    [[0.3], [0.8]]
    """
    names = origins_of(shares)
    totals = shares[(shares.kind == "both") & (shares.sign == "both") & (shares.order == "all")]
    columns = ["origin", "measure", "value", "low", "high"]
    rows = pd.concat([totals.rename(columns={"quantity": "measure"})[columns], features[columns]])
    shown = [name for name in MARKS if name in set(rows.measure)]
    ax = ax or new_axes(COLUMN + 0.6, 0.9 + 0.42 * len(names))
    for i, measure in enumerate(shown):
        marker, colour = MARKS[measure]
        of_measure = rows[rows.measure == measure].set_index("origin").reindex(names)
        y = np.arange(len(names)) + 0.22 * (i - (len(shown) - 1) / 2)
        dots_with_bars(ax, y, of_measure, colour, MEASURE_WORDS[measure], marker=marker, horizontal=True)
    for edge in range(1, len(names)):
        ax.axhline(edge - 0.5, color=FAINT, linewidth=0.3)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    # CKA of features that have nothing to do with each other may be a little below 0.
    ax.set(xlim=(min(-0.02, rows.low[rows.measure == CKA].min()), 1.02), ylim=(len(names) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    label_axes(ax, "share, or CKA", "")
    legend_above(ax)
    return ax


def plot_feature_correlations(correlations: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Rank correlation of each measure with the gain over scratch; bars are intervals over origins.

    Args:
        correlations: of `feature_correlations`.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(x="cka", y="gain", coefficient="spearman", value=0.4, low=-0.2, high=0.8)
    >>> [label.get_text() for label in plot_feature_correlations(pd.DataFrame([row])).get_yticklabels()]
    ['CKA of features']
    """
    names = MEASURE_WORDS | {LESS: "|ρ|: preserved share\nless CKA"}
    ax = ax or new_axes(COLUMN + 0.6, 0.7 + 0.32 * len(correlations))
    colours = {name: colour for name, (_, colour) in MARKS.items()}
    for place, name in enumerate(correlations.x):
        row = correlations.iloc[[place]]
        dots_with_bars(ax, np.array([place]), row, colours.get(str(name), FAINT), horizontal=True)
    ax.axvline(0, color=FAINT, linewidth=0.6)
    ax.set_yticks(range(len(correlations)), [names[str(name)] for name in correlations.x], parse_math=False)
    ax.set(xlim=(-1.04, 1.04), ylim=(len(correlations) - 0.5, -0.5))
    label_axes(ax, "rank correlation with the gain over scratch", "")
    return ax


def feature_figures(
    table: pd.DataFrame, features: pd.DataFrame, correlations: pd.DataFrame
) -> dict[str, Figure]:
    """The figures of features.

    Args:
        table: of `compare_many`.
        features: of `feature_table`.
        correlations: of `feature_correlations`.

    Returns:
        figures by caption, as `origin_figures`.
    """
    caption = "Features: preserved share, CKA of before and after, linear probe on before; whiskers: "
    figures = {f"{caption}{over_inputs(features)}": figure_of(plot_features(features, table))}
    if len(correlations):
        caption = "Gain: rank correlation of measures with the gain over scratch; whiskers: 95% jackknife "
        over = "clusters" if (correlations.clusters < correlations.points).any() else "origins"
        figures[f"{caption}intervals over {over}"] = figure_of(plot_feature_correlations(correlations))
    return figures


def feature_findings(features: pd.DataFrame, correlations: pd.DataFrame) -> dict[str, str]:
    """What the figures of features show, by name; arguments as of `feature_figures`."""
    *shown, answer = describe_features(features, correlations)
    of_origins = " ".join(shown[: features.origin.nunique()])
    return {"Features": of_origins} | ({"Gain": answer} if len(correlations) else {})
