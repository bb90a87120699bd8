"""The tables of a granularity study, by the names of their files."""

from collections.abc import Sequence

import pandas as pd

from harsanyi.analyses.granularity.claims import claimed_errors, claimed_knowledge
from harsanyi.analyses.granularity.ladder import ladder_correlation, ladder_of, ladder_summary
from harsanyi.analyses.granularity.run_tables import runs_table, summary_table
from harsanyi.analyses.granularity.runs import BASELINE, TransferRun
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.statistics.claims import Quantity, told_claims

RUNS, SUMMARY, LADDER, LADDER_SUMMARY = "runs", "summary", "ladder", "ladder_summary"
CORRELATION = "correlation"


def granularity_tables(
    study: Granularity, runs: Sequence[TransferRun], *, progress: bool = True
) -> dict[str, pd.DataFrame]:
    """The tables of the finished runs: runs and their summary; with `claims` and `inputs` also theirs.

    Args:
        study: the study.
        runs: of `plan_runs`.
        progress: show a bar for each comparison.

    Returns:
        each table by the name of its file.
    """
    runs_done = runs_table(study, runs)
    tables = {RUNS: runs_done, SUMMARY: summary_table(runs_done)}
    if study.inputs:
        ladder, games = ladder_of(study, runs, progress=progress)
        tables |= {LADDER: ladder, LADDER_SUMMARY: ladder_summary(ladder, games)}
        tables[CORRELATION] = ladder_correlation(runs_done, ladder)

    def quantities() -> dict[str, Quantity]:
        errors = claimed_errors(runs_done)
        return errors | claimed_knowledge(tables[LADDER], tables[LADDER_SUMMARY]) if study.inputs else errors

    return tables | told_claims(quantities, study.claims)


def of_largest_pretraining(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the baseline, and of the largest number of pretraining samples.

    >>> rows = [("baseline", 0), ("random", 50), ("random", 200)]
    >>> of_largest_pretraining(pd.DataFrame(rows, columns=["kind", "pretrain_size"])).index.tolist()
    [0, 2]
    """
    return table[(table.kind == BASELINE) | (table.pretrain_size == table.pretrain_size.max())]
