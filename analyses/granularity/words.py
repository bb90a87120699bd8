"""A granularity study in words: its plan and its results in sentences, its tables as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.figures import PUBLISHED_BASELINE, PUBLISHED_ERRORS, SAMPLES
from harsanyi.analyses.granularity.kinds import (
    classes_in_words,
    counted_in_words,
    kind_in_words,
    labels_in_words,
)
from harsanyi.analyses.granularity.ladder import READ_OUT
from harsanyi.analyses.granularity.run_tables import (
    DIFFERENCE,
    FITS,
    OF_DIFFERENCES,
    PRETRAIN_FIT,
    TARGET_FIT,
)
from harsanyi.analyses.granularity.runs import BASELINE, TransferRun, is_done
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import (
    CORRELATION,
    LADDER_SUMMARY,
    SUMMARY,
    of_largest_pretraining,
)
from harsanyi.analyses.granularity.target import ERRORS, NAMES
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.words import NO_VALUE, listed, percent, points, resting_on, with_interval
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words, told_apart
from harsanyi.analyses.statistics.verdict import verdict
from harsanyi.shown import number

KNOWLEDGE = {
    "preserved_share": "preserved, of before",
    "new_share": "new, of after",
    "rare_before": "rare, of before",
    "rare_after": "rare, of after",
    "rare_scratch": "rare, of baseline",
    "rare_preserved": "preserved, of rare after",
    "common_preserved": "preserved, of the rest after",
}
# Restricted prediction: every part beside every other and beside its baselines.
PARTS_ALONE = {
    "preserved_accuracy": "preserved",
    "random_like_preserved_accuracy": "as strong at random",
    "exclusive_accuracy": "exclusive",
    "new_accuracy": "new",
    "random_like_new_accuracy": "as strong as new, at random",
    "discarded_accuracy": "discarded, in the network before",
    "nothing_accuracy": "constants alone",
    "chance_accuracy": "chance",
    "everything_accuracy": "the network",
    "preserved_accuracy_difference": "preserved less its strongest baseline, points",
    "new_accuracy_difference": "new less its strongest baseline, points",
}
# The same of a regression, whose parts predict by R².
PARTS_OF_NUMBERS = {
    name.replace("accuracy", "r2"): words.removesuffix(", points") for name, words in PARTS_ALONE.items()
}
# Below this a phase is not trained out.
TRAINED_OUT = 0.9
FIT_WORDS = {PRETRAIN_FIT: "pretraining", TARGET_FIT: "target"}
ERROR_WORDS = {"error": "error", DIFFERENCE: "difference"}
HEADINGS = ERROR_WORDS | FIT_WORDS | KNOWLEDGE | PARTS_ALONE | PARTS_OF_NUMBERS


def describe_plan(study: Granularity, runs: Sequence[TransferRun]) -> list[str]:
    """The plan in words: the runs, and the number of finished runs."""
    done = sum(is_done(study, run) for run in runs)
    lines = [f"{len(runs)} runs: {done} done, {len(runs) - done} to do"]
    kinds = pd.DataFrame([vars(run) for run in runs])
    for (kind, level, classes), rows in kinds.groupby(["kind", "level", "classes"], sort=False):
        name = counted_in_words(str(kind), classes, level)
        if kind == BASELINE:
            name = f"{BASELINE}, {classes} {NAMES[study.task]}"
        lines.append(
            f"  {name}: sizes {_distinct(rows['size'])}; seeds {_distinct(rows.seed)}"
            + (f"; pretraining sizes {_distinct(rows.pretrain_size)}" if rows.pretrain_size.any() else "")
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
        ladder = of_largest_pretraining(tables[LADDER_SUMMARY])
        sentences += _knowledge(ladder) + _parts_alone(ladder)
    sentences += describe_claims(tables)
    apart = told_apart(summary, "differences to the baseline")
    seeds = int(summary.seeds.min())
    return [*sentences, *([apart] if apart else []), resting_on(seeds, "seeds")]


def findings_of(study: Granularity, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures of `figures_of` show, in words, by name.

    Args:
        study: of the tables.
        tables: of `granularity_tables`.
    """
    every, error = tables[SUMMARY], ERRORS[study.task]
    summary = of_largest_pretraining(every)
    sizes = sorted(set(summary["size"]))
    found = {
        f"Error with {size} samples": _answer(size, every[every["size"] == size], error) for size in sizes
    }
    errors = summary[summary.quantity == "error"]
    largest = errors[errors["size"] == sizes[-1]]
    if study.published:
        own = largest[(largest.kind != BASELINE) & (largest.misalignment == 0)].sort_values("classes")
        points_of = [f"{_tenths(row.value)} for {classes_in_words(row)}" for row in own.itertuples()]
        published = [f"{_tenths(value)} with {count:,}" for count, value in PUBLISHED_ERRORS.items()]
        found["Beside published points"] = (
            f"Here the {error} is {listed(points_of)}; published are {listed(published)} classes, and "
            f"{_tenths(PUBLISHED_BASELINE)} without pretraining."
        )
    for kind, rows in errors[(errors.kind != BASELINE) & (errors.misalignment == 0)].groupby("kind"):
        if len(sizes) > 1:
            found[f"Sizes for {kind_in_words(str(kind))}"] = _by_size(rows, error)
    of_last = every[(every["size"] == sizes[-1]) & (every.quantity == "error")]
    for kind, rows in of_last[of_last.misalignment == 0].groupby("kind"):
        if kind != BASELINE and len(study.pretrain_sizes) > 1:
            found[f"Pretraining sizes for {kind_in_words(str(kind))}"] = _by_size(
                rows, error, "pretrain_size"
            )
    moved = largest[largest.misalignment > 0]
    if len(study.misalignment) > 1 and len(moved):
        found[f"Misalignment with {sizes[-1]} samples"] = _by_misalignment(largest, error)
    if LADDER_SUMMARY in tables:
        ladder = of_largest_pretraining(tables[LADDER_SUMMARY])
        found["Ladders"] = " ".join(_knowledge(ladder))
        for kind, rows in ladder[ladder["size"] == sizes[-1]].groupby("kind"):
            if rows.classes.nunique() > 1:
                words = kind_in_words(str(kind))
                found[f"Ladder of {words}"] = " ".join(_knowledge(rows))
                found[f"Orders of {words}"] = _strongest_orders(rows)
    return {name: sentence for name, sentence in found.items() if sentence}


