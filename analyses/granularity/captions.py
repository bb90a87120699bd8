"""The figures of a granularity study, each by its caption."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.granularity.figures import (
    draw_beside_published,
    plot_granularity,
    plot_misalignment,
    plot_sizes,
)
from harsanyi.analyses.granularity.kinds import kind_in_words
from harsanyi.analyses.granularity.ladder_figures import draw_ladders, plot_ladder, plot_ladder_orders
from harsanyi.analyses.granularity.runs import BASELINE
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import LADDER_SUMMARY, SUMMARY, of_largest_pretraining
from harsanyi.analyses.granularity.target import ERRORS
from harsanyi.analyses.report.words import intervals_over
from harsanyi.interactions.game.scores import unit_of


def figures_of(study: Granularity, tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures of a study by caption; the part of a caption before its colon names the file."""
    every, error = tables[SUMMARY], ERRORS[study.task]
    summary = of_largest_pretraining(every)
    intervals = f"whiskers: {intervals_over(int(summary.seeds.min()), 'seeds')}"
    sizes = sorted(set(summary["size"]))
    kinds = [kind for kind in dict.fromkeys(summary.kind) if kind != BASELINE]
    figures = {
        f"Error with {size} samples: {error} on the target, by the number of pretraining classes, "
        f"{intervals}": figure_of(plot_granularity(summary, size, error=error))
        for size in reversed(sizes)  # the headline is about the largest
    }
    if study.published:
        figures[
            "Beside published points: this study (left), and errors published for a ViT-B/16, "
            "ImageNet-21k to ImageNet-1k, other data, networks and recipes (right)"
        ] = draw_beside_published(summary, sizes[-1])
    for kind in kinds if len(sizes) > 1 else ():
        caption = f"Sizes for {kind_in_words(kind)}: {error} on the target by training samples, {intervals}"
        figures[caption] = figure_of(plot_sizes(summary, kind, error=error))
    for kind in kinds if len(study.pretrain_sizes) > 1 else ():
        rows = every[every["size"] == sizes[-1]]
        words = f"{error} on the target by pretraining samples, {intervals}"
        caption = f"Pretraining sizes for {kind_in_words(kind)}: {words}"
        figures[caption] = figure_of(plot_sizes(rows, kind, error=error, by="pretrain_size"))
    if len(study.misalignment) > 1:
        caption = f"Misalignment with {sizes[-1]} samples: {error} by the share of labels moved, {intervals}"
        figures[caption] = figure_of(plot_misalignment(summary, sizes[-1], error=error))
    if LADDER_SUMMARY in tables:
        figures |= _ladder_figures(tables, kinds, sizes[-1], intervals)
    return figures


def _ladder_figures(
    tables: Mapping[str, pd.DataFrame], kinds: list[str], size: int, intervals: str
) -> dict[str, Figure]:
    summary, ladder = (of_largest_pretraining(tables[name]) for name in (SUMMARY, LADDER_SUMMARY))
    intervals += " (of knowledge over seeds and inputs)"
    figures = {
        f"Ladders: accuracy, what the transfer preserves of pretraining, and what is rare after it, "
        f"with {size} samples, {intervals}": draw_ladders(summary, ladder, size)
    }
    for kind in kinds:
        if summary[(summary.kind == kind) & (summary["size"] == size)].classes.nunique() < 2:
            continue  # a single rung is no ladder
        words = kind_in_words(kind)
        figures[
            f"Ladder of {words}: accuracy, what the transfer preserves, and what is rare after it, "
            f"with {size} samples, {intervals}"
        ] = figure_of(plot_ladder(summary, ladder, kind, size))
        figures[
            f"Orders of {words}: salient strength at the end of pretraining, mean per input, "
            f"with {size} samples, {intervals}"
        ] = figure_of(plot_ladder_orders(ladder, kind, size, unit=unit_of("log_odds")))
    return figures
