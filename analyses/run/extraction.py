"""Interactions from value tables: extracted once, written beside the tables, and read from there."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

import torch
from tqdm.auto import tqdm

from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import Interactions, JointSparseAndOr, Method, Store, extract_each


def study_interactions(study: Study, store: Store, *, progress: bool = False) -> dict[str, Interactions]:
    """All networks' interactions in the score of the label, from files in the store's folder or extracted.

    Args:
        study: names the method and the device.
        store: the value tables.
        progress: whether to draw a bar.

    Returns:
        the interactions by network.
    """
    tables = {name: store.v(name) for name in store.networks}
    paths = {name: interactions_path(store.path.parent, name) for name in tables}
    with progress_bar(progress, len(tables), "interactions", "network") as bar:
        return load_or_extract(tables, paths, study.extraction(), device_named(study.device), bar)


def interactions_path(folder: Path, network: str) -> Path:
    """The file of a network's interactions in the folder of a run."""
    return folder / f"interactions-{network}.h5"


def load_or_extract(
    tables: Mapping[str, torch.Tensor],
    paths: Mapping[str, Path],
    method: Method,
    device: torch.device,
    bar: "tqdm[Any]",
) -> dict[str, Interactions]:
    """The interactions of value tables: from files that hold them, else extracted and written there.

    Args:
        tables: by network, `(games, 2**n)`.
        paths: of the files, by network.
        method: of extraction; a joint one extracts all networks anew where one file is missing.
        device: where they are extracted.
        bar: counts networks.

    Returns:
        the interactions by network, on the CPU.
    """
    interactions = {}
    for name, table in tables.items():
        if (loaded := _load(paths[name], method, table)) is not None:
            interactions[name] = loaded
    missing = [name for name in tables if name not in interactions]
    if missing and isinstance(method, JointSparseAndOr):
        missing = list(tables)
    bar.update(len(tables) - len(missing))
    bar.initial = bar.n  # files take no time
    for name, extracted in extract_each({name: tables[name].to(device) for name in missing}, method):
        interactions[name] = extracted.to("cpu")
        interactions[name].save(paths[name])
        bar.update()
    return {name: interactions[name] for name in tables}


def progress_bar(progress: bool, total: int, title: str, unit: str, there: int = 0) -> "tqdm[Any]":
    """Start a progress bar. In a terminal it moves; a log gets a line each minute.

    The time left is by the mean rate since the start: a plan gives the forwards of a whole game at once, so
    the rate of the moment says little.

    Args:
        progress: whether there is a bar at all.
        total: number of units.
        title: in front of the bar.
        unit: what is counted.
        there: number of units that take no time.

    Returns:
        the bar, a context manager.
    """
    rare: dict[str, Any] = {} if sys.stderr.isatty() else {"mininterval": 60, "delay": 60}
    return tqdm(
        total=total,
        initial=there,
        unit=unit,
        unit_scale=total > 1000,
        desc=title,
        disable=not progress,
        smoothing=0,
        miniters=1,
        **rare,
    )


@contextmanager
def paused(bar: "tqdm[Any]") -> Iterator[None]:
    """Leave the time of other work, such as planning, out of a bar's rate."""
    start = time()
    yield
    if not bar.disable:
        bar.start_t += time() - start


def _load(path: Path, method: Method, values: torch.Tensor) -> Interactions | None:
    """The interactions in a file, if they are of this method and these value tables."""
    try:
        interactions = Interactions.load(path)
    except (FileNotFoundError, ValueError):
        return None  # no file yet, or a file that was cut short
    same = interactions.method == str(method) and torch.equal(interactions.v, values)
    return interactions if same else None