def _by_size(rows: pd.DataFrame, error: str, by: str = "size") -> str:
    """The error of the most classes, with the fewest and the most samples."""
    rows = rows[rows.classes == rows.classes.max()].sort_values(by)
    first, last = rows.iloc[0], rows.iloc[-1]
    return (
        f"With {labels_in_words(last)} the {error} is {with_interval(first, _tenths)} after "
        f"{first[by]:,} {SAMPLES[by]} and {with_interval(last, _tenths)} after {last[by]:,}."
    )


def _by_misalignment(rows: pd.DataFrame, error: str) -> str:
    """The error of each pretraining with the most labels moved, beside that with none."""
    said = []
    moved = rows[rows.misalignment == rows.misalignment.max()]
    for row in moved.itertuples():
        own = rows[(rows.kind == row.kind) & (rows.classes == row.classes) & (rows.misalignment == 0)]
        before = f" and {_tenths(own.value.iloc[0])} with none" if len(own) else ""
        said.append(f"{with_interval(row, _tenths)}{before} for {classes_in_words(row)}")
    return f"With {moved.misalignment.iloc[0]:.0%} of the labels moved, the {error} is {listed(said)}."


def _strongest_orders(ladder: pd.DataFrame) -> str:
    """The order with most strength at the end of pretraining, of the fewest and of the most classes."""
    rows = ladder[(ladder.quantity == "all_before") & (ladder.order != "all") & (ladder.misalignment == 0)]
    said = []
    for count in sorted({rows.classes.min(), rows.classes.max()}):
        level = rows[rows.classes == count]
        strongest = level.iloc[int(level.value.argmax())]
        said.append(f"order {strongest.order} of {classes_in_words(strongest)}")
    return f"Most strength has {listed(said)}."


