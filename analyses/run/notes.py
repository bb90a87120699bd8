"""How a run's interactions were computed, and what of it a reader should know, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.knowledge.interaction_tables import ranges_table
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import percent, with_interval
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_interval
from harsanyi.analyses.study.labels import read_out_of
from harsanyi.analyses.study.layout import UNITS
from harsanyi.analyses.study.screening import SCREENING
from harsanyi.interactions.many_players.influence import (
    from_to,
)
from harsanyi.interactions.many_players.screening import APPROXIMATE

# Of more than these, figures are given for all together.
MANY_NETWORKS = 4


def method_facts(run: Run) -> dict[str, str]:
    """How the interactions were computed."""
    settings, study = run.store.settings, run.study
    found, chosen = next(iter(run.interactions.values())), approximations(run)
    return {
        "inputs": f"{found.games} of {study.data}, seed {study.seed}",
        "players": f"{study.players} ({run.store.n} players, {2**run.store.n} masked versions of each input)"
        + ("" if study.choose == "random" else f", chosen by {study.choose}: {APPROXIMATE}"),
        "masked": f"{study.layer or 'the input'}, with baseline {settings['baseline']}",
        "score": run.unit,
        "method": found.method,
        "salient": found.salient(study.threshold).rule,
        **_gaps(run),
        **({"players chosen": chosen[0]} if chosen else {}),
    }


def approximations(run: Run) -> list[str]:
    """The one sentence every summary is marked with where players were chosen by influence; else none."""
    if run.study.choose == "random":
        return []
    table = read_table(run.folder / f"{SCREENING}.h5")
    together = table.network.nunique() > MANY_NETWORKS
    return [approximation(table, unit_of(run.study.players), together=together, seed=run.study.seed)]


def _gaps(run: Run) -> dict[str, str]:
    """The certified gaps of sparse methods, worst and median."""
    gaps = {name: found.gap for name, found in run.interactions.items() if found.gap is not None}
    if len(gaps) > MANY_NETWORKS:
        gaps = {f"{len(gaps)} networks": torch.cat(list(gaps.values()))}
    text = "; ".join(f"{name} {gap.median():.2%} (worst {gap.max():.2%})" for name, gap in gaps.items())
    return {"certified gap to the sparsest split, median": text} if text else {}


def _range_notes(run: Run) -> list[str]:
    """What the ranges of the strongest effects come to, in words."""
    if not run.study.ranges:
        return []
    table = ranges_table(run.interactions, [""] * run.store.games)
    table = table[table.effect != 0]
    width = ((table.high - table.low) / table.effect.abs()).median()
    certain = (table.lowest * table.highest > 0).mean()
    return [
        f"Among splits at most 1% stronger than the one found, the {len(table):,} strongest effects looked "
        f"at can vary by {width:.0%} of their strength (median), and the sign of {certain:.0%} of them is "
        "certain. The intervals beside effects, and ranges.csv, say how far each can go."
    ]


def method_notes(run: Run) -> list[str]:
    """Limits of how the interactions were computed that a reader should know."""
    notes = ["Strengths are compared as they are: a network with larger logits has stronger effects."]
    if run.study.method in ("sparse", "joint"):
        notes.append(
            "The sparsest split need not be unique: x₁ + x₂ has the same strength as two ANDs of one player "
            "each and as one AND and one OR of both, and which is found moves strength between orders. "
            "Compare with --method and-or, and see how far effects can vary with --method sparse --ranges 5; "
            "neither needs new forwards."
        )
    notes += _range_notes(run)
    if run.study.choose != "random":
        unit = unit_of(run.study.players)
        notes.append(
            f"{APPROXIMATE} for all {unit} together: the players are those with the most influence on the "
            "networks' scores, each input with its own, and all else of the input is always present. Of "
            "these players, given the rest, the interactions are exact. The variance left unexplained is "
            f"that over random maskings of all {unit}, with as many masked on average as in the tables; "
            "above 100% the tables foretell less than a constant would. screening.csv has it by input."
        )
    tolerance = getattr(run.study.extraction(), "tolerance", None)
    open_games = {
        name: int((found.gap > tolerance).sum())
        for name, found in run.interactions.items()
        if found.gap is not None and tolerance is not None
    }
    if any(open_games.values()):
        listed = ", ".join(f"{count} of {name}" for name, count in open_games.items() if count)
        notes.append(
            f"The sparse split did not reach its tolerance of {tolerance:.1%} for some games: {listed}. "
            "The column gap of games.csv says which, and how far they may be from the sparsest."
        )
    if any(read_out_of(name) in run.facts for name in run.store.networks):
        notes.append("A read-out shows what a linear layer can use of a frozen backbone.")
    return notes


def unit_of(players: str) -> str:
    """What the players of a study are called, of which influence chooses.

    >>> unit_of("grid:8x8:12"), unit_of("words:9")
    ('cells', 'words')
    """
    return UNITS[players.partition(":")[0]]


def approximation(table: pd.DataFrame, unit: str = "cells", *, together: bool = False, seed: int = 0) -> str:
    """What all results of such a study are marked with, in words.

    The share left unexplained is Σ mean_square / Σ variance over inputs; its interval resamples these.

    Args:
        table: as `screening_table` gives it.
        unit: what the players are, see `unit_of`.
        together: one figure for all networks; else one for each.

    >>> rows = {"network": "net", "game": [0, 1], "players": "3 5", "all_players": 64, "coalitions": 256}
    >>> said = approximation(pd.DataFrame({**rows, "mean_square": [1.0, 1.0], "variance": [4.0, 4.0]}))
    >>> said.partition("; ")[2].partition(" (")[0]
    'the tables leave 25% [25%, 25%] of the variance of the output unexplained'
    """
    keep = len(table.players.iloc[0].split())
    names = list(dict.fromkeys(table.network))
    sums = table.groupby(["network", "game"], sort=False)[["mean_square", "variance"]].sum()
    if together or len(names) == 1:
        left = _share_left(sums.groupby("game", sort=False).sum(), seed)
    else:
        left = ", ".join(f"{_share_left(sums.loc[name], seed)} ({name})" for name in names)
    return (
        f"{APPROXIMATE}: {keep} of {from_to(table.all_players)} {unit} chosen by influence in each input, "
        f"the others left as they are; the tables leave {left} of the variance of the output unexplained "
        f"({table.game.nunique()} inputs, {table.coalitions.iloc[0]} held-out coalitions of each)"
    )


def _share_left(games: pd.DataFrame, seed: int) -> str:
    columns = [games[[name]].to_numpy(np.float64) for name in ("mean_square", "variance")]
    return with_interval(ratio_interval(*columns, bootstrap=Bootstrap(seed=seed))[0], percent)
