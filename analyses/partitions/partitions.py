"""Partitions: a comparison with players merged, and with masked ones replaced by what other inputs have."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.partitions.claims import claimable, require_claimed
from harsanyi.analyses.partitions.figures import partition_figures
from harsanyi.analyses.partitions.measures import (
    Measure,
    change_measures,
    mean_measures,
    measures_table,
    neighbour_measures,
    order_measures,
)
from harsanyi.analyses.partitions.merged import MergedRun, constituents_table, merge_measures, merged_run
from harsanyi.analyses.partitions.merges import (
    APART,
    NEIGHBOURS,
    Merge,
    adjacencies_of,
    merges_of,
    require_merges,
)
from harsanyi.analyses.partitions.report import describe_partitions, in_words, partition_findings
from harsanyi.analyses.partitions.variations import (
    SHUFFLED,
    SHUFFLED_CONTENT,
    Variations,
    require_variations,
)
from harsanyi.analyses.partitions.words import CONSTITUENTS_TABLE, MERGES_TABLE, NEIGHBOURS_TABLE
from harsanyi.analyses.reliability.report import CLEAN
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import alarms, method_facts, method_notes, network_facts, reading_lines
from harsanyi.analyses.run.owner import comparison_for
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import told_claims
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.interactions import Interactions
from harsanyi.interactions.game.neighbours import Adjacency
from harsanyi.progress import progress_bar
from harsanyi.writing import sole_writer

# Where the partitions of a comparison lie, in the folder of that comparison.
FOLDER = "partitions"
DEFAULT_MERGES = (NEIGHBOURS, APART)
DEFAULT_DRAWS, DEFAULT_OTHERS = 4, 1000


def run_partitions(
    folder: Path,
    *,
    merges: Sequence[str] = DEFAULT_MERGES,
    replacements: Sequence[str] = (),
    shuffle: bool = False,
    draws: int = DEFAULT_DRAWS,
    others: int = DEFAULT_OTHERS,
    claims: Sequence[str] = (),
    progress: bool = True,
) -> list[str]:
    """Ask whether the results of a comparison hold in other partitions, and without neighbours' correlation.

    Merges take no forward: the value tables of merged players are rows of those there are. The same method
    splits them, and beside that stand the exact sums of the interactions there are (`merge_players`).
    Replacements and shuffled pictures are new games of the same networks, inputs and labels, in folders of
    their own below `folder`/partitions; a run that was stopped goes on.

    Writes into `folder`/partitions: merges, constituents and neighbours as .csv and .h5, figures and
    report.html.

    Args:
        folder: of a comparison.
        merges: see `merges_of`.
        replacements: of masked players, in place of the baseline: "marginal", "independent", "nearest",
            "normal".
        shuffle: whether also to evaluate the pictures with their patches shuffled.
        draws: of "marginal", "independent" and "nearest".
        others: largest number of other inputs that replacements are from.
        claims: told by rule, see `harsanyi.analyses.partitions.claims`.
        progress: whether to draw bars.

    Returns:
        the summary, in sentences.

    Raises:
        ValueError: for a folder that is no comparison; for merges and replacements that its players cannot
            have; and for claims about what is not there.
    """
    require_merges(merges)
    if not merges:
        raise ValueError(f"expected merges, as {' '.join(DEFAULT_MERGES)}; got none")
    for name, number in (("--draws", draws), ("--others", others)):
        if number < 1:
            raise ValueError(f"{name} is {number}: expected 1 or more")
    run = _comparison_in(folder)
    require_variations(run, replacements, shuffle)
    asked, adjacencies = merges_of(run, merges), adjacencies_of(run)
    varied = [*replacements, *([SHUFFLED, SHUFFLED_CONTENT] if shuffle else [])]
    names = list(dict.fromkeys(name for merge in asked for name in (merge.group, merge.name)))
    require_claimed(claims, networks=list(run.interactions), n=run.store.n, merges=names, variations=varied)
    with sole_writer(folder / FOLDER):
        variations = Variations(run, folder / FOLDER, draws, others, progress)
        merged, of_merges, groups = _merges(run, asked, progress)
        neighbours = _neighbours(run, variations, replacements, shuffle, adjacencies)
        tables, by_name = _tables(run, of_merges, groups, neighbours)
        tables[CONSTITUENTS_TABLE] = constituents_table(run.interactions, merged)
        bootstrap = Bootstrap(seed=run.study.seed)
        tables |= told_claims(lambda: claimable(by_name, run.store.numbers), claims, bootstrap=bootstrap)
        given = _given(merges, replacements, shuffle, draws, others)
        return _publish(folder, run, tables, given, others if replacements else 0)


def _comparison_in(folder: Path) -> Run:
    """The comparison in a folder; a ValueError for another command's, and for a folder in the way."""
    run = comparison_for(folder, FOLDER)
    if run.store.n < 3:
        raise ValueError(f"{folder} has {run.store.n} players: nothing is left to compare once two merge")
    return run


