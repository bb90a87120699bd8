"""The rounds of `benchmarks.plans`, as its file keeps them, and the table that is made from them.

The file has one row a round of a case:
    compiled, case, plan, n: what was asked; whether the plain forward was a compiled one.
    round, plain, dense, planned: seconds of the whole table of a game, in each way; those of the first two
        are scaled from some coalitions.
    first, another: seconds of the first whole table with all that is made for it, and of the choice of the
        plan for another checkpoint; the same in all rounds.
    counted: the plan's own estimate of its work, as a share of the dense plan's.
    difference: of the scores from the dense plan's, the largest, over the largest score.
    torch, processor, threads: what it was measured with.
"""

import platform
from pathlib import Path

import pandas as pd

from benchmarks.plans.games import CASES
from benchmarks.tables import Rows

CSV = Path("benchmarks/plans/plans.csv")
KEY = ["compiled", "case"]


def table(rounds: pd.DataFrame) -> Rows:
    """One row a case, in the order of the rounds: medians, smallest and largest in brackets."""
    for _, rows in rounds.groupby(KEY, sort=False):
        one = rows.iloc[0]
        case = CASES[one["case"]]
        yield {
            "game": f"{case.title}, beside a compiled forward" if one["compiled"] else case.title,
            "n": one["n"],
            "plan": one["plan"],
            "plan / plain": spread(rows["planned"] / rows["plain"]),
            "goal": f"{case.least:.3f}",
            "plan / dense": spread(rows["planned"] / rows["dense"]),
            "dense / plain": spread(rows["dense"] / rows["plain"]),
            "counted": f"{one['counted']:.3f}",
            "plain, s a game": f"{rows['plain'].median():.1f}",
            "made once, s": f"{one['first'] - rows['planned'].median():.1f}",
            "difference": f"{one['difference']:.0e}" if one["difference"] else "0",
        }


def spread(ratios: "pd.Series[float]") -> str:
    """Over the rounds: the median, the smallest and the largest."""
    return f"{ratios.median():.3f} ({ratios.min():.3f}–{ratios.max():.3f})"


def processor() -> str:
    """The processor's name, as Linux gives it, else as Python does."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
