"""Claims of a study file: quantities by name, their differences, and what their intervals say."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    mean_difference_interval,
    ratio_difference_interval,
    ratio_interval,
    sum_intervals,
    within,
)
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.statistics.verdict import Claim
from harsanyi.shown import first_few

# The name of the table of claims, and so of its file.
CLAIMS = "claims"
# Names that an error lists.
LISTED = 12
# What is measured, and the p of its distance from the margin.
Told = tuple[Interval, float]


@dataclass(frozen=True, eq=False)
class Quantity:
    """What a claim can be about: a number for each unit, an input or a seed.

    Attributes:
        over: what the interval is over, "inputs" or "seeds".
        units: the number of each input or seed; two quantities are paired by them.
        parts: one array `(units,)` for its mean, two for the ratio of their sums, any for a `statistic`. None
            for what has an interval alone, and cannot be subtracted.
        statistic: of the sums of the parts over units, elementwise; None for means and ratios.
        bounds: what no value can be below and above.
        shown: the interval as a table of the command has it; by default that of the parts.

    >>> Quantity("seeds", (0, 1, 2), (np.array([0.0, 1.0, 2.0]),)).interval()  # 1 ± 4.303 / √3
    Interval(value=1.0, low=-1.484..., high=3.484...)
    """

    over: str
    units: tuple[int, ...]
    parts: tuple[np.ndarray, ...] = ()
    statistic: Callable[..., np.ndarray] | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)
    shown: Interval | None = None

    def interval(self, bootstrap: Bootstrap = Bootstrap()) -> Interval:
        """Its value and interval."""
        if self.shown is not None:
            return Interval(self.shown.value, self.shown.low, self.shown.high)
        columns = [part[:, None] for part in self.parts]
        if self.statistic is not None:
            (found,) = sum_intervals(tuple(columns), self.statistic, bootstrap)
        elif len(columns) == 1:
            (found,) = mean_difference_interval(columns[0], bootstrap=bootstrap)
        else:
            (found,) = ratio_interval(columns[0], columns[1], bootstrap=bootstrap)
        return within(found, *self.bounds)


@dataclass(frozen=True)
class Place:
    """Where a quantity stands in the tables of a study: it has an interval there, and no numbers by input.

    Attributes:
        table: its name.
        row: values of columns, by which there is one row.
        of: the columns NAME, NAME_low and NAME_high of the value; by default value, low and high.
    """

    table: str
    row: Mapping[str, object]
    of: str = ""


def quantities_at(
    places: Mapping[str, Place], tables: Mapping[str, pd.DataFrame], *, over: str
) -> dict[str, Quantity]:
    """Quantities that have an interval in a table of the study, for claims about each alone.

    Args:
        places: by the name of the quantity.
        tables: of the study, by name.
        over: what their intervals are over, "inputs" or "seeds".

    Returns:
        by name; without a value where there is no such row, as the study could not measure it.

    >>> table = pd.DataFrame([{"quantity": "a", "value": 0.2, "low": 0.1, "high": 0.3, "games": 9}])
    >>> quantities_at({"a": Place("found", {"quantity": "a"})}, {"found": table}, over="inputs")["a"].shown
    Interval(value=0.2, low=0.1, high=0.3)
    """
    return {name: _at(place, tables.get(place.table), over) for name, place in places.items()}


def require_claims(claims: Sequence[str], names: Collection[str], *, alone: Collection[str] = ()) -> None:
    """Refuse claims about quantities that there will not be, before hours are spent.

    Args:
        claims: texts of the study file.
        names: of all quantities that can be claimed.
        alone: those of them that cannot be subtracted.

    Raises:
        ValueError: for a claim of another form, about another quantity, or with a difference that has no
            interval; the message names what there is.

    >>> require_claims(["new_share > 0.2"], ["new_share"])
    """
    for claim in map(Claim.of, claims):
        for name in (claim.one, claim.other):
            if name and name not in names:
                raise ValueError(
                    f"the claim {claim.text!r} names {name!r}, which is no quantity of this study: it has "
                    f"{first_few(list(names), LISTED)}"
                )
        if claim.other and (single := [name for name in (claim.one, claim.other) if name in alone]):
            raise ValueError(
                f"the claim {claim.text!r} subtracts, and {single[0]!r} has an interval alone, no number for "
                "each input: claim it by itself, ONE < MARGIN"
            )


def claims_table(
    quantities: Mapping[str, Quantity], claims: Sequence[str], *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """What the quantities of a study say of its claims, each told by its interval and margin.

    Args:
        quantities: by name.
        claims: each a `Claim`, about some of them. A difference is paired by input or seed.
        bootstrap: of the intervals.

    Returns:
        claim, value, low, high (of what is measured), over ("inputs", "seeds"), count (how many of them),
        verdict; p, of what is measured less the margin, and p_corrected, over all claims (NaN where an
        interval has no p: rates, times, correlations).

    Raises:
        ValueError: for claims of another form, or about something else.

    >>> error = Quantity("seeds", (0, 1, 2), (np.array([0.5, 0.51, 0.52]),))
    >>> claims_table({"error": error}, ["error < 0.6", "error > 0.6", "error < 0.5"]).verdict.tolist()
    ['holds', 'fails', 'cannot be told']
    """
    alone = {name for name, quantity in quantities.items() if not quantity.parts}
    require_claims(claims, quantities, alone=alone)
    rows = []
    for claim in map(Claim.of, claims):
        one = quantities[claim.one]
        if claim.other:
            one, other = _paired(one, quantities[claim.other])
            found, p = _difference(one, other, claim.margin, bootstrap)
        else:
            found, p = _alone(one, claim.margin, bootstrap)
        row = {"claim": claim.text, **vars(found), "over": one.over, "count": len(one.units)}
        rows.append(row | {"verdict": claim.told(found), P: p})
    columns = ["claim", "value", "low", "high", "over", "count", "verdict", P]
    return with_corrected(pd.DataFrame(rows, columns=columns))


def told_claims(
    quantities: Callable[[], Mapping[str, Quantity]],
    claims: Sequence[str],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> dict[str, pd.DataFrame]:
    """The table of claims by its name, among the tables of a study; nothing for a study without claims.

    Args:
        quantities: gives them, where there are claims.
        claims, bootstrap: as for `claims_table`.

    Returns:
        "claims" and the table.

    >>> told_claims(dict, [])
    {}
    """
    return {CLAIMS: claims_table(quantities(), claims, bootstrap=bootstrap)} if claims else {}


def _at(place: Place, table: pd.DataFrame | None, over: str) -> Quantity:
    """The quantity at a place of a table."""
    rows = pd.DataFrame() if table is None else table
    for column, value in place.row.items():
        rows = rows[rows[column] == value] if column in rows else rows.iloc[:0]
    if rows.empty:
        return Quantity(over, (), shown=Interval(np.nan, np.nan, np.nan))
    (row,) = rows.to_dict("records")
    names = (place.of, f"{place.of}_low", f"{place.of}_high") if place.of else ("value", "low", "high")
    count = next(int(row[name]) for name in ("clusters", "games") if name in row)
    return Quantity(over, tuple(range(count)), shown=Interval(*(float(row[name]) for name in names)))


def _alone(one: Quantity, margin: float, bootstrap: Bootstrap) -> Told:
    """A quantity, and the p of its distance from the margin: a share is r where part − r · whole is 0."""
    if one.statistic is not None or one.shown is not None:
        return one.interval(bootstrap), np.nan
    whole = one.parts[1] if len(one.parts) > 1 else 1.0
    (beyond,) = mean_difference_interval((one.parts[0] - margin * whole)[:, None], bootstrap=bootstrap)
    return one.interval(bootstrap), beyond.p


def _difference(one: Quantity, other: Quantity, margin: float, bootstrap: Bootstrap) -> Told:
    """The difference of two quantities on the same units, and the p of its distance from the margin."""
    if one.statistic is not None or other.statistic is not None:
        return _of_statistics(one, other, bootstrap), np.nan
    if len(one.parts) == len(other.parts) == 1:
        less = (one.parts[0] - other.parts[0])[:, None]
        found, beyond = (mean_difference_interval(less - by, bootstrap=bootstrap)[0] for by in (0.0, margin))
        return Interval(found.value, found.low, found.high), beyond.p
    (above, below), second = _as_ratio(one), _as_ratio(other)
    found, beyond = (
        ratio_difference_interval((above - by * below, below), second, bootstrap=bootstrap)[0]
        for by in (0.0, margin)
    )
    return Interval(found.value, found.low, found.high), beyond.p


def _as_ratio(one: Quantity) -> tuple[np.ndarray, np.ndarray]:
    """Part and whole as columns; a mean is the ratio to the number of units."""
    part = np.asarray(one.parts[0], dtype=np.float64)[:, None]
    return part, np.asarray(one.parts[1])[:, None] if len(one.parts) > 1 else np.ones_like(part)


def _of_statistics(one: Quantity, other: Quantity, bootstrap: Bootstrap) -> Interval:
    """The difference of two values of any kind; each resample has the same units for both."""
    parts = [*_summed(one), *_summed(other)]
    first = len(_summed(one))

    def less(*sums: np.ndarray) -> np.ndarray:
        return _value(one, sums[:first]) - _value(other, sums[first:])

    (found,) = sum_intervals(tuple(part[:, None] for part in parts), less, bootstrap)
    return found


def _summed(one: Quantity) -> tuple[np.ndarray, ...]:
    """What is summed for the value of a quantity: of a mean also the units."""
    return one.parts if one.statistic or len(one.parts) > 1 else (*one.parts, np.ones(len(one.units)))


def _value(one: Quantity, sums: Sequence[np.ndarray]) -> np.ndarray:
    """The value of a quantity from the sums over units."""
    if one.statistic is not None:
        return one.statistic(*sums)
    above, below = sums
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def _paired(one: Quantity, other: Quantity) -> tuple[Quantity, Quantity]:
    """Both quantities on the units that both have, in the order of the first."""
    known = set(other.units)
    common = tuple(unit for unit in one.units if unit in known)
    if one.over != other.over or not common:
        raise ValueError(
            f"one quantity is over {len(one.units)} {one.over} and the other over {len(other.units)} "
            f"{other.over}, with none in common: a claim can only subtract what is paired"
        )
    return _on(one, common), _on(other, common)


def _on(quantity: Quantity, units: tuple[int, ...]) -> Quantity:
    """A quantity on some of its units."""
    rows = [quantity.units.index(unit) for unit in units]
    return replace(quantity, units=units, parts=tuple(part[rows] for part in quantity.parts))
