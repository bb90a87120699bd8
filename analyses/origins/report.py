"""Origins of finished runs: read, checked for comparability, and compared in tables, figures and a report."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import SHARE_COLOURS, figure_of
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.claims import change_quantities
from harsanyi.analyses.origins.figures import plot_origin_orders, plot_origin_similarities, plot_origins
from harsanyi.analyses.origins.origins import (
    COMPARED,
    MINUS,
    SIDES,
    compare_many,
    origin_similarities,
    origins_of,
)
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import REPORT_FILE, Report, publish
from harsanyi.analyses.report.words import (
    NO_VALUE,
    intervals_over,
    listed,
    percent,
    resting_on,
    with_interval,
)
from harsanyi.analyses.run.cautions import cautions, crossing_zero
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import method_facts, method_notes
from harsanyi.analyses.run.run import STORE_FILE, STUDY_FILE, Run, in_common
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Quantity, require_claims, told_claims
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words, told_apart
from harsanyi.analyses.study.study import SPARSE_METHODS
from harsanyi.interactions import Store
from harsanyi.models.digest import digest

ORIGINS, SIMILARITIES = "origins", "similarities"
# Facts of `method_facts` that all origins share.
COMMON_FACTS = ("inputs", "players", "masked", "score", "method", "salient")


@dataclass(frozen=True)
class Origin:
    """A finished run and the networks of it that are compared.

    Attributes:
        name: of the origin, in tables and figures.
        run: a comparison or tracked runs.
        compared: the names of its networks before, after and scratch, see `Run.compared`.
    """

    name: str
    run: Run
    compared: dict[str, str]

    @property
    def change(self) -> KnowledgeChange:
        """The knowledge change from before to after."""
        return self.run.change_of(self.compared)


def run_origins(runs: Sequence[str], out: Path, claims: Sequence[str] = ()) -> list[str]:
    """Compare finished runs with each other, without a forward.

    Writes into `out`: origins and similarities as .csv and .h5, figures and report.html.

    Args:
        runs: each NAME=RUN, the folder of a comparison, or NAME=RUN:SERIES, a tracked run from its
            pretrained network to the last checkpoint of a series (by default the first series).
        out: a folder, not that of a run.
        claims: told by rule: each about quantities of `change_names`, with the name of the origin.

    Returns:
        the summary, a sentence each.

    Raises:
        FileNotFoundError: for runs that are not there.
        ValueError: for runs that cannot be compared, a folder that is a run, or claims about what is not
            there.
    """
    if out.is_file() or (out / STUDY_FILE).is_file():
        raise ValueError(f"--out {out} is {'a file' if out.is_file() else 'a run'}: name another folder")
    if (out / REPORT_FILE).exists() and not (out / f"{ORIGINS}.csv").exists():
        raise ValueError(f"--out {out} holds the report of another command: name another folder")
    origins = [_origin(name, location) for name, location in _locations(runs).items()]
    origins = _on_the_same_inputs(origins)
    first = origins[0]
    for origin in origins[1:]:
        _require_comparable(first, origin)
    changes = {origin.name: origin.change for origin in origins}
    bootstrap = Bootstrap(seed=first.run.study.seed)
    quantities = _claimable(origins)
    require_claims(claims, quantities)
    table = compare_many(changes, bootstrap=bootstrap)
    similarities = origin_similarities(changes, bootstrap=bootstrap)
    tables = {ORIGINS: table, SIMILARITIES: similarities}
    tables |= told_claims(lambda: quantities, claims, bootstrap=bootstrap)
    figures = origin_figures(table, similarities, first.run.unit)
    summary = [*describe_origins(table), *describe_claims(tables)]
    report = Report(
        title=f"{listed(list(changes))} side by side",
        headline=headline(table),
        summary=summary,
        warnings=_warnings(origins, table),
        methods=methods_of(first.run),
        again=_again(runs, out, claims),
        facts=_facts(origins),
        tables=claims_in_words(tables)
        | {"Shares of strength": _in_words(table, differences=False)}
        | {"Differences, paired": _in_words(table, differences=True)},
        figures=figures,
        findings=_findings(table, similarities),
        notes=[
            "Intervals are over the inputs, the same in all origins. They do not cover other training runs. "
            "Each is for itself: p corrected (Benjamini–Hochberg) takes the number of differences in.",
            "Shares compare each network with its own start. Strengths of different networks have different "
            "scales, those of their own logits.",
            *dict.fromkeys(note for origin in origins for note in method_notes(origin.run)),
        ],
    )
    publish(out, tables, report)
    lacking = [f"{origin.name}: {line}" for origin in origins for line in left_out(origin.run.store)]
    return [*lacking, *summary]


def lacks_inputs(runs: Sequence[str]) -> bool:
    """Whether an input was left out of origins, since a network of one of them failed on it.

    Args:
        runs: as for `run_origins`.
    """
    folders = [_place(location)[0] for location in _locations(runs).values()]
    return any(left_out(Store(folder / STORE_FILE)) for folder in folders)


def _claimable(origins: Sequence[Origin]) -> dict[str, Quantity]:
    """What can be claimed: the quantities of each origin's change."""
    found: dict[str, Quantity] = {}
    for origin in origins:
        found |= change_quantities(origin.change, origin.run.store.numbers, of=origin.name)
    return found


