"""A run in words: how its interactions were computed, what was measured, and what limits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.knowledge.interaction_tables import ranges_table
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import listed, percent, with_interval
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_interval
from harsanyi.analyses.study.facts import (
    PROBES,
    Facts,
    LeftOut,
    NetworkPerformance,
    NetworkReading,
    PrecisionLoss,
    ReadOutAccuracy,
)
from harsanyi.analyses.study.layout import PLAYER_UNITS
from harsanyi.analyses.study.networks import series_of
from harsanyi.analyses.study.screening import SCREENING_TABLE
from harsanyi.analyses.study.study import SPARSE_METHODS
from harsanyi.data import folders
from harsanyi.interactions.many_players.influence import from_to
from harsanyi.interactions.many_players.screening import APPROXIMATE
from harsanyi.interactions.precision import PrecisionError
from harsanyi.models.classes.matching import ASSUMED
from harsanyi.shown import counted

# What is said of a match that was said in full before.
ASSUMED_AS = "by number, ASSUMED as for"
# Figures of more networks than this are given for all together.
MAX_NETWORKS_LISTED = 4
# As many names are listed of images, networks or classes.
MAX_NAMES_LISTED = 20


def method_facts(run: Run) -> dict[str, str]:
    """How the interactions were computed, by heading."""
    settings, study = run.store.settings, run.study
    interactions, chosen = next(iter(run.interactions.values())), approximations(run)
    return {
        "inputs": f"{interactions.games} of {study.data}, seed {study.seed}",
        "players": f"{study.players} ({run.store.n} players, {2**run.store.n} masked versions of each input)"
        + ("" if study.choose == "random" else f", chosen by {study.choose}: {APPROXIMATE}"),
        "masked": f"{study.layer or 'the input'}, with baseline {settings['baseline']}",
        "score": run.unit,
        "method": interactions.method_in_words,
        "salient": interactions.salient(study.threshold).rule,
        **_gaps(run),
        **({"players chosen": chosen[0]} if chosen else {}),
    }


def network_facts(run: Run) -> dict[str, str]:
    """What was measured of the run's inputs and networks, in words, by heading."""
    facts = run.facts
    held_out = [row for row in facts.performance if row.split == "held out"]
    words = _left_out(facts.left_out)
    if facts.corruption is not None:
        words["corrupted"] = f"{facts.corruption.name}, {facts.corruption.severity:g}"
    if run.study.attack is not None:
        words["attacked"] = f"within {run.study.attack:g}, by projected gradient descent"
    for name, read_out in facts.read_outs.items():
        words[f"read-out of {name}"] = (
            f"{PROBES[read_out.of]} on {read_out.samples} inputs, {_fitted(read_out)}"
        )
    return (
        words
        | {f"precision of {name}": _in_words(loss) for name, loss in facts.precision_losses.items()}
        | {f"plan for {name}": f"{plan.name}, {plan.reason}" for name, plan in facts.plans.items()}
        | {f"outputs of {name}": _reading(reading) for name, reading in facts.networks.items()}
        | {
            f"how {name} was read": " ".join(map(_sentence, reading.notes))
            for name, reading in facts.networks.items()
            if reading.notes
        }
        | {
            f"accuracy of {row.network}": f"{row.accuracy:.1%} on {row.asked} of {row.data}"
            for row in held_out
        }
    )


