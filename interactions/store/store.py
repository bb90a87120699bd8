"""The crash-safe HDF5 store of a study: value tables, and on request the outputs for all classes.

A `Store` reserves its space when it is made, under a temporary name. A game's row is on the disk, whole,
before its flag, with a checksum of its numbers. A killed run, or a power cut, leaves a file that opens, and
the next run continues at the next game. A game that fails is recorded with its reason, where that is asked
for, and the others go on.
"""

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.failing import FIRST_GAMES
from harsanyi.hdf5 import searched
from harsanyi.interactions.effects.about import About
from harsanyi.interactions.evaluate import suggested_batch_size
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.store import on_disk
from harsanyi.interactions.store.differences import differences
from harsanyi.interactions.store.tables import FAILED, tables_of
from harsanyi.reading import parse_json, reading
from harsanyi.shown import Card, Shown, counted, first_few
from harsanyi.stopping import require_leave_to_go_on
from harsanyi.writing import require_room, sole_writer, whole

# What a file is expected to be, and what to do about one that is something else.
WHAT, ADVICE = (
    f"a store ({on_disk.FORMAT!r})",
    "it is damaged or something else; run the study again in another folder",
)
# So many games that fail one after the other are no fault of theirs.
IN_A_ROW = FIRST_GAMES


