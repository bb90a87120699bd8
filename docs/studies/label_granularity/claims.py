"""Differences between levels of finished granularity studies, paired by seed, as a table in Markdown.

    python docs/studies/label_granularity/claims.py runs/cifar100_granularity columns-100:random-100 …

KIND-CLASSES names a level, KIND-CLASSES/SIZE and KIND-CLASSES*MISALIGNMENT one of several sizes or shares of
moved labels. A difference is the first level's error less the second's, in percentage points, with a 95%
bootstrap interval over seeds. README.md quotes these.
"""

import re
import sys
from pathlib import Path

import pandas as pd

from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.report.words import points, with_interval
from harsanyi.analyses.statistics.bootstrap import mean_interval

LEVEL = re.compile(r"(?P<kind>[a-z-]+?)-(?P<classes>\d+)(?:\*(?P<moved>[\d.]+))?(?:/(?P<size>\d+))?")


def main(folder: Path, pairs: list[str]) -> None:
    runs = read_table(folder / "runs.h5")
    print(
        "| less | error of the first | of the second | difference, points | seeds |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for pair in pairs:
        one, other = (errors(runs, name) for name in pair.split(":"))
        both = one.index.intersection(other.index)
        (found,) = mean_interval((one[both] - other[both]).to_numpy()[:, None])
        means = " | ".join(f"{error[both].mean():.1%}" for error in (one, other))
        print(f"| {pair.replace(':', ' less ')} | {means} | {with_interval(found, points)} | {len(both)} |")


def errors(runs: pd.DataFrame, name: str) -> pd.Series:
    """The error of each seed at one level."""
    asked = LEVEL.fullmatch(name)
    if asked is None:
        raise ValueError(f"{name!r} is no level: expected KIND-CLASSES, as columns-100")
    rows = runs[(runs.kind == asked["kind"]) & (runs.classes == int(asked["classes"]))]
    rows = rows[rows.misalignment == float(asked["moved"] or 0)]
    rows = rows[rows["size"] == int(asked["size"] or runs["size"].max())]
    if rows.empty:
        raise ValueError(f"no run of {name}: there are {', '.join(sorted(set(runs.kind)))}")
    return rows.set_index("seed").error


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
