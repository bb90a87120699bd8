"""Trajectories: what happens to knowledge along a training run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.knowledge.amounts import (
    Parts,
    Quantities,
    amounts_table,
    by_order,
    group_labels,
    group_sums,
    require_same_games,
    split_by_sign,
)
from harsanyi.analyses.knowledge.change import SHARE_AMOUNTS, compare
from harsanyi.analyses.knowledge.similarity import reached_amounts, similarity_amounts
from harsanyi.analyses.statistics.bootstrap import Bootstrap, bootstrap_intervals
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions


@dataclass(frozen=True)
class Trajectory:
    """The interactions of a run's checkpoints on the same games.

    Attributes:
        name: of the run.
        steps: of training, one a checkpoint, rising from 0 or later; two at least.
        interactions: one a step.
    """

    name: str
    steps: tuple[int, ...]
    interactions: tuple[Interactions, ...]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.interactions) or len(self.steps) < 2:
            raise ValueError(
                f"expected two checkpoints or more of run {self.name!r}, with a step each; got "
                f"{len(self.interactions)} Interactions and {len(self.steps)} steps"
            )
        if any(later <= earlier for earlier, later in pairwise((-1, *self.steps))):
            raise ValueError(f"expected rising steps of run {self.name!r}, from 0 or later; got {self.steps}")
        require_same_games(
            {f"step {step}": one for step, one in zip(self.steps, self.interactions, strict=True)}
        )

    @property
    def final(self) -> Interactions:
        return self.interactions[-1]


def trajectory_table(
    trajectories: Sequence[Trajectory],
    pretrained: Interactions | None = None,
    *,
    threshold: float = SALIENT_THRESHOLD,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """What runs know at each checkpoint: how much, how much of it from before, how near to the end.

    Quantities: strength, Σ|I| of salient interactions; salient_count; against `pretrained`, what
    `compare(pretrained, checkpoint).table()` says for both signs: preserved, discarded, new, preserved_share,
    discarded_share, new_share; similarity_own, `similarity` to the run's own last checkpoint, and
    similarity_NAME to that of run NAME; `reached` of the own last checkpoint. Strengths are means a game, in
    the unit of the score; shares are ratios of sums over games, NaN where there is nothing to share.

    Args:
        trajectories: runs of different names on the same games; their steps may differ.
        pretrained: the network that the runs start from, or are to be compared with, on those games.
        threshold: of salience, in each checkpoint by itself.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, step, quantity, kind ("and", "or", "both"), order ("1" … "n", "all"), value, low, high,
        games.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 3.0, 5.0)]
    >>> table = trajectory_table([Trajectory("run", (0, 10, 20), tuple(states))], pretrained=states[0])
    >>> total = table[(table.kind == "both") & (table.order == "all")]
    >>> by_step = total.pivot(index="quantity", columns="step", values="value").rename_axis(None, axis=0)
    >>> by_step.loc[["strength", "new", "reached"]]
    step       0    10   20
    strength  2.0  3.0  5.0
    new       0.0  1.0  3.0
    reached   0.4  0.6  1.0
    """
    _check_runs(trajectories, pretrained)
    tables = []
    for run in trajectories:
        for step, checkpoint in zip(run.steps, run.interactions, strict=True):
            quantities = {
                **_amounts(checkpoint, threshold),
                **(_change(pretrained, checkpoint, threshold) if pretrained else {}),
                **{
                    _similarity_name(run, other): similarity_amounts(checkpoint, other.final)
                    for other in trajectories
                },
                "reached": reached_amounts(checkpoint, run.final),
            }
            table = amounts_table(quantities, signs=False, bootstrap=bootstrap)
            tables.append(table.assign(series=run.name, step=step))
    columns = ["series", "step", "quantity", "kind", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True)[columns]


def time_to_reach(
    trajectory: Trajectory,
    share: float = 0.5,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The step at which `reached` first gets to a share, on a straight line between checkpoints.

    Args:
        trajectory: the run. What it has reached at its first checkpoint gets that checkpoint's step.
        share: of the final knowledge, above 0 and at most 1.
        bootstrap: of the intervals over games: the sums over games and their crossing are
            done again in every resample.

    Returns:
        tidy: series, kind, order, share, value, low, high (steps), fraction, fraction_low, fraction_high (the
        same as fractions of the last step), games. NaN where the end has no strength.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 2.0, 2.0, v]]), And()) for v in (4.0, 6.0, 8.0)]
    >>> table = time_to_reach(Trajectory("run", (0, 10, 20), tuple(states)), share=0.75)
    >>> table[table.kind == "both"][["order", "value", "fraction"]].values.tolist()
    [['all', 10.0, 0.5], ['1', 0.0, 0.0], ['2', 15.0, 0.75]]
    """
    if not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and at most 1, got {share}")
    sums = tuple(
        group_sums(reached_amounts(checkpoint, trajectory.final)[0], signs=False)
        for checkpoint in trajectory.interactions
    )
    first = partial(crossing, steps=np.array(trajectory.steps), share=share)
    found = bootstrap_intervals(sums, first, bootstrap)
    labels = group_labels(trajectory.final.n, signs=False)
    times = pd.DataFrame(map(vars, found))
    fractions = times.rename(columns={"value": "fraction", "low": "fraction_low", "high": "fraction_high"})
    table = pd.concat([pd.DataFrame(labels), times, fractions / trajectory.steps[-1]], axis=1)
    table.insert(0, "series", trajectory.name)
    table.insert(3, "share", share)
    return table.assign(games=trajectory.final.games)


