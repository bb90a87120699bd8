"""Differences between levels of a finished granularity study, paired by seed, as a table in Markdown.

    python docs/studies/label_granularity/claims.py docs/studies/label_granularity/cifar100
    columns-100:random-100 …

The folder is that of the study, or one with its runs.csv. KIND-CLASSES names a level, KIND-CLASSES/SIZE and
KIND-CLASSES*MISALIGNMENT one of several sizes or shares of moved labels. A difference is the first level's
error less the second's, in percentage points, with a 95% t interval over seeds, its p, and p corrected for
the number of pairs. README.md quotes these. They are written into FOLDER/pairs.csv as well.
"""

import sys
from pathlib import Path

import pandas as pd

from harsanyi.analyses.granularity.claims import errors_of
from harsanyi.analyses.report.words import points, with_interval
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval
from harsanyi.analyses.statistics.comparisons import p_in_words, with_corrected


def main(folder: Path, pairs: list[str]) -> None:
    runs = pd.read_csv(folder / "runs.csv")
    rows = []
    for pair in pairs:
        one, other = (errors_of(runs, name) for name in pair.split(":"))
        both = one.index.intersection(other.index)
        (found,) = mean_difference_interval((one[both] - other[both]).to_numpy()[:, None])
        means = " | ".join(f"{error[both].mean():.1%}" for error in (one, other))
        text = f"{pair.replace(':', ' less ')} | {means} | {with_interval(found, points)} | {len(both)}"
        rows.append({"text": text, "less": pair, **vars(found), "seeds": len(both)})
    table = with_corrected(pd.DataFrame(rows))
    table.drop(columns="text").to_csv(folder / "pairs.csv", index=False)
    print("| less | error of the first | of the second | difference, points | seeds | p | p, corrected |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in table.itertuples():
        print(f"| {row.text} | {p_in_words(row.p)} | {p_in_words(row.p_corrected)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
