"""The crash-safe HDF5 store of a study: value tables, and on request the outputs for all classes.

A `Store` reserves its space when it is made, under a temporary name. A game's row is on the disk, whole,
before its flag. A killed run, or a power cut, leaves a file that opens, and the next run continues at the
next game.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.hdf5 import searched
from harsanyi.interactions.effects.about import About
from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, require_finite, suggested_batch_size
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.plans.choice import choose
from harsanyi.reading import parse_json, reading
from harsanyi.shown import Card, Shown, counted, first_of
from harsanyi.writing import require_room, said_plainly, sole_writer, whole

FORMAT = "harsanyi store 1"
# What a file is expected to be, and what to do about one that is something else.
WHAT, ADVICE = (
    f"a store ({FORMAT!r})",
    "it is damaged or something else; run the study again in another folder",
)
DESCRIPTION = """\
Value tables of networks on the same games: v/NETWORK has a row for each game and a column for each \
coalition; the bits of the column's number, the most significant first, are 1 for the players that are \
present. done/NETWORK is 1 where the row is written. outputs/NETWORK: the outputs of all classes. Names \
are in the group about; settings are JSON."""
# Copied at once, at most, where a game has no more.
COPIED_BYTES = 2**26
# A difference between settings is told in at most so many characters on each side.
TOLD_CHARACTERS = 100