def network_lines(facts: Facts) -> list[str]:
    """What a command says of each network at once: its outputs, how it was read, and how well it answers.

    Args:
        facts: of the study.

    Returns:
        a line for each network, and below it what is special in how it was read; what is said of all of them
        once; a line for each reason to be wary.
    """
    notes = [set(reading.notes) for reading in facts.networks.values()]
    of_all = set.intersection(*notes) if len(notes) > 1 else set()
    lines: list[str] = []
    assumed: dict[str, str] = {}
    for names in _read_alike(facts):
        reading = facts.networks[names[0]]
        first = assumed.setdefault(reading.match, names[0])
        match = f"{ASSUMED_AS} {first}" if reading.match.startswith(ASSUMED) and first != names[0] else ""
        parts = [_answering(names[0], facts, match), *_accuracies(names, facts)]
        called = names[0] if len(names) == 1 else f"{series_of(names[0])} ({len(names)} checkpoints)"
        lines.append(f"{called}: {'; '.join(parts)}")
        lines += [f"    {_sentence(note)}" for note in reading.notes if note not in of_all]
    said = next(iter(facts.networks.values())).notes if of_all else ()
    lines += [f"all networks: {_sentence(note)}" for note in said if note in of_all]
    if others := facts.left_out.other_files:
        lines.append(f"{folders.in_words(others)} in the folder of the data: no pictures, left out")
    return [*lines, *alarms(facts)]


def _read_alike(facts: Facts) -> list[list[str]]:
    """The networks of a study, checkpoints of one run together where they were read alike."""
    groups: dict[tuple[str, NetworkReading], list[str]] = {}
    for name, reading in facts.networks.items():
        groups.setdefault((name if name in facts.read_outs else series_of(name), reading), []).append(name)
    return list(groups.values())


def _answering(name: str, facts: Facts, match: str) -> str:
    """How a network answers: by a read-out, or its own outputs, with `match` in place of a long sentence."""
    reading, read_out = facts.networks[name], facts.read_outs.get(name)
    if read_out is None:
        return _reading(replace(reading, match=match) if match else reading)
    return (
        f"READ-OUT in place of its head, {counted(reading.outputs, 'output')}, "
        + read_out.right("{:.1%}".format)
        + {"inputs": " of the inputs", "labels": " of inputs", "numbers": " on inputs"}[read_out.of]
        + " kept out of its fit"
    )


def _accuracies(names: list[str], facts: Facts) -> list[str]:
    """How often networks are right on inputs held out, in one clause; none where it was not measured."""
    rows = {row.network: row for row in facts.performance if row.split == "held out" and row.network in names}
    if not rows:
        return []
    asked = next(iter(rows.values())).asked
    if len(names) == 1:
        return [f"right for {rows[names[0]].accuracy:.1%} of {asked}"]
    told = [f"{row.accuracy:.1%} (step {name.partition('@')[2]})" for name, row in rows.items()]
    return [f"right for {_listed(told)} of {asked}"]


def alarms(facts: Facts) -> list[str]:
    """The reasons to be wary of a study's networks, a sentence each.

    Args:
        facts: of the study.

    Returns:
        sentences that begin with WARNING; none where nothing is suspicious. The beginning of a training
        run that answers later is not.
    """
    suspicious = [row for row in facts.performance if row.alarm and not starts_untrained(row, facts)]
    lines = [
        f"WARNING: {row.network} is right for {row.accuracy:.0%} of {row.inputs} inputs, but would be for "
        f"{row.best_accuracy:.0%} if its outputs were {_listed(row.best_order)}: are they called as they "
        "should be (--classes)?"
        for row in suspicious
        if row.alarm == "order"
    ]
    weak = [row for row in suspicious if row.alarm == "chance" and row.split == "held out"]
    if weak:
        accuracies = _listed([f"{row.network} ({row.accuracy:.0%})" for row in weak])
        lines.append(
            f"WARNING: a constant answer, right for {weak[0].chance:.0%} of {weak[0].inputs} inputs, is as "
            f"good as {accuracies}: are these the right checkpoints, and their outputs called as they should "
            "be (--classes)?"
        )
    return lines


def starts_untrained(row: NetworkPerformance, facts: Facts) -> bool:
    """Whether this checkpoint and all before it in its run are suspicious, and the last one is not.

    Args:
        row: of a network.
        facts: of its study.
    """
    series = series_of(row.network)
    run = [
        other
        for other in facts.performance
        if series_of(other.network) == series and other.split == row.split
    ]
    return not run[-1].alarm and row in takewhile(lambda other: other.alarm, run)


