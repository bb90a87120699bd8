"""Claims of a study in a report: their rule, what was measured, and the verdicts."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harsanyi.analyses.report.words import with_interval
from harsanyi.analyses.statistics.claims import CLAIMS
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words
from harsanyi.analyses.statistics.verdict import RULE

# Values are in the unit of the margin, so that both can be compared.
DIGITS = ".3g"


def claims_in_words(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Each claim with what was measured, its p, and the verdict, as a table for a report under its rule.

    Args:
        tables: of a study, by name; without claims there is nothing to say.

    >>> row = dict(claim="a < 0.6", value=0.5, low=0.4, high=0.55, over="seeds", count=3, verdict="holds")
    >>> tables = {"claims": pd.DataFrame([row | {"p": 0.04, "p_corrected": 0.04}])}
    >>> (words,) = claims_in_words(tables).values()
    >>> words.loc["a < 0.6"].tolist()
    ['0.5 [0.4, 0.55]', '3 seeds', '0.040', '0.040', 'holds']
    """
    if CLAIMS not in tables:
        return {}
    table = tables[CLAIMS]
    found: list[Any] = list(table.itertuples())
    words = {
        "measured": [with_interval(row, DIGITS) for row in found],
        "over": [f"{row.count} {row.over}" for row in found],
        "p": table[P].map(p_in_words).tolist(),
        "p, corrected": table[CORRECTED].map(p_in_words).tolist(),
        "verdict": table.verdict.tolist(),
    }
    heading = f"Claims of the study file. {RULE}"
    return {heading: pd.DataFrame(words, index=pd.Index(table.claim, name="claim"))}


def describe_claims(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Each claim and its verdict in a sentence; none without claims.

    Args:
        tables: of a study, by name.

    >>> row = dict(claim="a < 0.6", value=0.5, low=0.4, high=0.55, over="seeds", count=3, verdict="holds")
    >>> describe_claims({"claims": pd.DataFrame([row])})
    ['That a < 0.6 holds: 0.5 [0.4, 0.55] over 3 seeds.']
    """
    if CLAIMS not in tables:
        return []
    found: list[Any] = list(tables[CLAIMS].itertuples())
    return [
        f"That {row.claim} {row.verdict}: {with_interval(row, DIGITS)} over {row.count} {row.over}."
        for row in found
    ]
