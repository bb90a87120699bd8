"""What claims of a granularity study can be about: the errors of its levels, and the knowledge along them."""

import re
from collections.abc import Sequence
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
LEVEL_COLUMNS = ["kind", "classes", "misalignment", "size", PRETRAIN_SIZE]
BOUNDS = ["value", "low", "high"]
# The quantities of the ladder, where players are the cells of a grid.
RARE = ("rare_before", "rare_after", "rare_scratch", "rare_preserved", "common_preserved")
LEVEL = re.compile(
    r"(?P<kind>[a-z-]+?)(?:-(?P<classes>\d+))?"
    r"(?:@(?P<pretrained>\d+))?(?:\*(?P<moved>[\d.]+))?(?:/(?P<size>\d+))?"
)


def errors_of(runs: pd.DataFrame, name: str) -> pd.Series:
    """The error of each seed at one level.

    Args:
        runs: with the columns of `runs_table`: kind, classes, misalignment, size, seed, and error;
            pretrain_size where samples of pretraining are counted by themselves.
        name: KIND-CLASSES, or baseline; with /SIZE for one of several sizes and @SIZE for one of several
            sizes of pretraining (by default the largest), with *SHARE for moved labels.

    Raises:
        ValueError: for a name of another form, and one of no run.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60, error=0.5)
    >>> errors_of(pd.DataFrame([row | {"seed": seed} for seed in (0, 1)]), "random-8").tolist()
    [0.5, 0.5]
    """
    asked = LEVEL.fullmatch(name)
    if asked is None or (asked["classes"] is None and asked["kind"] != BASELINE):
        raise ValueError(f"{name!r} is no level: expected KIND-CLASSES, as columns-100, or {BASELINE}")
    rows = _with_pretraining(runs)
    rows = rows[rows.kind == asked["kind"]]
    rows = rows if asked["classes"] is None else rows[rows.classes == int(asked["classes"])]
    rows = rows[rows.misalignment == float(asked["moved"] or 0)]
    rows = rows[rows["size"] == int(asked["size"] or runs["size"].max())]
    most = rows[PRETRAIN_SIZE].max()
    rows = rows[rows[PRETRAIN_SIZE] == (most if asked["pretrained"] is None else int(asked["pretrained"]))]
    if rows.empty:
        levels = (runs.kind + "-" + runs.classes.astype(str)).where(runs.kind != BASELINE, BASELINE)
        raise ValueError(f"{name!r} is no level of this study: it has {', '.join(dict.fromkeys(levels))}")
    return rows.set_index("seed").error


def claimed_errors(runs: pd.DataFrame) -> dict[str, Quantity]:
    """What claims of a granularity study can be about: the error of each level, by seed.

    Args:
        runs: of `runs_table`.

    Returns:
        by name, as `errors_of` reads it; those of the largest sizes also without them.

    >>> row = dict(kind="random", classes=8, misalignment=0.0, size=60, error=0.5)
    >>> list(claimed_errors(pd.DataFrame([row | {"seed": seed} for seed in (0, 1)])))
    ['random-8', 'random-8/60']
    """
    rows = _with_pretraining(runs)
    names = names_of_levels(rows)
    found: dict[str, Quantity] = {}
    for level, of_level in rows.groupby(LEVEL_COLUMNS, sort=False):
        quantity = Quantity("seeds", tuple(of_level.seed), (of_level.error.to_numpy(float),))
        found |= dict.fromkeys(names[tuple(level)], quantity)
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
    rows, shown = _with_pretraining(ladder), _with_pretraining(summary)
    columns = [*LEVEL_COLUMNS, "quantity", "order"]
    keys = shown[columns].itertuples(index=False, name=None)
    bounds = shown[BOUNDS].to_numpy(float)
    intervals = {key: Interval(*map(float, each)) for key, each in zip(keys, bounds, strict=True)}
    names = names_of_levels(rows)
    found: dict[str, Quantity] = {}
    for key, of_level in rows.dropna(subset="value").groupby(columns, sort=False):
        *level, amount, of_order = key
        by_seed = of_level.set_index("seed").value
        quantity = Quantity(
            "seeds", tuple(by_seed.index), (by_seed.to_numpy(float),), shown=intervals.get(tuple(key))
        )
        order = "" if of_order == "all" else f":{of_order}"
        found |= {f"{amount}:{name}{order}": quantity for name in names[tuple(level)]}
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
    levels = names_of_levels(planned[planned.kind != BASELINE])
    for level in (name for names_of_level in levels.values() for name in names_of_level):
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


def names_of_levels(table: pd.DataFrame) -> dict[tuple[Any, ...], list[str]]:
    """Every name that claims can call a level by, the one that tells all sizes last.

    Args:
        table: of `runs_table` or `ladder_table`.

    Returns:
        by the level's values of `LEVEL_COLUMNS`.

    >>> rows = [("random", 8, 0.0, 60, pretrained) for pretrained in (100, 400)]
    >>> list(names_of_levels(pd.DataFrame(rows, columns=LEVEL_COLUMNS)).values())
    [['random-8@100', 'random-8@100/60'], ['random-8', 'random-8/60', 'random-8@400', 'random-8@400/60']]
    """
    levels = _with_pretraining(table)[LEVEL_COLUMNS].drop_duplicates()
    most = levels.groupby(LEVEL_COLUMNS[:-1])[PRETRAIN_SIZE].transform("max")
    largest = levels["size"].max()
    found = {}
    for of_most, row in zip(most, levels.itertuples(index=False, name=None), strict=True):
        kind, classes, moved, size, pretrained = row
        bare = kind if kind == BASELINE else f"{kind}-{classes}"
        starts = [bare] if pretrained == of_most else []
        starts += [f"{bare}@{pretrained}"] if pretrained else []
        ends = ["", f"/{size}"] if size == largest else [f"/{size}"]
        found[row] = [
            f"{start}*{moved:g}{end}" if moved else f"{start}{end}" for start in starts for end in ends
        ]
    return found


def _with_pretraining(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its pretraining samples: none are counted where it lacks the column."""
    return table if PRETRAIN_SIZE in table else table.assign(**{PRETRAIN_SIZE: 0})