def reading_lines(facts: Facts) -> list[str]:
    """The sentences of a summary on how networks were read: read-outs, and how their inputs were prepared.

    Args:
        facts: of the study.

    Returns:
        the sentences; of read-outs none where every network has its own head.
    """
    preparations: dict[str, list[str]] = {}
    for name, reading in facts.networks.items():
        if reading.preparation:
            preparations.setdefault(reading.preparation, []).append(name)
    same = len(preparations) == 1
    return [
        *read_out_lines(facts),
        *(note if same else f"{_listed(names)}: {note}" for note, names in preparations.items()),
    ]


def read_out_lines(facts: Facts) -> list[str]:
    """Which networks have a read-out in place of their head; how inputs are prepared was said at once.

    Args:
        facts: of the study.
    """
    if not facts.read_outs:
        return []
    accuracies = [f"{name} ({fit.right('{:.0%}'.format)} held out)" for name, fit in facts.read_outs.items()]
    others_of = [name for name in facts.networks if name not in facts.read_outs]
    own = list(dict.fromkeys(map(series_of, others_of)))
    heads = "its own head" if len(own) == 1 else "their own heads"
    others = f"; {listed(own)} with {heads}" if own else ""
    return [f"A linear read-out answers in place of the head of {', '.join(accuracies)}{others}."]


def _fitted(read_out: ReadOutAccuracy) -> str:
    """How right a read-out is on inputs held out of its fit, and on the others."""
    if read_out.of == "numbers":
        return f"R² {read_out.accuracy:.2f} held out, {read_out.train_accuracy:.2f} fitted"
    what = "labels right" if read_out.of == "labels" else "accuracy"
    return f"{what} {read_out.accuracy:.1%} held out, {read_out.train_accuracy:.1%} fitted"


def _listed(names: Sequence[str]) -> str:
    """Names with commas, the first few of many."""
    return ", ".join(names[:MAX_NAMES_LISTED]) + (", …" if len(names) > MAX_NAMES_LISTED else "")


def _sentence(note: str) -> str:
    """A note with a capital at its beginning and a full stop at its end."""
    return note[:1].upper() + note[1:].rstrip(".") + "."


def _reading(reading: NetworkReading) -> str:
    """The number of a network's outputs, and which is which class."""
    return f"{counted(reading.outputs, 'output')}, classes {reading.match}"


def _left_out(left_out: LeftOut) -> dict[str, str]:
    """How many inputs were left out, by reason."""
    words = {}
    if left_out.short is not None:
        words["left out as too short"] = f"{left_out.short} of {left_out.sentences} sentences"
    if left_out.other_files:
        words["files that are no pictures"] = folders.in_words(left_out.other_files)
    if names := left_out.unreadable:
        words["left out as unreadable"] = f"{len(names)}: {', '.join(names[:MAX_NAMES_LISTED])}"
    return words


def _in_words(loss: PrecisionLoss) -> str:
    """The error of a lower precision, in words."""
    by_order = torch.tensor(loss.by_order, dtype=torch.float64)
    return PrecisionError(loss.precision, loss.games, by_order, loss.largest_effect).describe()


def approximations(run: Run) -> list[str]:
    """The sentence that marks every summary where players were chosen by influence; else no sentence."""
    if run.study.choose == "random":
        return []
    table = read_table(run.folder / f"{SCREENING_TABLE}.h5")
    together = table.network.nunique() > MAX_NETWORKS_LISTED
    return [approximation(table, unit_of(run.study.players), together=together, seed=run.study.seed)]


def _gaps(run: Run) -> dict[str, str]:
    """The certified gaps of sparse methods, median and worst."""
    gaps = {name: effects.gap for name, effects in run.interactions.items() if effects.gap is not None}
    if len(gaps) > MAX_NETWORKS_LISTED:
        gaps = {f"{len(gaps)} networks": torch.cat(list(gaps.values()))}
    text = "; ".join(f"{name} {gap.median():.2%} (worst {gap.max():.2%})" for name, gap in gaps.items())
    return {"certified gap to the sparsest split, median": text} if text else {}


