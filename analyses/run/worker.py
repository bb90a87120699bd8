"""What a worker of a Ray cluster does: it loads the networks of a study once, and evaluates blocks.

It imports no Ray: `run/cluster.py` makes an actor of it.
"""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

import harsanyi
from harsanyi.analyses.run.blocks import Block, Evaluator
from harsanyi.analyses.study.labels import read_out_file
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import MaskedModel
from harsanyi.interactions.plans.choice import together
from harsanyi.interactions.store.differences import differences

# What a network's bits may depend on besides the settings of its store.
VERSIONS = {"harsanyi": harsanyi.__version__, "torch": torch.__version__}


class Worker:
    """Evaluates blocks in a process of its own: an actor of Ray.

    Args:
        folder: in which the study's relative paths begin.
        study: its settings.
        options: outputs, record and planning of the `Evaluator`.
    """

    def __init__(self, folder: str, study: Study, **options: Any) -> None:
        self.folder, self.study, self.options = folder, study, options
        self.sharing, self.stack = set[tuple[str, ...]](), ExitStack()

    def ready(
        self, files: list[str], settings: dict[str, Any], versions: dict[str, str]
    ) -> tuple[str, list[str], str]:
        """Load the networks of the study.

        Args:
            files: that it needs.
            settings, versions: those of the writer.

        Returns:
            the name of this node, the files that it does not see, and where its study differs, in words.
        """
        if missing := unseen(self.folder, files):
            return os.uname().nodename, missing, ""
        os.chdir(self.folder)
        games = prepare(self.study)
        self.evaluator = Evaluator(games, Lazily(games.game), **self.options)
        own = {**json.loads(json.dumps(self.evaluator.games.settings)), **VERSIONS}
        told = differences({**json.loads(json.dumps(settings)), **versions}, own)
        return os.uname().nodename, [], told

    def tables(self, networks: tuple[str, ...], start: int, stop: int) -> dict[str, dict[str, np.ndarray]]:
        """The tables of a block.

        Args:
            networks, start, stop: the block.

        Returns:
            what `Store.write` takes, by network.
        """
        block = Block(networks, range(start, stop))
        if len(networks) > 1 and networks not in self.sharing:
            self.sharing.add(networks)
            masked = [self.evaluator.masked[name] for name in networks]
            # For as long as this process lives.
            self.stack.enter_context(together(masked, **self.evaluator.planning))
        return dict(self.evaluator.tables(block))


class Lazily(dict[str, MaskedModel]):
    """Games by network, made when they are first asked for."""

    def __init__(self, make: Callable[[str], MaskedModel]) -> None:
        self.make = make

    def __missing__(self, name: str) -> MaskedModel:
        self[name] = self.make(name)
        return self[name]


def files_of(study: Study) -> list[str]:
    """The files and folders that a study names, and what it has in its own folder for all who evaluate it.

    Args:
        study: its settings; a part of one, such as net.py in net.py:build, may be a file.
    """
    values = {**vars(study), "out": None, "checkpoints": list(study.checkpoints.values())}
    texts = [str(part) for value in values.values() for part in _parts(value)]
    pieces = [piece for text in texts for piece in (text, text.partition("=")[2], *text.split(":"))]
    own = [str(read_out_file(study, name)) for name in study.checkpoints]
    return list(dict.fromkeys(piece for piece in [*pieces, *own] if piece and Path(piece).exists()))


def unseen(folder: str, files: list[str]) -> list[str]:
    """Those of a folder, and of files in it, that cannot be found on this machine."""
    return [name for name in [folder, *files] if not Path(folder, name).exists()]


def require_seen(node: str, missing: list[str]) -> None:
    """Refuse a node that does not see some files, with a ValueError that names both."""
    if missing:
        raise ValueError(
            f"node {node} does not see {', '.join(missing)}: put what a study names on storage that all "
            "nodes share, under the same path"
        )


def _parts(value: Any) -> list[Any]:
    """The parts of a setting that can be paths."""
    parts = value if isinstance(value, tuple | list) else [value]
    return [part for part in parts if isinstance(part, str | Path)]
