"""Tables of training runs: quantities along them, times, detours, portions, theory and succession."""

from typing import Any

import pandas as pd

from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.study import PRETRAINED, SPARSE_METHODS, Study, Track, checkpoint_of
from harsanyi.analyses.training.chances import with_chances
from harsanyi.analyses.training.claims import DETOURS, SUCCESSION
from harsanyi.analyses.training.portions import PORTIONS, portions_table
from harsanyi.analyses.training.succession import succession_table, theory_table, theory_variances
from harsanyi.analyses.training.trajectory import Trajectory, detours, time_to_reach, trajectory_table
from harsanyi.interactions import Interactions

TRAJECTORIES, TIMES, THEORY = "trajectories", "times", "theory"
# Shares of the final knowledge whose times are in the tables and in the summary.
REACHED_SHARES = (0.5, 0.9)


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
