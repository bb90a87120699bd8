"""Tracking: value tables of every checkpoint of training runs → trajectories → figures and report."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import whole
from harsanyi.analyses.knowledge.amounts import orders_of, total_row
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.report.words import listed, percent, with_interval
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.notes import approximations, method_facts, method_notes
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.study import PRETRAINED, Track, checkpoint_of
from harsanyi.analyses.training.figures import (
    plot_orders_over_training,
    plot_reached,
    plot_shares_over_training,
    plot_times_to_reach,
)
from harsanyi.analyses.training.succession import (
    CORRELATIONS,
    succession_table,
    telling_variances,
    theory_beside,
)
from harsanyi.analyses.training.theory_figures import draw_two_phases
from harsanyi.analyses.training.trajectory import Trajectory, detours, time_to_reach, trajectory_table

TRAJECTORIES, TIMES, DETOURS = "trajectories", "times", "detours"
THEORY, SUCCESSION = "theory", "succession"
# When a run is said to have got somewhere.
REACHED = (0.5, 0.9)


def track(study: Track, *, progress: bool = True) -> list[str]:
    """Follow training runs; returns the summary in words.

    Writes into `study.out` what `compute` does, and trajectories, times, detours, theory and succession as
    .csv and .h5, figures and report.html.
    """
    run = compute(study, progress=progress)
    trajectories = trajectories_of(run)
    tables = track_tables(run, trajectories)
    figures = track_figures(run, trajectories, tables)
    summary = [*describe_track(tables), *approximations(run)]
    publish(
        study.out,
        tables,
        title=f"{study.model}: knowledge along {listed(list(study.runs))}",
        summary=summary,
        facts=_facts(run) | method_facts(run) | run.facts,
        tables={"Until the final knowledge is reached, share of the run": _times_in_words(tables[TIMES])},
        figures=figures,
        notes=[
            "Intervals resample the inputs; they say nothing about other runs of the same recipe.",
            "Steps are those in the checkpoints' names; what comes and goes between two of them is not seen.",
            "Theory is of AND interactions alone: beside it, the run's effects are counted as dividends, an "
            "OR as those of all its subsets. It tells a succession, no steps, and nothing of the first "
            "phase, in which what was there at the start goes.",
            *method_notes(run),
        ],
    )
    return summary


def trajectories_of(run: Run) -> list[Trajectory]:
    """The runs of a study, from their checkpoints' interactions."""
    study = run.study
    assert isinstance(study, Track)
    return [
        Trajectory(
            name,
            tuple(one.step for one in checkpoints),
            tuple(run.interactions[checkpoint_of(name, one.step)] for one in checkpoints),
        )
        for name, checkpoints in study.runs.items()
    ]


def track_tables(run: Run, trajectories: list[Trajectory]) -> dict[str, pd.DataFrame]:
    """All that is measured: along the runs with accuracy and loss, when the end is reached, and detours."""
    study = run.study
    pretrained = run.interactions.get(PRETRAINED)
    bootstrap = Bootstrap(seed=study.seed)
    along = trajectory_table(trajectories, pretrained, threshold=study.threshold, bootstrap=bootstrap)
    times = [time_to_reach(one, share, bootstrap=bootstrap) for one in trajectories for share in REACHED]
    return {
        TRAJECTORIES: pd.concat([along, *_performance_rows(run)], ignore_index=True),
        TIMES: pd.concat(times, ignore_index=True),
        DETOURS: pd.concat([detours(one, bootstrap=bootstrap) for one in trajectories], ignore_index=True),
        **_two_phase_tables(trajectories, bootstrap),
    }


