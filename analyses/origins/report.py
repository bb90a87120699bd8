"""Origins of finished runs compared, in tables, figures and a report."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.claims import change_quantities
from harsanyi.analyses.origins.feature_answers import require_classes
from harsanyi.analyses.origins.feature_figures import feature_figures, feature_findings
from harsanyi.analyses.origins.feature_words import (
    correlations_in_words,
    describe_features,
    feature_notes,
    feature_warnings,
    features_in_words,
)
from harsanyi.analyses.origins.features import (
    FEATURE_CORRELATIONS,
    FEATURES,
    clusters_of,
    feature_correlations,
    feature_points,
    feature_table,
)
from harsanyi.analyses.origins.figures import plot_origin_orders, plot_origin_similarities, plot_origins
from harsanyi.analyses.origins.origins import (
    MINUS,
    SIDES,
    compare_many,
    origin_similarities,
)
from harsanyi.analyses.origins.runs import Origin, other_games, pairs_in, read_origins
from harsanyi.analyses.origins.words import describe_origins, findings_of, headline, shares_in_words
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import REPORT_FILE, Report, publish
from harsanyi.analyses.report.words import (
    intervals_over,
    listed,
)
from harsanyi.analyses.run.cautions import cautions, crossing_zero
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import method_facts, method_notes
from harsanyi.analyses.run.run import STUDY_FILE
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Quantity, require_claims, told_claims

ORIGINS, SIMILARITIES = "origins", "similarities"
# Facts of `method_facts`: one for all origins where they share it.
FACTS = ("inputs", "players", "masked", "score", "method", "salient")


def run_origins(
    runs: Sequence[str],
    out: Path,
    claims: Sequence[str] = (),
    *,
    features: bool = False,
    clusters: Sequence[str] = (),
) -> list[str]:
    """Compare finished runs with each other, without a forward.

    Writes into `out`: origins and similarities as .csv and .h5, figures and report.html. Runs on other inputs
    or labels have their shares; what needs the same games is left out between them, and that is said.

    Args:
        runs: each NAME=RUN, the folder of a comparison, or NAME=RUN:SERIES, a tracked run from its
            pretrained network to the last checkpoint of a series (by default the first series); with
            NAME=RUN:SERIES:SCRATCH beside the last checkpoint of the series SCRATCH.
        out: a folder, not that of a run.
        claims: told by rule: each about quantities of `change_names`, with the name of the origin.
        features: whether the networks are asked again, a few forwards for each input, and measures of their
            features stand beside the shares: the table `feature_table`, and `feature_correlations`.
        clusters: of runs that are not independent, see `clusters_of`; for these correlations.

    Returns:
        the summary, a sentence each.

    Raises:
        FileNotFoundError: for runs that are not there.
        ValueError: for runs that cannot be compared, a folder that is a run, claims about what is not there,
            for features of runs whose inputs have no class, and for clusters that are none of the runs, or
            without features.
    """
    if out.is_file() or (out / STUDY_FILE).is_file():
        raise ValueError(f"--out {out} is {'a file' if out.is_file() else 'a run'}: name another folder")
    if (out / REPORT_FILE).exists() and not (out / f"{ORIGINS}.csv").exists():
        raise ValueError(f"--out {out} holds the report of another command: name another folder")
    if clusters and not features:
        raise ValueError("--clusters is for the correlations of --features: give both, or leave it out")
    together = clusters_of([run.partition("=")[0] for run in runs], clusters)
    groups = read_origins(runs)
    origins = sorted((one for group in groups for one in group), key=lambda one: _place(runs, one))
    if features:
        require_classes(origins)
    bootstrap = Bootstrap(seed=origins[0].run.study.seed)
    tables = _tables(groups, origins, claims, bootstrap)
    if features:
        measured = feature_table(origins, bootstrap=bootstrap)
        points = feature_points(measured, tables[ORIGINS])
        correlations = feature_correlations(points, clusters=together, bootstrap=bootstrap)
        tables |= {FEATURES: measured, FEATURE_CORRELATIONS: correlations}
    report = _report(groups, origins, tables, _again(runs, out, claims, features, clusters))
    publish(out, {name: table for name, table in tables.items() if len(table)}, report)
    lacking = [f"{origin.name}: {line}" for origin in origins for line in left_out(origin.run.store)]
    return [*lacking, *report.summary]


def _place(runs: Sequence[str], origin: Origin) -> int:
    """Where the command names an origin."""
    return [run.partition("=")[0] for run in runs].index(origin.name)


def _tables(
    groups: Sequence[Sequence[Origin]], origins: Sequence[Origin], claims: Sequence[str], bootstrap: Bootstrap
) -> dict[str, pd.DataFrame]:
    """The tables of shares, of similarities and of claims."""
    quantities = _claimable(groups)
    require_claims(claims, quantities)
    changes = {origin.name: origin.change for origin in origins}
    pairs = pairs_in(groups)
    return {
        ORIGINS: compare_many(changes, pairs=pairs, bootstrap=bootstrap),
        SIMILARITIES: origin_similarities(changes, pairs=pairs, bootstrap=bootstrap),
        **told_claims(lambda: quantities, claims, bootstrap=bootstrap),
    }


def _claimable(groups: Sequence[Sequence[Origin]]) -> dict[str, Quantity]:
    """What can be claimed: the quantities of each origin's change."""
    found: dict[str, Quantity] = {}
    before = 0
    for group in groups:
        for origin in group:
            # Numbers go on from group to group: no input is taken for one of other games, and paired with it.
            numbers = [before + number for number in origin.run.store.numbers]
            found |= change_quantities(origin.change, numbers, of=origin.name)
        before += max(origin.run.store.whole.games for origin in group)
    return found


