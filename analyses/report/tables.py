"""Tidy tables on disk: CSV for people, HDF5 for programs."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from harsanyi.hdf5 import opened, texts
from harsanyi.reading import visible
from harsanyi.writing import whole

TABLE_FORMAT = "harsanyi table 1"


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as `path`.csv and as `path`.h5, where each column is a data set."""
    with whole(path.with_suffix(".csv")) as partial:
        words = {str(name): column.map(_seen) for name, column in table.items() if column.dtype == object}
        table.assign(**words).rename(columns=_seen).to_csv(partial, index=False)
    with whole(path.with_suffix(".h5")) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(format=TABLE_FORMAT, columns=list(table.columns))
        for name, column in table.items():
            text = not pd.api.types.is_numeric_dtype(column)
            values = column.astype(str).to_numpy(object) if text else column.to_numpy()
            file.create_dataset(str(name), data=values, dtype=h5py.string_dtype() if text else None)


def _seen(value: Any) -> Any:
    """A text with its control characters as escapes, as people read it in a terminal or a spreadsheet."""
    return visible(value) if isinstance(value, str) else value


def read_table(path: Path) -> pd.DataFrame:
    """Read an .h5 file that `write_table` wrote.

    Raises:
        FileNotFoundError, ValueError: for no file, and for a file of another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}")
    with opened(path, f"a file of {TABLE_FORMAT!r}") as file:
        if file.attrs.get("format") != TABLE_FORMAT:
            raise ValueError("it has another format")
        columns = [str(name) for name in file.attrs["columns"]]
        return pd.DataFrame({name: _column(file[name]) for name in columns})


def _column(dataset: h5py.Dataset) -> np.ndarray:
    return texts(dataset) if h5py.check_string_dtype(dataset.dtype) else dataset[()]
