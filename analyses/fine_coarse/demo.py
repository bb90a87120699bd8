"""The demo of granularity: Δ by width and samples, the redundancy dial, the loss in parts, and a ladder."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.fine_coarse.delta_map import delta_map, delta_table
from harsanyi.analyses.fine_coarse.dial import dial_table, loss_split, ring_pool
from harsanyi.analyses.fine_coarse.figures import plot_redundancy
from harsanyi.analyses.fine_coarse.panels import draw_delta_maps, draw_loss_split
from harsanyi.analyses.fine_coarse.pool import DIGITS_TEST, digits, halvings
from harsanyi.analyses.fine_coarse.report import (
    delta_words,
    describe_deltas,
    describe_dial,
    describe_losses,
    dial_words,
    loss_words,
)
from harsanyi.analyses.granularity.captions import figures_of
from harsanyi.analyses.granularity.report import notes_on, run_granularity
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import CORRELATION, LADDER, LADDER_SUMMARY, RUNS, SUMMARY
from harsanyi.analyses.granularity.words import findings_of, tables_in_words
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import intervals_over, listed
from harsanyi.analyses.run.cautions import few_seeds
from harsanyi.analyses.run.methods import SPLITS
from harsanyi.data import fashion_mnist_path
from harsanyi.models import StackRecipe
from harsanyi.progress import say

DELTA, CIRCLES, DIAL, LOSS = "delta", "circles", "dial", "loss"
CELLS = "cells"
RECIPE = StackRecipe(1, rates=(0.01, 0.001), momentum=0.9, batch_size=16, steps=6000, check=100, patience=8)
OBJECTIVES = {"fine, β = 1": 1.0, "coarse, β = 0": 0.0}
# Cells of which the dial, and the loss through training, are shown.
DIAL_WIDTH, DIAL_SAMPLES = 32, 400
LOSS_WIDTH, LOSS_SAMPLES = 16, 200
# None equals the target's number of classes: such a network would answer with its own head.
RANDOM_CLASSES = (2, 10)
ENDLESS_PATIENCE = 10**6  # checks: no network stops early


@dataclass(frozen=True)
class DemoExtent:
    """The size of a demo; the default takes a minute or two on two cores.

    Attributes:
        widths, sizes: hidden units and training samples of the map of Δ.
        redundancies: of the rings.
        seeds: their number, except for the ladder.
        steps: of each network, at most.
        loss_steps: of each network whose loss is followed.
        ladder_samples, ladder_seeds, pretrain_epochs, finetune_epochs: of the ladder.
        inputs, players: of the ladder's comparisons.
    """

    widths: tuple[int, ...] = (2, 8, 32)
    sizes: tuple[int, ...] = (50, 200, 800)
    redundancies: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 14 / 15)
    seeds: int = 10
    steps: int = 6000
    loss_steps: int = 3000
    ladder_samples: int = 300
    ladder_seeds: int = 2
    pretrain_epochs: int = 8
    finetune_epochs: int = 4
    inputs: int = 24
    players: str = "grid:2x4:8"


def granularity_demo(out: Path, extent: DemoExtent | None = None, *, progress: bool = True) -> list[str]:
    """Do small studies on bundled data and write one report on them.

    Δ = accuracy of fine training − accuracy of coarse training, on coarse answers. Writes into `out`: cells
    (the accuracies of each network), delta, circles, dial and loss as .csv and .h5, ladder (a whole
    granularity study), figures and report.html. Finished parts are read, not done again.

    Args:
        out: the folder.
        extent: the size of the studies.
        progress: print the name of each study at its start.

    Returns:
        the results, in sentences.

    Raises:
        ValueError: for a file in the place of the folder, or an error of the studies.
    """
    extent = extent or DemoExtent()
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: expected a folder, new or of this demo")
    tables = _stack_tables(out, extent, progress)
    study = _ladder_study(out, extent)
    ladder_sentences = run_granularity(study, progress=progress)
    names = (RUNS, SUMMARY, LADDER, LADDER_SUMMARY, CORRELATION)
    ladder = {name: read_table(study.out / f"{name}.h5") for name in names}
    first, *others = _sentences(tables)
    report = Report(
        title="Fine and coarse labels: a demo on bundled data",
        headline=first,
        summary=[*others, *ladder_sentences],
        warnings=few_seeds(min(extent.seeds, extent.ladder_seeds)),
        again=f"harsanyi granularity --demo --out {shlex.quote(str(out))}",
        facts=_facts(extent) | _ladder_facts(study),
        tables=_in_words(tables) | tables_in_words(ladder),
        figures=demo_figures(tables) | figures_of(study, ladder),
        findings=_findings(tables) | findings_of(study, ladder),
        notes=[*_notes(), *notes_on(study)],
    )
    publish(out, tables, report)
    return [first, *others, *ladder_sentences]


def _stack_tables(out: Path, extent: DemoExtent, progress: bool) -> dict[str, pd.DataFrame]:
    """The tables of the studies with networks of one hidden layer."""
    pool, seeds, cells = digits(), range(extent.seeds), out / CELLS
    recipe, halves = replace(RECIPE, steps=extent.steps), halvings(pool)
    if progress:
        say(f"digits: {len(extent.widths)} widths, {len(extent.sizes)} sizes, {len(seeds)} seeds")
    delta = delta_table(delta_map(pool, halves, extent.widths, extent.sizes, seeds, recipe, cells))
    if progress:
        say(f"rings: {len(extent.redundancies)} redundancies")
    rings, groupings, redundancies = ring_pool(extent.redundancies)
    circles = delta_table(delta_map(rings, groupings, [DIAL_WIDTH], [DIAL_SAMPLES], seeds, recipe, cells))
    if progress:
        say("loss through training")
    followed = replace(RECIPE, width=LOSS_WIDTH, steps=extent.loss_steps, patience=ENDLESS_PATIENCE)
    loss = loss_split(pool, halves["together"], OBJECTIVES, LOSS_SAMPLES, seeds, followed, cells)
    return {DELTA: delta, CIRCLES: circles, DIAL: dial_table(circles, redundancies), LOSS: loss}


def _ladder_study(out: Path, extent: DemoExtent) -> Granularity:
    """Clothes, from ten fine, four coarse and some random classes to the four coarse ones."""
    return Granularity(
        model="small:cnn",
        data=fashion_mnist_path("train"),
        test_data=fashion_mnist_path("test"),
        target="coarse",
        out=out / "ladder",
        kinds=("columns", "random"),
        counts=RANDOM_CLASSES,
        sizes=(extent.ladder_samples,),
        seeds=tuple(range(extent.ladder_seeds)),
        pretrain_epochs=extent.pretrain_epochs,
        finetune_epochs=extent.finetune_epochs,
        inputs=extent.inputs,
        players=extent.players,
    )


def demo_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures of the studies with networks of one hidden layer, by caption."""
    seeds = int(tables[DELTA].games.min())
    intervals, of_losses = (intervals_over(seeds, "seeds", of=of) for of in ("means", "means above 0"))
    return {
        "Delta map: Δ on digits in two halves, by hidden units and training samples; n.s.: an interval with "
        f"0 ({intervals})": draw_delta_maps(tables[DELTA]),
        f"Redundancy dial: Δ on rings, {_cell(DIAL_WIDTH, DIAL_SAMPLES)}, {intervals}": figure_of(
            plot_redundancy(tables[DIAL])
        ),
        f"Loss in parts: digits in halves together, {_cell(LOSS_WIDTH, LOSS_SAMPLES)}, no early stopping, "
        f"{of_losses}": draw_loss_split(tables[LOSS]),
    }