def _merges(
    run: Run, asked: Sequence[Merge], progress: bool
) -> tuple[list[MergedRun], dict[str, list[Measure]], dict[str, str]]:
    """All merges, what each measures, also on average over those of a group, and their groups."""
    method = replace(run.study, ranges=0).extraction()
    merged, measured, groups = [], dict[str, list[Measure]](), dict[str, str]()
    with progress_bar(len(asked), "merges", "merge", shown=progress) as bar:
        for merge in asked:
            merged.append(merged_run(run.interactions, merge, method))
            measured[merge.name] = merge_measures(run.interactions, merged[-1], run.study.threshold)
            groups[merge.name] = merge.group
            bar.update()
    for group in dict.fromkeys(groups.values()):
        if group not in groups:
            members = [measured[name] for name, of in groups.items() if of == group]
            measured[group] = mean_measures(members)
    return merged, measured, groups | {group: group for group in groups.values()}


def _measured(
    networks: Mapping[str, Interactions], adjacencies: Sequence[Adjacency], threshold: float
) -> list[Measure]:
    """Shares of a change, orders, and what is between neighbours."""
    found = change_measures(compare(**networks, threshold=threshold))
    for name, network in networks.items():
        found += order_measures(name, network, threshold)
        found += neighbour_measures(name, network, adjacencies, threshold)
    return found


def _neighbours(
    run: Run,
    variations: Variations,
    replacements: Sequence[str],
    shuffle: bool,
    adjacencies: Sequence[Adjacency],
) -> dict[str, list[Measure]]:
    """What the run and each variation measure."""
    threshold = run.study.threshold
    measured = {CLEAN: _measured(run.interactions, adjacencies, threshold)}
    for name in replacements:
        measured[name] = _measured(variations.replaced(name), adjacencies, threshold)
    if shuffle:
        networks = variations.shuffled()
        measured[SHUFFLED] = _measured(networks, adjacencies, threshold)
        (adjacency,) = adjacencies  # cells of a grid are the same in all pictures
        by_content = variations.content_adjacencies(adjacency)
        measured[SHUFFLED_CONTENT] = [
            one
            for name in networks
            for one in neighbour_measures(name, networks[name], by_content, threshold)
        ]
    return measured


def _tables(
    run: Run,
    of_merges: Mapping[str, Sequence[Measure]],
    groups: Mapping[str, str],
    neighbours: Mapping[str, Sequence[Measure]],
) -> tuple[dict[str, pd.DataFrame], dict[str, list[Measure]]]:
    """Tables of merges and of neighbours, p corrected in each, and all measures by variation."""
    bootstrap, clean = Bootstrap(seed=run.study.seed), neighbours[CLEAN]
    of_shares = [
        one for one in clean if one.quantity in {two.quantity for two in next(iter(of_merges.values()))}
    ]
    merges = measures_table(
        {CLEAN: of_shares, **of_merges}, {CLEAN: CLEAN, **groups}, clean, bootstrap=bootstrap
    )
    beside = measures_table(neighbours, {name: name for name in neighbours}, clean, bootstrap=bootstrap)
    tables = {MERGES_TABLE: with_corrected(merges), NEIGHBOURS_TABLE: with_corrected(beside)}
    return tables, {name: list(measures) for name, measures in {**of_merges, **neighbours}.items()}


