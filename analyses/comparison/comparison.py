"""A comparison: from the knowledge change of a run to its table, figures and report."""

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.figures import (
    LEFT_OUT,
    plot_matching,
    plot_ranges,
    plot_shares,
    plot_sparsity,
    plot_strength_by_order,
)
from harsanyi.analyses.comparison.findings import counted_salient, matched, ranged, strongest
from harsanyi.analyses.comparison.pictures import draw_change, draw_top
from harsanyi.analyses.comparison.sentences import describe, headline, shares_by_order
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.claims import change_names, change_quantities
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, name_of, publish
from harsanyi.analyses.report.words import intervals_over
from harsanyi.analyses.run.cautions import cautions, unequal_strengths
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.exploring import explorer_of
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import command_of, methods_of
from harsanyi.analyses.run.notes import (
    alarms,
    approximations,
    method_facts,
    method_notes,
    network_facts,
    read_out_lines,
    reading_lines,
)
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import require_claims, told_claims
from harsanyi.analyses.study.layout import player_count
from harsanyi.analyses.study.study import Compare
from harsanyi.writing import alone_in_its_folder

CHANGE_TABLE = "change"
# Interactions that a figure of the strongest ones draws.
TOP = 7


@alone_in_its_folder
def run_comparison(study: Compare, *, progress: bool = True) -> list[str]:
    """Compare networks: from checkpoints to the report.

    Writes into `study.out`: study.toml, values.h5, facts.json, interactions-NETWORK.h5; the tables change,
    games and, with `ranges`, ranges, with `claims`, claims, as .csv and .h5; figures and report.html.

    Args:
        study: networks, inputs and settings.
        progress: whether to draw bars.

    Returns:
        the summary, in sentences.
    """
    require_claimed(study)
    run = compute(study, progress=progress)
    change, bootstrap = run.change, Bootstrap(seed=study.seed)
    table = change.table(bootstrap=bootstrap)
    tables = {CHANGE_TABLE: table} | told_claims(
        lambda: change_quantities(change, run.store.numbers), study.claims, bootstrap=bootstrap
    )
    found = [*describe(change, table), *describe_claims(tables)]
    strengths = [total_row(table, quantity=name).value for name in ("all_before", "all_after")]
    report = Report(
        title=f"{study.model}: what fine-tuning kept, dropped and learned",
        headline=headline(table),
        summary=[*found, *reading_lines(run.facts)],
        warnings=[*cautions(run), *unequal_strengths(*strengths), *approximations(run)],
        methods=methods_of(run),
        again=command_of(run),
        explorer=explorer_of(run),
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in study.checkpoints.items())}
        | method_facts(run)
        | network_facts(run),
        tables=claims_in_words(tables) | {"Shares of strength by order": shares_by_order(table)},
        figures=comparison_figures(run, change, table),
        findings=_findings(run, change, table),
        notes=[
            "Intervals are over the inputs; they say nothing about other training runs of the same networks.",
            *method_notes(run),
        ],
    )
    publish(study.out, tables, report)
    return [
        *alarms(run.facts),
        *left_out(run.store),
        *found,
        *read_out_lines(run.facts),
        *approximations(run),
    ]


def require_claimed(study: Compare) -> None:
    """Refuse claims about what a comparison will not have.

    Args:
        study: its players, networks and claims.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    if study.claims:
        n = player_count(study.players)
        require_claims(study.claims, change_names(n, scratch=study.scratch is not None))


def comparison_figures(run: Run, change: KnowledgeChange, table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a comparison.

    Args:
        run: the comparison.
        change: of its networks.
        table: of `KnowledgeChange.table`.

    Returns:
        figures by caption; the part before the colon names the file.
    """
    threshold, captions = run.study.threshold, _captions(run)
    figures = {
        captions["orders"]: figure_of(plot_strength_by_order(change, unit=run.unit)),
        captions["shares"]: figure_of(plot_shares(table)),
        captions["sparsity"]: figure_of(plot_sparsity(run.interactions, threshold)),
        captions["matching"]: figure_of(plot_matching(change.after, 0, threshold, unit=run.unit)),
        captions["change"]: draw_change(run, 0, 3),
        captions["strongest"]: draw_top(run, "after", 0, TOP),
    }
    if run.study.ranges:
        figures[captions["ranges"]] = figure_of(plot_ranges(run.interactions["after"], 0, unit=run.unit))
    return figures


def _captions(run: Run) -> dict[str, str]:
    """The captions of a comparison's figures by what they draw."""
    return {
        "orders": "Strength by order: salient strength before (left) and after (right), mean per input, "
        f"positive effects up and negative down; {LEFT_OUT}",
        "shares": f"Shares by order: whiskers: {intervals_over(run.store.games, 'inputs')}; {LEFT_OUT}",
        "sparsity": "Sparsity: interactions sorted by strength, medians over inputs with quartiles",
        "matching": "Matching: the fine-tuned network's output on all masked versions of one input, and "
        "the sum of its salient interactions",
        "change": f"Kept, dropped, learned: {run.title_of(0)}",
        "strongest": f"Strongest after fine-tuning: {run.title_of(0)}",
        "ranges": "Ranges: the strongest effects after fine-tuning, and what they can be in splits at most "
        f"1% stronger: {run.title_of(0)}",
    }


def _findings(run: Run, change: KnowledgeChange, table: pd.DataFrame) -> dict[str, str]:
    """What the figures of a comparison show, in a sentence each, by name."""
    captions = _captions(run)
    strength = {name: total_row(table, quantity=name).value for name in ("preserved", "discarded", "new")}
    first = {name: float(getattr(change, name)[0].sum()) for name in strength}
    found = {
        "orders": f"An input has {strength['preserved']:.2f} of preserved strength, "
        f"{strength['discarded']:.2f} of discarded and {strength['new']:.2f} of new.",
        "shares": headline(table),
        "sparsity": counted_salient(run.interactions, run.study.threshold),
        "matching": matched(change.after, run.study.threshold),
        "change": f"In this input {first['preserved']:.2f} is preserved, {first['discarded']:.2f} discarded "
        f"and {first['new']:.2f} new ({run.unit}).",
        "strongest": strongest(run.interactions["after"]),
    }
    if run.study.ranges:
        found["ranges"] = ranged(run.interactions["after"])
    return {name_of(captions[drawn]): sentence for drawn, sentence in found.items()}