def _answer(size: int, rows: pd.DataFrame, error: str) -> str:
    """The pretraining with the lowest error, and the baseline beside it."""
    errors, differences = (rows[rows.quantity == name] for name in ("error", DIFFERENCE))
    (baseline,) = errors[errors.kind == BASELINE].itertuples()
    pretrained = errors[(errors.kind != BASELINE) & (errors.misalignment == 0)]
    without = f"{with_interval(baseline, _tenths)} for the baseline, which has no pretraining"
    samples = f"with {size:,} training samples"
    if pretrained.empty:
        return f"The {error} {samples} is {without}."
    best: Any = pretrained.sort_values("value", kind="stable").iloc[0]
    identity = ["kind", "classes", "pretrain_size"]
    same = (differences[identity] == best[identity]).all(axis=1)
    less: Any = differences[same & (differences.misalignment == 0)].iloc[0]
    named = classes_in_words(best)
    if less.value >= 0:
        change = with_interval(less, points)
        return (
            f"No pretraining lowers the {error} {samples}: it is {without}, and the best pretraining, on "
            f"{named}, changes it by {change} points."
        )
    lower = with_interval(
        Interval(-less.value, -less.high, -less.low), lambda share: number(100 * share, ".1f")
    )
    unsure = ", which may be nothing" if less.high >= 0 else ""
    return (
        f"Pretraining on {named} lowers the {error} most {samples}: by {lower} percentage points{unsure}. It "
        f"is {without}."
    )


def not_trained_out(summary: pd.DataFrame) -> list[str]:
    """The phases whose training labels are not learned: the answer may then be one about too few epochs.

    Args:
        summary: of `summary_table`.

    Returns:
        a sentence for each phase with levels below `TRAINED_OUT`; it names the one that is trained the least.
    """
    found = []
    for quantity, phase in FIT_WORDS.items():
        rows = summary[summary.quantity == quantity]
        short = rows[rows.value < TRAINED_OUT]
        if len(short):
            least: Any = short.sort_values("value", kind="stable").iloc[0]
            found.append(
                f"Not trained out: {phase} knows {percent(least.value)} of its training labels after "
                f"{_name(least)} (1 − loss / log classes), and less than {percent(TRAINED_OUT)} in "
                f"{len(short)} of {len(rows)} rows. More epochs may change the answer."
            )
    return found


def _knowledge(ladder: pd.DataFrame) -> list[str]:
    """What is preserved with most samples, of the fewest and the most classes of each kind, like with like.

    A network's own head and a read-out have effects of different sizes: levels that answer with the one are
    not set beside levels that answer with the other.
    """
    rows = ladder[
        (ladder["size"] == ladder["size"].max()) & (ladder.order == "all") & (ladder.misalignment == 0)
    ]
    rows = rows[rows.quantity == "preserved_share"]
    sentences = []
    for _, levels in rows.groupby("kind", sort=False):
        for through_read_out, alike in levels.groupby(levels[READ_OUT].astype(bool), sort=False):
            ends = alike.sort_values("classes", kind="stable").iloc[[0, -1]].drop_duplicates("classes")
            said = [
                f"{with_interval(level, percent)} of what {classes_in_words(level)} taught"
                for level in ends.itertuples()
            ]
            how = "" if through_read_out else ", which answers with its own head and not through a read-out"
            sentences.append(f"The transfer preserves {listed(said)}{how}.")
    return sentences


