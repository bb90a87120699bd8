"""Tracking: checkpoints of training runs → value tables → trajectories → figures and report."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.amounts import orders_of, total_row
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import intervals_over, listed, percent, resting_on, with_interval
from harsanyi.analyses.run.cautions import cautions, crossing_zero
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.exploring import explorer_of
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import command_of, methods_of
from harsanyi.analyses.run.notes import (
    alarms,
    approximations,
    method_facts,
    method_notes,
    network_facts,
    read_out_lines,
    reading_lines,
    starts_untrained,
)
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.run.watched import watched_run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words
from harsanyi.analyses.study.networks import series_of
from harsanyi.analyses.study.study import PRETRAINED, SPARSE_METHODS, Study, Track, checkpoint_of
from harsanyi.analyses.training.chances import with_chances
from harsanyi.analyses.training.claims import (
    DETOURS,
    SUCCESSION,
    claims_of_runs,
    require_claimed,
)
from harsanyi.analyses.training.figures import (
    plot_orders_over_training,
    plot_reached,
    plot_shares_over_training,
    plot_times_to_reach,
)
from harsanyi.analyses.training.portions import (
    PORTIONS,
    accuracies_by_portion,
    describe_portions,
    portion_figures,
    portions_table,
)
from harsanyi.analyses.training.succession import (
    CORRELATIONS,
    LEAST_RANKS,
    succession_table,
    theory_table,
    theory_variances,
)
from harsanyi.analyses.training.theory_figures import draw_two_phases
from harsanyi.analyses.training.trajectory import (
    LEAST_SHARE,
    Trajectory,
    detours,
    hardly_there,
    time_to_reach,
    trajectory_table,
)
from harsanyi.interactions import Interactions
from harsanyi.shown import counted
from harsanyi.writing import alone_in_its_folder

TRAJECTORIES, TIMES, THEORY = "trajectories", "times", "theory"
# Shares of the final knowledge whose times are in the tables and in the summary.
REACHED_SHARES = (0.5, 0.9)


@alone_in_its_folder
def track(study: Track, *, progress: bool = True) -> list[str]:
    """Follow the knowledge along training runs: of their checkpoints, or of what callbacks wrote as they ran.

    Writes into `study.out` the files of `compute`; trajectories, times, detours, theory and succession as
    .csv and .h5; figures and report.html.

    Args:
        study: the runs and the settings of the analysis.
        progress: whether to show progress bars.

    Returns:
        the summary, a sentence each.
    """
    study.require_sense()
    require_claimed(study)
    run = watched_run(study) or compute(study, progress=progress)
    trajectories = trajectories_of(run)
    tables = track_tables(run, trajectories)
    tables |= claims_of_runs(run, trajectories, tables)
    figures = track_figures(run, trajectories, tables)
    first, *others = [*describe_track(tables), *describe_claims(tables)]
    report = Report(
        title=f"{study.model}: knowledge along {listed(list(study.runs))}",
        headline=first,
        summary=[*others, *untrained_starts(run), *reading_lines(run.facts)],
        warnings=[*cautions(run), *_unknown_signs(tables), *approximations(run)],
        methods=methods_of(run, compared=PRETRAINED in run.interactions),
        again=command_of(run),
        explorer=explorer_of(run),
        facts=_facts(run) | method_facts(run) | network_facts(run),
        tables=claims_in_words(tables)
        | {"Share of the run until 50% and 90% of the final knowledge": _times_in_words(tables[TIMES])},
        figures=figures,
        findings=_findings(run, tables),
        notes=[
            "Intervals are over the inputs. They do not cover other runs of the same recipe.",
            f"Orders with less than {LEAST_SHARE:.0%} of the strength at the end, or than δ, by which a "
            "split with noise may miss each score, hardly exist: they are grey, and not in rank "
            "correlations.",
            "p of a rank correlation is the share of permutations of the orders that are as far from 0, "
            "exact for up to seven orders; corrected (Benjamini–Hochberg) for the number of correlations.",
            "Steps are read from the names of the checkpoints. Changes between two checkpoints do not show.",
            "Theory has AND interactions only: beside it, the effects of the run are counted as dividends, "
            "an OR as those of its subsets. It predicts a succession, not steps, and nothing about the first "
            "phase, in which the interactions of the start disappear.",
            *method_notes(run),
        ],
    )
    publish(study.out, tables, report)
    return [
        *alarms(run.facts),
        *left_out(run.store),
        first,
        *others,
        *untrained_starts(run),
        *read_out_lines(run.facts),
        *approximations(run),
    ]


def _findings(run: Run, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
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


def _unknown_signs(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A warning of correlations with the order whose interval holds zero."""
    if SUCCESSION not in tables:
        return []
    rows = tables[SUCCESSION]
    rows = rows[(rows.quantity == CORRELATIONS[0]) & (rows.low <= 0) & (rows.high >= 0)]
    return crossing_zero(list(rows.series), of="correlation of order and step")


