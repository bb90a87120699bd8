"""The rounds of `benchmarks.plans` as its file has them, and the table that is made from them.

The file has one row a round of a case:
    compiled, case, plan, n: the question; whether the plain forward was compiled.
    round, plain, dense, planned: seconds of the whole table of a game in each way; the first two are scaled
        from a part of the coalitions.
    first, another: seconds of the first whole table with all work done once, and of the choice of the plan
        for another checkpoint; the same in all rounds.
    counted: the plan's own estimate of its work, as a share of the dense plan's.
    difference: the largest difference of a score from the dense plan's, over the largest score.
    torch, processor, threads: versions and machine.
"""

import platform
from pathlib import Path

import pandas as pd

from benchmarks.plans.games import CASES
from benchmarks.tables import Rows

CSV = Path("benchmarks/plans/plans.csv")
KEY = ["compiled", "case"]


def table(rounds: pd.DataFrame) -> Rows:
    """One row a case, in the order of the file: medians, smallest and largest in brackets."""
    for _, rows in rounds.groupby(KEY, sort=False):
        first = rows.iloc[0]
        case = CASES[first["case"]]
        yield {
            "game": f"{case.title}, beside a compiled forward" if first["compiled"] else case.title,
            "n": first["n"],
            "plan": first["plan"],
            "plan / plain": spread(rows["planned"] / rows["plain"]),
            "goal": f"{case.goal:.3f}",
            "plan / dense": spread(rows["planned"] / rows["dense"]),
            "dense / plain": spread(rows["dense"] / rows["plain"]),
            "counted": f"{first['counted']:.3f}",
            "plain, s a game": f"{rows['plain'].median():.1f}",
            "made once, s": f"{first['first'] - rows['planned'].median():.1f}",
            "difference": f"{first['difference']:.0e}" if first["difference"] else "0",
        }


def spread(ratios: "pd.Series[float]") -> str:
    """The median over the rounds, and the smallest and largest in brackets."""
    return f"{ratios.median():.3f} ({ratios.min():.3f}–{ratios.max():.3f})"


def processor() -> str:
    """The name of the processor, from Linux or else from Python."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
