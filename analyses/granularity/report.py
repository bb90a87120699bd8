"""A granularity study: plan → runs → tables, figures and report, all in one folder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harsanyi import models
from harsanyi.analyses.drawing.palette import whole
from harsanyi.analyses.granularity.figures import (
    draw_beside_published,
    draw_ladders,
    plot_granularity,
    plot_ladder,
    plot_ladder_orders,
    plot_misalignment,
    plot_sizes,
)
from harsanyi.analyses.granularity.ladder import (
    comparison_of,
    ladder_correlation,
    ladder_summary,
    ladder_table,
)
from harsanyi.analyses.granularity.runs import (
    BASELINE,
    DIFFERENCE,
    TransferData,
    TransferRun,
    is_done,
    plan,
    runs_table,
    summary_table,
    train_runs,
)
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.target import ERRORS, NAMES, notes_on_task, target_in_words
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.report.words import NO_VALUE, percent, points, with_interval
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import SCORE_UNITS, STUDY_FILE

RUNS, SUMMARY, LADDER, LADDER_SUMMARY = "runs", "summary", "ladder", "ladder_summary"
CORRELATION = "correlation"
KNOWLEDGE = {
    "preserved_share": "preserved, of before",
    "new_share": "new, of after",
    "rare_before": "rare, of before",
    "rare_after": "rare, of after",
    "rare_scratch": "rare, of baseline",
    "rare_preserved": "preserved, of rare after",
    "common_preserved": "preserved, of the rest after",
    "preserved_accuracy": "accuracy of preserved alone",
    "new_accuracy": "accuracy of new alone",
    "everything_accuracy": "accuracy on these inputs",
}
HEADINGS = {"error": "error", DIFFERENCE: "difference"} | KNOWLEDGE


def run_granularity(study: Granularity, *, progress: bool = True) -> list[str]:
    """The whole way of a granularity study; returns the plan and, unless only that is asked, what was found.

    Writes into `study.out`: study.toml, a folder for each run, runs and summary as .csv and .h5, with
    `inputs` also ladder and ladder_summary, figures and report.html. A study that was stopped goes on.

    Several processes, started with `accelerate launch` or `torchrun`, train each run together. All else the
    main process does alone; the others return nothing.

    Raises:
        ValueError, FileNotFoundError: for whatever in the study cannot be meant.
    """
    study.require_sense()
    data = TransferData.of(study)
    runs = plan(study, data)
    said = describe_plan(study, runs)
    is_main = models.is_main_process()
    if study.only_plan:
        return said if is_main else []
    if progress and is_main:
        print("\n".join(said), flush=True)
    if is_main:
        study.out.mkdir(parents=True, exist_ok=True)
        study.write(study.out / STUDY_FILE)
    first = next((run for run in runs if run.kind != BASELINE), None)
    for run in train_runs(study, runs, data, progress=progress):
        # Players that cannot be are found now, not after all runs.
        if is_main and study.inputs and run == first:
            compute(comparison_of(study, run), progress=progress)
    if not is_main:
        return []
    tables = granularity_tables(study, runs, progress=progress)
    figures = figures_of(study, tables)
    summary = describe_granularity(tables, ERRORS[study.task])
    publish(
        study.out,
        tables,
        title=f"{study.model}: label granularity of pretraining, and {study.target}",
        summary=summary,
        facts=_facts(study, data, runs),
        tables=tables_in_words(tables, ERRORS[study.task]),
        figures=figures,
        notes=notes_on(study),
    )
    return summary


def describe_plan(study: Granularity, runs: Sequence[TransferRun]) -> list[str]:
    """The plan in words: how many runs of what, how many are done, how many are to do."""
    done = sum(is_done(study, run) for run in runs)
    lines = [f"{len(runs)} runs: {done} done, {len(runs) - done} to do"]
    kinds = pd.DataFrame([vars(run) for run in runs])
    for (kind, level, classes), rows in kinds.groupby(["kind", "level", "classes"], sort=False):
        name = f"{kind} {level}".strip() if kind == "columns" else str(kind)
        classes_of = NAMES[study.task] if kind == BASELINE else "classes"
        lines.append(
            f"  {name}, {classes} {classes_of}: sizes {_distinct(rows['size'])}; seeds {_distinct(rows.seed)}"
            + (f"; misalignment {_distinct(rows.misalignment)}" if rows.misalignment.any() else "")
        )
    return lines


def granularity_tables(
    study: Granularity, runs: Sequence[TransferRun], *, progress: bool = True
) -> dict[str, pd.DataFrame]:
    """All that is measured of the finished runs: runs and their summary; with `inputs` also the ladder."""
    found = runs_table(study, runs)
    tables = {RUNS: found, SUMMARY: summary_table(found)}
    if study.inputs:
        ladder = ladder_table(study, runs, progress=progress)
        tables |= {LADDER: ladder, LADDER_SUMMARY: ladder_summary(ladder)}
        tables[CORRELATION] = ladder_correlation(found, ladder)
    return tables


def describe_granularity(tables: Mapping[str, pd.DataFrame], error: str = "error") -> list[str]:
    """What was found, in plain sentences: baseline, best level of each kind, and how far seeds tell it.

    Args:
        error: what the tables' error is called, one of `ERRORS`.
    """
    summary = tables[SUMMARY]
    sentences = []
    for size in sorted(set(summary["size"])):
        rows = summary[summary["size"] == size]
        errors, differences = (rows[rows.quantity == name] for name in ("error", DIFFERENCE))
        sentences += _of_size(size, errors, differences, error)
    if LADDER_SUMMARY in tables:
        sentences += _knowledge(tables[LADDER_SUMMARY])
    seeds = int(summary.seeds.min())
    if seeds == 1:
        return [*sentences, "This rests on 1 seed: no intervals, nothing about other training runs."]
    return [*sentences, f"This rests on {seeds} seeds; brackets hold bootstrap intervals over them."]


def _of_size(size: int, errors: pd.DataFrame, differences: pd.DataFrame, error: str) -> list[str]:
    (direct,) = errors[errors.kind == BASELINE].itertuples()
    sentences = [
        f"With {size:,} training samples, the target trained directly has an {error} of "
        f"{with_interval(direct, _tenths)}."
    ]
    for kind, rows in errors[(errors.kind != BASELINE) & (errors.misalignment == 0)].groupby(
        "kind", sort=False
    ):
        best = rows.sort_values("value").iloc[0]
        same = (differences.kind == kind) & (differences.classes == best.classes)
        (less,) = differences[same & (differences.misalignment == 0)].itertuples()
        sentences.append(
            f"After pretraining on {kind} labels it is least with {best.classes:,} classes, "
            f"{with_interval(best, _tenths)}: "
            f"{with_interval(less, points)} percentage points from the baseline of the same seed."
        )
    return sentences


def _knowledge(ladder: pd.DataFrame) -> list[str]:
    """What the largest size keeps and has of rare interactions, fewest and most classes of each kind."""
    rows = ladder[
        (ladder["size"] == ladder["size"].max()) & (ladder.order == "all") & (ladder.misalignment == 0)
    ]
    sentences = []
    for kind, some in rows.groupby("kind", sort=False):
        for classes in sorted({some.classes.min(), some.classes.max()}):
            own = some[some.classes == classes].set_index("quantity")
            # Where all of the strength is rare, there is no share of the rest.
            text = {
                name: with_interval(own.loc[name], percent) if name in own.index else NO_VALUE
                for name in KNOWLEDGE
            }
            sentence = (
                f"Of what {classes:,} {kind} classes taught, the transfer preserves {text['preserved_share']}"
            )
            if "rare_after" in own.index:
                sentence += (
                    f"; {text['rare_after']} of the strength after it is rare, and {text['rare_preserved']} "
                    f"of this was there before, of the rest {text['common_preserved']}"
                )
            sentences.append(sentence + ".")
    return sentences


def figures_of(study: Granularity, tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures of a study by caption; what stands before the colon names the file."""
    summary, error = tables[SUMMARY], ERRORS[study.task]
    intervals = "with 95% bootstrap intervals over seeds"
    sizes = sorted(set(summary["size"]))
    kinds = [kind for kind in dict.fromkeys(summary.kind) if kind != BASELINE]
    figures = {
        f"Error with {size} samples: {error} on the target, by the number of pretraining classes, "
        f"{intervals}": whole(plot_granularity(summary, size, error=error))
        for size in sizes
    }
    if study.published:
        figures[
            "Beside published points: this study (left), and errors published for ImageNet-21k to "
            "ImageNet-1k, other data, networks and recipes (right)"
        ] = draw_beside_published(summary, sizes[-1])
    for kind in kinds if len(sizes) > 1 else ():
        caption = f"Sizes for {kind}: {error} on the target by training samples, {intervals}"
        figures[caption] = whole(plot_sizes(summary, kind, error=error))
    if len(study.misalignment) > 1:
        caption = f"Misalignment with {sizes[-1]} samples: {error} by the share of labels moved, {intervals}"
        figures[caption] = whole(plot_misalignment(summary, sizes[-1], error=error))
    if LADDER_SUMMARY in tables:
        figures |= _ladder_figures(tables, kinds, sizes[-1], intervals)
    return figures


