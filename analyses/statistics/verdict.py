"""Verdicts: whether a claim holds, by its interval and a margin that was stated before."""

import math
from typing import Literal

from harsanyi.analyses.statistics.bootstrap import Interval

Verdict = Literal["holds", "fails", "cannot be told"]


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