def detours(trajectory: Trajectory, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """How much of what a run learns it loses again.

    For every effect x_t ≥ 0 split by sign, along checkpoints t = 0 … T: gained = Σ_t max(x_t − x_{t−1}, 0).
    What remains of it at the end, last gained lost first, is x_T − min_t x_t: the effect is then a stack that
    grows and shrinks at its top, so what lies below its lowest level was there at the start, and what lies
    above it at the end was gained. lost = gained − remaining. detour_share = Σ lost / Σ gained, sums over
    coalitions and games; 0 for a run that goes straight, 1 for one that keeps nothing of what it gained. To
    lose what was there at the start, and to gain it back, is no detour. All effects count, and so does their
    jitter; what comes and goes between two checkpoints is not seen.

    Args:
        trajectory: the run.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, quantity ("gained", "lost": means a game, in the unit of the score; "detour_share"),
        kind, order, value, low, high, games. The share is NaN where nothing is gained.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 6.0, 5.0)]
    >>> table = detours(Trajectory("run", (0, 10, 20), tuple(states)))
    >>> table[(table.kind == "both") & (table.order == "all")][["quantity", "value"]].values.tolist()
    [['gained', 4.0], ['lost', 1.0], ['detour_share', 0.25]]
    """
    gained, lost = (by_order(parts, trajectory.final.orders) for parts in _gained_and_lost(trajectory))
    quantities = {"gained": (gained,), "lost": (lost,), "detour_share": (lost, gained)}
    table = amounts_table(quantities, signs=False, bootstrap=bootstrap)
    table.insert(0, "series", trajectory.name)
    return table


def _amounts(checkpoint: Interactions, threshold: float) -> Quantities:
    """Strength and number of the salient interactions."""
    kept = checkpoint.only(checkpoint.salient(threshold))
    count = by_order(split_by_sign(kept.effects.sign()), kept.orders)
    return {"strength": (kept.strength(),), "salient_count": (count,)}


def _change(pretrained: Interactions, checkpoint: Interactions, threshold: float) -> Quantities:
    """What of `compare` is told; its shares keep their parts."""
    change = compare(pretrained, checkpoint, threshold=threshold)
    names = {"preserved": ("preserved",), "discarded": ("discarded",), "new": ("new",), **SHARE_AMOUNTS}
    return {name: tuple(getattr(change, part) for part in parts) for name, parts in names.items()}


def _gained_and_lost(trajectory: Trajectory) -> tuple[Parts, Parts]:
    """What every effect gained on the way, and how much of that it lost; one checkpoint at a time."""
    gained = lost = kept = torch.zeros_like(split_by_sign(trajectory.final.effects))
    for before, after in pairwise(split_by_sign(one.effects) for one in trajectory.interactions):
        step = after - before
        gained = gained + step.clamp_min(0)
        lost = lost + torch.minimum(kept, -step.clamp_max(0))  # a fall takes what was gained, while it lasts
        kept = (kept + step).clamp_min(0)  # x_t − min_{s≤t} x_s
    return gained, lost


def crossing(*parts: np.ndarray, steps: np.ndarray, share: float, axis: int) -> np.ndarray:
    """The step at which Σ part / Σ of the last part first gets to `share`; `axis` is that of the games."""
    sums = np.stack([part.sum(axis) for part in parts])
    known = sums[-1] > 0
    shares = np.divide(sums, sums[-1], out=np.zeros_like(sums), where=known)
    after = (shares >= share).argmax(0)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(shares, at[None], axis=0)[0] for at in (before, after))
    way = np.divide(share - low, high - low, out=np.zeros_like(low), where=after > 0)
    return np.where(known, steps[before] + way * (steps[after] - steps[before]), np.nan)


def _similarity_name(run: Trajectory, to: Trajectory) -> str:
    return "similarity_own" if to is run else f"similarity_{to.name}"


def _check_runs(trajectories: Sequence[Trajectory], pretrained: Interactions | None) -> None:
    names = [run.name for run in trajectories]
    if not names or len({*names, "own"}) <= len(names):
        raise ValueError(f"expected runs of different names, none of them 'own'; got {names}")
    before = {"pretrained": pretrained} if pretrained else {}
    require_same_games({**before, **{f"run {run.name!r}": run.final for run in trajectories}})
