"""The crash-safe HDF5 store of a study: value tables, and on request the outputs for all classes.

A `Store` reserves its space when it is made, under a temporary name. A game's row is on the disk, whole,
before its flag. A killed run, or a power cut, leaves a file that opens, and the next run continues at the
next game.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.interactions.effects.about import About
from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, require_finite, suggested_batch_size
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.plans.choice import choose
from harsanyi.shown import Card, Shown, counted, first_of
from harsanyi.writing import sole_writer, whole

FORMAT = "harsanyi store 1"
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
        with self._file() as file:
            self._description = _description(file)
            self.settings: dict[str, Any] = json.loads(file.attrs["settings"])
            self.networks: tuple[str, ...] = tuple(json.loads(file.attrs["networks"]))
            self.games, size = file[f"v/{self.networks[0]}"].shape
            self.n: int = size.bit_length() - 1
            self.keeps_outputs: bool = "outputs" in file
            self.about = About.read(file["about"]) if "about" in file else About()

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
        """
        path = Path(path)
        reserved = h5py.h5d.ALLOC_TIME_EARLY
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
        store._require(
            games=description["games"],
            n=description["n"],
            networks=description["networks"],
            settings=description["settings"],
            outputs=description.get("outputs") is not None,
        )
        return store

    def _require(
        self,
        *,
        games: int,
        n: int,
        networks: Sequence[str],
        settings: Mapping[str, Any],
        outputs: bool,
    ) -> None:
        """Refuse another description than that of this store, with a ValueError that names what differs."""
        wanted = {
            "games": games,
            "players": n,
            "networks": list(networks),
            **json.loads(json.dumps(settings)),
        }
        present = {
            "games": self.games,
            "players": self.n,
            "networks": list(self.networks),
            **self.settings,
        }
        if outputs:
            wanted["outputs of all classes"], present["outputs of all classes"] = True, self.keeps_outputs
        if told := differences(present, wanted):
            raise ValueError(
                f"{self.path} was made with other settings ({told}); name another folder or remove it"
            )

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
        unfinished = self.unfinished(network, game, batch_size=batch_size)
        options: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints}
        options |= {"batch_size": batch_size, "progress": progress}
        with sole_writer(self.path.parent, self.path.name):
            for rows in unfinished:
                if games is None or rows == games:
                    self.write(network, rows, tables_of(game, rows, outputs=self.keeps_outputs, **options))

    def write(self, network: str, games: range, tables: Mapping[str, np.ndarray]) -> None:
        """Write what is kept of some games, and that they are done.

        Args:
            network: its name in the store.
            games: their numbers.
            tables: as `tables_of` gives them.
        """
        with self._written() as file:
            _write(file, network, games, tables)

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
        self._copy(self, source, target)

    def take(self, other: "Store") -> None:
        """Copy the finished games of another store of the same description, such as that of a share.

        Args:
            other: store; it is only read.

        Raises:
            ValueError: it was made with another description, naming what differs.
        """
        self.require_like(other)
        for network in self.networks:
            self._copy(other, network, network)

    def require_like(self, other: "Store") -> None:
        """Refuse a store of another description, with a ValueError that names what differs."""
        described = {"games": other.games, "n": other.n, "networks": other.networks}
        self._require(**described, settings=other.settings, outputs=other.keeps_outputs)

    def _copy(self, other: "Store", source: str, target: str) -> None:
        """Copy the finished games of a network of another store, or of this one."""
        missing = other.done(source) & ~self.done(target)
        groups = ("v", "outputs") if self.keeps_outputs else ("v",)
        with self._written() as file, nullcontext(file) if other is self else other._file() as there:
            bytes_of_a_game = sum(there[f"{group}/{source}"][:1].nbytes for group in groups)
            for rows in ranges_of(missing, max(1, COPIED_BYTES // bytes_of_a_game)):
                tables = {group: there[f"{group}/{source}"][rows.start : rows.stop] for group in groups}
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
        self.write(network, range(self.games), {"v": v.cpu().numpy()})

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
        with self._file() as file:
            return file[f"done/{network}"][()].astype(bool)

    def array(self, name: str) -> np.ndarray:
        """A further array by its name; a KeyError if there is none."""
        with self._file() as file:
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
        with self._file() as file:
            return torch.from_numpy(file[f"{group}/{network}"][rows])

    @contextmanager
    def _written(self) -> Iterator[h5py.File]:
        """The file, open for this process alone to write."""
        with sole_writer(self.path.parent, self.path.name), self._file("r+") as file:
            yield file

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
            if self._description not in (None, _description(file)):
                raise ValueError(
                    f"{self.path} is another store than the one that was opened: it was replaced"
                )
            yield file


def _write(file: h5py.File, network: str, rows: range, tables: Mapping[str, np.ndarray]) -> None:
    """Write rows, wait until they are on the disk, then write their flags."""
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


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Where two settings differ, in words; no words where they do not.

    Args:
        there, asked: settings by name, as JSON has them.

    >>> differences({"score": "logit", "seed": 0}, {"score": "log_odds", "seed": 0})
    'score: "logit" there, "log_odds" asked'
    """
    keys = [key for key in sorted({*there, *asked}) if there.get(key) != asked.get(key)]
    return "; ".join(_difference(key, there.get(key), asked.get(key)) for key in keys)


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


def ranges_of(chosen: np.ndarray, longest: int) -> Iterator[range]:
    """The chosen places, as ranges of neighbours.

    >>> list(ranges_of(np.array([True, True, True, False, True]), longest=2))
    [range(0, 2), range(2, 3), range(4, 5)]
    """
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2).tolist():
        for first in range(start, stop, longest):
            yield range(first, min(first + longest, stop))


def tables_of(
    game: Game,
    games: range,
    *,
    outputs: bool = False,
    plan: str = "auto",
    memory: int | None = None,
    checkpoints: int = 1,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> dict[str, np.ndarray]:
    """What a store keeps of some games of a network: evaluated, and not yet written.

    Args:
        game: all games of the network.
        games: the numbers of those to evaluate, one of `Store.blocks`.
        outputs: whether the outputs of all classes are kept beside the scores.
        plan, memory, checkpoints, batch_size, progress: as for `Store.fill`.

    Returns:
        `v` of shape `(games, 2**n)` in float64, and with `outputs` those of shape `(games, 2**n, classes)` in
        float32.

    Raises:
        ValueError, MemoryError: as `evaluate` does.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> {name: table.shape for name, table in tables_of(game, range(2, 4), outputs=True).items()}
    {'v': (2, 16), 'outputs': (2, 16, 3)}
    """
    options: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints}
    # A network without a plan halves its batches where memory runs out; blocks are of the whole size.
    size = batch_size or suggested_batch_size(game)
    options["batch_size"] = size if choose(game, **options).plan is None else batch_size
    options |= {"games": games, "progress": progress}
    if not outputs:
        return {"v": evaluate(game, **options).cpu().numpy()}
    answers = evaluate_outputs(game, **options).float()
    owners = torch.as_tensor(games, device=answers.device).repeat_interleave(answers.shape[1])
    v = game.scored(answers.flatten(0, 1), owners).view(answers.shape[:2])  # type: ignore[attr-defined]
    require_finite(v, torch.as_tensor(games))
    return {"v": v.cpu().numpy(), "outputs": answers.cpu().numpy()}