def _given(
    merges: Sequence[str], replacements: Sequence[str], shuffle: bool, draws: int, others: int
) -> list[str]:
    """The options that are not at their defaults."""
    return [
        *([] if tuple(merges) == DEFAULT_MERGES else ["--merges", *merges]),
        *(["--replacements", *replacements] if replacements else []),
        *(["--shuffle"] if shuffle else []),
        *([] if draws == DEFAULT_DRAWS else ["--draws", str(draws)]),
        *([] if others == DEFAULT_OTHERS else ["--others", str(others)]),
    ]


def _publish(
    folder: Path, run: Run, tables: dict[str, pd.DataFrame], given: Sequence[str], others: int
) -> list[str]:
    """Write tables, figures and report; the summary."""
    first, *more = [*describe_partitions(tables), *describe_claims(tables)]
    shares = {"preserved_share": "preserved", "discarded_share": "discarded", "new_share": "new"}
    merged = {
        "summed_strength": "strength, summed",
        "split_strength": "strength, split again",
        "agreement": "agreement of both",
        "mean_order": "mean order",
        "top_kept": "strongest kept",
    }
    beside = {
        "neighbour_share": "neighbouring pairs",
        "neighbour_lift": "by chance",
        "connected_share": "hangs together",
        "connected_lift": "by chance, too",
        "joint_share": "share of two and more",
        "strength": "strength of two and more",
    }
    merges = tables[MERGES_TABLE]
    grouped = merges[merges.variation == merges.group]
    report = Report(
        title=f"{run.study.model}: other partitions, and what neighbours share",
        headline=first,
        summary=[*more, *reading_lines(run.facts)],
        warnings=cautions(run),
        methods=methods_of(run),
        again=f"harsanyi partitions {shlex.join([str(folder), *given])}",
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in run.study.checkpoints.items())}
        | method_facts(run)
        | network_facts(run),
        tables=claims_in_words(tables)
        | {
            "Shares after merges": in_words(grouped, shares),
            "What a merge keeps": in_words(grouped, merged),
            "Neighbours": in_words(tables[NEIGHBOURS_TABLE], beside),
            "Shares by variation": in_words(tables[NEIGHBOURS_TABLE], shares),
        },
        figures=partition_figures(tables),
        findings=partition_findings(tables),
        notes=[*_notes(others), *method_notes(run)],
    )
    publish(folder / FOLDER, tables, report)
    return [*alarms(run.facts), *left_out(run.store), first, *more]


def _notes(others: int) -> list[str]:
    """Limits that a reader should know; of replacements only where there are some."""
    notes = [
        "Merges are exact, and take no forward: value tables of merged players are rows of those there are. "
        "Summed interactions explain them, and for sparse splits are one of many splits; the table has the "
        "method's own beside it.",
        "A split into finer players is not in these tables: it needs a run on them. constituents.csv says of "
        "which of this run's interactions the merged ones consist.",
        "Intervals are over the inputs. Each p is of one difference, p corrected (Benjamini–Hochberg) of all "
        "in its table. Several merges of one run are not independent.",
    ]
    if others:
        notes.append(
            f"Replacements are from up to {others} other inputs. Few are near where much is present, and "
            "choosing them anew for each coalition is rough, which is strength of high orders; the "
            "expectation of a normal distribution is smooth, and blurred. Where the data has correlation, "
            "conditional replacement makes interactions of its own: a present patch tells what its neighbour "
            "is, even to an additive network."
        )
    return notes
