"""Origins of finished runs: read, found comparable, and put side by side in tables, figures and a report."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import SHARE_COLOURS, whole
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.origins.figures import plot_origin_orders, plot_origin_similarities, plot_origins
from harsanyi.analyses.origins.origins import (
    COMPARED,
    MINUS,
    SIDES,
    compare_many,
    origin_similarities,
    origins_of,
)
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.report.words import NOTHING, listed, percent, with_interval
from harsanyi.analyses.run.notes import method_facts, method_notes
from harsanyi.analyses.run.run import STUDY, Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.models.digest import digest

ORIGINS, SIMILARITIES = "origins", "similarities"
# Of `method_facts`, what all origins have in common.
COMMON = ("inputs", "players", "masked", "score", "method", "salient")


@dataclass(frozen=True)
class Origin:
    """A finished run's change from a first to a last network.

    Attributes:
        name: what it is called beside others.
        run: a comparison or tracked runs.
        compared: which of its networks stand for before, after and scratch, see `Run.compared`.
    """

    name: str
    run: Run
    compared: dict[str, str]

    @property
    def change(self) -> KnowledgeChange:
        return self.run.change_of(self.compared)


def run_origins(runs: Sequence[str], out: Path) -> list[str]:
    """Put finished runs side by side, without a forward; returns the summary in words.

    Writes into `out`: origins and similarities as .csv and .h5, figures and report.html.

    Args:
        runs: each NAME=RUN, the folder of a comparison, or NAME=RUN:SERIES, a tracked run from its
            pretrained network to the last checkpoint of one series (the first, if none is named).
        out: a folder, not that of a run.

    Raises:
        ValueError, FileNotFoundError: for runs that are not there, or that cannot be set side by side.
    """
    if out.is_file() or (out / STUDY).is_file():
        raise ValueError(f"--out {out} is {'a file' if out.is_file() else 'a run'}: name another folder")
    found = [_origin(name, where) for name, where in _named(runs).items()]
    for other in found[1:]:
        _require_comparable(found[0], other)
    changes = {one.name: one.change for one in found}
    bootstrap = Bootstrap(seed=found[0].run.study.seed)
    table = compare_many(changes, bootstrap=bootstrap)
    alike = origin_similarities(changes, bootstrap=bootstrap)
    figures = _figures(table, alike, found[0].run.unit)
    summary = describe_origins(table)
    publish(
        out,
        {ORIGINS: table, SIMILARITIES: alike},
        title=f"{listed(list(changes))} side by side",
        summary=summary,
        facts=_facts(found),
        tables={"Shares of strength": _in_words(table, differences=False)}
        | {"Differences, paired": _in_words(table, differences=True)},
        figures=figures,
        notes=[
            "Intervals resample the inputs, the same in all origins; they say nothing about other training "
            "runs, and are not widened for the number of pairs.",
            "Shares compare each network with its own start; strengths of different networks are in "
            "their own logits.",
            *dict.fromkeys(note for one in found for note in method_notes(one.run)),
        ],
    )
    return summary


def describe_origins(table: pd.DataFrame) -> list[str]:
    """What `compare_many` found, in plain sentences: each origin, and how many pairs differ."""
    sentences = []
    for name in origins_of(table):
        kept, new = (
            with_interval(total_row(table, origin=name, quantity=quantity), percent)
            for quantity in ("preserved_share", "new_share")
        )
        sentences.append(
            f"{name} preserves {kept} of the salient strength before; of that after, {new} is new."
        )
    totals = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    pairs = totals[totals.origin.str.contains(MINUS) & (totals.quantity == "preserved_share")]
    told = ((pairs.low > 0) | (pairs.high < 0)).sum()
    games = int(totals.games.iloc[0])
    return [
        *sentences,
        f"Of {len(pairs)} pairs of origins, {told} differ in the preserved share by more than inputs vary: "
        "their paired interval leaves out 0.",
        f"This rests on {games} inputs; brackets hold bootstrap intervals over them.",
    ]


def _figures(table: pd.DataFrame, alike: pd.DataFrame, unit: str) -> dict[str, Figure]:
    """The figures of origins by caption; what stands before the colon names the file."""
    intervals = "95% bootstrap intervals over inputs"
    return {
        f"Shares: what each origin preserves and newly learns, with {intervals}": whole(plot_origins(table)),
        f"Preserved by order: mean salient strength per input, with {intervals}": whole(
            plot_origin_orders(table, "preserved", unit=unit)
        ),
        f"New by order: mean salient strength per input, with {intervals}": whole(
            plot_origin_orders(table, "new", unit=unit)
        ),
        **{
            f"Similarity {network}: Σ min / Σ max of all effects, split by sign, of each pair": whole(
                plot_origin_similarities(alike, network)
            )
            for network in SIDES
        },
    }


def _in_words(table: pd.DataFrame, *, differences: bool) -> pd.DataFrame:
    """Total shares as text, origins or pairs of them down, shares across."""
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = rows[rows.quantity.isin(COMPARED) & (rows.origin.str.contains(MINUS) == differences)]
    write = "{:+.1%}".format if differences else percent
    cells = rows.assign(
        share=rows.quantity.map({name: label for name, (label, _) in SHARE_COLOURS.items()}),
        text=[with_interval(row, write) for row in rows.itertuples()],
    )
    wide = cells.pivot(index="origin", columns="share", values="text").fillna(NOTHING)
    return wide.loc[list(dict.fromkeys(cells.origin)), list(dict.fromkeys(cells.share))]


def _facts(found: Sequence[Origin]) -> dict[str, str]:
    """What was read, and what all of it has in common."""
    common = method_facts(found[0].run)
    read = {
        f"origin {one.name}": f"{one.run.study.model}; "
        + "; ".join(f"{name}: {one.run.study.checkpoints[name]}" for name in one.compared.values())
        for one in found
    }
    return read | {name: common[name] for name in COMMON}


def _named(runs: Sequence[str]) -> dict[str, str]:
    """Where each origin is, by name."""
    named = dict(one.partition("=")[::2] for one in runs)
    if len(runs) < 2 or len(named) < len(runs) or not all(re.fullmatch(r"[\w-]+", name) for name in named):
        raise ValueError(
            f"got {' '.join(runs) or 'no run'}: expected NAME=RUN of two origins or more, names of letters "
            "and digits, each once"
        )
    if missing := [name for name, where in named.items() if not where]:
        raise ValueError(f"{missing[0]}= names no folder: expected NAME=RUN or NAME=RUN:SERIES")
    return named


def _origin(name: str, where: str) -> Origin:
    """The origin in a folder, or in one series of a tracked run's folder."""
    folder, series = Path(where), ""
    if not folder.exists() and ":" in where:
        before, _, series = where.rpartition(":")
        folder = Path(before)
    run = Run.open(folder)
    return Origin(name, run, run.compared(series or None))