class Store(Shown):
    """Value tables of several networks on the same games, in one file.

    All space is reserved when the file is made. From then on only rows and flags are written in place, a row
    flushed before its flag. A process killed at any moment leaves a file that opens. The next run continues
    where it stopped, with the same batches, and ends with the same bytes. One process at a time writes.
    Others may read the file meanwhile. A file that somebody put in its place is refused, and so are rows
    whose checksums show that they are damaged.

    Args:
        path: of the HDF5 file. It must exist; see `create` and `open_or_create`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no store {self.path}")
        self._description: tuple[str, ...] | None = None
        with self._file() as file, self._reading():
            self._description = on_disk.identity(file)
            self.settings: dict[str, Any] = parse_json(file.attrs["settings"])
            self.networks: tuple[str, ...] = tuple(parse_json(file.attrs["networks"]))
            self.games, size = file[f"v/{self.networks[0]}"].shape
            self.n: int = size.bit_length() - 1
            self.keeps_outputs: bool = "outputs" in file
            self.about = About.read(file["about"]) if "about" in file else About()
            self._check(file)
            self.has_checksums: bool = on_disk.CHECKSUMS in file
        # The games of this view in the file; None for all.
        self._chosen: list[int] | None = None
        self._arrays_of_games: tuple[str, ...] = ()
        self._failed_in_a_row = dict.fromkeys(self.networks, 0)
        self._open: h5py.File | None = None  # while it is written

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
        of_outputs = 4 * sum(outputs[name] for name in networks) if outputs is not None else 0
        require_room(path, games * 2**n * (8 * len(networks) + of_outputs))
        with sole_writer(path.parent, path.name), whole(path) as partial, h5py.File(partial, "w") as file:
            on_disk.reserve(file, settings=settings, networks=networks, games=games, n=n, outputs=outputs)
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
        record: bool = False,
        progress: "bool | tqdm[Any]" = True,
    ) -> None:
        """Evaluate the games of `network` that are neither done nor failed.

        Batches are those of an uninterrupted run: blocks of whole games, each at least a batch. A block that
        fails is evaluated game by game.

        Args:
            network: its name in the store.
            game: its games.
            games: numbers of those to evaluate, one of `blocks`; all by default.
            plan, memory, checkpoints, batch_size: as for `evaluate`. The plan is chosen for all games, done
                or not, and so is that of an uninterrupted run.
            record: whether a game that fails is recorded, and the others go on; else its error is raised.
            progress: whether to show a bar, or a bar to advance by the forwards of the `unfinished` games.

        Raises:
            ValueError, MemoryError: as `evaluate` does; with `record` where many games in succession fail,
                or the store is of an older version, which cannot record them.
        """
        record = record and self.records_failures
        if (game.games, game.n) != (self.games, self.n):
            raise ValueError(
                f"{self.path} holds {self.games} games of {self.n} players, not {game.games} of {game.n}"
            )
        unfinished = self.unfinished(network, game, batch_size=batch_size)
        options: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints}
        options |= {"batch_size": batch_size, "progress": progress}
        with self.written():
            for rows in unfinished:
                if games is None or rows == games:
                    tables = tables_of(game, rows, outputs=self.keeps_outputs, record=record, **options)
                    self.write(network, rows, tables)

    def write(self, network: str, games: range, tables: Mapping[str, np.ndarray]) -> None:
        """Write what is kept of some games, and that they are done or failed.

        Args:
            network: its name in the store.
            games: their numbers.
            tables: as `tables_of` gives them.

        Raises:
            ValueError: many games in succession have failed.
        """
        require_leave_to_go_on()
        with self.written() as file:
            on_disk.write_rows(file, network, games, tables)
        self._require_some_success(network, games, tables)

    def unfinished(self, network: str, game: Game, *, batch_size: int | None = None) -> list[range]:
        """The games of `network` that `fill` evaluates, in its blocks: those with a game to be done.

        Args:
            network, game, batch_size: as for `fill`.

        Returns:
            ranges of games.
        """
        settled = self.settled(network)
        return [rows for rows in self.blocks(game, batch_size) if not settled[rows.start : rows.stop].all()]

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
        """Copy the finished and failed games of another store of the same description, such as a share's.

        Args:
            other: store; it is only read.

        Raises:
            ValueError: it was made with another description, naming what differs; or it is damaged.
        """
        self.require_like(other)
        for network in self.networks:
            self._copy(other, network, network)

    def require_like(self, other: "Store") -> None:
        """Refuse a store of another description, with a ValueError that names what differs."""
        described = {"games": other.games, "n": other.n, "networks": other.networks}
        self._require(**described, settings=other.settings, outputs=other.keeps_outputs)

    def _copy(self, other: "Store", source: str, target: str) -> None:
        """Copy the finished and failed games of a network of another store, or of this one."""
        other._require_undamaged(source, other.damaged(source))
        both_record = self.records_failures and other.records_failures
        there = other.settled(source) if both_record else other.done(source)
        missing = there & ~self.settled(target)
        groups = ["v", "outputs"] if self.keeps_outputs else ["v"]
        groups += [FAILED] if both_record else []
        with self.written() as file, nullcontext(file) if other is self else other._file() as origin:
            bytes_of_a_game = sum(origin[f"{group}/{source}"][:1].nbytes for group in groups)
            for rows in on_disk.ranges_of(missing, max(1, on_disk.COPIED_BYTES // bytes_of_a_game)):
                tables = {group: origin[f"{group}/{source}"][rows.start : rows.stop] for group in groups}
                on_disk.write_rows(file, target, rows, tables)

    def put(self, network: str, v: Float64[Tensor, "games coalitions"]) -> None:
        """Write value tables of a network that were evaluated elsewhere.

        Args:
            network: its name in the store.
            v: of all games.

        Raises:
            ValueError: for tables of another shape, or where the outputs of all classes are kept as well.
        """
        if self.keeps_outputs:
            raise ValueError(
                f"{self.path} holds the outputs of all classes beside the tables, which tables alone do not "
                "give: create it without outputs, or fill it"
            )
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
        self._require_network(network)
        with self._file() as file, self._reading():
            done = file[f"done/{network}"][()].astype(bool)
        return done if self._chosen is None else done[self._chosen]

    def settled(self, network: str) -> np.ndarray:
        """Which games of a network are done or failed, as booleans."""
        settled = self.done(network)
        settled[list(self.failed(network))] = True
        return settled

    @property
    def records_failures(self) -> bool:
        """Whether the store has room for failed games; those of older versions have none."""
        with self._file() as file:
            return FAILED in file

    def failed(self, network: str) -> dict[int, str]:
        """The games of a network that failed, and why.

        Args:
            network: its name.

        Returns:
            reasons by the number of the game.
        """
        self._require_network(network)
        if not self.records_failures:
            return {}
        with self._file() as file, self._reading():
            reasons = file[f"{FAILED}/{network}"][()]
        reasons = reasons if self._chosen is None else reasons[self._chosen]
        return {game: reason.decode(errors="replace") for game, reason in enumerate(reasons) if reason}

    def damaged(self, network: str) -> list[int]:
        """The games of a network that are done, and whose numbers are not those that were written.

        Args:
            network: its name.

        Returns:
            their numbers; none for stores of older versions, which have no checksums.
        """
        done = np.flatnonzero(self.done(network))
        games = done if self._chosen is None else np.array(self._chosen, dtype=int)[done]
        with self._file() as file:
            found = set(on_disk.damaged_games(file, network, games.tolist()))
        return [int(game) for game, number in zip(done, games, strict=True) if number in found]

    def forget(self, network: str, games: Sequence[int]) -> None:
        """Have games evaluated again by the next `fill`: failed ones, damaged ones.

        Args:
            network: its name.
            games: their numbers.
        """
        with self.written() as file:
            for game in games:
                file[f"done/{network}"][game] = 0
                if FAILED in file:
                    file[f"{FAILED}/{network}"][game] = b""
            on_disk.to_disk(file)

    def select(
        self, games: Sequence[int], *, arrays: Sequence[str] = (), settings: Sequence[str] = ()
    ) -> "Store":
        """A view of some games, to read from.

        Args:
            games: their numbers in rising order; they are counted anew.
            arrays, settings: the names of those that have a row for each game.

        Returns:
            a store of these games alone; `whole` is that of all.
        """
        view = copy.copy(self)
        view._open = None
        numbers = list(games)
        view.about = self.about.select(torch.tensor(numbers, dtype=torch.int64), games=self.games)
        view.settings = self.settings | {
            name: [self.settings[name][number] for number in numbers]
            for name in settings
            if name in self.settings
        }
        view._chosen = numbers if self._chosen is None else [self._chosen[number] for number in numbers]
        view._arrays_of_games = tuple(arrays)
        view.games = len(numbers)
        return view

    @property
    def whole(self) -> "Store":
        """The store with all its games."""
        return self if self._chosen is None else Store(self.path)

    @property
    def numbers(self) -> list[int]:
        """The numbers of these games in the whole store."""
        return list(range(self.games)) if self._chosen is None else list(self._chosen)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the further arrays."""
        with self._file() as file:
            return tuple(file["arrays"]) if "arrays" in file else ()

    def array(self, name: str) -> np.ndarray:
        """A further array by its name; a KeyError if there is none."""
        with self._file() as file:
            if f"arrays/{name}" not in file:
                raise KeyError(name)
            with self._reading():
                array = file[f"arrays/{name}"][()]
        return array[self._chosen] if name in self._arrays_of_games else array

    def _card(self) -> Card:
        done = {name: int(self.done(name).sum()) for name in self.networks}
        return Card(
            f"{counted(self.games, 'game')} of {counted(self.n, 'player')}, "
            f"{counted(len(self.networks), 'network')}",
            {
                "networks": first_few(
                    [f"{name} ({count} of {self.games} done)" for name, count in done.items()]
                ),
                "unit": self.about.unit,
                "holds": "scores, and outputs of all classes"
                if self.keeps_outputs
                else "scores of the label",
                "inputs": first_few(self.about.inputs),
                "file": str(self.path),
            },
        )

    def _read(self, group: str, network: str, games: Sequence[int] | None = None) -> Tensor:
        """Tables of a network; a ValueError if some of these games are not done."""
        rows = np.arange(self.games) if games is None else np.array(list(games), dtype=int)
        done = self.done(network)[rows]
        if not done.all():
            raise ValueError(
                f"{(~done).sum()} of {len(done)} games of {network!r} are not done; run the study again"
            )
        numbers = rows if self._chosen is None else np.array(self._chosen, dtype=int)[rows]
        with self._file() as file:
            with self._reading():
                data = file[f"{group}/{network}"]
                table = np.empty((len(numbers), *data.shape[1:]), data.dtype)
                chosen = np.isin(np.arange(len(data)), numbers)
                for part in on_disk.ranges_of(chosen, on_disk.rows_at_once(data)):
                    place = int(np.searchsorted(numbers, part.start))
                    data.read_direct(table, np.s_[part.start : part.stop], np.s_[place : place + len(part)])
                damaged = on_disk.damaged_games(file, network, numbers.tolist(), {group: table})
            self._require_undamaged(network, damaged)
            return torch.from_numpy(table)

    def _require_network(self, network: str) -> None:
        """Refuse the name of another network."""
        if network not in self.networks:
            raise ValueError(f"{self.path} has no network {network!r}; it has {', '.join(self.networks)}")

    def _require_undamaged(self, network: str, damaged: Sequence[int]) -> None:
        """Refuse numbers that are not those that were written."""
        if damaged:
            raise ValueError(
                f"{self.path} is damaged: the numbers of {counted(len(damaged), 'game')} of {network} "
                f"({first_few([str(game) for game in damaged])}) are not those that were written; "
                f"harsanyi check {self.path.parent} --repair has them computed again by the next run"
            )

    def _require_some_success(self, network: str, rows: range, tables: Mapping[str, np.ndarray]) -> None:
        """Stop where games fail one after the other: then it is the network's fault, or the machine's."""
        for game, reason in zip(rows, tables.get(FAILED, [b""] * len(rows)), strict=True):
            self._failed_in_a_row[network] = self._failed_in_a_row[network] + 1 if reason else 0
            if self._failed_in_a_row[network] == IN_A_ROW:
                raise ValueError(
                    f"{IN_A_ROW} games of {network} in succession failed, which is not the inputs' fault; "
                    f"game {game}: {reason.decode(errors='replace')}"
                )

    def _reading(self) -> AbstractContextManager[None]:
        """A context that reads the file: what is wrong with it is a ValueError that names it."""
        return reading(self.path, WHAT, ADVICE)

    def _check(self, file: h5py.File) -> None:
        """Refuse a file whose parts do not have the form that `create` gives them."""
        if not isinstance(self.settings, dict) or not all(isinstance(name, str) for name in self.networks):
            raise ValueError("its settings or the names of its networks have another form")
        if self.n < 0 or 2**self.n != file[f"v/{self.networks[0]}"].shape[1]:
            raise ValueError("its tables do not have a column for each coalition")
        on_disk.require_form(file, self.networks, self.games, self.n)
        self.about.require(self.games, self.n)

    @contextmanager
    def written(self) -> Iterator[h5py.File]:
        """The file, open for this process alone to write; several writes within share it."""
        if self._open is not None:
            yield self._open
            return
        with sole_writer(self.path.parent, self.path.name), self._file("r+") as file:
            self._open = file
            try:
                yield file
            finally:
                self._open = None

    @contextmanager
    def _file(self, mode: str = "r") -> Iterator[h5py.File]:
        with ExitStack() as stack:
            with self._reading():
                file = stack.enter_context(searched(self.path, mode))
                if file.attrs.get("format") != on_disk.FORMAT:
                    raise ValueError(f"{self.path} is no store of this version ({on_disk.FORMAT!r})")
                if self._description not in (None, on_disk.identity(file)):
                    raise ValueError(
                        f"{self.path} is another store than the one that was opened: it was replaced"
                    )
            yield file  # outside: what a caller does meanwhile is not reading
