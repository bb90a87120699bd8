"""Tidy tables: of games and of effect ranges; on disk CSV for people, HDF5 for programs."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

FORMAT = "harsanyi table 1"


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write `path` with the ending .csv and with the ending .h5, a data set a column."""
    table.to_csv(path.with_suffix(".csv"), index=False)
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.attrs.update(format=FORMAT, columns=list(table.columns))
        for name, column in table.items():
            text = not pd.api.types.is_numeric_dtype(column)
            values = column.astype(str).to_numpy(object) if text else column.to_numpy()
            file.create_dataset(str(name), data=values, dtype=h5py.string_dtype() if text else None)


def read_table(path: Path) -> pd.DataFrame:
    """Read the .h5 file that `write_table` wrote; a ValueError for any other."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise OSError("its format is another")
            columns = [str(name) for name in file.attrs["columns"]]
            return pd.DataFrame({name: _column(file[name]) for name in columns})
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no file of {FORMAT!r}: {error}") from error


def _column(dataset: h5py.Dataset) -> np.ndarray:
    return dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]
