"""A granularity study in words: its plan and its results in sentences, its tables as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.runs import BASELINE, DIFFERENCE, TransferRun, is_done
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import CORRELATION, LADDER_SUMMARY, SUMMARY
from harsanyi.analyses.granularity.target import NAMES
from harsanyi.analyses.report.words import NO_VALUE, percent, points, with_interval

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


def describe_plan(study: Granularity, runs: Sequence[TransferRun]) -> list[str]:
    """The plan in words: the runs, and the number of finished runs."""
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


def describe_granularity(tables: Mapping[str, pd.DataFrame], error: str = "error") -> list[str]:
    """The results in sentences: the baseline, the best level of each kind, and the number of seeds.

    Args:
        tables: of `granularity_tables`.
        error: the name of the tables' error, one of `ERRORS`.
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
            f"After pretraining on {kind} labels it is lowest with {best.classes:,} classes, "
            f"{with_interval(best, _tenths)}: "
            f"{with_interval(less, points)} percentage points from the baseline of the same seed."
        )
    return sentences


def _knowledge(ladder: pd.DataFrame) -> list[str]:
    """Preserved and rare shares with most samples, for the fewest and the most classes of each kind."""
    rows = ladder[
        (ladder["size"] == ladder["size"].max()) & (ladder.order == "all") & (ladder.misalignment == 0)
    ]
    sentences = []
    for kind, levels in rows.groupby("kind", sort=False):
        for classes in sorted({levels.classes.min(), levels.classes.max()}):
            level = levels[levels.classes == classes].set_index("quantity")
            # Where all of the strength is rare, there is no share of the rest.
            text = {
                name: with_interval(level.loc[name], percent) if name in level.index else NO_VALUE
                for name in KNOWLEDGE
            }
            sentence = (
                f"Of what {classes:,} {kind} classes taught, the transfer preserves {text['preserved_share']}"
            )
            if "rare_after" in level.index:
                sentence += (
                    f"; {text['rare_after']} of the strength after it is rare; of this "
                    f"{text['rare_preserved']} was there before, of the rest {text['common_preserved']}"
                )
            sentences.append(sentence + ".")
    return sentences


def tables_in_words(tables: Mapping[str, pd.DataFrame], error: str = "error") -> dict[str, pd.DataFrame]:
    """The tables of the report: errors and differences, then knowledge, a row a level.

    Args:
        tables: of `granularity_tables`.
        error: the name of the tables' error, one of `ERRORS`.

    Returns:
        each table by its title.
    """
    summary = tables[SUMMARY]
    errors = _wide(summary, {"error": _tenths, DIFFERENCE: points})
    heading = error[0].upper() + error[1:]
    words = {f"{heading} on the target, and its difference to the baseline in percentage points": errors}
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
    texts = table.assign(
        knowledge=[HEADINGS.get(str(x), str(x)) for x in table.x],
        text=[with_interval(row, lambda value: f"{value:.2f}") for row in table.itertuples()],
    )
    return texts.pivot(
        index=["knowledge", "points", "clusters"], columns="coefficient", values="text"
    ).reset_index(["points", "clusters"])


def _wide(table: pd.DataFrame, formats: Mapping[str, Callable[[float], str]]) -> pd.DataFrame:
    """Quantities across, trainings down."""
    columns = {}
    for quantity, write in formats.items():
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
    """The name of a row of a summary in the report."""
    level = f" ({row.level})" if row.kind == "columns" else ""
    classes = "" if row.kind == BASELINE else f", {row.classes:,} classes{level}"
    moved = f", {row.misalignment:.0%} moved" if row.misalignment else ""
    return f"{row.kind}{classes}{moved}, {row.size:,} samples"


def _distinct(values: pd.Series) -> str:
    return " ".join(f"{value:g}" for value in dict.fromkeys(values))


def _tenths(share: float) -> str:
    return f"{share:.1%}"
