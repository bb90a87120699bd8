"""Reliability: a comparison repeated on noisy and shifted inputs and with other players."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.knowledge.generality import OTHER_INPUTS, found_table, generality_table, sharing_table
from harsanyi.analyses.knowledge.stability import approximation_table, shares_table, stability_table
from harsanyi.analyses.reliability.claims import claimable, quantities_of, require_claimed, similarities_of
from harsanyi.analyses.reliability.report import (
    APPROXIMATION_TABLE,
    CLEAN,
    FOUND_TABLE,
    GENERALITY_TABLE,
    OTHER_PLAYERS,
    SHARES_TABLE,
    SHARING_TABLE,
    SHIFT,
    STABILITY_TABLE,
    describe_reliability,
    reliability_figures,
    reliability_findings,
    reliability_notes,
    shares_in_words,
)
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import again, methods_of
from harsanyi.analyses.run.notes import alarms, method_facts, method_notes, network_facts, reading_lines
from harsanyi.analyses.run.owner import owner_of, require_own_folder
from harsanyi.analyses.run.run import STORE_FILE, STUDY_FILE, Run, in_common
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Quantity, told_claims
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.analyses.study.first_checks import require_options
from harsanyi.analyses.study.inputs import draw_inputs, load_inputs
from harsanyi.analyses.study.layout import lay, specification
from harsanyi.analyses.study.networks import load_networks
from harsanyi.analyses.study.study import Compare, Reliability, study_in
from harsanyi.data import Inputs
from harsanyi.data.corruptions import CORRUPTIONS, NOISE, corruption
from harsanyi.interactions import Store
from harsanyi.writing import alone_in_its_folder

DEFAULT_NOISE_LEVELS = {"image": ("4", "8", "16"), "text": ("1", "2")}
DEFAULT_SEVERITY = 3
# Where the reliability of a comparison lies, in the folder of that comparison.
FOLDER = "reliability"


def in_own_folder(study: Reliability) -> Reliability:
    """The study with a folder of its own: below that of a comparison, where its `out` is one.

    Args:
        study: of reliability.
    """
    return replace(study, out=study.out / FOLDER) if owner_of(study.out) == "compare" else study


@alone_in_its_folder
def run_reliability(study: Reliability, *, progress: bool = True) -> list[str]:
    """Measure how far a comparison can be trusted.

    The comparison on clean inputs is that of the folder above `study.out`, where one of the same study lies
    there; else it is computed in `study.out`/clean. Each variation has a folder of its own; `harsanyi show`
    opens all of them. An input on which a network fails in a variation is left out there, and of the clean
    inputs that it is compared with. Writes into `study.out` the tables found, stability, shares,
    approximation and, where players are the cells of a grid, generality and sharing, as .csv and .h5; figures
    and report.html. Folders of other commands are refused.

    Args:
        study: the comparison and its variations.
        progress: whether to draw bars.

    Returns:
        the summary, in sentences.
    """
    require_options(study)
    require_own_folder(study.out, "reliability")
    inputs = load_inputs(study, study.data)
    varied = variations(study, inputs.kind)
    groups = {name: group for name, (group, _) in varied.items()}
    require_claimed(study, groups)
    _require_layouts(study, inputs)
    replace(study, retry_failed=False).write(study.out / STUDY_FILE)
    clean = _clean(study, progress)
    of_variations, by_input = _variation_tables(clean, varied, progress)
    tables = _generality_tables(clean) | of_variations
    tables |= told_claims(lambda: claimable(study, groups, tables, by_input), study.claims)
    missing = _inputs_left_out(study, varied)
    first, *others = [*describe_reliability(study, tables), *describe_claims(tables)]
    report = Report(
        title=f"{study.model}: how far to trust what fine-tuning kept, dropped and learned",
        headline=first,
        summary=[*others, *reading_lines(clean.facts)],
        warnings=[*cautions(clean), *missing],
        methods=methods_of(clean),
        again=again("reliability", study.out),
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in study.checkpoints.items())}
        | method_facts(clean)
        | network_facts(clean),
        tables=claims_in_words(tables)
        | {
            "Shares by variation": shares_in_words(tables[SHARES_TABLE], ""),
            "Differences from clean": shares_in_words(tables[SHARES_TABLE], "difference"),
        },
        figures=reliability_figures(study, tables),
        findings=reliability_findings(study, tables),
        notes=[*reliability_notes(tables), *method_notes(clean)],
    )
    publish(study.out, tables, report)
    return [*alarms(clean.facts), *missing, first, *others, *reading_lines(clean.facts)]


def variations(study: Reliability, kind: Literal["image", "text"]) -> dict[str, tuple[str, Compare]]:
    """All variations of a comparison.

    Args:
        study: the comparison and its variations.
        kind: of the inputs.

    Returns:
        by the name of the variation: its group ("noise", "shift" or "players") and its study.

    Raises:
        ValueError: for a variation that inputs of this kind cannot have, and for two with one folder.
    """
    corruptions = study.corruptions
    if corruptions is None:
        corruptions = tuple(f"{name}:{DEFAULT_SEVERITY}" for name in CORRUPTIONS[kind] if name != NOISE)
    levels = DEFAULT_NOISE_LEVELS[kind] if study.noise_levels is None else study.noise_levels
    noises = tuple(f"{NOISE}:{level}" for level in levels)
    for name in (*noises, *corruptions):
        corruption(name, kind)
    for name in study.layouts:
        specification(name, kind)
    changes = [(NOISE, "corruption", name) for name in noises]
    changes += [(SHIFT, "corruption", name) for name in corruptions]
    changes += [(OTHER_PLAYERS, "players", name) for name in study.layouts]
    folders = {name: study.out / re.sub(r"[^\w.-]+", "-", name) for _, _, name in changes}
    if len({study.out / CLEAN, *folders.values()}) <= len(changes):
        names = " ".join(name for _, _, name in changes)
        raise ValueError(f"expected variations of different names, each once; got {names}")
    no_extras = {"ranges": 0, "keep_outputs": False}
    return {
        name: (group, _comparison(study, folders[name], no_extras | {field: name}))
        for group, field, name in changes
    }


def _clean(study: Reliability, progress: bool) -> Run:
    """The comparison on clean inputs: one that is there, or a new one."""
    return compute(_clean_study(study), progress=progress)


def _clean_study(study: Reliability) -> Compare:
    """The comparison on clean inputs, in the folder above where it lies there, else in one of its own."""
    above = _comparison(study, study.out.parent)
    if owner_of(above.out) == "compare":
        there = study_in(above.out / STUDY_FILE)
        # What it claims is its own, and stays in its study file.
        if isinstance(there, Compare) and replace(there, claims=()) == above:
            return there
    return _comparison(study, study.out / CLEAN)


def inputs_left_out(study: Reliability) -> list[str]:
    """The inputs on which a network failed, of the comparison and of each variation, in sentences.

    Args:
        study: of reliability, whose value tables are there.
    """
    return _inputs_left_out(study, variations(study, load_inputs(study, study.data).kind))


def _inputs_left_out(study: Reliability, varied: Mapping[str, tuple[str, Compare]]) -> list[str]:
    """`inputs_left_out` of a study whose variations are known."""
    comparisons = {CLEAN: _clean_study(study)} | {name: variation for name, (_, variation) in varied.items()}
    return [
        f"{name}: {sentence}"
        for name, comparison in comparisons.items()
        for sentence in left_out(Store(comparison.out / STORE_FILE))
    ]


def _comparison(study: Reliability, out: Path, changed: Mapping[str, Any] | None = None) -> Compare:
    """The comparison of a reliability study, in the folder `out` and with some fields changed."""
    values = {field.name: getattr(study, field.name) for field in fields(Compare)}
    return Compare(**values | {"out": out, "claims": ()} | dict(changed or {}))


def _require_layouts(study: Reliability, inputs: Inputs) -> None:
    """Lay all players of the study on its inputs, before hours are spent on the first of them.

    Raises:
        ValueError: for players that these inputs cannot have.
    """
    if not study.layouts:
        return
    networks = load_networks(study, torch.device("cpu"))
    for players in (study.players, *study.layouts):
        laid = replace(study, players=players)
        drawn = draw_inputs(laid, inputs).inputs
        with _told_of(f"--players {players}" if players == study.players else f"--layouts {players}"):
            lay(laid, networks, drawn)


@contextmanager
def _told_of(option_given: str) -> Iterator[None]:
    """A context whose errors begin with the option that they are about."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{option_given}: {error}") from error


