"""Interactions from value tables: extracted once, written beside the tables, and read from there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from harsanyi.analyses.study.facts import Facts
from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import (
    BACKGROUND,
    About,
    Interactions,
    JointSparseAndOr,
    Method,
    Store,
    extract_each,
)
from harsanyi.interactions.effects.transforms import require_finite_tables
from harsanyi.interactions.game.scores import unit_of
from harsanyi.interactions.machine.batching import rounds
from harsanyi.progress import progress_bar

if TYPE_CHECKING:
    from tqdm.auto import tqdm


def study_interactions(
    study: Study, store: Store, facts: Facts, *, progress: bool = False
) -> dict[str, Interactions]:
    """All networks' interactions in the score of the label, from files in the store's folder or extracted.

    Args:
        study: names the method and the device.
        store: the value tables.
        facts: say which plan evaluated each network, and the classes where all outputs are kept.
        progress: whether to draw a bar.

    Returns:
        the interactions by network.
    """
    paths = {name: interactions_path(store.path.parent, name) for name in store.networks}
    about = {name: about_network(study, store, facts, name) for name in paths}
    with progress_bar(len(paths), "interactions", "network", shown=progress) as bar:
        return load_or_extract(store, paths, study.extraction(), device_named(study.device), bar, about)


def about_network(study: Study, store: Store, facts: Facts, network: str) -> About:
    """What the games of a network are, in words.

    Args:
        study: names the score.
        store: names inputs, labels and players; an older one in its settings, without names of cells.
        facts: say which plan evaluated the network.
        network: its name in the study.

    Returns:
        the words; what is not known is empty.
    """
    settings, known = store.settings, store.about
    if not known.inputs:
        known = About(
            inputs=tuple(settings.get("inputs", ())),
            labels=tuple(settings.get("labels", ())),
            players=_words(settings.get("sentences", ()), store.n),
            score=study.score,
            unit=unit_of(study.score),
        )
    plan = facts.plans[network].name if network in facts.plans else "dense" if facts.networks else ""
    classes = facts.classes.names if facts.classes else ()
    return replace(known, network=network, plan=plan, classes=classes)


def _words(sentences: Sequence[Any], n: int) -> tuple[tuple[str, ...], ...]:
    """The words of each player, in the sentences of a store."""
    words: list[list[list[str]]] = [[[] for _ in range(n)] for _ in sentences]
    for row, sentence in zip(words, sentences, strict=True):
        for word, player in sentence:
            if player != BACKGROUND:
                row[player].append(word)
    return tuple(tuple(" ".join(own) or "–" for own in row) for row in words)


def interactions_path(folder: Path, network: str) -> Path:
    """The file of a network's interactions in the folder of a run."""
    return folder / f"interactions-{network}.h5"


class Tables(Protocol):
    """Value tables of networks on the same games, as a `Store` has them."""

    games: int
    n: int

    def v(self, network: str, games: Sequence[int] | None = None) -> torch.Tensor:
        """Those of some games of a network, `(games, 2**n)`."""


def load_or_extract(
    tables: Tables,
    paths: Mapping[str, Path],
    method: Method,
    device: torch.device,
    bar: "tqdm[Any]",
    about: Mapping[str, About],
) -> dict[str, Interactions]:
    """The interactions of value tables: from files that hold them, else extracted and written there.

    A few games are in memory at a time, with the bits of all at once.

    Args:
        tables: the value tables of all networks.
        paths: of the files, by network.
        method: of extraction; a joint one extracts all networks anew where one file is missing.
        device: where they are extracted.
        bar: counts networks.
        about: what the games of each network are, in words.

    Returns:
        the interactions by network, on the CPU, as they lie in their files.
    """
    loaded = {name: _load(path, method, tables, name) for name, path in paths.items()}
    missing = [name for name, there in loaded.items() if there is None]
    joint = isinstance(method, JointSparseAndOr)
    if missing and joint:
        missing = list(paths)
    bar.update(len(paths) - len(missing))
    bar.initial = bar.n  # files take no time
    for names in [missing] if joint and missing else [[name] for name in missing]:
        _extract({name: paths[name] for name in names}, tables, method, device, about)
        loaded |= {name: Interactions.load(paths[name]) for name in names}
        bar.update(len(names))
    return {name: replace(there, about=about[name]) for name, there in loaded.items() if there is not None}


def _extract(
    paths: Mapping[str, Path],
    tables: Tables,
    method: Method,
    device: torch.device,
    about: Mapping[str, About],
) -> None:
    """Extract networks together, and write the files of their interactions, a few games at a time.

    Args:
        paths: of the files, by network.
        tables, method, device, about: as for `load_or_extract`.
    """
    with ExitStack() as files:
        write = {
            name: files.enter_context(Interactions.writing(path, tables.games, about[name]))
            for name, path in paths.items()
        }
        for games in _blocks(tables, len(paths), device):
            values = {name: tables.v(name, games).to(device) for name in paths}
            for v in values.values():
                require_finite_tables(v, games.start)
            for name, extracted in extract_each(values, method):
                write[name](extracted.to("cpu"))


def _blocks(tables: Tables, networks: int, device: torch.device) -> list[range]:
    """The games of value tables, a few at a time, of which solvers make the batches that they make of all."""
    return rounds(tables.games, networks << tables.n, device) or [range(0)]


@contextmanager
def paused(bar: "tqdm[Any]") -> Iterator[None]:
    """Leave the time of other work, such as planning, out of a bar's rate."""
    start = time()
    yield
    if not bar.disable:
        bar.start_t += time() - start


def _load(path: Path, method: Method, tables: Tables, network: str) -> Interactions | None:
    """The interactions in a file, if they are of this method and a network's value tables."""
    try:
        interactions = Interactions.load(path)
    except (FileNotFoundError, ValueError):
        return None  # no file yet, or a file that was cut short
    if interactions.method != str(method) or interactions.v.shape != (tables.games, 2**tables.n):
        return None
    blocks = _blocks(tables, 1, torch.device("cpu"))
    same = all(
        torch.equal(interactions.v[games.start : games.stop], tables.v(network, games)) for games in blocks
    )
    return interactions if same else None