def _parts_alone(ladder: pd.DataFrame) -> list[str]:
    """The accuracy of every part alone after the finest pretraining of a kind, and its baselines."""
    rows = ladder[(ladder["size"] == ladder["size"].max()) & (ladder.misalignment == 0)]
    rows = rows[rows.order == "all"]
    sentences, numbers = [], bool(rows.quantity.isin(list(PARTS_OF_NUMBERS)).any())
    names = PARTS_OF_NUMBERS if numbers else PARTS_ALONE
    what, unit = ("R² is", "of R²") if numbers else ("right answers are", "points")
    (difference,) = (
        name for name in names if name.startswith("preserved_") and name.endswith(OF_DIFFERENCES)
    )
    for _, levels in rows[rows.quantity == difference].groupby("kind", sort=False):
        finest: Any = levels.sort_values("classes", kind="stable").iloc[-1]
        same = rows[(rows.kind == finest.kind) & (rows.classes == finest.classes)].set_index("quantity")
        parts = [
            f"{name} {with_interval(same.loc[quantity], _written(quantity))}"
            for quantity, name in names.items()
            if quantity in same.index and not quantity.endswith(OF_DIFFERENCES)
        ]
        told = verdict(Interval(finest.value, finest.low, finest.high))
        gain = with_interval(finest, _written(difference))
        sentences.append(
            f"After {classes_in_words(finest)}, {what}: {listed(parts)}. That the preserved "
            f"predicts more than the strongest of its baselines {told}: {gain} {unit}."
        )
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
    errors = errors.join(_chances(summary[summary.quantity == DIFFERENCE])).fillna(NO_VALUE)
    heading = error[0].upper() + error[1:]
    words = {f"{heading} on the target, and its difference to the baseline in percentage points": errors}
    if summary.quantity.isin(FITS).any():
        fits = _wide(summary, dict.fromkeys(FITS, percent))
        words["How far both phases are trained: 1 − loss / log classes, of the training samples"] = fits
    words |= claims_in_words(tables)
    if LADDER_SUMMARY in tables:
        ladder = tables[LADDER_SUMMARY]
        shares = _wide(ladder[ladder.order == "all"], dict.fromkeys(KNOWLEDGE, percent))
        words["Knowledge: shares of salient strength, and accuracies of parts of it"] = shares
        for measure, names in (("Accuracy", PARTS_ALONE), ("R²", PARTS_OF_NUMBERS)):
            if ladder.quantity.isin(list(names)).any():
                alone = _wide(ladder[ladder.order == "all"], {name: _written(name) for name in names})
                words[f"{measure} of a part of the knowledge alone"] = alone
        outcome = "accuracy" if (tables[CORRELATION].y == "accuracy").any() else error
        heading = f"Correlation of knowledge with {outcome} on the target, over runs"
        words[heading] = _correlation(tables[CORRELATION])
    return words


def _correlation(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each quantity, with both coefficients."""
    texts = table.assign(
        knowledge=[HEADINGS.get(str(x), str(x)) for x in table.x],
        text=[
            f"{with_interval(row, '.2f')}; p {p_in_words(p)}, corrected {p_in_words(q)}"
            for row, p, q in zip(table.itertuples(), table[P], table[CORRECTED], strict=True)
        ],
    )
    return texts.pivot(
        index=["knowledge", "points", "clusters"], columns="coefficient", values="text"
    ).reset_index(["points", "clusters"])


def _wide(table: pd.DataFrame, formats: Mapping[str, str | Callable[[float], str]]) -> pd.DataFrame:
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


def _chances(differences: pd.DataFrame) -> pd.DataFrame:
    """p of the differences, and p corrected for their number."""
    names = [_name(row) for row in differences.itertuples()]
    columns = {"p": P, "p, corrected": CORRECTED}
    return pd.DataFrame(
        {heading: list(map(p_in_words, differences[name])) for heading, name in columns.items()}, names
    )


def _name(row: Any) -> str:
    """The name of a row of a summary in the report."""
    named = BASELINE if row.kind == BASELINE else counted_in_words(row.kind, row.classes, row.level)
    moved = f", {row.misalignment:.0%} moved" if row.misalignment else ""
    pretrained = f", pretrained on {row.pretrain_size:,}" if row.pretrain_size else ""
    return f"{named}{moved}{pretrained}, {row.size:,} samples"


def _distinct(values: pd.Series) -> str:
    return " ".join(f"{value:g}" for value in dict.fromkeys(values))


def _written(quantity: str) -> str | Callable[[float], str]:
    """How to write how right a part is, or a difference of that."""
    difference = quantity.endswith(OF_DIFFERENCES)
    if "_r2" in quantity:
        return "+.2f" if difference else ".2f"
    return points if difference else percent


def _tenths(share: float) -> str:
    return number(share, ".1%")
