"""Parquet files and saved data sets, with the features that the `datasets` library writes into them.

They are read without that library: it takes seconds to import, and where a user's repository has a `datasets`
of its own on the path, that would be imported in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harsanyi.data.columns import ColumnKind, Named, choose_columns
from harsanyi.data.folders import SPLITS
from harsanyi.data.images import encoded
from harsanyi.data.inputs import Inputs
from harsanyi.data.tables import as_inputs
from harsanyi.reading import parse_json, read_text, reading

# Row groups of images in memory: enough for a shuffled pass over a small file.
MAX_CACHED_ROW_GROUPS = 16
# Bytes of the columns for each byte of a file.
MAX_UNPACKED = 1000


@dataclass(frozen=True)
class Column:
    """What a column holds, its arrow type, and the class names that it declares."""

    kind: ColumnKind
    type: str
    classes: tuple[str, ...] | None = None


def columns_of(schema: pa.Schema, features: Mapping[str, Any] | None = None) -> dict[str, Column]:
    """The columns of a table.

    Args:
        schema: of the table.
        features: as `datasets` writes them in JSON, by column; those in the schema's metadata by default. One
            that does not fit the type of its column counts for nothing.
    """
    if features is None:
        metadata = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode())
        features = (metadata.get("info") or {}).get("features") or {}
    if not isinstance(features, Mapping):
        raise ValueError(f"its features are {type(features).__name__}, expected a map by column")
    return {field.name: _column(field.type, features.get(field.name)) for field in schema}


def _column(type: pa.DataType, feature: Any) -> Column:
    if pa.types.is_dictionary(type):
        type = type.value_type
    declared = feature.get("_type") if isinstance(feature, dict) else None
    if declared == "ClassLabel" and pa.types.is_int64(type):
        names = [str(name) for name in feature["names"]]
        if len(set(names)) < len(names):
            raise ValueError("two of its classes have the same name")
        return Column("class", str(type), tuple(names))
    return Column(_kind(type, declared), str(type))


def _kind(type: pa.DataType, declared: str | None) -> ColumnKind:
    if pa.types.is_struct(type) and {field.name for field in type} == {"bytes", "path"}:
        return "image" if declared in (None, "Image") else "other"  # sounds look the same
    if pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return "image"
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return "text"
    if pa.types.is_nested(type) and not pa.types.is_struct(type):
        return "list"
    return "integer" if pa.types.is_integer(type) or pa.types.is_boolean(type) else "other"


def _kinds(columns: Mapping[str, Column]) -> dict[str, ColumnKind]:
    return {name: column.kind for name, column in columns.items()}


def _classes(columns: Mapping[str, Column]) -> dict[str, Sequence[str]]:
    """The class names by column, where they are declared."""
    return {name: column.classes for name, column in columns.items() if column.classes is not None}


class ParquetImages:
    """The image cells of parquet files, read a row group at a time: files may be larger than memory."""

    def __init__(self, files: Sequence[Path], column: str) -> None:
        self.column = column
        self.groups: list[tuple[Path, int]] = []
        starts = [0]
        for file in files:
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                self.groups.append((file, group))
                starts.append(starts[-1] + metadata.row_group(group).num_rows)
        self.starts = np.array(starts)
        self.cache: dict[int, pa.ChunkedArray] = {}

    def __call__(self, row: int) -> bytes | Path:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        if number not in self.cache:
            if len(self.cache) >= MAX_CACHED_ROW_GROUPS:
                self.cache.clear()
            file, group = self.groups[number]
            with pq.ParquetFile(file) as parquet:
                self.cache[number] = parquet.read_row_group(group, columns=[self.column]).column(self.column)
        return encoded(self.cache[number][row - int(self.starts[number])].as_py())


def read_parquet(files: Sequence[Path], source: str, named: Named) -> Inputs:
    """Read parquet files of one schema, one after the other, with the features that `datasets` wrote.

    Args:
        files: one or more, of one split.
        source: the name of the files in messages.
        named: the names of the columns; `choose_columns` has the rule where a name is None.

    Returns:
        the inputs, in the order of the files; images are decoded on access.

    Raises:
        ValueError: for files that cannot be read, or of several splits, columns or classes, and as
            `choose_columns` and `as_inputs`.
    """
    refuse_several_splits(files, source)
    with reading(source, "parquet"):
        tables = [columns_of(pq.read_schema(file)) for file in files]
        for file in files:
            _refuse_unpacking(file)
    for file, table in zip(files, tables, strict=True):
        if table != tables[0]:  # class names included: the same integer must mean the same class
            raise ValueError(f"{file.name} has other columns or classes than {files[0].name}: load it alone")
    columns = choose_columns(source, _kinds(tables[0]), *named)
    text_columns = [*columns.labels, *([columns.item] if columns.kind == "text" else [])]
    frame = pd.concat(
        [pq.read_table(file, columns=text_columns).to_pandas() for file in files], ignore_index=True
    )
    names = tuple(f"{file.name}:{row}" for file in files for row in range(pq.read_metadata(file).num_rows))
    images = ParquetImages(files, columns.item) if columns.kind == "image" else None
    return as_inputs(source, columns, names, frame, images, _classes(tables[0]))


def _refuse_unpacking(file: Path) -> None:
    """Refuse parquet whose columns unpack to far more than any table of inputs does, or has too many rows."""
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [
        group.column(number).total_uncompressed_size
        for group in groups
        for number in range(group.num_columns)
    ]
    if min(sizes, default=0) < 0 or sum(sizes) > MAX_UNPACKED * file.stat().st_size + 2**20:
        raise ValueError(f"{file} unpacks to more than {MAX_UNPACKED} times its size")


def refuse_several_splits(files: Sequence[Path], source: str) -> None:
    """ValueError where files are called train… and test…: they would be mixed."""
    first_words = (file.stem.lower().replace("_", "-").split("-")[0] for file in files)
    if len(splits := sorted(SPLITS.intersection(first_words))) > 1:
        pattern = files[0].with_name(f"{splits[-1]}*.parquet")
        raise ValueError(f"{source} holds the splits {', '.join(splits)}: give one, as '{pattern}'")


def read_saved(folder: Path, named: Named) -> Inputs:
    """A data set written by `Dataset.save_to_disk`, memory-mapped where it lies."""
    with reading(folder, "a saved data set"):
        table, features = _saved_table(folder)
        declared = columns_of(table.schema, features)
    columns = choose_columns(folder.name, _kinds(declared), *named)
    text_columns = [*columns.labels, *([columns.item] if columns.kind == "text" else [])]
    frame = table.select(text_columns).to_pandas() if text_columns else pd.DataFrame()
    names = tuple(f"{folder.name}:{row}" for row in range(len(table)))
    images = saved_images(table, columns.item) if columns.kind == "image" else None
    return as_inputs(folder.name, columns, names, frame, images, _classes(declared))


def _saved_table(folder: Path) -> tuple[pa.Table, Mapping[str, Any] | None]:
    """All rows of a saved data set, and its features."""
    state = parse_json(read_text(folder / "state.json"))
    info = parse_json(read_text(folder / "dataset_info.json"))
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise ValueError("its rows are chosen by a file of indices, as old versions wrote: save it anew")
    parts = []
    for file in state["_data_files"]:
        name = file["filename"]
        if Path(name).name != name:
            raise ValueError(f"its rows lie in {name!r}: expected the name of a file in the folder itself")
        if not (folder / name).is_file():
            raise ValueError(f"{folder} lacks its file {name!r}")
        with pa.ipc.open_stream(pa.memory_map(str(folder / name))) as stream:
            parts.append(stream.read_all())
    table = pa.concat_tables(parts)
    table.validate(full=True)  # the file is mapped, and an offset may lead out of it
    return table, info["features"]


def saved_images(saved: pa.Table, column: str) -> Callable[[int], bytes | Path]:
    """The image cells of a saved data set, left encoded."""
    return partial(saved_image, saved.column(column))


def saved_image(cells: pa.ChunkedArray, row: int) -> bytes | Path:
    """The encoded image in one row."""
    return encoded(cells[row].as_py())
