"""Correlation of shares and accuracy over the ends of the runs, from checkpoints.csv.

    python docs/studies/resnet20_ladder/correlations.py

writes run_correlations.csv beside this file, with jackknife intervals; README.md quotes it.
"""

from pathlib import Path

import pandas as pd

from harsanyi.analyses.statistics.correlation import correlation_table

HERE = Path(__file__).parent
ACCURACY = "accuracy held out"
SHARES = ("preserved_share", "discarded_share", "new_share")


def main() -> None:
    ends = pd.read_csv(HERE / "checkpoints.csv").groupby("series", sort=False).last()
    table = correlation_table(ends, [(share, ACCURACY) for share in SHARES])
    table.assign(over="runs").to_csv(HERE / "run_correlations.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
