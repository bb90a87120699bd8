"""Where the numbers of a store lie in its HDF5 file, how rows get there, and how damage is found.

Each network has a row a game in several groups: `v`, `outputs` where they are kept, `done`, `failed`, and
checksums. Space for all is reserved when the file is made. A row and its checksum are on the disk before
its flag.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from harsanyi.interactions.store.tables import FAILED, REASON_BYTES
from harsanyi.writing import said_plainly

FORMAT = "harsanyi store 1"
DESCRIPTION = """\
Value tables of networks on the same games: v/NETWORK has a row for each game and a column for each \
coalition; the bits of the column's number, the most significant first, are 1 for the players that are \
present. done/NETWORK is 1 where the row is written. outputs/NETWORK: the outputs of all classes. \
sha256/NETWORK: of the row in v, and sha256 of outputs/NETWORK of that in outputs, as they lie here; where \
the latter is missing, sha256/NETWORK is of both, one after the other. failed/NETWORK: why a game has no \
row, in words. Names are in the group about; settings are JSON."""
# The group that holds checksums; stores of older versions have neither these nor `FAILED`.
CHECKSUMS, OUTPUT_CHECKSUMS, CHECKSUM_BYTES = "sha256", "sha256 of outputs", 32
# Copied at once, at most, where a game has no more.
COPIED_BYTES = 2**26


def reserve(
    file: h5py.File,
    *,
    settings: Mapping[str, Any],
    networks: Sequence[str],
    games: int,
    n: int,
    outputs: Mapping[str, int] | None,
) -> None:
    """Describe a new file, and reserve its space.

    Args:
        file: a new one.
        settings, networks, games, n, outputs: as for `Store.create`.
    """
    file.attrs.update(
        format=FORMAT,
        description=DESCRIPTION,
        settings=json.dumps(settings),
        networks=json.dumps(list(networks)),
    )
    for name in networks:
        datasets: list[tuple[str, tuple[int, ...], str]] = [
            ("v", (games, 2**n), "f8"),
            ("done", (games,), "u1"),
            (CHECKSUMS, (games, CHECKSUM_BYTES), "u1"),
            (FAILED, (games,), f"S{REASON_BYTES}"),
        ]
        if outputs is not None:
            datasets.append(("outputs", (games, 2**n, outputs[name]), "f4"))
            datasets.append((OUTPUT_CHECKSUMS, (games, CHECKSUM_BYTES), "u1"))
        for group, shape, dtype in datasets:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            file.create_dataset(f"{group}/{name}", shape, dtype, dcpl=plist, track_times=False)


def require_form(file: h5py.File, networks: Sequence[str], games: int, n: int) -> None:
    """Refuse a file whose tables do not have the form that `reserve` gives them, with a ValueError.

    Args:
        file: of a store.
        networks, games, n: what it says of itself.
    """
    tables = (games, 2**n)
    for name in networks:
        wanted: dict[str, tuple[str, tuple[int, ...]]] = {"v": ("f8", tables), "done": ("u1", (games,))}
        if "outputs" in file:
            wanted["outputs"] = ("f4", (*tables, file[f"outputs/{name}"].shape[-1]))
        for group, (dtype, shape) in wanted.items():
            data = file[f"{group}/{name}"]
            if data.dtype != np.dtype(dtype) or data.shape != shape:
                raise ValueError(f"{group}/{name} is {data.dtype} {data.shape}, expected {dtype} {shape}")


def write_rows(file: h5py.File, network: str, rows: range, tables: Mapping[str, np.ndarray]) -> None:
    """Write rows and their checksums, wait until they are on the disk, then write their flags.

    Args:
        file: of the store.
        network: its name.
        rows: numbers of the games.
        tables: by group; `failed` has the reason of each game that failed, whose flag stays 0.
    """
    place = slice(rows.start, rows.stop)
    # As they lie in the file, which knows how many outputs a game has that failed alone.
    shapes = {group: (len(rows), *file[f"{group}/{network}"].shape[1:]) for group in tables}
    tables = {group: np.broadcast_to(table, shapes[group]) for group, table in tables.items()}
    with said_plainly(Path(file.filename)):
        for group, table in tables.items():
            file[f"{group}/{network}"][place] = table
        for kept, groups in _checked(file).items():
            file[f"{kept}/{network}"][place] = _checksums(*(tables[group] for group in groups))
        to_disk(file)
        file[f"done/{network}"][place] = tables[FAILED] == b"" if FAILED in tables else 1
        to_disk(file)


def _checksums(*tables: np.ndarray) -> np.ndarray:
    """The SHA-256 of each game's rows, one table's after the other's, `(games, 32)`."""
    sums = []
    for row in zip(*map(np.ascontiguousarray, tables), strict=True):
        hasher = hashlib.sha256()
        for part in row:
            hasher.update(part)
        sums.append(hasher.digest())
    return np.frombuffer(b"".join(sums), dtype=np.uint8).reshape(len(sums), CHECKSUM_BYTES)


def _checked(file: h5py.File) -> dict[str, tuple[str, ...]]:
    """The groups of checksums, and the tables that each is of; none of a store of an older version."""
    if CHECKSUMS not in file:
        return {}
    if OUTPUT_CHECKSUMS in file:
        return {CHECKSUMS: ("v",), OUTPUT_CHECKSUMS: ("outputs",)}
    return {CHECKSUMS: ("v", "outputs") if "outputs" in file else ("v",)}


def damaged_games(
    file: h5py.File, network: str, games: Sequence[int], read: Mapping[str, np.ndarray] | None = None
) -> list[int]:
    """Those of the games whose rows have other checksums than when they were written.

    Rows that a program without checksums wrote have none, and cannot be judged.

    Args:
        file: of the store.
        network: its name.
        games: their numbers.
        read: rows of these games that were read, by table; only what is said of these tables is asked. By
            default all tables are read.
    """
    damaged = set()
    for kept, groups in _checked(file).items():
        if read is not None and not read.keys() & set(groups):
            continue
        written = file[f"{kept}/{network}"][()]
        for place, game in enumerate(games):
            rows = [
                read[group][place : place + 1]
                if read is not None and group in read
                else file[f"{group}/{network}"][game : game + 1]
                for group in groups
            ]
            if written[game].any() and not np.array_equal(written[game], _checksums(*rows)[0]):
                damaged.add(game)
    return sorted(damaged)


def rows_at_once(data: h5py.Dataset) -> int:
    """So many rows of a table are read at a time."""
    return max(1, COPIED_BYTES // max(1, data[:1].nbytes))


def to_disk(file: h5py.File) -> None:
    """Wait until all that was written is on the disk."""
    file.flush()
    os.fsync(file.id.get_vfd_handle())


def identity(file: h5py.File) -> tuple[str, ...]:
    """What tells a store from another one at the same path."""
    return tuple(str(file.attrs[name]) for name in ("settings", "networks"))


def ranges_of(chosen: np.ndarray, longest: int) -> Iterator[range]:
    """The chosen places, as ranges of neighbours.

    >>> list(ranges_of(np.array([True, True, True, False, True]), longest=2))
    [range(0, 2), range(2, 3), range(4, 5)]
    """
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2).tolist():
        for first in range(start, stop, longest):
            yield range(first, min(first + longest, stop))