def _two_phase_tables(trajectories: list[Trajectory], bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The runs beside the theory of two-phase learning; without those that end with no interactions."""
    beside, when = [], []
    for one in trajectories:
        if one.final.effects.any():
            variances = telling_variances(one.final)
            beside.append(theory_beside(one, variances, bootstrap=bootstrap))
            when.append(succession_table(one, variances, bootstrap=bootstrap))
    if not beside:
        return {}
    return {
        THEORY: pd.concat(beside, ignore_index=True),
        SUCCESSION: pd.concat(when, ignore_index=True),
    }


def performance_by_step(run: Run) -> pd.DataFrame:
    """Accuracy and loss of each run's checkpoints: columns series, step, split, inputs, accuracy, loss."""
    table = run.performance
    table = table[table.network.str.contains("@", regex=False)]
    named = [network.partition("@") for network in table.network]
    table = table.assign(series=[name for name, _, _ in named], step=[int(step) for *_, step in named])
    return table[["series", "step", "split", "inputs", "accuracy", "loss"]]


def _performance_rows(run: Run) -> list[pd.DataFrame]:
    """The same as rows of the trajectory table, if there are any; `games` counts the inputs."""
    table = performance_by_step(run)
    if table.empty:
        return []
    rows = []
    for quantity in ("accuracy", "loss"):
        named = table.assign(quantity=quantity + " " + table.split, kind="both", order="all")
        rows.append(named.rename(columns={quantity: "value", "inputs": "games"}))
    columns = ["series", "step", "quantity", "kind", "order", "value", "games"]
    return [part[columns] for part in rows]


def track_figures(
    run: Run, trajectories: list[Trajectory], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """The figures of tracked runs by caption; what stands before the colon names the file."""
    along, times = tables[TRAJECTORIES], tables[TIMES]
    figures = {
        "Reached: how much of its own final knowledge each run has, by the share of the run; bands are 95% "
        "bootstrap intervals over inputs": plot_reached(along),
        "Similarity to the end: Σ min / Σ max of the effects, split by sign": plot_reached(
            along, "similarity_own"
        ),
        "When half is reached: by order, with intervals": plot_times_to_reach(
            times[times.share == REACHED[0]]
        ),
    }
    performance = performance_by_step(run)
    for one in trajectories:
        name = one.name
        if PRETRAINED in run.interactions:
            figures[
                f"Kept and new in {name}: shares of the pretrained network's strength that is preserved and "
                "discarded, and of the checkpoint's own that is new"
            ] = plot_shares_over_training(along, name)
        figures[f"Orders of {name}: salient strength of each order, its most along the run set to 1"] = (
            plot_orders_over_training(along, name)
        )
    drawn = {caption: whole(ax) for caption, ax in figures.items()}
    if THEORY in tables:
        for name in dict.fromkeys(tables[THEORY].series):
            drawn[
                f"Two phases of {name}: strength of the dividends by order, in the run (left) and as theory "
                "expects it while noise falls (right); below, the loss, and when half of each order is there"
            ] = draw_two_phases(tables[THEORY], tables[SUCCESSION], performance, name)
    return drawn


def describe_track(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What was found, in plain sentences."""
    sentences = []
    for name in dict.fromkeys(tables[TRAJECTORIES].series):
        half, most = (
            with_interval(total_row(tables[TIMES], series=name, share=share), percent, of="fraction")
            for share in REACHED
        )
        lost = with_interval(total_row(tables[DETOURS], series=name, quantity="detour_share"), percent)
        sentences.append(
            f"{name} has half of its final knowledge after {half} of its steps and nine tenths after {most}; "
            f"it loses {lost} of what it learns again."
        )
    sentences += _kept_at_the_end(tables[TRAJECTORIES])
    if SUCCESSION in tables:
        sentences += _successions(tables[SUCCESSION])
    games = int(tables[TIMES].games.iloc[0])
    return [*sentences, f"This rests on {games} inputs; brackets hold bootstrap intervals over them."]


def _kept_at_the_end(along: pd.DataFrame) -> list[str]:
    """What of the pretrained knowledge is there at the end of each run."""
    sentences = []
    kept = along[along.quantity == "preserved_share"]
    for name, rows in kept.groupby("series", sort=False):
        last = rows[rows.step == rows.step.max()]
        preserved = with_interval(total_row(last), percent)
        sentences.append(
            f"At the end of {name}, {preserved} of the pretrained network's salient strength is there."
        )
    return sentences


def _successions(when: pd.DataFrame) -> list[str]:
    """Whether low orders come first in each run, and whether theory says so."""
    sentences = []
    for name, rows in when.groupby("series", sort=False):
        run, theory, both = (
            with_interval(rows[rows.quantity == quantity].iloc[0], "{:.2f}".format)
            for quantity in CORRELATIONS
        )
        sentences.append(
            f"In {name}, the rank correlation between an order and the step at which half of it is there is "
            f"{run}, in theory {theory}; that of the run's steps with the theory's succession is {both}."
        )
    return sentences


def _times_in_words(times: pd.DataFrame) -> pd.DataFrame:
    """When each run has reached each share, orders down, runs and shares across."""
    both = times[times.kind == "both"]
    cells = both.assign(
        column=both.series + ", " + both.share.map("{:.0%}".format),
        text=[with_interval(row, percent, of="fraction") for _, row in both.iterrows()],
    )
    wide = cells.pivot(index="order", columns="column", values="text")
    return wide.loc[orders_of(cells), list(dict.fromkeys(cells.column))]


def _facts(run: Run) -> dict[str, str]:
    study = run.study
    assert isinstance(study, Track)
    runs = {
        f"run {name}": f"{len(checkpoints)} checkpoints, steps {checkpoints[0].step} to "
        f"{checkpoints[-1].step} of {checkpoints[0].path.parent}"
        for name, checkpoints in study.runs.items()
    }
    return {"pretrained": study.pretrained or "none"} | runs