def _findings(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures show, in words, by name."""
    return {
        "Delta map": " ".join(describe_deltas(tables[DELTA])),
        "Redundancy dial": describe_dial(tables[DIAL]),
        "Loss in parts": " ".join(describe_losses(tables[LOSS])),
    }


def _in_words(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {
        "Δ on digits, percentage points": delta_words(tables[DELTA]),
        "Rings: coarse answers right, and Δ": dial_words(tables[CIRCLES]),
        "Loss on digits at the last step, nats": loss_words(tables[LOSS]),
    }


def _facts(extent: DemoExtent) -> dict[str, str]:
    seeds = f"{extent.seeds} seeds"
    return {
        "Δ": "accuracy of networks trained on fine classes less that of those trained on coarse ones, on "
        "coarse answers, seed by seed",
        "digits": f"scikit-learn's, 1,200 to draw from and {DIGITS_TEST} to test; {seeds}",
        "rings": f"six in a disc, two coarse classes, {_cell(DIAL_WIDTH, DIAL_SAMPLES)}; {seeds}",
        "loss": f"L_coarse + β L_intra on ten outputs, {_cell(LOSS_WIDTH, LOSS_SAMPLES)}; {seeds}",
        "their networks": f"one hidden layer of ReLUs; SGD with momentum {RECIPE.momentum:g}, "
        f"{RECIPE.batch_size} a step, learning rates {RECIPE.rates[0]:g} and {RECIPE.rates[1]:g}, "
        f"at most {extent.steps:,} steps, a fifth of the samples stops early",
    }


def _notes() -> list[str]:
    return [
        "A seed of digits or rings draws the samples, their split, the first weights and the order. "
        "Intervals are over seeds on fixed test samples, and not corrected for the number of cells.",
        "Halves together and apart are those of the ten digits with the fewest and the most confusions "
        "across, of a cross-validated logistic regression.",
        "With 50 samples part of Δ is of coarse networks that stopped before they learned: their validation "
        "loss, on 10 samples, did not fall.",
        "The number of coarse circles changes along the dial with their redundancy.",
    ]


def _sentences(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        *describe_deltas(tables[DELTA]),
        describe_dial(tables[DIAL]),
        *describe_losses(tables[LOSS]),
        f"Digits and rings rest on {tables[DELTA].games.min()} seeds; the ladder follows.",
    ]


def _ladder_facts(study: Granularity) -> dict[str, str]:
    return {
        "ladder": f"{study.model} on the bundled Fashion-MNIST, {study.sizes[0]} samples, "
        f"{len(study.seeds)} seeds; {study.pretrain_epochs} epochs on ten fine, four coarse, or "
        f"{listed([str(count) for count in study.counts])} random classes, then "
        f"{study.finetune_epochs} on the four coarse ones",
        "interactions": f"{study.inputs} test inputs, players {study.players}, {SPLITS[study.method]}",
    }


def _cell(width: int, samples: int) -> str:
    return f"{width} hidden units, {samples} samples"
