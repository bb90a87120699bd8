"""What claims of a granularity study can be about: the errors of its levels."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.runs import BASELINE, TransferRun
from harsanyi.analyses.statistics.claims import Quantity, require_claims

PRETRAIN_SIZE = "pretrain_size"
LEVEL = re.compile(r"(?P<kind>[a-z-]+?)(?:-(?P<classes>\d+))?(?:\*(?P<moved>[\d.]+))?(?:/(?P<size>\d+))?")


def errors_of(runs: pd.DataFrame, name: str) -> pd.Series:
    """The error of each seed at one level.

    Args:
        runs: with the columns of `runs_table`: kind, classes, misalignment, size, seed, and error.
        name: KIND-CLASSES, or baseline; with /SIZE for one of several sizes (by default the largest), with
            *SHARE for moved labels. Of several sizes of pretraining it is the largest.

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
    if PRETRAIN_SIZE in rows and len(rows):
        rows = rows[rows[PRETRAIN_SIZE] == rows[PRETRAIN_SIZE].max()]
    if rows.empty:
        levels = (runs.kind + "-" + runs.classes.astype(str)).where(runs.kind != BASELINE, BASELINE)
        raise ValueError(f"{name!r} is no level of this study: it has {', '.join(dict.fromkeys(levels))}")
    return rows.set_index("seed").error


def claimed_errors(runs: pd.DataFrame) -> dict[str, Quantity]:
    """What claims of a granularity study can be about: the error of each level, by seed.

    Args:
        runs: of `runs_table`.

    Returns:
        by name, as `errors_of` reads it; those of the largest size also without it.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60, error=0.5)
    >>> list(claimed_errors(pd.DataFrame([row | {"seed": seed} for seed in (0, 1)])))
    ['random-8', 'random-8/60']
    """
    found: dict[str, Quantity] = {}
    rows: Any = runs.drop_duplicates(["kind", "classes", "misalignment", "size"]).itertuples()
    for row in rows:
        level = row.kind if row.kind == BASELINE else f"{row.kind}-{row.classes}"
        level += f"*{row.misalignment:g}" if row.misalignment else ""
        whole = f"{level}/{row.size}"
        for name in (level, whole) if row.size == runs["size"].max() else (whole,):
            errors = errors_of(runs, name)
            found[name] = Quantity("seeds", tuple(errors.index), (errors.to_numpy(float),))
    return found


def require_claimed_levels(claims: Sequence[str], runs: Sequence[TransferRun]) -> None:
    """A ValueError for claims about levels that no planned run has."""
    planned = pd.DataFrame([vars(run) for run in runs]).assign(error=0.0)
    require_claims(claims, claimed_errors(planned))