class Store(Shown):
    """Value tables of several networks on the same games, in one file.

    All space is reserved when the file is made. From then on only rows and flags are written in place, a row
    flushed before its flag. A process killed at any moment leaves a file that opens. The next run continues
    where it stopped, with the same batches, and ends with the same bytes. One process at a time writes.
    Others may read the file meanwhile. A file that somebody put in its place is refused.

    Args:
        path: of the HDF5 file. It must exist; see `create` and `open_or_create`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no store {self.path}")
        self._description: tuple[str, ...] | None = None
        with self._file() as file, self._reading():
            self._description = _description(file)
            self.settings: dict[str, Any] = parse_json(file.attrs["settings"])
            self.networks: tuple[str, ...] = tuple(parse_json(file.attrs["networks"]))
            self.games, size = file[f"v/{self.networks[0]}"].shape
            self.n: int = size.bit_length() - 1
            self.keeps_outputs: bool = "outputs" in file
            self.about = About.read(file["about"]) if "about" in file else About()
            self._check(file)

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
        about: About = About(),
    ) -> "Store":
        """A new store with space for the tables of `networks`.

        Args:
            path: of the file.
            settings: all that the tables depend on, as JSON values. A run with other settings is refused.
            networks: the names of the tables.
            games, n: how many games and players.
            outputs: the number of outputs of each network, to store them all in float32 beside the scores.
            arrays: further arrays by name (images, owner maps).
            about: what the games are, in words; other words are no other store.

        Returns:
            The store, with no game done.

        Raises:
            OSError: the disk has no room for it, or cannot be written; naming file and space.
        """
        path = Path(path)
        reserved = h5py.h5d.ALLOC_TIME_EARLY
        of_outputs = 4 * sum(outputs[name] for name in networks) if outputs is not None else 0
        require_room(path, games * 2**n * (8 * len(networks) + of_outputs))
        with sole_writer(path.parent, path.name), whole(path) as partial, h5py.File(partial, "w") as file:
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
                ]
                if outputs is not None:
                    datasets.append(("outputs", (games, 2**n, outputs[name]), "f4"))
                for group, shape, dtype in datasets:
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_alloc_time(reserved)
                    file.create_dataset(f"{group}/{name}", shape, dtype, dcpl=plist, track_times=False)
            for name, array in (arrays or {}).items():
                file.create_dataset(f"arrays/{name}", data=array, track_times=False)
            about.write(file.create_group("about"))
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
            differences = "; ".join(_difference(key, present.get(key), wanted.get(key)) for key in keys)
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
        checkpoints: int = 1,
        batch_size: int | None = None,
        progress: "bool | tqdm[Any]" = True,
    ) -> None:
        """Evaluate the games of `network` that are not done yet.

        Batches are those of an uninterrupted run: blocks of whole games, each at least a batch.

        Args:
            network: its name in the store.
            game: its games.
            games: numbers of those to evaluate, one of `blocks`; all by default.
            plan, memory, checkpoints, batch_size: as for `evaluate`. The plan is chosen for all games, done
                or not, and so is that of an uninterrupted run.
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
        planning: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints}
        with self._written() as file:
            for rows in unfinished:
                options: dict[str, Any] = planning | {
                    "games": rows,
                    "progress": progress,
                    "batch_size": size if choose(game, **planning).plan is None else batch_size,
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
        with self._written() as file:
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
        with self._written() as file:
            _write(file, network, range(self.games), {"v": v.cpu().numpy()})

    def v(self, network: str, games: Sequence[int] | None = None) -> Float64[Tensor, "games coalitions"]:
        """The value tables of a network; a ValueError if some of these games are not done.

        Args:
            network: its name.
            games: numbers in rising order; all by default.
        """
        return self._read("v", network, games)

    def outputs(self, network: str) -> Float32[Tensor, "games coalitions classes"]:
        """All outputs of a network; a ValueError if the store has none, or some games are not done."""
        if not self.keeps_outputs:
            raise ValueError(f"{self.path} holds scores of labels but no outputs of all classes")
        return self._read("outputs", network)

    def done(self, network: str) -> np.ndarray:
        """Which games of a network are done, as booleans."""
        if network not in self.networks:
            raise ValueError(f"{self.path} has no network {network!r}; it has {', '.join(self.networks)}")
        with self._file() as file, self._reading():
            return file[f"done/{network}"][()].astype(bool)

    def array(self, name: str) -> np.ndarray:
        """A further array by its name; a KeyError if there is none."""
        with self._file() as file:
            if f"arrays/{name}" not in file:
                raise KeyError(name)
            with self._reading():
                return file[f"arrays/{name}"][()]

    def _card(self) -> Card:
        done = {name: int(self.done(name).sum()) for name in self.networks}
        return Card(
            f"{counted(self.games, 'game')} of {counted(self.n, 'player')}, "
            f"{counted(len(self.networks), 'network')}",
            {
                "networks": first_of(
                    [f"{name} ({count} of {self.games} done)" for name, count in done.items()]
                ),
                "unit": self.about.unit,
                "holds": "scores, and outputs of all classes"
                if self.keeps_outputs
                else "scores of the label",
                "inputs": first_of(self.about.inputs),
                "file": str(self.path),
            },
        )

    def _read(self, group: str, network: str, games: Sequence[int] | None = None) -> Tensor:
        """Tables of a network; a ValueError if some of these games are not done."""
        rows = slice(None) if games is None else list(games)
        done = self.done(network)[rows]
        if not done.all():
            raise ValueError(
                f"{(~done).sum()} of {len(done)} games of {network!r} are not done; run the study again"
            )
        with self._file() as file, self._reading():
            return torch.from_numpy(file[f"{group}/{network}"][rows])

    def _reading(self) -> AbstractContextManager[None]:
        """A context that reads the file: what is wrong with it is a ValueError that names it."""
        return reading(self.path, WHAT, ADVICE)

    def _check(self, file: h5py.File) -> None:
        """Refuse a file whose parts do not have the form that `create` gives them."""
        if not isinstance(self.settings, dict) or not all(isinstance(name, str) for name in self.networks):
            raise ValueError("its settings or the names of its networks have another form")
        if self.n < 0 or 2**self.n != file[f"v/{self.networks[0]}"].shape[1]:
            raise ValueError("its tables do not have a column for each coalition")
        tables = (self.games, 2**self.n)
        for name in self.networks:
            wanted: dict[str, tuple[str, tuple[int, ...]]] = {
                "v": ("f8", tables),
                "done": ("u1", (self.games,)),
            }
            if self.keeps_outputs:
                wanted["outputs"] = ("f4", (*tables, file[f"outputs/{name}"].shape[-1]))
            for group, (dtype, shape) in wanted.items():
                data = file[f"{group}/{name}"]
                if data.dtype != np.dtype(dtype) or data.shape != shape:
                    raise ValueError(f"{group}/{name} is {data.dtype} {data.shape}, expected {dtype} {shape}")
        self.about.require(self.games, self.n)

    @contextmanager
    def _written(self) -> Iterator[h5py.File]:
        """The file, open for this process alone to write."""
        with sole_writer(self.path.parent, self.path.name), self._file("r+") as file:
            yield file

    @contextmanager
    def _file(self, mode: str = "r") -> Iterator[h5py.File]:
        with ExitStack() as stack:
            with self._reading():
                file = stack.enter_context(searched(self.path, mode))
                if file.attrs.get("format") != FORMAT:
                    raise ValueError(f"{self.path} is no store of this version ({FORMAT!r})")
                if self._description not in (None, _description(file)):
                    raise ValueError(
                        f"{self.path} is another store than the one that was opened: it was replaced"
                    )
            yield file  # outside: what a caller does meanwhile is not reading


def _write(file: h5py.File, network: str, rows: range, tables: Mapping[str, np.ndarray]) -> None:
    """Write rows, wait until they are on the disk, then write their flags."""
    with said_plainly(Path(file.filename)):
        for group, table in tables.items():
            file[f"{group}/{network}"][rows.start : rows.stop] = table
        _to_disk(file)
        file[f"done/{network}"][rows.start : rows.stop] = 1
        _to_disk(file)


def _to_disk(file: h5py.File) -> None:
    """Wait until all that was written is on the disk."""
    file.flush()
    os.fsync(file.id.get_vfd_handle())


def _description(file: h5py.File) -> tuple[str, ...]:
    """What tells a store from another one at the same path."""
    return tuple(str(file.attrs[name]) for name in ("settings", "networks"))


def _difference(name: str, there: Any, asked: Any) -> str:
    """Where two values of a setting differ, in words: of mappings and lists the parts that do.

    >>> _difference("weights", {"before": "ab", "after": "cd"}, {"before": "ab", "after": "ce"})
    'weights of after: "cd" there, "ce" asked'
    >>> _difference("inputs", ["a", "b"], ["a", "c"])
    'inputs, number 1: "b" there, "c" asked'
    >>> _difference("inputs", ["a", "b"], ["a"])
    'inputs: 2 there, 1 asked'
    """
    if isinstance(there, dict) and isinstance(asked, dict):
        keys = [key for key in {**there, **asked} if there.get(key) != asked.get(key)]
        return "; ".join(_difference(f"{name} of {key}", there.get(key), asked.get(key)) for key in keys)
    if isinstance(there, list) and isinstance(asked, list):
        if len(there) != len(asked):
            return f"{name}: {len(there)} there, {len(asked)} asked"
        pairs = enumerate(zip(there, asked, strict=True))
        first, *others = [place for place, (a, b) in pairs if a != b]
        more = f" (and {len(others)} more)" if others else ""
        return _difference(f"{name}, number {first}", there[first], asked[first]) + more
    told = [json.dumps(value, ensure_ascii=False) for value in (there, asked)]
    alike = next((place for place, (a, b) in enumerate(zip(*told, strict=False)) if a != b), 0)
    start = max(0, alike - TOLD_CHARACTERS // 2)
    there, asked = (_part(text, start) for text in told)
    return f"{name}: {there} there, {asked} asked"


def _part(text: str, start: int) -> str:
    """A text from a place on, with marks for what is left out."""
    end = start + TOLD_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


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
