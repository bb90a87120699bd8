"""Interactions from value tables: extracted once, written beside the tables, and read from there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

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
from harsanyi.interactions.game.scores import unit_of
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
        return load_or_extract(store.v, paths, study.extraction(), device_named(study.device), bar, about)


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


def load_or_extract(
    table: Callable[[str], torch.Tensor],
    paths: Mapping[str, Path],
    method: Method,
    device: torch.device,
    bar: "tqdm[Any]",
    about: Mapping[str, About],
) -> dict[str, Interactions]:
    """The interactions of value tables: from files that hold them, else extracted and written there.

    One table is in memory at a time, but for a joint method, which needs all of them.

    Args:
        table: gives the value tables of a network, `(games, 2**n)`.
        paths: of the files, by network.
        method: of extraction; a joint one extracts all networks anew where one file is missing.
        device: where they are extracted.
        bar: counts networks.
        about: what the games of each network are, in words.

    Returns:
        the interactions by network, on the CPU, as they lie in their files.
    """
    loaded = {name: _load(path, method, table(name)) for name, path in paths.items()}
    missing = [name for name, there in loaded.items() if there is None]
    if missing and isinstance(method, JointSparseAndOr):
        missing = list(paths)
    bar.update(len(paths) - len(missing))
    bar.initial = bar.n  # files take no time
    together = [missing] if isinstance(method, JointSparseAndOr) else [[name] for name in missing]
    for names in together:
        for name, extracted in extract_each({name: table(name).to(device) for name in names}, method, about):
            extracted.to("cpu").save(paths[name])
            loaded[name] = Interactions.load(paths[name])
            bar.update()
    return {name: replace(there, about=about[name]) for name, there in loaded.items() if there is not None}


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
