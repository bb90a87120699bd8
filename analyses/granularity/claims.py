"""What claims of a granularity study can be about: the errors of its levels, and the knowledge along them."""

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd

from harsanyi.analyses.granularity.ladder import ACCURACY, AMOUNTS
from harsanyi.analyses.granularity.runs import BASELINE, TransferRun
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS
from harsanyi.analyses.knowledge.restricted import DIFFERENCE, KNOWLEDGE
from harsanyi.analyses.knowledge.restricted_numbers import R2, R2_DIFFERENCE
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.claims import Quantity, require_claims
from harsanyi.analyses.study.layout import player_count

PRETRAIN_SIZE = "pretrain_size"
LEVEL_COLUMNS = ["kind", "classes", "misalignment", "size"]
BOUNDS = ["value", "low", "high"]
# The quantities of the ladder, where players are the cells of a grid.
RARE = ("rare_before", "rare_after", "rare_scratch", "rare_preserved", "common_preserved")
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
    rows: Any = runs.drop_duplicates(LEVEL_COLUMNS).itertuples()
    for row in rows:
        for name in _names(row, runs["size"].max()):
            errors = errors_of(runs, name)
            found[name] = Quantity("seeds", tuple(errors.index), (errors.to_numpy(float),))
    return found


def claimed_knowledge(ladder: pd.DataFrame, summary: pd.DataFrame) -> dict[str, Quantity]:
    """What claims can be about along the ladder: each quantity of a level, by seed.

    By itself a quantity has the interval of `ladder_summary`. A difference of two is over seeds, for these
    inputs, which are the same for all runs.

    Args:
        ladder: of `ladder_table`.
        summary: of `ladder_summary`.

    Returns:
        by name: QUANTITY:LEVEL with the levels of `claimed_errors`, and QUANTITY:LEVEL:ORDER for one order.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60, quantity="new_share", order="all")
    >>> ladder = pd.DataFrame([row | {"seed": seed, "value": seed / 4} for seed in (1, 2, 3)])
    >>> found = claimed_knowledge(ladder, pd.DataFrame([row | {"value": 0.5, "low": 0.1, "high": 0.9}]))
    >>> list(found), found["new_share:random-8"].interval()
    (['new_share:random-8', 'new_share:random-8/60'], Interval(value=0.5, low=0.1, high=0.9))
    """
    rows, shown = _of_largest_pretraining(ladder), _of_largest_pretraining(summary)
    columns = [*LEVEL_COLUMNS, "quantity", "order"]
    keys = shown[columns].itertuples(index=False, name=None)
    bounds = shown[BOUNDS].to_numpy(float)
    intervals = {key: Interval(*map(float, each)) for key, each in zip(keys, bounds, strict=True)}
    found = {}
    for key, of_level in rows.dropna(subset="value").groupby(columns, sort=False):
        row: Any = SimpleNamespace(**dict(zip(columns, key, strict=True)))
        by_seed = of_level.set_index("seed").value
        quantity = Quantity(
            "seeds", tuple(by_seed.index), (by_seed.to_numpy(float),), shown=intervals.get(tuple(key))
        )
        order = "" if row.order == "all" else f":{row.order}"
        for name in _names(row, rows["size"].max()):
            found[f"{row.quantity}:{name}{order}"] = quantity
    return found


def claimable(runs: Sequence[TransferRun], study: Granularity) -> list[str]:
    """The names of `claimed_errors` and `claimed_knowledge`, before any run is trained.

    Args:
        runs: of `plan_runs`.
        study: whose comparisons have the knowledge along the ladder; without inputs there are errors alone.
    """
    planned = pd.DataFrame([vars(run) for run in runs]).assign(error=0.0)
    names = list(claimed_errors(planned))
    if not study.inputs:
        return names
    by_order = [*AMOUNTS, *SHARE_AMOUNTS, *SCRATCH_SHARE_AMOUNTS]
    by_order += RARE if study.players.startswith("grid") else ()
    measured = (R2, R2_DIFFERENCE) if study.task == "regression" else (ACCURACY, DIFFERENCE)
    parts = [part.replace(" ", "_") for part in KNOWLEDGE] if study.restricted else []
    whole = [*by_order, *(f"{part}_{each}" for part in parts for each in measured)]
    orders = range(1, player_count(study.players) + 1)
    levels: Any = planned[planned.kind != BASELINE].drop_duplicates(LEVEL_COLUMNS).itertuples()
    for level in (name for row in levels for name in _names(row, planned["size"].max())):
        names += [f"{quantity}:{level}" for quantity in whole]
        names += [f"{quantity}:{level}:{order}" for quantity in by_order for order in orders]
    return names


def require_claimed_levels(claims: Sequence[str], runs: Sequence[TransferRun], study: Granularity) -> None:
    """Refuse claims about what the runs will not have.

    Args:
        claims: texts.
        runs: of `plan_runs`.
        study: of the runs.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    require_claims(claims, claimable(runs, study))


def _names(row: Any, largest: int) -> list[str]:
    """The names of a level: with its size, and without it where that is the largest."""
    level = row.kind if row.kind == BASELINE else f"{row.kind}-{row.classes}"
    level += f"*{row.misalignment:g}" if row.misalignment else ""
    whole = f"{level}/{row.size}"
    return [level, whole] if row.size == largest else [whole]


def _of_largest_pretraining(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the largest number of pretraining samples of each level, as `errors_of` takes them."""
    if PRETRAIN_SIZE not in table:
        return table
    most = table.groupby(LEVEL_COLUMNS)[PRETRAIN_SIZE].transform("max")
    return table[table[PRETRAIN_SIZE] == most]
