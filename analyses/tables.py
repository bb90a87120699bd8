"""Tidy tables: of games and of effect ranges; on disk CSV for people, HDF5 for programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from harsanyi.interactions import KINDS, SALIENT_THRESHOLD, Interactions, coalition_masks

FORMAT = "harsanyi table 1"
RANGE_COLUMNS = ("effect", "low", "high", "lowest", "highest")


def games_table(
    networks: Mapping[str, Interactions], inputs: Sequence[str], threshold: float = SALIENT_THRESHOLD
) -> pd.DataFrame:
    """A row for each network and input: strength, salient count, what is unexplained, and the certified gap.

    Args:
        networks: interactions of the same games by network.
        inputs: what the games' inputs are called.
        threshold: of salience.

    Returns:
        columns network, game, input, strength (Σ|I|, in the unit of the score), salient (count), residual
        (the largest |v − what the interactions add up to|), gap (empty without a sparse method).
    """
    rows = [
        pd.DataFrame(
            {
                "network": name,
                "game": range(found.games),
                "input": inputs,
                "strength": found.effects.abs().sum((1, 2)),
                "salient": found.salient(threshold).count(),
                "residual": found.residual.abs().amax(1),
                "gap": np.nan if found.gap is None else found.gap,
            }
        )
        for name, found in networks.items()
    ]
    return pd.concat(rows, ignore_index=True)


def ranges_table(networks: Mapping[str, Interactions], inputs: Sequence[str]) -> pd.DataFrame:
    """A row for each of the strongest interactions whose range was asked for.

    Returns:
        columns network, game, input, kind, players (numbers, spaces between), order, effect, low and high
        (met), lowest and highest (certified), as in `EffectRanges`.
    """
    return pd.concat(
        [_ranges_of(name, found, inputs) for name, found in networks.items() if found.ranges is not None],
        ignore_index=True,
    )


def _ranges_of(name: str, found: Interactions, inputs: Sequence[str]) -> pd.DataFrame:
    ranges = found.ranges
    assert ranges is not None
    top = ranges.effect.shape[1]
    masks = coalition_masks(found.n, ranges.coalition.flatten())
    players = [np.flatnonzero(mask) for mask in masks.numpy()]
    return pd.DataFrame(
        {
            "network": name,
            "game": np.repeat(np.arange(found.games), top),
            "input": np.repeat(np.asarray(inputs, dtype=object), top),
            "kind": [KINDS[kind] for kind in ranges.kind.flatten().tolist()],
            "players": [" ".join(map(str, one)) for one in players],
            "order": [len(one) for one in players],
            **{part: getattr(ranges, part).flatten() for part in RANGE_COLUMNS},
        }
    )


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
