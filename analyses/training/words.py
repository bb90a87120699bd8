"""Training runs in sentences and tables of text."""

import math
from collections.abc import Mapping

import pandas as pd

from harsanyi.analyses.knowledge.amounts import orders_of, total_row
from harsanyi.analyses.report.words import listed, percent, resting_on, with_interval
from harsanyi.analyses.run.cautions import crossing_zero
from harsanyi.analyses.run.notes import starts_untrained
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words
from harsanyi.analyses.study.networks import series_of
from harsanyi.analyses.study.study import PRETRAINED
from harsanyi.analyses.training.claims import DETOURS, SUCCESSION
from harsanyi.analyses.training.portions import PORTIONS, accuracies_by_portion, describe_portions
from harsanyi.analyses.training.succession import CORRELATIONS, LEAST_RANKS
from harsanyi.analyses.training.tables import REACHED_SHARES, TIMES, TRAJECTORIES
from harsanyi.analyses.training.trajectory import LEAST_SHARE, hardly_there
from harsanyi.shown import counted


def describe_track(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The results in sentences: times, detours, preserved knowledge, succession of orders."""
    sentences = []
    for name in dict.fromkeys(tables[TRAJECTORIES].series):
        half, nine_tenths = (
            with_interval(total_row(tables[TIMES], series=name, share=share), percent, of="fraction")
            for share in REACHED_SHARES
        )
        lost = with_interval(total_row(tables[DETOURS], series=name, quantity="detour_share"), percent)
        sentences.append(
            f"{name} has half of its final knowledge after {half} of its steps, and nine tenths after "
            f"{nine_tenths}. Of the strength that it gains, it loses {lost} again."
        )
    if PORTIONS in tables:
        of_portions = [*describe_portions(tables[PORTIONS]).values()]
        sentences = [*of_portions, *accuracies_by_portion(tables[TRAJECTORIES]), *sentences]
    sentences += _preserved_at_the_end(tables[TRAJECTORIES])
    if SUCCESSION in tables:
        sentences += _successions(tables[SUCCESSION])
    games = int(tables[TIMES].games.iloc[0])
    return [*sentences, resting_on(games, "inputs")]


def findings_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figures of tracked runs show, a sentence each, by name."""
    along, found = tables[TRAJECTORIES], {}
    alike, halves = [], []
    for name in dict.fromkeys(along.series):
        rows = along[(along.series == name) & (along.quantity == "similarity_own")]
        first = total_row(rows[rows.step == rows.step.min()])
        alike.append(f"{with_interval(first, '.2f')} in {name}")
        half = total_row(tables[TIMES], series=name, share=REACHED_SHARES[0])
        halves.append(f"{with_interval(half, percent, of='fraction')} of {name}")
    found["Similarity to the end"] = f"The first checkpoint's similarity to the end is {listed(alike)}."
    found["When half is reached"] = f"Half of the final knowledge is there after {listed(halves)}."
    kept = dict(zip(_series_with(along, "preserved_share"), _preserved_at_the_end(along), strict=True))
    successions = tables.get(SUCCESSION)
    phases = (
        {}
        if successions is None
        else dict(zip(dict.fromkeys(successions.series), _successions(successions), strict=True))
    )
    of_portions = describe_portions(tables[PORTIONS]) if PORTIONS in tables else {}
    for name in dict.fromkeys(along.series):
        sentences = {
            f"Kept and new in {name}": kept.get(name),
            f"Orders of {name}": _peaks(along, name),
            f"Two phases of {name}": phases.get(name),
            f"From portion to portion of {name}": of_portions.get(name),
        }
        found |= {figure: sentence for figure, sentence in sentences.items() if sentence}
    return found


def unknown_signs(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A warning of correlations with the order whose interval holds zero."""
    if SUCCESSION not in tables:
        return []
    rows = tables[SUCCESSION]
    rows = rows[(rows.quantity == CORRELATIONS[0]) & (rows.low <= 0) & (rows.high >= 0)]
    return crossing_zero(list(rows.series), of="correlation of order and step")


def times_in_words(times: pd.DataFrame) -> pd.DataFrame:
    """The times of each run and share as text, orders down, runs and shares across."""
    both = times[times.kind == "both"]
    cells = both.assign(
        column=both.series + ", " + both.share.map("{:.0%}".format),
        text=[
            with_interval(row, percent, of="fraction") + (" (hardly there)" if faint else "")
            for (_, row), faint in zip(both.iterrows(), hardly_there(both), strict=True)
        ],
    )
    wide = cells.pivot(index="order", columns="column", values="text")
    return wide.loc[orders_of(cells), list(dict.fromkeys(cells.column))]


def untrained_starts(run: Run) -> list[str]:
    """What a newly drawn head at the first step does to the shares of a run, where it has one.

    Args:
        run: a finished study of training runs.

    Returns:
        a sentence for each run that starts no better than by chance; none without a pretrained network.
    """
    facts = run.facts
    if PRETRAINED not in run.interactions:
        return []
    held_out = [row for row in facts.performance if row.split == "held out"]
    first = {series_of(row.network): row for row in reversed(held_out)}
    head = "a read-out that was fitted" if PRETRAINED in facts.read_outs else "a head that was trained"
    return [
        f"{row.network} is right for {row.accuracy:.0%} of {row.inputs} inputs, as a newly drawn head would "
        f"be, and {PRETRAINED} has {head}. Where {series_of(row.network)} preserves little at first and more "
        "later, its head is learned: compare its later steps with each other."
        for row in first.values()
        if starts_untrained(row, facts)
    ]


def _series_with(along: pd.DataFrame, quantity: str) -> list[str]:
    return list(dict.fromkeys(along[along.quantity == quantity].series))


def _peaks(along: pd.DataFrame, name: str) -> str | None:
    """At which step the lowest and the highest order are strongest."""
    rows = along[(along.series == name) & (along.quantity == "strength") & (along.kind == "both")]
    orders = [
        order
        for order in orders_of(rows)
        if order != "all" and rows[rows.order == order].value.max() > LEAST_SHARE * rows.value.max()
    ]
    if len(orders) < 2:
        return None
    first, last = (
        rows[rows.order == order].sort_values("value").iloc[-1].step for order in (orders[0], orders[-1])
    )
    return f"Order {orders[0]} is strongest at step {first:,}, order {orders[-1]} at step {last:,}."


def _preserved_at_the_end(along: pd.DataFrame) -> list[str]:
    """The preserved share of the pretrained knowledge at the end of each run."""
    sentences = []
    for name in _series_with(along, "preserved_share"):
        rows = along[along.series == name]
        last = rows[rows.step == rows[rows.quantity == "preserved_share"].step.max()]
        preserved, new = (total_row(last, quantity=f"{part}_share") for part in ("preserved", "new"))
        if preserved.value == 1 and new.value == 0:
            sentences.append(
                f"{name} ends with exactly the salient interactions of the pretrained network, as it does "
                "where both are the same checkpoint: its steps say how it came to them, and nothing of what "
                "is kept."
            )
        else:
            sentences.append(
                f"At the end of {name}, {with_interval(preserved, percent)} of the pretrained network's "
                "salient strength is preserved."
            )
    return sentences


def _successions(successions: pd.DataFrame) -> list[str]:
    """Whether low orders come first in each run, and in theory."""
    return [_succession(str(name), rows) for name, rows in successions.groupby("series", sort=False)]


def _succession(name: str, rows: pd.DataFrame) -> str:
    """Whether low orders come first in a run, and in theory; or why that cannot be said."""
    steps = rows[rows.quantity == "step"]
    left_out, reached = _left_out(steps), steps.value[~hardly_there(steps)].dropna()
    if len(reached) < LEAST_RANKS:
        have = "has" if len(reached) == 1 else "have"
        return (
            f"In {name}, {counted(len(reached), 'order')} {have} strength at the end: too few to say whether "
            f"low orders come first, which takes {LEAST_RANKS}.{left_out}"
        )
    if reached.nunique() == 1:
        return f"In {name}, half of each order is reached at the same step: none comes first.{left_out}"
    run, theory, both = (_with_chance(rows[rows.quantity == quantity].iloc[0]) for quantity in CORRELATIONS)
    return (
        f"In {name}, the rank correlation of an order and the step at which half of it is reached is "
        f"{run}, in theory {theory}. The rank correlation of the run's steps with the succession of "
        f"theory is {both}.{left_out}"
    )


def _with_chance(row: pd.Series) -> str:
    """A rank correlation with its interval, and how rarely chance alone would give it."""
    found = with_interval(row, ".2f")
    if math.isnan(row.get(P, math.nan)):
        return found
    return f"{found} (p {p_in_words(row[P])}, corrected {p_in_words(row[CORRECTED])})"


def _left_out(steps: pd.DataFrame) -> str:
    """Which orders hardly exist."""
    orders = list(steps.order[hardly_there(steps)])
    if not orders:
        return ""
    least = float(steps.get("least_share", pd.Series([LEAST_SHARE])).iloc[0])
    below = f"less than {percent(least)} of the strength at the end"
    below += ", which the split's noise alone may make" if least > LEAST_SHARE else ""
    if len(orders) == 1:
        return f" Order {orders[0]} has {below}, and is not counted."
    return f" Orders {listed(orders)} each have {below}, and are not counted."