def trajectories_of(run: Run) -> list[Trajectory]:
    """The runs of a study, from their checkpoints' interactions."""
    study = run.study
    assert isinstance(study, Track)
    return [
        Trajectory(
            name,
            tuple(checkpoint.step for checkpoint in checkpoints),
            tuple(run.interactions[checkpoint_of(name, checkpoint.step)] for checkpoint in checkpoints),
        )
        for name, checkpoints in study.runs.items()
    ]


def track_tables(run: Run, trajectories: list[Trajectory]) -> dict[str, pd.DataFrame]:
    """All tables: quantities along the runs with accuracy and loss, times, detours, theory and succession."""
    study = run.study
    tables = knowledge_tables(
        trajectories,
        run.interactions.get(PRETRAINED),
        study.threshold,
        Bootstrap(seed=study.seed),
        noise=noise_of(study),
    )
    along = pd.concat([tables[TRAJECTORIES], *_performance_rows(run)], ignore_index=True)
    assert isinstance(study, Track)
    return tables | {TRAJECTORIES: along} | (_portion_tables(run, trajectories) if study.portions else {})


def _portion_tables(run: Run, trajectories: list[Trajectory]) -> dict[str, pd.DataFrame]:
    """What is kept and new from portion to portion, of all runs."""
    options: Any = {"threshold": run.study.threshold, "bootstrap": Bootstrap(seed=run.study.seed)}
    return {PORTIONS: pd.concat([portions_table(one, **options) for one in trajectories], ignore_index=True)}


def knowledge_tables(
    trajectories: list[Trajectory],
    pretrained: Interactions | None,
    threshold: float,
    bootstrap: Bootstrap,
    *,
    noise: float = 0.0,
) -> dict[str, pd.DataFrame]:
    """The tables of `track_tables` that follow from interactions alone.

    Args:
        trajectories: of `trajectories_of`.
        pretrained: the network before, for each checkpoint; None without one.
        threshold: of salience.
        bootstrap: of the intervals.
        noise: of `noise_of`; orders that are no stronger than what a split may miss have no rank.

    Returns:
        the tables by name.
    """
    along = trajectory_table(trajectories, pretrained, threshold=threshold, bootstrap=bootstrap)
    times = [
        time_to_reach(trajectory, share, tolerance=tolerance_of(trajectory, noise), bootstrap=bootstrap)
        for trajectory in trajectories
        for share in REACHED_SHARES
    ]
    losses = [detours(trajectory, bootstrap=bootstrap) for trajectory in trajectories]
    return {
        TRAJECTORIES: along,
        TIMES: pd.concat(times, ignore_index=True),
        DETOURS: pd.concat(losses, ignore_index=True),
        **_two_phase_tables(trajectories, noise, bootstrap),
    }


def noise_of(study: Study) -> float:
    """What a split may miss of each game, as a share of |v(N) − v(∅)|; 0 for exact splits."""
    return study.noise if study.method in SPARSE_METHODS else 0.0


def tolerance_of(trajectory: Trajectory, noise: float) -> float:
    """δ = noise · |v(N) − v(∅)| of the end of a run, summed over its games.

    Args:
        trajectory: one of the runs.
        noise: of `noise_of`.
    """
    ranges = (float((end.v[:, -1] - end.v[:, 0]).abs().sum()) for end in trajectory.final.blocks())
    return noise * sum(ranges) if noise else 0.0


