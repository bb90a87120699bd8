"""Verdicts: whether a claim holds, by its interval and a margin that was stated before."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # claims are read where the command line is, which waits for no library
    from harsanyi.analyses.statistics.bootstrap import Interval

Verdict = Literal["holds", "fails", "cannot be told"]
RULE = (
    "A claim holds where the whole interval lies beyond the margin that the study file states, and fails "
    "where it lies on the other side; else it cannot be told."
)
FORM = re.compile(r"(?P<one>\S+)(?: - (?P<other>\S+))? (?P<side>[<>]) (?P<margin>[-+]?\d*\.?\d+)")


def verdict(interval: Interval, margin: float = 0.0) -> Verdict:
    """Whether a quantity exceeds a margin: "holds" where low > margin, "fails" where high < margin.

    State a claim so that it says "more than", and its margin in the study file, before anything is computed.

    Args:
        interval: of the quantity, such as a paired difference.
        margin: what the quantity must exceed, in its unit.

    Returns:
        "cannot be told" where the interval holds the margin, and where there is no interval.

    Raises:
        ValueError: for a margin that is no finite number.

    >>> from harsanyi.analyses.statistics.bootstrap import Interval
    >>> verdict(Interval(0.2, 0.1, 0.3)), verdict(Interval(0.2, 0.1, 0.3), margin=0.5)
    ('holds', 'fails')
    >>> verdict(Interval(0.2, -0.1, 0.5)), verdict(Interval(0.2, math.nan, math.nan))
    ('cannot be told', 'cannot be told')
    """
    if not math.isfinite(margin):
        raise ValueError(f"expected a finite margin, got {margin}")
    if interval.low > margin:
        return "holds"
    return "fails" if interval.high < margin else "cannot be told"


def require_form(claims: Iterable[str]) -> None:
    """A ValueError for the first of some texts that is no claim.

    >>> require_form(["columns-100 - baseline < -0.01"])
    """
    for claim in claims:
        Claim.of(claim)


@dataclass(frozen=True)
class Claim:
    """A claim of a study file: "ONE < MARGIN", "ONE - OTHER < MARGIN", or with >.

    Attributes:
        text: as it stands in the study file.
        one, other: what is measured, and what is taken from it; "" for nothing.
        above: whether more than the margin is claimed, and not less.
        margin: in the unit of what is measured.

    >>> from harsanyi.analyses.statistics.bootstrap import Interval
    >>> claim = Claim.of("columns-100 - random-100 < -0.02")
    >>> claim.one, claim.other, claim.margin
    ('columns-100', 'random-100', -0.02)
    >>> claim.told(Interval(-0.06, -0.07, -0.05)), claim.told(Interval(-0.06, -0.11, -0.01))
    ('holds', 'cannot be told')
    """

    text: str
    one: str
    other: str
    above: bool
    margin: float

    @classmethod
    def of(cls, text: str) -> Claim:
        """The claim in a text; a ValueError names the form that is expected."""
        found = FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no claim: expected ONE - OTHER < MARGIN, ONE < MARGIN, or with >, as "
                "'columns-100 - baseline < -0.01'"
            )
        return cls(text, found["one"], found["other"] or "", found["side"] == ">", float(found["margin"]))

    def told(self, interval: Interval) -> Verdict:
        """What an interval of the measured says of the claim."""
        if self.above:
            return verdict(interval, self.margin)
        return verdict(replace(interval, low=-interval.high, high=-interval.low), -self.margin)
