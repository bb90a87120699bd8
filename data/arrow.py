"""Parquet files and saved data sets, with the features that the `datasets` library writes into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harsanyi.data.columns import ColumnKind, Named, choose_columns
from harsanyi.data.folders import SPLITS
from harsanyi.data.images import encoded
from harsanyi.data.inputs import Inputs
from harsanyi.data.tables import as_inputs

if TYPE_CHECKING:  # `datasets` takes seconds to import: only its own formats import it
    from datasets import Dataset, Features

# Row groups of images in memory: enough for a shuffled pass over a small file.
MAX_CACHED_ROW_GROUPS = 16


def column_kinds(features: Features) -> dict[str, ColumnKind]:
    """What each column holds, from the features that `datasets` wrote, or from the arrow types alone."""
    from datasets import ClassLabel, Image, Value

    def kind(feature: Any) -> ColumnKind:
        if isinstance(feature, ClassLabel):
            return "class"
        if isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
            return "image"
        dtype = feature.dtype if isinstance(feature, Value) else ""
        if dtype in ("binary", "large_binary"):
            return "image"
        if dtype in ("string", "large_string"):
            return "text"
        return "integer" if dtype.startswith(("int", "uint", "bool")) else "other"

    return {name: kind(feature) for name, feature in features.items()}


def declared_classes(features: Features) -> dict[str, Sequence[str]]:
    """The class names of the ClassLabel columns."""
    from datasets import ClassLabel

    return {n: f.names for n, f in features.items() if isinstance(f, ClassLabel) and f.names is not None}


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
    """Parquet files of one schema, one after the other, with the features that `datasets` wrote."""
    from datasets import Features

    refuse_several_splits(files, source)
    try:
        schemas = [Features.from_arrow_schema(pq.read_schema(file)) for file in files]
    except pa.ArrowInvalid as error:
        raise ValueError(f"{source} cannot be read as parquet: {error}") from error
    features = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        if schema != features:  # class names included: the same integer must mean the same class
            raise ValueError(f"{file.name} has other columns or classes than {files[0].name}: load it alone")
    columns = choose_columns(source, column_kinds(features), *named)
    text_columns = [*columns.labels, *([columns.item] if columns.kind == "text" else [])]
    frame = pd.concat(
        [pq.read_table(file, columns=text_columns).to_pandas() for file in files], ignore_index=True
    )
    names = tuple(f"{file.name}:{row}" for file in files for row in range(pq.read_metadata(file).num_rows))
    images = ParquetImages(files, columns.item) if columns.kind == "image" else None
    return as_inputs(source, columns, names, frame, images, declared_classes(features))


def refuse_several_splits(files: Sequence[Path], source: str) -> None:
    """ValueError for files of several splits, called train… and test…: they would be mixed."""
    first_words = (file.stem.lower().replace("_", "-").split("-")[0] for file in files)
    if len(splits := sorted(SPLITS.intersection(first_words))) > 1:
        pattern = files[0].with_name(f"{splits[-1]}*.parquet")
        raise ValueError(f"{source} holds the splits {', '.join(splits)}: give one, as '{pattern}'")


def read_saved(folder: Path, named: Named) -> Inputs:
    """A data set written by `Dataset.save_to_disk`, memory-mapped where it lies."""
    from datasets import Dataset

    saved = Dataset.load_from_disk(str(folder)).with_format(None)
    columns = choose_columns(folder.name, column_kinds(saved.features), *named)
    text_columns = [*columns.labels, *([columns.item] if columns.kind == "text" else [])]
    frame = saved.select_columns(text_columns).to_pandas() if text_columns else pd.DataFrame()
    names = tuple(f"{folder.name}:{row}" for row in range(len(saved)))
    images = saved_images(saved, columns.item) if columns.kind == "image" else None
    return as_inputs(folder.name, columns, names, frame, images, declared_classes(saved.features))


def saved_images(saved: Dataset, column: str) -> Callable[[int], bytes | Path]:
    """The image cells of a saved data set, left encoded."""
    from datasets import Image

    cells = saved.select_columns([column])
    if isinstance(saved.features[column], Image):
        cells = cells.cast_column(column, Image(decode=False))
    return partial(saved_image, cells, column)


def saved_image(cells: Dataset, column: str, row: int) -> bytes | Path:
    """The encoded image in one row."""
    return encoded(cells[row][column])