def _report(
    groups: Sequence[Sequence[Origin]],
    origins: Sequence[Origin],
    tables: Mapping[str, pd.DataFrame],
    again: str,
) -> Report:
    """The page about all origins."""
    table, similarities = tables[ORIGINS], tables[SIMILARITIES]
    figures = origin_figures(table, similarities, origins[0].run.unit)
    findings = findings_of(table, similarities)
    more, notes, warnings = other_games(groups), list[str](), _warnings(origins, table)
    words: dict[str, pd.DataFrame] = {}
    if FEATURES in tables:
        measured, correlations = tables[FEATURES], tables[FEATURE_CORRELATIONS]
        more += describe_features(measured, correlations)
        warnings += feature_warnings(measured)
        notes += feature_notes(correlations)
        figures |= feature_figures(table, measured, correlations)
        findings |= feature_findings(measured, correlations)
        words = {
            "Features": features_in_words(measured),
            "Rank correlation with the gain over scratch": correlations_in_words(correlations),
        }
    return Report(
        title=f"{listed([origin.name for origin in origins])} side by side",
        headline=headline(table),
        summary=[*describe_origins(table), *more, *describe_claims(tables)],
        warnings=warnings,
        methods=list(dict.fromkeys(text for group in groups for text in methods_of(group[0].run))),
        again=again,
        facts=_facts(origins),
        tables=claims_in_words(tables)
        | {"Shares of strength": shares_in_words(table, differences=False)}
        | {"Differences, paired": shares_in_words(table, differences=True)}
        | words,
        figures=figures,
        findings=findings,
        notes=[
            "Intervals are over the inputs of each origin. They do not cover other training runs. Each is "
            "for itself: p corrected (Benjamini–Hochberg) takes the number of differences in.",
            "Shares compare each network with its own start. Strengths of different networks have different "
            "scales, those of their own logits.",
            *notes,
            *dict.fromkeys(note for origin in origins for note in method_notes(origin.run)),
        ],
    )


def _again(
    runs: Sequence[str], out: Path, claims: Sequence[str], features: bool, clusters: Sequence[str]
) -> str:
    """The command that does it again."""
    told = " --features" * features
    told += f" --clusters {shlex.join(clusters)}" if clusters else ""
    told += f" --claims {shlex.join(claims)}" if claims else ""
    return f"harsanyi origins {shlex.join(runs)} --out {shlex.quote(str(out))}{told}"


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
    intervals = intervals_over(int(table.games.min()), "inputs")
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
            if len(similarities)
        },
    }


def _facts(origins: Sequence[Origin]) -> dict[str, str]:
    """The checkpoints of each origin, and how the interactions were computed."""
    facts = {origin.name: method_facts(origin.run) for origin in origins}
    checkpoints = {
        f"origin {origin.name}": f"{origin.run.study.model}; "
        + "; ".join(f"{name}: {origin.run.study.checkpoints[name]}" for name in origin.compared.values())
        for origin in origins
    }
    found: dict[str, str] = {}
    for heading in FACTS:
        values = {name: of_origin[heading] for name, of_origin in facts.items()}
        alike = len(set(values.values())) == 1
        found |= (
            {heading: values[origins[0].name]}
            if alike
            else {f"{heading} of {name}": value for name, value in values.items()}
        )
    return checkpoints | found
