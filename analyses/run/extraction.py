"""Interactions from value tables: extracted once, written beside the tables, and read from there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import torch

from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import Interactions, JointSparseAndOr, Method, Store, extract_each
from harsanyi.progress import progress_bar

if TYPE_CHECKING:
    from tqdm.auto import tqdm


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
    paths = {name: store.path.parent / f"interactions-{name}.h5" for name in tables}
    with progress_bar(len(tables), "interactions", "network", shown=progress) as bar:
        return load_or_extract(tables, paths, study.extraction(), device_named(study.device), bar)


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