def _generality_tables(clean: Run) -> dict[str, pd.DataFrame]:
    """How general the interactions are; over inputs only where players are the cells of a grid."""
    study, networks = clean.study, clean.interactions
    bootstrap = Bootstrap(seed=study.seed)
    table = found_table(networks, clean.change, study.threshold, bootstrap=bootstrap)
    if not study.players.startswith("grid"):
        return {FOUND_TABLE: table[table.quantity != OTHER_INPUTS]}
    return {
        GENERALITY_TABLE: generality_table(networks, study.threshold),
        SHARING_TABLE: sharing_table(networks, study.threshold, bootstrap=bootstrap),
        FOUND_TABLE: table,
    }


def _variation_tables(
    clean: Run, varied: dict[str, tuple[str, Compare]], progress: bool
) -> tuple[dict[str, pd.DataFrame], dict[str, Quantity]]:
    """The tables of all variations, computed in turn: only the interactions of one are in memory. And what
    claims subtract: numbers for each input."""
    study, by_input = clean.study, dict[str, Quantity]()
    bootstrap = Bootstrap(seed=study.seed)
    parts: dict[str, list[pd.DataFrame]] = {STABILITY_TABLE: [], SHARES_TABLE: [], APPROXIMATION_TABLE: []}
    runs: Iterator[tuple[str, str, Run]] = (
        (name, group, compute(variation, progress=progress, announce=False))
        for name, (group, variation) in varied.items()
    )
    for name, group, varied_run in chain([(CLEAN, CLEAN, clean)], runs):
        beside, run = in_common([clean, varied_run])
        tables = {
            SHARES_TABLE: shares_table(run.change, beside.change, bootstrap=bootstrap),
            APPROXIMATION_TABLE: approximation_table(run.interactions, study.threshold, bootstrap=bootstrap),
        }
        numbers = run.store.numbers
        by_input |= quantities_of(name, run.change, numbers, run.interactions, study.threshold)
        games = np.flatnonzero(same_players(beside, run)) if group in (NOISE, SHIFT) else np.arange(0)
        if len(games):
            on_clean, on_varied = (
                {network: effects.select(games) for network, effects in side.interactions.items()}
                for side in (beside, run)
            )
            tables[STABILITY_TABLE] = stability_table(on_clean, on_varied, bootstrap=bootstrap)
            by_input |= similarities_of(name, [numbers[game] for game in games], on_clean, on_varied)
        for key, table in tables.items():
            parts[key].append(_labelled(table, name, group))
    found = {key: pd.concat(rows, ignore_index=True) for key, rows in parts.items() if rows}
    varied_shares = found[SHARES_TABLE].p.where(found[SHARES_TABLE].group != CLEAN)
    found[SHARES_TABLE] = with_corrected(found[SHARES_TABLE].assign(p=varied_shares), by=["kind"])
    return found, by_input


def _labelled(table: pd.DataFrame, variation: str, group: str) -> pd.DataFrame:
    """The table with its variation and the variation's group as first columns."""
    table.insert(0, "group", group)
    table.insert(0, "variation", variation)
    return table


def same_players(clean: Run, other: Run) -> np.ndarray:
    """Which games have the same players in the same places in two runs.

    Places are pixels, or words and tokens in reading order: a dropped word moves those after it.

    Args:
        clean: a run.
        other: a run on the same inputs, varied.

    Returns:
        a boolean for each game.
    """
    if "sentences" in clean.store.settings:
        owners = [
            [[player for _, player in pieces] for pieces in run.store.settings["sentences"]]
            for run in (clean, other)
        ]
        return np.array([owner == other_owner for owner, other_owner in zip(*owners, strict=True)])
    owner = clean.store.array("owner")
    same = owner == other.store.array("owner")
    return np.full(clean.store.games, same.all()) if owner.ndim == 2 else same.all((1, 2))
