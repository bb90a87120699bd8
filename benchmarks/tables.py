"""Tables of what was measured: printed in Markdown, and kept in CSV files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

Row = dict[str, object]
Rows = Iterator[Row]


def show(rows: Iterable[Row]) -> None:
    """Print a table in Markdown, row by row as they come."""
    for number, row in enumerate(rows):
        if not number:
            print(f"| {' | '.join(row)} |\n|{' --- |' * len(row)}")
        print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


def keep(path: Path, rows: pd.DataFrame, key: Sequence[str], order: Iterable[str]) -> None:
    """Put rows into a file in place of those of the same key.

    Args:
        key: the columns that tell what is measured; the file is sorted by them.
        order: of what stands in the last of them.
    """
    columns = list(key)
    if path.exists():
        old = pd.read_csv(path)
        others = old[~old.set_index(columns).index.isin(rows.set_index(columns).index)]
        rows = pd.concat([others, rows], ignore_index=True) if len(others) else rows
    place = {name: number for number, name in enumerate(order)}
    rows = rows.sort_values(
        columns,
        key=lambda column: column.map(place) if column.name == columns[-1] else column,
        kind="stable",
    )
    rows.to_csv(path, index=False, float_format="%.6g")