def _ladder_figures(
    tables: Mapping[str, pd.DataFrame], kinds: list[str], size: int, intervals: str
) -> dict[str, Figure]:
    summary = tables[SUMMARY]
    figures = {
        f"Ladders: accuracy, what fine-tuning preserves of pretraining, and what is rare after it, "
        f"with {size} samples, {intervals}": draw_ladders(summary, tables[LADDER_SUMMARY], size)
    }
    for kind in kinds:
        if summary[(summary.kind == kind) & (summary["size"] == size)].classes.nunique() < 2:
            continue  # one rung is no ladder
        figures[
            f"Ladder of {kind}: accuracy, what fine-tuning preserves, and what is rare after it, "
            f"with {size} samples, {intervals}"
        ] = whole(plot_ladder(summary, tables[LADDER_SUMMARY], kind, size))
        figures[
            f"Orders of {kind}: salient strength at the end of pretraining, mean per input, "
            f"with {size} samples, {intervals}"
        ] = whole(plot_ladder_orders(tables[LADDER_SUMMARY], kind, size, unit=SCORE_UNITS["log_odds"]))
    return figures


def tables_in_words(tables: Mapping[str, pd.DataFrame], error: str = "error") -> dict[str, pd.DataFrame]:
    """The tables of the report: errors and differences, then knowledge, a row a level."""
    summary = tables[SUMMARY]
    errors = _wide(summary, {"error": _tenths, DIFFERENCE: points})
    said = error[0].upper() + error[1:]
    words = {f"{said} on the target, and its difference to the baseline in percentage points": errors}
    if LADDER_SUMMARY in tables:
        ladder = tables[LADDER_SUMMARY]
        shares = _wide(ladder[ladder.order == "all"], dict.fromkeys(KNOWLEDGE, percent))
        words["Knowledge: shares of salient strength, and accuracies of parts of it"] = shares
        words["Correlation of knowledge with accuracy on the target, over runs"] = _correlation(
            tables[CORRELATION]
        )
    return words


