"""A granularity study in words: its plan and its results in sentences, its tables as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.runs import BASELINE, DIFFERENCE, TransferRun, is_done
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import CORRELATION, LADDER_SUMMARY, SUMMARY
from harsanyi.analyses.granularity.target import NAMES
from harsanyi.analyses.report.words import NO_VALUE, listed, percent, points, resting_on, with_interval
from harsanyi.analyses.statistics.bootstrap import Interval

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
    """The results in sentences, the answer first: which pretraining lowers the error most, and by how much.

    Args:
        tables: of `granularity_tables`.
        error: the name of the tables' error, one of `ERRORS`.

    Returns:
        the answer with most training samples, then with fewer; what the transfer preserves; the number of
        seeds. Every other number is in the tables.
    """
    summary = tables[SUMMARY]
    sizes = sorted(set(summary["size"]), reverse=True)
    sentences = [_answer(size, summary[summary["size"] == size], error) for size in sizes]
    if LADDER_SUMMARY in tables:
        sentences += _knowledge(tables[LADDER_SUMMARY])
    seeds = int(summary.seeds.min())
    return [*sentences, resting_on(seeds, "seeds")]


def _answer(size: int, rows: pd.DataFrame, error: str) -> str:
    """The pretraining with the lowest error, beside the baseline."""
    errors, differences = (rows[rows.quantity == name] for name in ("error", DIFFERENCE))
    (baseline,) = errors[errors.kind == BASELINE].itertuples()
    pretrained = errors[(errors.kind != BASELINE) & (errors.misalignment == 0)]
    words = (
        f"With {size:,} training samples, the {error} of the baseline, which has no pretraining, is "
        f"{with_interval(baseline, _tenths)}"
    )
    if pretrained.empty:
        return words + "."
    best = pretrained.sort_values("value", kind="stable").iloc[0]
    same = (differences.kind == best.kind) & (differences.classes == best.classes)
    (less,) = differences[same & (differences.misalignment == 0)].itertuples()
    named = classes_in_words(best)
    if less.value >= 0:
        change = with_interval(less, points)
        return f"{words}, and no pretraining lowers it: the best, on {named}, changes it by {change} points."
    lower = with_interval(Interval(-less.value, -less.high, -less.low), lambda share: f"{100 * share:.1f}")
    unsure = ", which may be nothing" if less.high >= 0 else ""
    return f"{words}. Pretraining on {named} lowers it most, by {lower} percentage points{unsure}."


def classes_in_words(row: Any) -> str:
    """The pretraining classes of a row of a table.

    >>> classes_in_words(TransferRun("random", "8", 8, 60, 2)), classes_in_words(
    ...     TransferRun("columns", "fine", 10, 60, 2))
    ('8 random classes', 'the 10 classes of fine')
    """
    if row.kind == "columns":
        return f"the {row.classes:,} classes of {row.level}"
    return f"{row.classes:,} {row.kind} classes"


def _knowledge(ladder: pd.DataFrame) -> list[str]:
    """What is preserved with most samples, of the fewest and the most classes of each kind."""
    rows = ladder[
        (ladder["size"] == ladder["size"].max()) & (ladder.order == "all") & (ladder.misalignment == 0)
    ]
    rows = rows[rows.quantity == "preserved_share"]
    sentences = []
    for _, levels in rows.groupby("kind", sort=False):
        ends = levels.sort_values("classes", kind="stable").iloc[[0, -1]].drop_duplicates("classes")
        first, *others = [
            f"{with_interval(level, percent)} of what {classes_in_words(level)} taught"
            for level in ends.itertuples()
        ]
        sentences.append(f"The transfer preserves {listed([first, *others])}.")
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