def _again(runs: Sequence[str], out: Path, claims: Sequence[str]) -> str:
    """The command that does it again."""
    told = f" --claims {shlex.join(claims)}" if claims else ""
    return f"harsanyi origins {shlex.join(runs)} --out {shlex.quote(str(out))}{told}"


def describe_origins(table: pd.DataFrame) -> list[str]:
    """The results of `compare_many` in sentences: shares of each origin, how many differences are told."""
    sentences = []
    for name in origins_of(table):
        preserved, new = (
            with_interval(total_row(table, origin=name, quantity=quantity), percent)
            for quantity in ("preserved_share", "new_share")
        )
        sentences.append(
            f"{name} preserves {preserved} of the salient strength before; {new} of the salient strength "
            "after is new."
        )
    totals = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    games = int(totals.games.iloc[0])
    apart = told_apart(totals, "differences of shares between origins")
    return [*sentences, *([apart] if apart else []), resting_on(games, "inputs")]


def headline(table: pd.DataFrame) -> str:
    """Which origin preserves most, and which least, in one sentence.

    >>> row = dict(quantity="preserved_share", kind="both", sign="both", order="all", low=0.1, high=0.5)
    >>> headline(pd.DataFrame([{**row, "origin": "a", "value": 0.2}, {**row, "origin": "b", "value": 0.4}]))
    'b preserves most of what was there before, 40% [10%, 50%]; a preserves least, 20% [10%, 50%].'
    """
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = rows[(rows.quantity == "preserved_share") & ~rows.origin.str.contains(MINUS)].dropna(
        subset="value"
    )
    if rows.empty:
        return "No origin has salient interactions before: there is nothing to preserve."
    ordered = rows.sort_values("value", kind="stable")
    least, most = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"{most.origin} preserves most of what was there before, {with_interval(most, percent)}; "
        f"{least.origin} preserves least, {with_interval(least, percent)}."
    )


def _warnings(origins: Sequence[Origin], table: pd.DataFrame) -> list[str]:
    """The warnings of all runs, each once, and the pairs that cannot be told apart."""
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    pairs = rows[rows.origin.str.contains(MINUS) & (rows.quantity == "preserved_share")]
    open_pairs = pairs[(pairs.low <= 0) & (pairs.high >= 0)]
    return [
        *dict.fromkeys(warning for origin in origins for warning in cautions(origin.run)),
        *crossing_zero(list(open_pairs.origin), of="difference in the preserved share"),
    ]


def origin_figures(table: pd.DataFrame, similarities: pd.DataFrame, unit: str) -> dict[str, Figure]:
    """The figures of origins.

    Args:
        table: of `compare_many`.
        similarities: of each pair of origins.
        unit: of the score.

    Returns:
        figures by caption; the words before the colon are the name of the file.
    """
    intervals = intervals_over(int(table.games.max()), "inputs")
    return {
        f"Shares: preserved and new share of each origin; whiskers: {intervals}": figure_of(
            plot_origins(table)
        ),
        f"Preserved by order: mean salient strength per input; whiskers: {intervals}": figure_of(
            plot_origin_orders(table, "preserved", unit=unit)
        ),
        f"New by order: mean salient strength per input; whiskers: {intervals}": figure_of(
            plot_origin_orders(table, "new", unit=unit)
        ),
        **{
            f"Similarity {network}: Σ min / Σ max of all effects, split by sign, of each pair": figure_of(
                plot_origin_similarities(similarities, network)
            )
            for network in SIDES
        },
    }


def _findings(table: pd.DataFrame, similarities: pd.DataFrame) -> dict[str, str]:
    """What the figures of origins show beside the shares, in a sentence each, by name."""
    found = {}
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order != "all")]
    for quantity in ("preserved", "new"):
        peaks = []
        for name in origins_of(table):
            strength = rows[(rows.origin == name) & (rows.quantity == quantity)]
            if strength.value.max() > 0:
                peaks.append(f"at order {strength.order.iloc[int(strength.value.argmax())]} in {name}")
        if peaks:
            found[f"{quantity.capitalize()} by order"] = f"Most {quantity} strength sits {listed(peaks)}."
    alike = similarities[(similarities.kind == "both") & (similarities.order == "all")].dropna(subset="value")
    for network, pairs in alike.groupby("network", sort=False):
        most, least = (pairs.iloc[int(at)] for at in (pairs.value.argmax(), pairs.value.argmin()))
        sentence = f"The similarity of {_pair(most)} is {_similarity(most)}"
        if len(pairs) > 1:
            sentence += f", the highest; that of {_pair(least)} is the lowest, {_similarity(least)}"
        found[f"Similarity {network}"] = sentence + "."
    return found


