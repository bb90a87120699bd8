"""What claims can be about in training runs: when their knowledge is there, and what is kept at the end."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.claims import change_names, change_quantities
from harsanyi.analyses.knowledge.similarity import reached_amounts
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Place, Quantity, quantities_at, require_claims, told_claims
from harsanyi.analyses.study.layout import player_count
from harsanyi.analyses.study.study import PRETRAINED, Track, checkpoint_of
from harsanyi.analyses.training.portions import portion_names, portion_quantities
from harsanyi.analyses.training.succession import CORRELATIONS
from harsanyi.analyses.training.trajectory import Trajectory, crossing
from harsanyi.interactions import Interactions

DETOURS, SUCCESSION = "detours", "succession"
# Shares of the final knowledge whose times can be claimed.
TIMES = {"half": 0.5, "nine_tenths": 0.9}
# Effects of each kind that are measured at once.
BLOCK_EFFECTS = 2**17


def require_claimed(study: Track) -> None:
    """Refuse claims about what tracked runs will not have.

    Args:
        study: its runs, players and claims.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    if not study.claims:
        return
    names, alone = [], []
    for run in study.runs:
        names += [f"{time}:{run}" for time in TIMES]
        alone += list(_places(run))
        if study.pretrained is not None:
            names += change_names(player_count(study.players), scratch=False, of=run)
        if study.portions:
            names += portion_names(run)
    require_claims(study.claims, [*names, *alone], alone=alone)


def claims_of_runs(
    run: Run, trajectories: Sequence[Trajectory], tables: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The table of claims of tracked runs, by its name; nothing for a study without claims.

    Args:
        run: a finished study of training runs.
        trajectories: its runs.
        tables: of `track_tables`.

    Returns:
        "claims" and the table of `claims_table`.
    """
    study = run.study
    assert isinstance(study, Track)
    bootstrap = Bootstrap(seed=study.seed)
    return told_claims(lambda: _quantities(run, trajectories, tables), study.claims, bootstrap=bootstrap)


def _quantities(
    run: Run, trajectories: Sequence[Trajectory], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Quantity]:
    """All quantities by name."""
    study = run.study
    assert isinstance(study, Track)
    found: dict[str, Quantity] = {}
    for one in trajectories:
        found |= _times(one, run.store.numbers)
        found |= quantities_at(_places(one.name), tables, over="inputs")
        if study.portions:
            found |= portion_quantities(one, run.store.numbers, study.threshold)
        if PRETRAINED in run.interactions:
            last = checkpoint_of(one.name, one.steps[-1])
            change = run.change_of({"before": PRETRAINED, "after": last})
            found |= change_quantities(change, run.store.numbers, of=one.name)
    return found


def _places(run: str) -> dict[str, Place]:
    """What stands in tables."""
    detour = {"series": run, "quantity": "detour_share", "kind": "both", "order": "all"}
    return {f"detour_share:{run}": Place(DETOURS, detour)} | {
        f"{name}:{run}": Place(SUCCESSION, {"series": run, "quantity": name}) for name in CORRELATIONS
    }


def _times(run: Trajectory, games: Sequence[int]) -> dict[str, Quantity]:
    """Shares of the steps of a run until so much of its end is there, as `time_to_reach` measures them."""
    sums = tuple(_reached(checkpoint, run.final) for checkpoint in run.interactions)
    steps = np.array(run.steps) / run.steps[-1]
    return {
        f"{name}:{run.name}": Quantity(
            "inputs", tuple(games), sums, statistic=partial(crossing, steps=steps, share=share)
        )
        for name, share in TIMES.items()
    }


def _reached(checkpoint: Interactions, final: Interactions) -> np.ndarray:
    """Strength of the end that a checkpoint has, by game."""
    size = max(1, BLOCK_EFFECTS >> final.n)
    blocks = [slice(start, start + size) for start in range(0, final.games, size)]
    parts = [reached_amounts(checkpoint.select(block), final.select(block))[0] for block in blocks]
    return np.concatenate([part.sum((1, 2, 3)).cpu().numpy() for part in parts])
