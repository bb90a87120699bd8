"""Tables of measurements: printed in Markdown, and stored in CSV files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

Row = dict[str, object]
Rows = Iterator[Row]


def show(rows: Iterable[Row]) -> None:
    """Print a table in Markdown, each row as soon as it is there."""
    for number, row in enumerate(rows):
        if not number:
            print(f"| {' | '.join(row)} |\n|{' --- |' * len(row)}")
        print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


def store(path: Path, rows: pd.DataFrame, key: Sequence[str], order: Iterable[str]) -> None:
    """Write rows to a CSV file; they replace the rows with the same key.

    Args:
        path: of the file.
        rows: of the measurement.
        key: columns that identify a measurement; the file is sorted by them.
        order: of the values in the last of these columns.
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