def _range_notes(run: Run) -> list[str]:
    """How far the strongest effects can vary."""
    if not run.study.ranges:
        return []
    table = ranges_table(run.interactions, [""] * run.store.games)
    table = table[table.effect != 0]
    width = ((table.high - table.low) / table.effect.abs()).median()
    certain = (table.lowest * table.highest > 0).mean()
    return [
        f"Among splits at most 1% stronger than this one, the {len(table):,} strongest effects can vary by "
        f"{width:.0%} of their strength (median), and the sign of {certain:.0%} of them is certain. The "
        "intervals beside effects, and ranges.csv, say how far each effect can go."
    ]


def method_notes(run: Run) -> list[str]:
    """Limits of the interactions that a reader should know."""
    notes = ["Strengths are compared as they are: a network with larger logits has stronger effects."]
    if run.study.method in SPARSE_METHODS:
        notes.append(
            "The sparsest split need not be unique: x₁ + x₂ has the same strength as two ANDs of one player "
            "each and as one AND and one OR of both. The choice moves strength between orders. Compare with "
            "--method and-or, and see how far effects can vary with --method sparse --ranges 5; "
            "neither needs new forwards."
        )
    notes += _range_notes(run)
    if run.study.choose != "random":
        unit = unit_of(run.study.players)
        notes.append(
            f"{APPROXIMATE} for all {unit} together. The players of each input are those with the most "
            "influence on the networks' scores; the rest of the input is always present. Given the rest, the "
            "interactions of these players are exact. The variance left unexplained is that over random "
            f"maskings of all {unit}, with as many masked on average as in the tables; above 100%, the "
            "tables predict less than a constant would. screening.csv has it by input."
        )
    if run.facts.read_outs:
        notes.append("A read-out shows what a linear layer can use of a frozen backbone.")
    return notes


def unit_of(players: str) -> str:
    """The plural name of the players that influence chooses from.

    >>> unit_of("grid:8x8:12"), unit_of("words:9")
    ('cells', 'words')
    """
    return PLAYER_UNITS[players.partition(":")[0]]


def approximation(table: pd.DataFrame, unit: str = "cells", *, together: bool = False, seed: int = 0) -> str:
    """Say how far tables are approximate whose players were chosen by influence.

    The share left unexplained is Σ mean_square / Σ variance over inputs; its interval is over these.

    Args:
        table: of `screening_table`.
        unit: plural name of the players, see `unit_of`.
        together: one share for all networks together; else a share for each.
        seed: of the interval's draws.

    Returns:
        the sentence that marks all results of the study.

    >>> rows = {"network": "net", "game": range(3), "players": "3 5", "all_players": 64, "coalitions": 256}
    >>> sentence = approximation(pd.DataFrame({**rows, "mean_square": 1.0, "variance": 4.0}))
    >>> sentence.partition("; ")[2].partition(" (")[0]
    'the tables leave 25% [25%, 25%] of the variance of the output unexplained'
    """
    k = len(table.players.iloc[0].split())
    names = list(dict.fromkeys(table.network))
    sums = table.groupby(["network", "game"], sort=False)[["mean_square", "variance"]].sum()
    if together or len(names) == 1:
        left = _share_left(sums.groupby("game", sort=False).sum(), seed)
    else:
        left = ", ".join(f"{_share_left(sums.loc[name], seed)} ({name})" for name in names)
    return (
        f"{APPROXIMATE}: {k} of {from_to(table.all_players)} {unit} chosen by influence in each input, "
        f"the others left as they are; the tables leave {left} of the variance of the output unexplained "
        f"({table.game.nunique()} inputs, {table.coalitions.iloc[0]} held-out coalitions of each)"
    )


def _share_left(games: pd.DataFrame, seed: int) -> str:
    """The share of the variance that is left unexplained over all games, with its interval."""
    columns = [games[[name]].to_numpy(np.float64) for name in ("mean_square", "variance")]
    return with_interval(ratio_interval(*columns, least=0.0, bootstrap=Bootstrap(seed=seed))[0], percent)
