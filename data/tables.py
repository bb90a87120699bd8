"""Tables of inputs: from a data frame to inputs, and CSV and TSV files through pandas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.data.columns import ColumnKind, Columns, Named, choose_columns, encode_labels, refuse_gaps
from harsanyi.data.images import Images
from harsanyi.data.inputs import Inputs

# Columns of a table, and bytes of its header in which they are counted.
MAX_COLUMNS, MAX_HEADER = 2000, 2**24


def as_inputs(
    source: str,
    columns: Columns,
    names: tuple[str, ...],
    frame: pd.DataFrame,
    image_source: Callable[[int], bytes | Path] | None = None,
    declared: Mapping[str, Sequence[str]] | None = None,
) -> Inputs:
    """Make inputs of the chosen columns of a table.

    Args:
        source: of the table, for messages.
        columns: the chosen columns.
        names: one for each row.
        frame: the label columns, and the column of the sentences; images come from `image_source`.
        image_source: the encoded image of a row, or its path; for columns of images only.
        declared: names of classes by label column, where the table declares them.

    Returns:
        the inputs, a level for each label column; images are decoded on access.

    Raises:
        ValueError: for a table without rows, a gap among the sentences, and as `encode_labels`.
    """
    if not names:
        raise ValueError(f"{source} has no rows")
    items: Sequence[Any]
    if columns.kind == "text":
        refuse_gaps(source, frame[columns.item])
        items = frame[columns.item].tolist()
    else:
        assert image_source is not None
        items = Images(image_source, names)
    encoding = {c: encode_labels(source, frame[c], (declared or {}).get(c)) for c in columns.labels}
    return Inputs(
        items,
        columns.kind,
        names,
        {level: labels for level, (labels, _, _) in encoding.items()},
        {level: classes for level, (_, classes, _) in encoding.items()},
        orders={level: order for level, (_, _, order) in encoding.items()},
    )


def read_text_table(path: Path, named: Named) -> Inputs:
    """A CSV or TSV file in UTF-8 with named columns; a column that holds only digits is one of integers."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    _refuse_width(path, separator)
    try:
        # As strings and without pandas' list of missing values, or a sentence "None" would be a gap.
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(
            f"{path} is no table with a header and {separator!r} between columns: {error}"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus first cells for row names
        raise ValueError(f"{path} has more cells in a row than columns in its header: quote the cells")
    if separator == "\t":
        refuse_swallowed_rows(path, frame)
    frame = frame.fillna("")  # cells that short rows do not have
    for column in frame:
        if column != named[1] and len(frame) and frame[column].str.fullmatch(r"[0-9]{1,18}").all():
            frame[column] = frame[column].astype(np.int64)
    kinds: dict[str, ColumnKind] = {
        str(column): "integer" if frame[column].dtype.kind == "i" else "text" for column in frame
    }
    columns = choose_columns(path.name, kinds, *named)
    names = tuple(f"{path.name}:{row}" for row in range(len(frame)))
    return as_inputs(path.name, columns, names, frame)


def _refuse_width(path: Path, separator: str) -> None:
    """ValueError for a table with more columns than people name."""
    with path.open("rb") as file:
        header = file.read(MAX_HEADER + 1)
    width = header.split(b"\n")[0].count(separator.encode()) + 1
    if width > MAX_COLUMNS:
        raise ValueError(
            f"{path} has {width:,} columns: expected {MAX_COLUMNS:,} at most, as it holds items with labels; "
            "write a table of the columns that you mean"
        )


def not_utf8(path: Path, error: UnicodeDecodeError) -> ValueError:
    """The error for a file in another encoding."""
    return ValueError(f"{path} is not UTF-8 ({error.reason}, byte {error.start}): save it as such")


def refuse_swallowed_rows(path: Path, frame: pd.DataFrame) -> None:
    """ValueError where an open quote in a TSV cell ran over tabs or lines: rows would vanish silently."""
    for column in frame:
        swallowed = frame[column].str.contains("[\t\n]", na=False).to_numpy()
        if swallowed.any():
            raise ValueError(
                f"{path.name}: row {int(np.flatnonzero(swallowed)[0])} runs on over a tab or a line end in "
                f'column {column!r}, as after a lone double quote: double the quotes ("") or save it as CSV'
            )