def _two_phase_tables(
    trajectories: list[Trajectory], noise: float, bootstrap: Bootstrap
) -> dict[str, pd.DataFrame]:
    """Runs beside the theory of two-phase learning; without runs whose end has no interactions."""
    theories, successions = [], []
    for trajectory in trajectories:
        if any(end.effects.any() for end in trajectory.final.blocks()):
            variances = theory_variances(trajectory.final)
            theories.append(theory_table(trajectory, variances, bootstrap=bootstrap))
            tolerance = tolerance_of(trajectory, noise)
            successions.append(
                succession_table(trajectory, variances, tolerance=tolerance, bootstrap=bootstrap)
            )
    if not theories:
        return {}
    return {
        THEORY: pd.concat(theories, ignore_index=True),
        SUCCESSION: with_chances(pd.concat(successions, ignore_index=True)),
    }


def performance_by_step(run: Run) -> pd.DataFrame:
    """Accuracy and loss of the checkpoints: columns series, step, split, inputs, accuracy, loss."""
    table = run.performance
    table = table[table.network.str.contains("@", regex=False)]
    named = [network.partition("@") for network in table.network]
    table = table.assign(series=[name for name, _, _ in named], step=[int(step) for *_, step in named])
    return table[["series", "step", "split", "inputs", "accuracy", "loss"]]


def _performance_rows(run: Run) -> list[pd.DataFrame]:
    """Accuracy and loss as rows of the trajectory table, where they are known; `games` counts the inputs."""
    table = performance_by_step(run)
    if table.empty:
        return []
    rows = []
    for quantity in ("accuracy", "loss"):
        long = table.assign(quantity=quantity + " " + table.split, kind="both", order="all")
        rows.append(long.rename(columns={quantity: "value", "inputs": "games"}))
    columns = ["series", "step", "quantity", "kind", "order", "value", "games"]
    return [part[columns] for part in rows]


def track_figures(
    run: Run, trajectories: list[Trajectory], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """Draw the figures of tracked runs.

    Args:
        run: a finished study of training runs.
        trajectories: of `trajectories_of`.
        tables: of `track_tables`.

    Returns:
        the figures by caption, whose words before the colon are the name of the file.
    """
    along, times = tables[TRAJECTORIES], tables[TIMES]
    games = trajectories[0].final.games
    whiskers = f"whiskers: {intervals_over(games, 'inputs', of='anything else')}"
    figures = {
        "Reached: how much of what a run has at its end is already there; dotted lines at 50% and 90%, "
        f"bands: {intervals_over(games, 'inputs')}": plot_reached(along),
        "Similarity to the end: what a checkpoint has and the end has not counts against it here, not above; "
        "the gap between the two figures is what the run still loses": plot_reached(along, "similarity_own"),
        f"When half is reached: by order; {whiskers}": plot_times_to_reach(
            times[times.share == REACHED_SHARES[0]]
        ),
    }
    performance = performance_by_step(run)
    for name in (trajectory.name for trajectory in trajectories):
        if PRETRAINED in run.interactions:
            figures[
                f"Kept and new in {name}: preserved and discarded share of the pretrained network's "
                "strength, new share of the checkpoint's strength"
            ] = plot_shares_over_training(along, name)
        (one,) = (each for each in trajectories if each.name == name)
        figures[f"Orders of {name}: salient strength of each order, relative to its maximum"] = (
            plot_orders_over_training(along, name, tolerance=tolerance_of(one, noise_of(run.study)) / games)
        )
    drawn = {caption: figure_of(ax) for caption, ax in figures.items()}
    if PORTIONS in tables:
        drawn |= portion_figures(tables[PORTIONS])
    if THEORY in tables:
        for name in dict.fromkeys(tables[THEORY].series):
            drawn[
                f"Two phases of {name}: strength of the dividends by order, in the run (left) and in theory "
                "while noise falls (right); below, the loss, and when half of each order is reached, a dot "
                f"beside the number of the order; {whiskers}"
            ] = draw_two_phases(tables[THEORY], tables[SUCCESSION], performance, name)
    return drawn


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


def _times_in_words(times: pd.DataFrame) -> pd.DataFrame:
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


def _facts(run: Run) -> dict[str, str]:
    """The pretrained network and the checkpoints of each run."""
    study = run.study
    assert isinstance(study, Track)
    runs = {
        f"run {name}": f"{len(checkpoints)} checkpoints, steps {checkpoints[0].step} to "
        f"{checkpoints[-1].step} of {checkpoints[0].path.parent}"
        for name, checkpoints in study.runs.items()
    }
    return {"pretrained": study.pretrained or "none"} | runs
