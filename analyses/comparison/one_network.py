"""One network: its interactions in sentences, figures and a report."""

import math

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.figures import plot_matching, plot_ranges, plot_sparsity
from harsanyi.analyses.comparison.findings import counted_salient, matched, ranged, strongest
from harsanyi.analyses.comparison.pictures import draw_top
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.explained import explained_share
from harsanyi.analyses.report.page import Report, name_of, publish
from harsanyi.analyses.report.words import percent, with_interval
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.exploring import explorer_of
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import command_of, methods_of
from harsanyi.analyses.run.notes import (
    approximations,
    method_facts,
    method_notes,
    network_facts,
    reading_lines,
)
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval
from harsanyi.interactions import KINDS, Interactions

NETWORK = "network"
# Interactions that a figure of the strongest ones draws.
TOP = 7


def report_one(run: Run) -> list[str]:
    """Write the report of a run of one network into its folder: figures and report.html.

    Args:
        run: of `Compute`.

    Returns:
        the summary, in sentences.
    """
    interactions, bootstrap = run.interactions[NETWORK], Bootstrap(seed=run.study.seed)
    headline = describe_one(interactions, run.study.threshold, bootstrap)
    basis = f"This rests on {interactions.games:,} inputs of {interactions.n} players each."
    if interactions.games == 1:
        basis = f"This rests on 1 input of {interactions.n} players."
    summary = [basis, *reading_lines(run.facts)]
    captions = _captions(run)
    report = Report(
        title=f"{run.study.model}: its interactions",
        headline=headline,
        summary=summary,
        figures={captions[name]: figure for name, figure in figures_of_one(run).items()},
        findings={name_of(captions[name]): sentence for name, sentence in _findings(run).items()},
        tables={f"Salient strength by order, mean per input ({run.unit})": strength_in_words(run, bootstrap)},
        facts={"network": run.study.checkpoints[NETWORK]} | method_facts(run) | network_facts(run),
        methods=methods_of(run, compared=False),
        notes=["Intervals are over the inputs.", *method_notes(run)[1:]],
        warnings=[*cautions(run), *approximations(run)],
        again=command_of(run),
        explorer=explorer_of(run),
    )
    publish(run.folder, {}, report)
    return [headline, *left_out(run.store), *summary, *approximations(run)]


def figures_of_one(run: Run) -> dict[str, Figure]:
    """The figures of one network by what they draw."""
    interactions, threshold = run.interactions[NETWORK], run.study.threshold
    figures = {
        "strongest": draw_top(run, NETWORK, 0, TOP),
        "sparsity": figure_of(plot_sparsity(run.interactions, threshold)),
        "matching": figure_of(plot_matching(interactions, 0, threshold, unit=run.unit)),
    }
    if run.study.ranges:
        figures["ranges"] = figure_of(plot_ranges(interactions, 0, unit=run.unit))
    return figures


def _captions(run: Run) -> dict[str, str]:
    """The captions of the figures, by the same names."""
    return {
        "strongest": f"Strongest: the interactions of {run.title_of(0)}, in {run.unit}",
        "sparsity": "Sparsity: interactions sorted by strength, medians over inputs with quartiles",
        "matching": "Matching: the output on all masked versions of one input, and the sum of its salient "
        "interactions",
        "ranges": "Ranges: the strongest effects, and what they can be in splits at most 1% stronger: "
        f"{run.title_of(0)}",
    }


def _findings(run: Run) -> dict[str, str]:
    """What the figures show, in a sentence each, by the same names."""
    interactions, threshold = run.interactions[NETWORK], run.study.threshold
    found = {
        "strongest": strongest(interactions),
        "sparsity": counted_salient(run.interactions, threshold),
        "matching": matched(interactions, threshold),
    }
    return found | ({"ranges": ranged(interactions)} if run.study.ranges else {})


def describe_one(interactions: Interactions, threshold: float, bootstrap: Bootstrap) -> str:
    """How many interactions are salient, and what they explain, in one sentence.

    Args:
        interactions: of a network.
        threshold: of salience.
        bootstrap: of the intervals over inputs.

    Returns:
        the sentence.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 0.0, 4.0]] * 3, dtype=torch.float64)
    >>> describe_one(extract(v, And()), 0.05, Bootstrap(resamples=50)).partition(";")[0]
    'An input has 1.0 [1.0, 1.0] salient interactions of 3'
    """
    count = interactions.salient(threshold).count().double().numpy()
    (counted,) = mean_interval(count[:, None], least=0.0, bootstrap=bootstrap)
    explained = explained_share(interactions.only(interactions.salient(threshold)), bootstrap=bootstrap)
    kinds = max(1, int((interactions.effects != 0).any(2).any(0).sum()))
    possible = kinds * (2**interactions.n - 1)
    share = f"{with_interval(counted, ',.1f')} salient interactions of {possible:,}"
    if math.isnan(explained.value):
        return f"An input has {share}."
    return (
        f"An input has {share}; they explain {with_interval(explained, percent)} of the variance of the "
        "score over all masked versions."
    )


def strength_in_words(run: Run, bootstrap: Bootstrap) -> pd.DataFrame:
    """The salient strength of each order, AND and OR apart, as text with intervals."""
    interactions = run.interactions[NETWORK]
    strength = interactions.only(interactions.salient(run.study.threshold)).strength().sum(2)
    columns = {}
    for kind, of_kind in zip(KINDS, strength.unbind(1), strict=True):
        intervals = mean_interval(of_kind[:, 1:].numpy(), least=0.0, bootstrap=bootstrap)
        columns[kind.upper()] = [with_interval(interval, ".2f") for interval in intervals]
    return pd.DataFrame(columns, index=pd.Index([str(i + 1) for i in range(run.store.n)], name="order"))
