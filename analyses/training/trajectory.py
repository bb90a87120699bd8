"""Trajectories: knowledge along a training run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import (
    Amount,
    amounts_table,
    group_labels,
    group_sums,
    measured,
    require_same_games,
)
from harsanyi.analyses.knowledge.change import (
    SHARE_AMOUNTS,
    change_amounts,
    change_parts,
    salient_parts,
)
from harsanyi.analyses.knowledge.similarity import reached_amounts, shared_and_all
from harsanyi.analyses.statistics.bootstrap import Bootstrap, sum_intervals
from harsanyi.analyses.study.study import OWN
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions
from harsanyi.interactions.effects.interactions import BLOCK_EFFECTS
from harsanyi.interactions.effects.strength import Parts, by_order, split_by_sign
from harsanyi.shown import Card, Shown, counted

OWN_SIMILARITY = f"similarity_{OWN}"
# Orders with a smaller share of the strength at the end hardly exist: they are not counted among the others.
LEAST_SHARE = 0.01


@dataclass(frozen=True, repr=False)
class Trajectory(Shown):
    """The interactions of a run's checkpoints on the same games.

    Attributes:
        name: of the run.
        steps: training step of each checkpoint, rising from 0 or later; two at least.
        interactions: of each checkpoint.
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
            {
                f"step {step}": checkpoint
                for step, checkpoint in zip(self.steps, self.interactions, strict=True)
            }
        )

    @property
    def final(self) -> Interactions:
        """The interactions of the last checkpoint."""
        return self.interactions[-1]

    def _card(self) -> Card:
        first, last = self.interactions[0], self.final
        strengths = [float(each.effects.abs().sum()) / max(each.games, 1) for each in (first, last)]
        return Card(
            f"{self.name}, {counted(len(self.steps), 'checkpoint')} on {counted(last.games, 'game')} of "
            f"{counted(last.n, 'player')}",
            {
                "steps": f"{self.steps[0]} to {self.steps[-1]}",
                "strength per input": f"{strengths[0]:.3g} → {strengths[1]:.3g}",
                "unit": last.about.unit,
                "method": last.method_in_words,
            },
        )

    @property
    def games(self) -> int:
        """How many games."""
        return self.final.games

    def blocks(self, size: int | None = None) -> Iterator["Trajectory"]:
        """The games in order, a few at a time, as `Interactions.blocks` has them."""
        for states in zip(*(checkpoint.blocks(size) for checkpoint in self.interactions), strict=True):
            yield replace(self, interactions=states)

    def select(self, games: Any) -> "Trajectory":
        """The trajectory of a selection of games: a slice, indices or a mask."""
        selected = tuple(checkpoint.select(games) for checkpoint in self.interactions)
        return replace(self, interactions=selected)