def _require_comparable(one: Origin, other: Origin) -> None:
    """Refuse two runs that differ in more than their networks, naming in what."""
    here, there = _conditions(one.run), _conditions(other.run)
    differing = [key for key in here if here[key] != there[key]]
    if differing:
        # Sentences and labels are long: their beginnings tell them apart.
        texts = [
            {key: f"{json.dumps(run[key], ensure_ascii=False):.60}" for key in run} for run in (here, there)
        ]
        found = "; ".join(
            f"{key}: {texts[0][key]} in {one.name}, {texts[1][key]} in {other.name}" for key in differing
        )
        raise ValueError(
            f"{one.name} and {other.name} cannot be set side by side ({found}): only networks may differ"
        )


def _conditions(run: Run) -> dict[str, object]:
    """All that must be the same in two runs, so that what differs is due to the networks."""
    study, settings = run.study, run.store.settings
    sparse, joint = study.method in ("sparse", "joint"), study.method == "joint"
    return {
        "inputs": [f"{run.store.games} of {Path(study.data).name}", settings["contents"]],
        "labels": settings["labels"],
        "players": settings["players"],
        "players chosen": settings.get("kept"),
        "seed": study.seed,
        "regions": _regions(run),
        "words": settings.get("sentences"),
        **{name: settings[name] for name in ("layer", "baseline", "score")},
        "method": [study.method, *[study.noise] * sparse, *[study.specific] * joint],
        "threshold": study.threshold,
    }


def _regions(run: Run) -> object:
    """Where superpixels lie; grids follow from their words and the seed, also on images of another size."""
    if not run.study.players.startswith("superpixels"):
        return None
    owner = run.store.array("owner")
    return [list(owner.shape), digest(owner)]