def _correlation(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each quantity, with both coefficients."""
    written = table.assign(
        knowledge=[HEADINGS.get(str(x), str(x)) for x in table.x],
        text=[with_interval(row, lambda value: f"{value:.2f}") for row in table.itertuples()],
    )
    return written.pivot(
        index=["knowledge", "points", "clusters"], columns="coefficient", values="text"
    ).reset_index(["points", "clusters"])


def _wide(table: pd.DataFrame, written: Mapping[str, Callable[[float], str]]) -> pd.DataFrame:
    """Quantities across, what was trained down."""
    columns = {}
    for quantity, write in written.items():
        rows = table[table.quantity == quantity]
        texts = [with_interval(row, write) for row in rows.itertuples()]
        columns[HEADINGS[quantity]] = pd.Series(
            texts, [_name(row) for row in rows.itertuples()], dtype=object
        )
    wide = pd.DataFrame({name: column for name, column in columns.items() if len(column)})
    order = dict.fromkeys(_name(row) for row in table.itertuples())
    wide = wide.reindex([name for name in order if name in wide.index]).fillna(NO_VALUE)
    return wide.rename_axis("pretraining")


def _name(row: Any) -> str:
    """What a row of a summary is called in the report."""
    level = f" ({row.level})" if row.kind == "columns" else ""
    classes = "" if row.kind == BASELINE else f", {row.classes:,} classes{level}"
    moved = f", {row.misalignment:.0%} moved" if row.misalignment else ""
    return f"{row.kind}{classes}{moved}, {row.size:,} samples"


def _facts(study: Granularity, data: TransferData, runs: Sequence[TransferRun]) -> dict[str, str]:
    total = study.baseline_epochs or study.pretrain_epochs + study.finetune_epochs
    moved = "all weights" if study.transfer == "finetune" else "the new head alone"
    facts = {
        "network": f"{study.model}, start: {study.start}",
        "runs": f"{len(runs)}, seeds {' '.join(map(str, study.seeds))}",
        "data": f"{len(data.train):,} training samples in {study.data}, {len(data.test):,} to test in "
        f"{study.test_data}",
        "target": target_in_words(data.train, study.target, study.task),
        "pretraining": f"{study.pretrain_epochs} epochs, learning rate {study.pretrain_rate:g}",
        "transfer": f"{moved}, {study.finetune_epochs} epochs, learning rate {study.finetune_rate:g}",
        "baseline": f"all weights on the target, {total} epochs, learning rate {study.pretrain_rate:g}",
        "optimiser": f"{study.optimiser}, weight decay {study.weight_decay:g}, {study.batch_size} a step, "
        f"{study.precision}",
    }
    if study.inputs:
        facts["interactions"] = f"{study.inputs} test inputs, players {study.players}, method {study.method}"
    return facts


def notes_on(study: Granularity) -> list[str]:
    notes = [
        "A seed draws the samples (where not all are used), the start, the heads, the order of samples and "
        "the drawn labels. With fewer than some ten seeds bootstrap intervals over them are too narrow.",
        "The least error of several levels is lower than that level's would be in new runs.",
        "Error is that after the last epoch; no epoch is chosen by the test samples.",
        *notes_on_task(study.task),
    ]
    if study.embedding is None and any(kind.startswith("kmeans") for kind in study.kinds):
        notes.append("Clusters are of the features of the network at its start.")
    if study.inputs:
        notes.append(
            "Strengths are compared as they are. A network pretrained on the target's own classes answers "
            "with its head, all others through a read-out, whose effects can be several times as strong: "
            "compare what is preserved among levels that have a read-out."
        )
        notes.append(
            f"Rare: at most {study.rare:.0%} of the inputs of a class have the interaction, or only one. "
            "With few inputs a class nearly all that is not common to them counts as rare."
        )
    return notes


def _distinct(values: pd.Series) -> str:
    return " ".join(f"{value:g}" for value in dict.fromkeys(values))


def _tenths(share: float) -> str:
    return f"{share:.1%}"
