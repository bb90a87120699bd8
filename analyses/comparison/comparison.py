"""A comparison: from the knowledge change of a run to its table, figures and report."""

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.figures import (
    plot_matching,
    plot_ranges,
    plot_shares,
    plot_sparsity,
    plot_strength_by_order,
)
from harsanyi.analyses.comparison.pictures import draw_change, draw_top
from harsanyi.analyses.comparison.sentences import describe, shares_by_order
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.report.page import publish
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.notes import (
    alarms,
    approximations,
    method_facts,
    method_notes,
    network_facts,
    reading_lines,
)
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.study.study import Compare
from harsanyi.writing import alone_in_its_folder

CHANGE_TABLE = "change"


@alone_in_its_folder
def run_comparison(study: Compare, *, progress: bool = True) -> list[str]:
    """Compare networks: from checkpoints to the report.

    Writes into `study.out`: study.toml, values.h5, facts.json, interactions-NETWORK.h5; the tables change,
    games and, with `ranges`, ranges, as .csv and .h5; figures and report.html.

    Args:
        study: networks, inputs and settings.
        progress: whether to draw bars.

    Returns:
        the summary, in sentences.
    """
    run = compute(study, progress=progress)
    change = run.change
    table = change.table(bootstrap=Bootstrap(seed=study.seed))
    figures = _figures(run, change, table)
    summary = [*alarms(run.facts), *describe(change, table), *reading_lines(run.facts), *approximations(run)]
    publish(
        study.out,
        {CHANGE_TABLE: table},
        title=f"{study.model}: what fine-tuning kept, dropped and learned",
        summary=summary,
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in study.checkpoints.items())}
        | method_facts(run)
        | network_facts(run),
        tables={"Shares of strength by order": shares_by_order(table)},
        figures=figures,
        notes=[
            "Intervals resample the inputs; they say nothing about other training runs of the same networks.",
            *method_notes(run),
        ],
    )
    return summary


def _figures(run: Run, change: KnowledgeChange, table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a comparison by caption; the part before the colon names the file."""
    threshold = run.study.threshold
    figures = {
        "Strength by order: salient strength before (left) and after (right), mean per input, positive "
        "effects up and negative down": figure_of(plot_strength_by_order(change, unit=run.unit)),
        "Shares by order: with 95% bootstrap intervals over inputs": figure_of(plot_shares(table)),
        "Sparsity: interactions sorted by strength": figure_of(plot_sparsity(run.interactions, threshold)),
        "Matching: the fine-tuned network's output on all masked versions of one input, and the sum of its "
        "salient interactions": figure_of(plot_matching(change.after, 0, threshold)),
        f"Kept, dropped, learned: {run.title_of(0)}": draw_change(run, 0, 3),
        f"Strongest after fine-tuning: {run.title_of(0)}": draw_top(run, "after", 0, 7),
    }
    if run.study.ranges:
        ranges = figure_of(plot_ranges(run.interactions["after"], 0, unit=run.unit))
        figures[
            "Ranges: the strongest effects after fine-tuning (dots), and what they can be in splits at most "
            f"1% stronger (lines): {run.title_of(0)}"
        ] = ranges
    return figures