def trajectory_table(
    trajectories: Sequence[Trajectory],
    pretrained: Interactions | None = None,
    *,
    threshold: float = SALIENT_THRESHOLD,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The knowledge of runs at each checkpoint: strength, change from before, similarity to the end.

    Quantities: strength, Σ|I| of salient interactions; salient_count; with `pretrained`, those of
    `compare(pretrained, checkpoint).table()` for both signs together: preserved, discarded, new,
    preserved_share, discarded_share, new_share; similarity_own, `similarity` to the last checkpoint of the
    run, and similarity_NAME to that of run NAME; `reached` of the last checkpoint of the run. Strengths are
    means over games, in the unit of the score; shares are ratios of sums over games, NaN where the
    denominator is 0.

    Args:
        trajectories: runs of different names on the same games; their steps may differ.
        pretrained: the network before, for each checkpoint, on these games.
        threshold: of salience, in each checkpoint by itself.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, step, quantity, kind ("and", "or", "both"), order ("1" … "n", "all"), value, low, high,
        games.

    Raises:
        ValueError: for runs of the same name or of the name "own", or for different games or players.

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
    _require_runs(trajectories, pretrained)
    measure = partial(_quantities, threshold=threshold)
    size = max(1, BLOCK_EFFECTS >> trajectories[0].final.n)
    if pretrained:
        found = measured(measure, pretrained, *trajectories, size=size)
    else:
        found = measured(partial(measure, None), *trajectories, size=size)
    tables = []
    for series, step in dict.fromkeys(key[:2] for key in found):
        quantities = {name: found[key] for key in found for *at, name in [key] if at == [series, step]}
        table = amounts_table(quantities, signs=False, bootstrap=bootstrap)
        tables.append(table.assign(series=series, step=step))
    columns = ["series", "step", "quantity", "kind", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True)[columns]


def time_to_reach(
    trajectory: Trajectory,
    share: float = 0.5,
    *,
    tolerance: float = 0.0,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The step at which `reached` first attains a share, interpolated linearly between checkpoints.

    Args:
        trajectory: the run. Where its first checkpoint exceeds the share, the step is that of the checkpoint.
        share: of the final knowledge, above 0 and at most 1.
        tolerance: strength that a split alone may make, of all games together; see `least_share`.
        bootstrap: of the intervals over games; every resample has its own sums and crossing.

    Returns:
        tidy: series, kind, order, share, value, low, high (steps), fraction, fraction_low, fraction_high (the
        same as fractions of the last step), strength_share (of the strength of the kind at the end),
        least_share, games. NaN where the end has no strength. Orders with a strength_share below least_share
        hardly exist.

    Raises:
        ValueError: for a share outside 0 to 1.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 2.0, 2.0, v]]), And()) for v in (4.0, 6.0, 8.0)]
    >>> table = time_to_reach(Trajectory("run", (0, 10, 20), tuple(states)), share=0.75)
    >>> table[table.kind == "both"][["order", "value", "fraction"]].values.tolist()
    [['all', 10.0, 0.5], ['1', 0.0, 0.0], ['2', 15.0, 0.75]]
    """
    if not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and at most 1, got {share}")
    sums = tuple(group_sums(amount, signs=False) for (amount,) in measured(_reached, trajectory).values())
    first = partial(crossing, steps=np.array(trajectory.steps), share=share)
    labels = group_labels(trajectory.final.n, signs=False)
    times = pd.DataFrame(map(vars, sum_intervals(sums, first, bootstrap)))
    fractions = times.rename(columns={"value": "fraction", "low": "fraction_low", "high": "fraction_high"})
    table = pd.concat([pd.DataFrame(labels), times, fractions / trajectory.steps[-1]], axis=1)
    table.insert(0, "series", trajectory.name)
    table.insert(3, "share", share)
    strength = pd.Series(sums[-1].sum(0))
    whole = strength.groupby(table.kind).transform("max")
    least = least_share(whole.to_numpy(), tolerance)
    return table.assign(strength_share=strength / whole, least_share=least, games=trajectory.final.games)


def least_share(strength: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """The share of a strength below which an order hardly exists: 1%, or more where a split may be its cause.

    A split with noise may miss every score of an input by δ = noise · |v(N) − v(∅)|. An order that is no
    stronger than δ may be no more than that.

    Args:
        strength: of all orders together, summed over games.
        tolerance: δ, summed over games; 0 for exact splits.

    >>> least_share(np.array([100.0, 10.0, 0.0]), 0.5).tolist()
    [0.01, 0.05, 0.01]
    """
    made = np.divide(tolerance, strength, out=np.zeros(np.shape(strength)), where=strength > 0)
    return np.maximum(LEAST_SHARE, made)


def hardly_there(rows: pd.DataFrame) -> np.ndarray:
    """Which rows are of orders that hardly exist: with less than `least_share`; none where it is not known.

    Tables without the column least_share are of exact splits, or older: it is 1%.

    >>> hardly_there(pd.DataFrame({"order": ["1", "2"], "strength_share": [0.996, 0.004]})).tolist()
    [False, True]
    """
    if "strength_share" not in rows:
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(rows.strength_share < rows.get("least_share", LEAST_SHARE))


def detours(trajectory: Trajectory, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """The strength that a run gains and loses again.

    For every effect x_t ≥ 0 split by sign, along checkpoints t = 0 … T: gained = Σ_t max(x_t − x_{t−1}, 0).
    Of this, x_T − min_t x_t remains at the end: the effect is like a stack that grows and shrinks at its top,
    so the strength below its lowest level was there at the start, and the strength above it at the end was
    gained. lost = gained − remaining. detour_share = Σ lost / Σ gained, sums over coalitions and games: 0 for
    a run without detours, 1 for a run that loses all that it gained. Strength of the start that is lost and
    gained back is no detour. All effects count, with their jitter; changes between two checkpoints do not
    show.

    Args:
        trajectory: the run.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, quantity ("gained", "lost": means over games, in the unit of the score;
        "detour_share"), kind, order, value, low, high, games. The share is NaN where nothing is gained.

    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 6.0, 5.0)]
    >>> table = detours(Trajectory("run", (0, 10, 20), tuple(states)))
    >>> table[(table.kind == "both") & (table.order == "all")][["quantity", "value"]].values.tolist()
    [['gained', 4.0], ['lost', 1.0], ['detour_share', 0.25]]
    """
    gained, lost = measured(_gained_and_lost, trajectory)["amounts"]
    quantities = {"gained": (gained,), "lost": (lost,), "detour_share": (lost, gained)}
    table = amounts_table(quantities, signs=False, bootstrap=bootstrap)
    table.insert(0, "series", trajectory.name)
    return table


def _quantities(
    pretrained: Interactions | None, *trajectories: Trajectory, threshold: float
) -> dict[tuple[str, int, str], tuple[Amount, ...]]:
    """The quantities of each run at each step; what all checkpoints are compared with is split once."""
    orders = trajectories[0].final.orders
    before = salient_parts(pretrained, threshold) if pretrained else None
    finals = {run.name: split_by_sign(run.final.effects) for run in trajectories}
    quantities: dict[tuple[str, int, str], tuple[Amount, ...]] = {}
    for run in trajectories:
        end = by_order(finals[run.name], orders)
        for step, checkpoint in zip(run.steps, run.interactions, strict=True):
            effects = split_by_sign(checkpoint.effects)
            alike = {
                _similarity_name(run, other): shared_and_all(effects, finals[other.name], orders)
                for other in trajectories
            }
            found = {
                **_of_salient(salient_parts(checkpoint, threshold), before, orders),
                **alike,
                "reached": (alike[OWN_SIMILARITY][0], end),  # `reached_amounts`: both sum the smaller effects
            }
            for name, amounts in found.items():
                quantities[run.name, step, name] = tuple(amount.contiguous() for amount in amounts)
    return quantities


def _reached(trajectory: Trajectory) -> dict[int, tuple[Amount]]:
    """What each checkpoint has of the end, by step."""
    return {
        step: (reached_amounts(checkpoint, trajectory.final)[0],)
        for step, checkpoint in zip(trajectory.steps, trajectory.interactions, strict=True)
    }


def _of_salient(
    salient: Parts, before: Parts | None, orders: Int64[Tensor, " coalitions"]
) -> dict[str, tuple[Amount, ...]]:
    """Strength and number of salient interactions; what of them is preserved, discarded and new."""
    count = (by_order(salient.sign(), orders),)
    if before is None:
        return {"strength": (by_order(salient, orders),), "salient_count": count}
    amounts = change_amounts(change_parts(before, salient), orders)
    parts = {name: (amounts[name],) for name in ("preserved", "discarded", "new")}
    shares = {name: (amounts[part], amounts[whole]) for name, (part, whole) in SHARE_AMOUNTS.items()}
    return {"strength": (amounts["all_after"],), "salient_count": count, **parts, **shares}


def _gained_and_lost(trajectory: Trajectory) -> dict[str, tuple[Amount, Amount]]:
    """The gained and the lost strength by order; one checkpoint in memory at a time."""
    gained = lost = remaining = torch.zeros_like(split_by_sign(trajectory.final.effects))
    for before, after in pairwise(split_by_sign(state.effects) for state in trajectory.interactions):
        step = after - before
        gained = gained + step.clamp_min(0)
        # A fall loses gained strength first, then strength of the start.
        lost = lost + torch.minimum(remaining, -step.clamp_max(0))
        remaining = (remaining + step).clamp_min(0)  # x_t − min_{s≤t} x_s
    orders = trajectory.final.orders
    return {"amounts": (by_order(gained, orders), by_order(lost, orders))}


def crossing(*sums: np.ndarray, steps: np.ndarray, share: float) -> np.ndarray:
    """The step at which a sum first attains a share of the last sum, interpolated linearly.

    Args:
        sums: over games at each step, arrays of one shape.
        steps: rising, one for each sum.
        share: above 0 and at most 1.

    Returns:
        a step for each place of the arrays; NaN where the last sum is 0.

    >>> crossing(np.array([0.0]), np.array([4.0]), steps=np.array([0, 10]), share=0.5)
    array([5.])
    """
    along = np.stack(sums)
    known = along[-1] > 0
    shares = np.divide(along, along[-1], out=np.zeros_like(along), where=known)
    after = (shares >= share).argmax(0)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(shares, at[None], axis=0)[0] for at in (before, after))
    fraction = np.divide(share - low, high - low, out=np.zeros_like(low), where=after > 0)
    return np.where(known, steps[before] + fraction * (steps[after] - steps[before]), np.nan)


def _similarity_name(run: Trajectory, other: Trajectory) -> str:
    return OWN_SIMILARITY if other is run else f"similarity_{other.name}"


def _require_runs(trajectories: Sequence[Trajectory], pretrained: Interactions | None) -> None:
    names = [run.name for run in trajectories]
    if not names or len({*names, OWN}) <= len(names):
        raise ValueError(f"expected runs of different names, none of them {OWN!r}; got {names}")
    before = {"pretrained": pretrained} if pretrained else {}
    require_same_games({**before, **{f"run {run.name!r}": run.final for run in trajectories}})