def _pair(row: pd.Series) -> str:
    return f"{row.one} and {row.other}"


def _similarity(row: pd.Series) -> str:
    return with_interval(row, ".2f")


def _in_words(table: pd.DataFrame, *, differences: bool) -> pd.DataFrame:
    """Total shares as text, origins or pairs of them down, shares across."""
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = rows[rows.quantity.isin(COMPARED) & (rows.origin.str.contains(MINUS) == differences)]
    write = "+.1%" if differences else percent
    cells = rows.assign(
        share=rows.quantity.map({name: label for name, (label, _) in SHARE_COLOURS.items()}),
        text=[with_interval(row, write) for row in rows.itertuples()],
    )
    if differences:
        chances = zip(rows[P].map(p_in_words), rows[CORRECTED].map(p_in_words), strict=True)
        cells["text"] += [f"; p {raw}, corrected {corrected}" for raw, corrected in chances]
    wide = cells.pivot(index="origin", columns="share", values="text").fillna(NO_VALUE)
    return wide.loc[list(dict.fromkeys(cells.origin)), list(dict.fromkeys(cells.share))]


def _facts(origins: Sequence[Origin]) -> dict[str, str]:
    """The checkpoints of each origin, and the facts that all origins share."""
    common = method_facts(origins[0].run)
    checkpoints = {
        f"origin {origin.name}": f"{origin.run.study.model}; "
        + "; ".join(f"{name}: {origin.run.study.checkpoints[name]}" for name in origin.compared.values())
        for origin in origins
    }
    return checkpoints | {name: common[name] for name in COMMON_FACTS}


def _locations(runs: Sequence[str]) -> dict[str, str]:
    """The location of each origin by name: RUN or RUN:SERIES."""
    locations = dict(run.partition("=")[::2] for run in runs)
    names_fit = len(locations) == len(runs) and all(re.fullmatch(r"[\w-]+", name) for name in locations)
    if len(runs) < 2 or not names_fit:
        raise ValueError(
            f"got {' '.join(runs) or 'no run'}: expected NAME=RUN of two origins or more, names of letters "
            "and digits, each once"
        )
    if missing := [name for name, location in locations.items() if not location]:
        raise ValueError(f"{missing[0]}= names no folder: expected NAME=RUN or NAME=RUN:SERIES")
    return locations


def _origin(name: str, location: str) -> Origin:
    """The origin in a folder, or in a series of a folder of tracked runs."""
    folder, series = _place(location)
    run = Run.open(folder)
    return Origin(name, run, run.compared(series or None))


def _place(location: str) -> tuple[Path, str]:
    """The folder and the series of a location, "" without one."""
    folder = Path(location)
    if folder.exists() or ":" not in location:
        return folder, ""
    before, _, series = location.rpartition(":")
    return Path(before), series


def _on_the_same_inputs(origins: Sequence[Origin]) -> list[Origin]:
    """Origins without the inputs that a network of any of them failed on, where they have the same inputs."""
    wholes = [origin.run.store.whole.settings["inputs"] for origin in origins]
    if any(whole != wholes[0] for whole in wholes):
        return list(origins)  # which is refused, and why is said
    runs = in_common([origin.run for origin in origins])
    return [replace(origin, run=run) for origin, run in zip(origins, runs, strict=True)]


def _require_comparable(first: Origin, second: Origin) -> None:
    """A ValueError for two runs that differ in more than their networks; it names the differences."""
    conditions, others = _conditions(first.run), _conditions(second.run)
    # Sentences and labels are long: their beginnings distinguish them.
    texts = [
        {key: f"{json.dumps(value, ensure_ascii=False):.60}" for key, value in settings.items()}
        for settings in (conditions, others)
    ]
    differences = [
        f"{key}: {texts[0][key]} in {first.name}, {texts[1][key]} in {second.name}"
        for key, value in conditions.items()
        if value != others[key]
    ]
    if differences:
        raise ValueError(
            f"{first.name} and {second.name} cannot be compared ({'; '.join(differences)}): only their "
            "networks may differ"
        )


def _conditions(run: Run) -> dict[str, object]:
    """The settings that must be the same in two runs, so that differences are due to the networks."""
    study, settings = run.study, run.store.settings
    sparse, joint = study.method in SPARSE_METHODS, study.method == "joint"
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
    """The superpixels of a run; None for other players, whose name and seed determine them."""
    if not run.study.players.startswith("superpixels"):
        return None
    owner = run.store.array("owner")
    return [list(owner.shape), digest(owner)]
