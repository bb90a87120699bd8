"""Tracking: checkpoints of training runs → value tables → trajectories → figures and report."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import intervals_over, listed
from harsanyi.analyses.run.cautions import cautions
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
)
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.run.watched import watched_run
from harsanyi.analyses.study.study import PRETRAINED, Track
from harsanyi.analyses.training.claims import SUCCESSION, claims_of_runs, require_claimed
from harsanyi.analyses.training.figures import (
    plot_orders_over_training,
    plot_reached,
    plot_shares_over_training,
    plot_times_to_reach,
)
from harsanyi.analyses.training.portions import PORTIONS, portion_figures
from harsanyi.analyses.training.tables import (
    REACHED_SHARES,
    THEORY,
    TIMES,
    TRAJECTORIES,
    noise_of,
    performance_by_step,
    tolerance_of,
    track_tables,
    trajectories_of,
)
from harsanyi.analyses.training.theory_figures import draw_two_phases
from harsanyi.analyses.training.trajectory import LEAST_SHARE, Trajectory
from harsanyi.analyses.training.words import (
    describe_track,
    findings_of,
    times_in_words,
    unknown_signs,
    untrained_starts,
)
from harsanyi.writing import alone_in_its_folder


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
        warnings=[*cautions(run), *unknown_signs(tables), *approximations(run)],
        methods=methods_of(run, compared=PRETRAINED in run.interactions),
        again=command_of(run),
        explorer=explorer_of(run),
        facts=_facts(run) | method_facts(run) | network_facts(run),
        tables=claims_in_words(tables)
        | {"Share of the run until 50% and 90% of the final knowledge": times_in_words(tables[TIMES])},
        figures=figures,
        findings=findings_of(tables),
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
