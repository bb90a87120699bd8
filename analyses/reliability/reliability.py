"""Reliability: a comparison again on noisy and shifted inputs and with other players → tables and report."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harsanyi import data
from harsanyi.analyses.knowledge.generality import OTHER_INPUTS, found_table, generality_table, sharing_table
from harsanyi.analyses.knowledge.stability import approximation_table, shares_table, stability_table
from harsanyi.analyses.reliability.report import (
    APPROXIMATION,
    CLEAN,
    FOUND_TABLE,
    GENERALITY,
    PLAYERS,
    SHARES,
    SHARING,
    SHIFT,
    STABILITY,
    describe_reliability,
    reliability_figures,
    reliability_notes,
    shares_in_words,
)
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.notes import method_facts, method_notes
from harsanyi.analyses.run.run import STUDY, Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.layout import specification
from harsanyi.analyses.study.study import Compare, Reliability
from harsanyi.data.corruptions import CORRUPTIONS, NOISE, corruption

NOISE_LEVELS = {"image": ("4", "8", "16"), "text": ("1", "2")}
SEVERITY = 3


def run_reliability(study: Reliability, *, progress: bool = True) -> list[str]:
    """How far a comparison can be trusted; returns the summary in words.

    The comparison is computed once as it is, in `study.out`/clean, and once for each variation, each in a
    folder of its own that `harsanyi show` opens. Writes into `study.out` generality, sharing, found (where
    players are places), stability, shares and approximation as .csv and .h5, figures and report.html.
    """
    study.require_sense()
    kind = _kind(study)
    varied = variations(study, kind)
    study.out.mkdir(parents=True, exist_ok=True)
    study.write(study.out / STUDY)
    clean = compute(_comparison(study, study.out / CLEAN), progress=progress)
    tables = _elsewhere(clean) | _varied(clean, varied, progress)
    figures = reliability_figures(study, tables)
    summary = describe_reliability(study, tables)
    publish(
        study.out,
        tables,
        title=f"{study.model}: how far to trust what fine-tuning kept, dropped and learned",
        summary=summary,
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in study.checkpoints.items())}
        | method_facts(clean)
        | clean.facts,
        tables={
            "Shares by variation": shares_in_words(tables[SHARES], ""),
            "Differences from clean": shares_in_words(tables[SHARES], "difference"),
        },
        figures=figures,
        notes=[*reliability_notes(tables), *method_notes(clean)],
    )
    return summary


def variations(study: Reliability, kind: Literal["image", "text"]) -> dict[str, tuple[str, Compare]]:
    """Every variation's group ("noise", "shift", "players") and its study, by what it is called.

    Raises:
        ValueError: for what cannot be meant for inputs of this kind, and for two of one folder.
    """
    corruptions = study.corruptions
    if corruptions is None:
        corruptions = tuple(f"{name}:{SEVERITY}" for name in CORRUPTIONS[kind] if name != NOISE)
    levels = NOISE_LEVELS[kind] if study.noise_levels is None else study.noise_levels
    noises = tuple(f"{NOISE}:{level}" for level in levels)
    for one in (*noises, *corruptions):
        corruption(one, kind)
    for one in study.layouts:
        specification(one, kind)
    asked = [(NOISE, "corruption", one) for one in noises]
    asked += [(SHIFT, "corruption", one) for one in corruptions]
    asked += [(PLAYERS, "players", one) for one in study.layouts]
    folders = {one: study.out / re.sub(r"[^\w.-]+", "-", one) for _, _, one in asked}
    if len({study.out / CLEAN, *folders.values()}) <= len(asked):
        names = " ".join(one for _, _, one in asked)
        raise ValueError(f"expected variations of different names, each once; got {names}")
    plain = {"ranges": 0, "keep_outputs": False}
    return {
        one: (group, _comparison(study, folders[one], plain | {field: one})) for group, field, one in asked
    }


def _comparison(study: Reliability, out: Path, changed: Mapping[str, Any] | None = None) -> Compare:
    """The comparison that is varied, with its own folder."""
    values = {field.name: getattr(study, field.name) for field in fields(Compare)}
    return Compare(**values | {"out": out} | dict(changed or {}))


def _kind(study: Reliability) -> Literal["image", "text"]:
    """Whether the data holds images or text."""
    columns = {name: getattr(study, name) for name in ("image_column", "text_column", "label_columns")}
    return data.load(study.data, **columns).kind


def _elsewhere(clean: Run) -> dict[str, pd.DataFrame]:
    """How general the interactions are; over inputs only where players are the cells of a grid."""
    study, networks = clean.study, clean.interactions
    bootstrap = Bootstrap(seed=study.seed)
    found = found_table(networks, clean.change, study.threshold, bootstrap=bootstrap)
    if not study.players.startswith("grid"):
        return {FOUND_TABLE: found[found.quantity != OTHER_INPUTS]}
    return {
        GENERALITY: generality_table(networks, study.threshold),
        SHARING: sharing_table(networks, study.threshold, bootstrap=bootstrap),
        FOUND_TABLE: found,
    }


def _varied(clean: Run, varied: dict[str, tuple[str, Compare]], progress: bool) -> dict[str, pd.DataFrame]:
    """What varies, a variation at a time: their interactions need not lie in memory together."""
    study = clean.study
    bootstrap = Bootstrap(seed=study.seed)
    parts: dict[str, list[pd.DataFrame]] = {STABILITY: [], SHARES: [], APPROXIMATION: []}
    runs: Iterator[tuple[str, str, Run]] = (
        (name, group, compute(one, progress=progress)) for name, (group, one) in varied.items()
    )
    for name, group, run in chain([(CLEAN, CLEAN, clean)], runs):
        found = {
            SHARES: shares_table(run.change, clean.change, bootstrap=bootstrap),
            APPROXIMATION: approximation_table(run.interactions, study.threshold, bootstrap=bootstrap),
        }
        games = np.flatnonzero(same_players(clean, run)) if group in (NOISE, SHIFT) else np.arange(0)
        if len(games):
            one, other = (
                {key: value.select(games) for key, value in each.interactions.items()}
                for each in (clean, run)
            )
            found[STABILITY] = stability_table(one, other, bootstrap=bootstrap)
        for key, table in found.items():
            parts[key].append(_labelled(table, name, group))
    return {key: pd.concat(tables, ignore_index=True) for key, tables in parts.items() if tables}


def _labelled(table: pd.DataFrame, variation: str, group: str) -> pd.DataFrame:
    table.insert(0, "group", group)
    table.insert(0, "variation", variation)
    return table


def same_players(clean: Run, other: Run) -> np.ndarray:
    """In which games both have the same players in the same places; a boolean for each.

    Places are pixels, or words and tokens in reading order: a dropped word moves those after it.
    """
    if "sentences" in clean.store.settings:
        owners = [
            [[player for _, player in pieces] for pieces in run.store.settings["sentences"]]
            for run in (clean, other)
        ]
        return np.array([one == two for one, two in zip(*owners, strict=True)])
    owner = clean.store.array("owner")
    same = owner == other.store.array("owner")
    return np.full(clean.store.games, same.all()) if owner.ndim == 2 else same.all((1, 2))
