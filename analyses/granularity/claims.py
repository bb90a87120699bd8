"""Claims of a granularity study about the errors of its levels, told by rule."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.runs import BASELINE, TransferRun
from harsanyi.analyses.report.words import points, with_interval
from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, mean_difference_interval
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words, with_corrected
from harsanyi.analyses.statistics.verdict import Claim

LEVEL = re.compile(r"(?P<kind>[a-z-]+?)(?:-(?P<classes>\d+))?(?:\*(?P<moved>[\d.]+))?(?:/(?P<size>\d+))?")


def errors_of(runs: pd.DataFrame, name: str) -> pd.Series:
    """The error of each seed at one level.

    Args:
        runs: with the columns of `runs_table`: kind, classes, misalignment, size, seed, and error.
        name: KIND-CLASSES, or baseline; with /SIZE for one of several sizes (by default the largest), with
            *SHARE for moved labels.

    Raises:
        ValueError: for a name of another form, and one of no run.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60, error=0.5)
    >>> errors_of(pd.DataFrame([row | {"seed": seed} for seed in (0, 1)]), "random-8").tolist()
    [0.5, 0.5]
    """
    asked = LEVEL.fullmatch(name)
    if asked is None or (asked["classes"] is None and asked["kind"] != BASELINE):
        raise ValueError(f"{name!r} is no level: expected KIND-CLASSES, as columns-100, or {BASELINE}")
    rows = runs[runs.kind == asked["kind"]]
    rows = rows if asked["classes"] is None else rows[rows.classes == int(asked["classes"])]
    rows = rows[rows.misalignment == float(asked["moved"] or 0)]
    rows = rows[rows["size"] == int(asked["size"] or runs["size"].max())]
    if rows.empty:
        levels = (runs.kind + "-" + runs.classes.astype(str)).where(runs.kind != BASELINE, BASELINE)
        raise ValueError(f"{name!r} is no level of this study: it has {', '.join(dict.fromkeys(levels))}")
    return rows.set_index("seed").error


def require_claimed_levels(claims: Sequence[str], runs: Sequence[TransferRun]) -> None:
    """A ValueError for claims about levels that no planned run has."""
    planned = pd.DataFrame([vars(run) for run in runs]).assign(error=0.0)
    for claim in map(Claim.of, claims):
        for level in (claim.one, claim.other):
            if level:
                errors_of(planned, level)


def claims_table(
    runs: pd.DataFrame, claims: Sequence[str], *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """What the errors of finished runs say of the claims of their study file, paired by seed.

    Args:
        runs: of `runs_table`.
        claims: each `Claim`, of errors of levels (`errors_of`).
        bootstrap: of the intervals over seeds.

    Returns:
        claim, value, low, high (of the measured), seeds, verdict; p, of what is measured less the margin, and
        p_corrected, over all claims.

    Raises:
        ValueError: for claims of another form, or of levels without a run.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60)
    >>> runs = pd.DataFrame([row | {"seed": seed, "error": 0.5 + seed / 100} for seed in range(3)])
    >>> claims_table(runs, ["random-8 < 0.6", "random-8 > 0.6", "random-8 < 0.5"]).verdict.tolist()
    ['holds', 'fails', 'cannot be told']
    """
    rows = []
    for claim in map(Claim.of, claims):
        errors = errors_of(runs, claim.one)
        if claim.other:
            other = errors_of(runs, claim.other)
            both = errors.index.intersection(other.index)
            errors = errors[both] - other[both]
        values = errors.to_numpy(float)[:, None]
        (found,) = mean_difference_interval(values, bootstrap=bootstrap)
        (beyond,) = mean_difference_interval(values - claim.margin, bootstrap=bootstrap)
        bounds = {"value": found.value, "low": found.low, "high": found.high}
        told = claim.told(Interval(**bounds))
        rows.append({"claim": claim.text, **bounds, "seeds": len(errors), "verdict": told, P: beyond.p})
    columns = ["claim", "value", "low", "high", "seeds", "verdict", P]
    return with_corrected(pd.DataFrame(rows, columns=columns))


def claims_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Each claim with what was measured, its p, and the verdict, as text."""
    found: list[Any] = list(table.itertuples())
    return pd.DataFrame(
        {
            "measured, points": [with_interval(row, points) for row in found],
            "p": table[P].map(p_in_words).tolist(),
            "p, corrected": table[CORRECTED].map(p_in_words).tolist(),
            "verdict": table.verdict.tolist(),
        },
        index=pd.Index(table.claim, name="claim, on the error"),
    )


def describe_claims(table: pd.DataFrame) -> list[str]:
    """Each claim and its verdict, in a sentence."""
    found: list[Any] = list(table.itertuples())
    return [
        f"That {row.claim} {row.verdict}: {with_interval(row, points)} points over {row.seeds} seeds."
        for row in found
    ]
