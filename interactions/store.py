"""The crash-safe HDF5 store of a study: value tables, and on request the outputs for all classes.

A `Store` reserves its space when it is made, under a temporary name. A game's row is written whole before its
flag, so that a killed run leaves a file that opens, and the next run continues at the next game.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, require_finite, suggested_batch_size
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.plans.choice import choose

FORMAT = "harsanyi store 1"
# Copied at once, at most, where a game has no more.
COPIED_BYTES = 2**26


class Store:
    """Value tables of several networks on the same games, in one file.

    All space is reserved when the file is made. From then on only rows and flags are written in place, a row
    flushed before its flag. A process killed at any moment leaves a file that opens. The next run continues
    where it stopped, with the same batches, and ends with the same bytes. While a run
    holds the file open, others may read it.

    Args:
        path: of the HDF5 file. It must exist; see `create` and `open_or_create`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no store {self.path}")
        with self._file() as file:
            self.settings: dict[str, Any] = json.loads(file.attrs["settings"])
            self.networks: tuple[str, ...] = tuple(json.loads(file.attrs["networks"]))
            self.games, size = file[f"v/{self.networks[0]}"].shape
            self.n: int = size.bit_length() - 1
            self.keeps_outputs: bool = "outputs" in file

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        settings: Mapping[str, Any],
        networks: Sequence[str],
        games: int,
        n: int,
        outputs: Mapping[str, int] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> "Store":
        """A new store with space for the tables of `networks`.

        Args:
            path: of the file.
            settings: all that the tables depend on, as JSON values. A run with other settings is refused.
            networks: the names of the tables.
            games, n: how many games and players.
            outputs: the number of outputs of each network, to store them all in float32 beside the scores.
            arrays: further arrays by name (images, owner maps).

        Returns:
            The store, with no game done.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        reserved = h5py.h5d.ALLOC_TIME_EARLY
        with h5py.File(partial, "w") as file:
            file.attrs.update(
                format=FORMAT, settings=json.dumps(settings), networks=json.dumps(list(networks))
            )
            for name in networks:
                datasets: list[tuple[str, tuple[int, ...], str]] = [
                    ("v", (games, 2**n), "f8"),
                    ("done", (games,), "u1"),
                ]
                if outputs is not None:
                    datasets.append(("outputs", (games, 2**n, outputs[name]), "f4"))
                for group, shape, dtype in datasets:
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_alloc_time(reserved)
                    file.create_dataset(f"{group}/{name}", shape, dtype, dcpl=plist, track_times=False)
            for name, array in (arrays or {}).items():
                file.create_dataset(f"arrays/{name}", data=array, track_times=False)
        partial.replace(path)
        return cls(path)

    @classmethod
    def open_or_create(cls, path: str | os.PathLike[str], **description: Any) -> "Store":
        """The store at `path` if there is one, else a new one.

        A store with outputs also serves a run without `outputs`.

        Args:
            path: of the file.
            description: the arguments of `create`.

        Raises:
            ValueError: if the file was made with another description, naming what differs.
        """
        if not Path(path).exists():
            return cls.create(path, **description)
        store = cls(path)
        wanted = {
            "games": description["games"],
            "players": description["n"],
            "networks": list(description["networks"]),
            **json.loads(json.dumps(description["settings"])),
        }
        present = {
            "games": store.games,
            "players": store.n,
            "networks": list(store.networks),
            **store.settings,
        }
        if description.get("outputs") is not None:
            wanted["outputs of all classes"], present["outputs of all classes"] = True, store.keeps_outputs
        keys = [key for key in sorted({*wanted, *present}) if wanted.get(key) != present.get(key)]
        if keys:
            differences = "; ".join(
                f"{k}: {json.dumps(present.get(k)):.60} there, {json.dumps(wanted.get(k)):.60} asked"
                for k in keys
            )
            raise ValueError(
                f"{path} was made with other settings ({differences}); name another folder or remove it"
            )
        return store

    def fill(
        self,
        network: str,
        game: Game,
        *,
        games: range | None = None,
        plan: str = "auto",
        memory: int | None = None,
        batch_size: int | None = None,
        progress: "bool | tqdm[Any]" = True,
    ) -> None:
        """Evaluate the games of `network` that are not done yet.

        Batches are those of an uninterrupted run: blocks of whole games, each at least a batch.

        Args:
            network: its name in the store.
            game: its games.
            games: numbers of those to evaluate, one of `blocks`; all by default.
            plan, memory, batch_size: as for `evaluate`.
            progress: whether to show a bar, or a bar to advance by the forwards of the `unfinished` games.
        """
        if (game.games, game.n) != (self.games, self.n):
            raise ValueError(
                f"{self.path} holds {self.games} games of {self.n} players, not {game.games} of {game.n}"
            )
        size = batch_size or suggested_batch_size(game)
        unfinished = self.unfinished(network, game, batch_size=batch_size)
        if games is not None:
            unfinished = [rows for rows in unfinished if rows == games]
        with self._file("r+") as file:
            for rows in unfinished:
                options: dict[str, Any] = {
                    "games": rows,
                    "plan": plan,
                    "memory": memory,
                    "progress": progress,
                    "batch_size": size if choose(game, plan, memory=memory).plan is None else batch_size,
                }
                if self.keeps_outputs:
                    v, outputs = _scores_and_outputs(game, **options)
                    tables = {"v": v, "outputs": outputs}
                else:
                    tables = {"v": evaluate(game, **options)}
                _write(file, network, rows, {group: table.cpu().numpy() for group, table in tables.items()})

    def unfinished(self, network: str, game: Game, *, batch_size: int | None = None) -> list[range]:
        """The games of `network` that `fill` evaluates, in its blocks: those with a game that is not done.

        Args:
            network, game, batch_size: as for `fill`.

        Returns:
            ranges of games.
        """
        done = self.done(network)
        return [rows for rows in self.blocks(game, batch_size) if not done[rows.start : rows.stop].all()]

    def blocks(self, game: Game, batch_size: int | None = None) -> list[range]:
        """The numbers of the games that are evaluated and written at a time.

        Args:
            game: of a network.
            batch_size: as for `fill`.
        """
        block = max(1, (batch_size or suggested_batch_size(game)) >> self.n)
        starts = range(0, self.games, block)
        return [range(start, min(start + block, self.games)) for start in starts]

    def copy(self, source: str, target: str) -> None:
        """Copy the finished games of one network to another that is the same, instead of evaluating them.

        Args:
            source, target: names of networks.
        """
        missing = self.done(source) & ~self.done(target)
        groups = ("v", "outputs") if self.keeps_outputs else ("v",)
        with self._file("r+") as file:
            bytes_of_a_game = sum(file[f"{group}/{source}"][:1].nbytes for group in groups)
            for rows in _ranges(missing, max(1, COPIED_BYTES // bytes_of_a_game)):
                tables = {group: file[f"{group}/{source}"][rows.start : rows.stop] for group in groups}
                _write(file, target, rows, tables)

    def put(self, network: str, v: Float64[Tensor, "games coalitions"]) -> None:
        """Write value tables of a network that were evaluated elsewhere.

        Args:
            network: its name in the store.
            v: of all games.

        Raises:
            ValueError: for tables of another shape.
        """
        if v.shape != (self.games, 2**self.n):
            raise ValueError(
                f"{self.path} holds {self.games} games of {self.n} players, not tables of shape "
                f"{tuple(v.shape)}"
            )
        with self._file("r+") as file:
            _write(file, network, range(self.games), {"v": v.cpu().numpy()})

    def v(self, network: str) -> Float64[Tensor, "games coalitions"]:
        """The value tables of a network; a ValueError if some games are not done."""
        return self._whole("v", network)

    def outputs(self, network: str) -> Float32[Tensor, "games coalitions classes"]:
        """All outputs of a network; a ValueError if the store has none, or some games are not done."""
        if not self.keeps_outputs:
            raise ValueError(f"{self.path} holds scores of labels but no outputs of all classes")
        return self._whole("outputs", network)

    def done(self, network: str) -> np.ndarray:
        """Which games of a network are done, as booleans."""
        if network not in self.networks:
            raise ValueError(f"{self.path} has no network {network!r}; it has {', '.join(self.networks)}")
        with self._file() as file:
            return file[f"done/{network}"][()].astype(bool)

    def array(self, name: str) -> np.ndarray:
        """A further array by its name; a KeyError if there is none."""
        with self._file() as file:
            return file[f"arrays/{name}"][()]

    def _whole(self, group: str, network: str) -> Tensor:
        """All tables of a network; a ValueError if some games are not done."""
        missing = self.games - int(self.done(network).sum())
        if missing:
            raise ValueError(
                f"{missing} of {self.games} games of {network!r} are not done; run the study again"
            )
        with self._file() as file:
            return torch.from_numpy(file[f"{group}/{network}"][()])

    @contextmanager
    def _file(self, mode: str = "r") -> Iterator[h5py.File]:
        try:
            # Without a lock: a reader must not stop the run that writes, and rows in place need no lock.
            file = h5py.File(self.path, mode, locking=False)
        except OSError as error:
            raise ValueError(f"{self.path} is no HDF5 file that can be opened: {error}") from error
        with file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{self.path} is no store of this version ({FORMAT!r})")
            yield file


def _write(file: h5py.File, network: str, rows: range, tables: Mapping[str, np.ndarray]) -> None:
    """Write rows and flush them, then write their flags and flush those."""
    for group, table in tables.items():
        file[f"{group}/{network}"][rows.start : rows.stop] = table
    file.flush()
    file[f"done/{network}"][rows.start : rows.stop] = 1
    file.flush()


def _ranges(chosen: np.ndarray, longest: int) -> Iterator[range]:
    """The chosen places, as ranges of neighbours.

    >>> list(_ranges(np.array([True, True, True, False, True]), longest=2))
    [range(0, 2), range(2, 3), range(4, 5)]
    """
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2).tolist():
        for first in range(start, stop, longest):
            yield range(first, min(first + longest, stop))


def _scores_and_outputs(game: Any, games: range, **options: Any) -> tuple[Tensor, Tensor]:
    """The outputs for all classes of some games, and the value tables that follow from them."""
    outputs = evaluate_outputs(game, games=games, **options).float()
    owners = torch.as_tensor(games, device=outputs.device).repeat_interleave(outputs.shape[1])
    v = game.scored(outputs.flatten(0, 1), owners).view(outputs.shape[:2])
    require_finite(v, torch.as_tensor(games))
    return v, outputs
