"""`harsanyi fine-coarse`: fine against coarse training on a user's own data, from samples to a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.accuracy.correlation_figures import plot_correlation
from harsanyi.analyses.drawing.palette import FONT, PAGE, Drawing, figure_of
from harsanyi.analyses.fine_coarse.claims import claims_of_levels, require_claimed
from harsanyi.analyses.fine_coarse.dial import loss_split
from harsanyi.analyses.fine_coarse.figures import plot_beta, plot_redundancy
from harsanyi.analyses.fine_coarse.hard_figures import plot_hard_samples
from harsanyi.analyses.fine_coarse.hard_samples import hard_cells, hard_deltas
from harsanyi.analyses.fine_coarse.level_map import (
    FINE,
    beta_sweep,
    gain_correlation,
    gain_points,
    level_deltas,
    level_map,
    level_redundancy,
)
from harsanyi.analyses.fine_coarse.own_data import FineLevel, fine_levels
from harsanyi.analyses.fine_coarse.own_words import (
    BETA,
    CORRELATION,
    DELTA,
    HARD,
    LOSS,
    REDUNDANCY,
    describe_levels,
    of_equal_parameters,
    parameters_in_words,
    tables_of_levels,
)
from harsanyi.analyses.fine_coarse.panels import draw_delta_maps, draw_loss_split
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import intervals_over
from harsanyi.analyses.run.cautions import few_seeds
from harsanyi.analyses.run.methods import CITATION, again, versions
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import STUDY_FILE
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.models import StackRecipe
from harsanyi.progress import say
from harsanyi.writing import sole_writer

WORK = "“Should We Always Train Models on Fine-Grained Classes?” (arXiv 2509.05130)"
CELLS = "cells"  # the folder of finished cells, and the table of their networks
HARD_CELLS = "hard_cells"
OBJECTIVES = {"fine, β = 1": 1.0, "coarse, β = 0": 0.0}
SECOND_RATE = 0.1  # of the first, once the validation loss no longer falls
MOMENTUM, CHECK, PATIENCE, ENDLESS = 0.9, 100, 8, 10**6


def run_fine_coarse(study: FineCoarse, *, progress: bool = True) -> list[str]:
    """Run a study of fine against coarse training; returns its results in sentences.

    Writes into `study.out`: study.toml, cells (finished networks' accuracies, which are read and not computed
    again), the tables cells, delta, beta, loss, redundancy and correlation as .csv and .h5, with `hardest`
    hard and hard_cells, with `claims` claims; figures and report.html.

    Args:
        study: what to do.
        progress: say what is done.

    Raises:
        ValueError, FileNotFoundError: for settings that do not fit each other or the data.
    """
    study.require_sense()
    require_own_folder(study.out, "fine-coarse")
    levels = fine_levels(study)
    sizes, names = study.sizes or (len(levels[0].pool.labels),), [level.name for level in levels]
    require_claimed(study, names, sizes)
    with sole_writer(study.out):
        study.write(study.out / STUDY_FILE)
        tables = _tables(study, levels, sizes, progress)
        tables |= claims_of_levels(study, names, tables, tables[CELLS], tables.get(HARD_CELLS))
        answer, *others = [*describe_levels(tables), *describe_claims(tables)]
        report = Report(
            title=f"Fine against coarse training for {study.target}",
            headline=answer,
            summary=others,
            warnings=few_seeds(len(study.seeds)),
            methods=_methods(study, levels, sizes),
            again=again("fine-coarse", study.out),
            facts=_facts(study, levels, sizes, tables[CELLS]),
            tables=claims_in_words(tables) | tables_of_levels(tables),
            figures=_figures(study, tables, sizes),
            notes=_notes(study),
        )
        publish(study.out, tables, report)
    return [answer, *others]


def _recipe(study: FineCoarse, width: int = 1) -> StackRecipe:
    rates = (study.rate, SECOND_RATE * study.rate)
    return StackRecipe(width, rates, MOMENTUM, study.batch_size, study.steps, CHECK, PATIENCE)


def middle_width(study: FineCoarse) -> int:
    """The width of the sweep of β and of the losses: the middle one, the lower of two."""
    return sorted(study.widths)[(len(study.widths) - 1) // 2]


def _tables(
    study: FineCoarse, levels: Sequence[FineLevel], sizes: Sequence[int], progress: bool
) -> dict[str, pd.DataFrame]:
    """All tables by the names of their files."""
    folder, width, largest = study.out / CELLS, middle_width(study), max(sizes)
    if progress:
        networks = 3 * len(levels) * len(study.widths) * len(sizes) * len(study.seeds)
        say(f"{networks} networks in {len(levels) * len(study.widths) * len(sizes)} cells")
    cells = level_map(levels, study.widths, sizes, study.seeds, _recipe(study), folder)
    if progress:
        say("β, losses and boundaries")
    recipe, common = _recipe(study, width), (study.seeds, study.betas, folder)
    followed = replace(recipe, patience=ENDLESS)
    losses = [
        loss_split(level.pool, level.groups, OBJECTIVES, largest, study.seeds, followed, folder).assign(
            grouping=level.name
        )
        for level in levels
    ]
    widest = _recipe(study, max(study.widths))
    hard = {}
    if study.hardest:
        judged = hard_cells(levels, largest, recipe, study.seeds, study.hardest, folder)
        hard = {HARD_CELLS: judged, HARD: hard_deltas(judged)}
    return hard | {
        CELLS: cells,
        DELTA: level_deltas(cells),
        BETA: with_corrected(
            pd.concat([beta_sweep(level, largest, recipe, *common) for level in levels]), by=["quantity"]
        ),
        LOSS: pd.concat(losses),
        REDUNDANCY: level_redundancy(levels, largest, widest, study.seeds[0], folder),
        CORRELATION: gain_correlation(gain_points(cells)),
    }


def _figures(
    study: FineCoarse, tables: Mapping[str, pd.DataFrame], sizes: Sequence[int]
) -> dict[str, Figure]:
    deltas, losses = tables[DELTA], tables[LOSS]
    intervals = intervals_over(len(study.seeds), "seeds")
    cell = f"{middle_width(study)} hidden units, {max(sizes):,} samples"
    marked = f"n.s.: an interval with 0 ({intervals})"
    figures = {
        f"Delta map: Δ over coarse training, by hidden units and samples; {marked}": draw_delta_maps(deltas),
        f"Delta map with equal parameters: Δ over coarse networks with as many parameters; {marked}": (
            draw_delta_maps(of_equal_parameters(deltas))
        ),
        f"Beta: coarse answers right under L_coarse + β L_intra, {cell}, {intervals}": _draw_betas(
            tables[BETA]
        ),
        "Gain and loss: Δ of each training by the loss of its fine network within coarse classes": (
            figure_of(plot_correlation(gain_points(tables[CELLS]), "intra_loss", "delta", "grouping"))
        ),
    }
    of_losses = intervals_over(len(study.seeds), "seeds", of="means above 0")
    for name, rows in losses.groupby("grouping", sort=False):
        caption = f"Loss in parts for {name}: {cell}, no early stopping, {of_losses}"
        figures[caption] = draw_loss_split(rows)
    redundancy = _gain_by_redundancy(deltas, tables[REDUNDANCY], middle_width(study), max(sizes))
    figures[f"Redundancy: Δ by the share of the fine boundary within coarse classes, {cell}"] = figure_of(
        plot_redundancy(redundancy)
    )
    if HARD in tables:
        figures[
            f"Hard samples: coarse answers right on test samples that are hard for a network, {cell}, by "
            f"networks of other seeds, {intervals}"
        ] = figure_of(plot_hard_samples(tables[HARD]))
    return figures


def _draw_betas(betas: pd.DataFrame) -> Figure:
    """`plot_beta` for each level, side by side."""
    levels = list(betas.groupby("grouping", sort=False))
    figure = Drawing((PAGE, 2.7), layout="constrained")
    panels = figure.subplots(1, len(levels), squeeze=False)[0]
    for ax, (name, rows) in zip(panels, levels, strict=True):
        plot_beta(rows, ax)
        ax.set_xlabel(f"β ({name})", fontsize=FONT)
    return figure


def _gain_by_redundancy(
    deltas: pd.DataFrame, redundancy: pd.DataFrame, width: int, size: int
) -> pd.DataFrame:
    """Δ of one cell of every level beside the redundancy of its boundary, as `plot_redundancy` takes it."""
    cell = (deltas.width == width) & (deltas["size"] == size) & (deltas.quantity == DELTA)
    names = {"value": "redundancy", "low": "redundancy_low", "high": "redundancy_high"}
    measured = redundancy.rename(columns=names)[["grouping", *names.values()]]
    return deltas[cell & (deltas.training == FINE)].merge(measured, on="grouping").assign(data="levels")


def _methods(study: FineCoarse, levels: Sequence[FineLevel], sizes: Sequence[int]) -> list[str]:
    facts = {level.name: len(level.groups) for level in levels}
    named = ", ".join(f"{name} ({count} classes)" for name, count in facts.items())
    coarse = max(levels[0].groups) + 1
    return [
        f"Following {WORK}, networks with one hidden layer of ReLUs were trained on {study.data} on the "
        f"classes of {named}, and on the {coarse} classes of {study.target}: SGD with momentum {MOMENTUM:g}, "
        f"{study.batch_size} samples a step, learning rate {study.rate:g}, at most {study.steps:,} steps; a "
        f"fifth of the samples stops early. Δ is the accuracy of coarse answers on {study.test_data}, fine "
        f"less coarse, paired by seed; brackets: {intervals_over(len(study.seeds), 'seeds')}. {versions()}",
        CITATION,
    ]


def _facts(
    study: FineCoarse, levels: Sequence[FineLevel], sizes: Sequence[int], cells: pd.DataFrame
) -> dict[str, str]:
    pool = levels[0].pool
    return {
        "question": f"that of {WORK}",
        "Δ": "accuracy of coarse answers of networks trained on fine classes less that of those trained on "
        "coarse ones, seed by seed",
        "data": f"{len(pool.labels):,} samples in {study.data}, {len(pool.test_labels):,} to test in "
        f"{study.test_data}; {pool.inputs.shape[1]:,} numbers each, "
        + (f"features of {study.features}" if study.features else f"{study.pixels} × {study.pixels} pixels"),
        "levels": "; ".join(f"{level.name}, {len(level.groups)} classes" for level in levels)
        + f"; {study.target}, {max(levels[0].groups) + 1} classes",
        "samples": ", ".join(f"{size:,}" for size in sizes),
        "parameters": parameters_in_words(cells),
        "seeds": " ".join(map(str, study.seeds)),
    }


def _notes(study: FineCoarse) -> list[str]:
    notes = [
        "A seed draws the samples, their split, the first weights and the order. Intervals are over seeds on "
        "fixed test samples, and not corrected for the number of cells; p in the tables is, too "
        "(Benjamini–Hochberg).",
        "Networks with equal parameters share outputs and first weights: one minimises the loss of fine "
        "classes, the other that of coarse classes alone, β = 0.",
        "Where coarse networks do not fit their own training samples, Δ is of training, not generalisation.",
        "Redundancy is this project's own measure, along segments between test samples of one fine network.",
    ]
    if study.hardest:
        notes.append(
            "Hard samples are those that a network answers wrong with the lowest margins, log p of the right "
            "coarse class less log p of the next. The network that chose them errs on all: “same seed” "
            "shows how far that alone flatters fine training. Judged by other seeds, what one kind of "
            "training finds hard is easier for the other kind; “either”, the mean of both choices, favours "
            "neither."
        )
    if study.subclasses:
        notes.append(
            f"The level k-means has {study.subclasses} clusters of the inputs in each class of "
            f"{study.target}: nobody named them."
        )
    return notes
