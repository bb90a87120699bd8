"""The store: value tables of a study, on request all outputs, in one file, a game whole or not at all."""

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


class Store:
    """Value tables of several networks on the same games, kept in one file.

    All space is reserved when the file is made, under a temporary name. From then on only rows and flags are
    written in place, a row flushed before its flag: a process killed at any moment leaves a file that opens,
    and the next run goes on where it stopped, with the same batches, to the same bytes.

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
        """A new store with room for the tables of `networks`.

        Args:
            settings: all that the tables depend on; JSON values. A run with others is refused.
            networks: what the tables are called.
            games, n: games and players.
            outputs: how many outputs each network has, to keep them all, in float32, beside the scores.
            arrays: whatever belongs beside the tables (images, owner maps).
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
                room: list[tuple[str, tuple[int, ...], str]] = [
                    ("v", (games, 2**n), "f8"),
                    ("done", (games,), "u1"),
                ]
                if outputs is not None:
                    room.append(("outputs", (games, 2**n, outputs[name]), "f4"))
                for group, shape, dtype in room:
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_alloc_time(reserved)
                    file.create_dataset(f"{group}/{name}", shape, dtype, dcpl=plist, track_times=False)
            for name, array in (arrays or {}).items():
                file.create_dataset(f"arrays/{name}", data=array, track_times=False)
        partial.replace(path)
        return cls(path)

    @classmethod
    def open_or_create(cls, path: str | os.PathLike[str], **description: Any) -> "Store":
        """The store at `path` if it was made with the same description, else a new one.

        One that keeps outputs serves those who do not ask for them.

        Raises:
            ValueError: if the file was made with other settings, naming those that differ.
        """
        if not Path(path).exists():
            return cls.create(path, **description)
        store = cls(path)
        asked = {
            "games": description["games"],
            "players": description["n"],
            "networks": list(description["networks"]),
            **json.loads(json.dumps(description["settings"])),
        }
        found = {"games": store.games, "players": store.n, "networks": list(store.networks), **store.settings}
        if description.get("outputs") is not None:
            asked["outputs of all classes"], found["outputs of all classes"] = True, store.keeps_outputs
        keys = [key for key in sorted({*asked, *found}) if asked.get(key) != found.get(key)]
        if keys:
            differences = "; ".join(
                f"{k}: {json.dumps(found.get(k)):.60} there, {json.dumps(asked.get(k)):.60} asked"
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
        plan: str = "auto",
        memory: int | None = None,
        batch_size: int | None = None,
        progress: "bool | tqdm[Any]" = True,
    ) -> None:
        """Evaluate the games of `network` that are not done yet; arguments as for `evaluate`.

        Batches are those of an uninterrupted run: blocks of whole games, each at least a batch.
        """
        if (game.games, game.n) != (self.games, self.n):
            raise ValueError(
                f"{self.path} holds {self.games} games of {self.n} players, not {game.games} of {game.n}"
            )
        size = batch_size or suggested_batch_size(game)
        block = max(1, size >> self.n)
        done = self.done(network)
        for start in range(0, self.games, block):
            rows = range(start, min(start + block, self.games))
            if done[list(rows)].all():
                if not isinstance(progress, bool):
                    progress.update(len(rows) << self.n)
                continue
            options: dict[str, Any] = {"games": rows, "plan": plan, "memory": memory, "progress": progress}
            options["batch_size"] = size if choose(game, plan, memory=memory).plan is None else batch_size
            if self.keeps_outputs:
                self._write(network, rows, *_scores_and_outputs(game, **options))
            else:
                self._write(network, rows, evaluate(game, **options))

    def copy(self, source: str, target: str) -> None:
        """Take over what is done of a network that is the same as another: nothing is evaluated twice."""
        done = self.done(source)
        rows = np.flatnonzero(done & ~self.done(target))
        with self._file("r+") as file:
            for group in ("v", "outputs") if self.keeps_outputs else ("v",):
                for row in rows:
                    file[f"{group}/{target}"][row] = file[f"{group}/{source}"][row]
            file.flush()
            for row in rows:
                file[f"done/{target}"][row] = 1

    def v(self, network: str) -> Float64[Tensor, "games coalitions"]:
        """The value tables of a network; a ValueError if some games are not done."""
        return self._whole("v", network)

    def outputs(self, network: str) -> Float32[Tensor, "games coalitions classes"]:
        """All outputs of a network; a ValueError if they were not kept, or some games are not done."""
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
        """What was put beside the tables under that name; a KeyError if nothing was."""
        with self._file() as file:
            return file[f"arrays/{name}"][()]

    def _whole(self, group: str, network: str) -> Tensor:
        """All of a network's tables, of which none may be missing."""
        missing = self.games - int(self.done(network).sum())
        if missing:
            raise ValueError(
                f"{missing} of {self.games} games of {network!r} are not done; run the study again"
            )
        with self._file() as file:
            return torch.from_numpy(file[f"{group}/{network}"][()])

    def _write(self, network: str, rows: range, v: Tensor, outputs: Tensor | None = None) -> None:
        """Rows first, on disk; then the flags that say so."""
        with self._file("r+") as file:
            file[f"v/{network}"][rows.start : rows.stop] = v.cpu().numpy()
            if outputs is not None:
                file[f"outputs/{network}"][rows.start : rows.stop] = outputs.cpu().numpy()
            file.flush()
            file[f"done/{network}"][rows.start : rows.stop] = 1

    @contextmanager
    def _file(self, mode: str = "r") -> Iterator[h5py.File]:
        try:
            # No lock: a reader must not stop the run that writes, and rows in place need none.
            file = h5py.File(self.path, mode, locking=False)
        except OSError as error:
            raise ValueError(f"{self.path} is no HDF5 file that can be opened: {error}") from error
        with file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{self.path} is no store of this version ({FORMAT!r})")
            yield file


def _scores_and_outputs(game: Any, games: range, **options: Any) -> tuple[Tensor, Tensor]:
    """The value tables of some games, read off the outputs of all classes, and these."""
    outputs = evaluate_outputs(game, games=games, **options).float()
    asked = torch.as_tensor(games, device=outputs.device).repeat_interleave(outputs.shape[1])
    v = game.scored(outputs.flatten(0, 1), asked).view(outputs.shape[:2])
    require_finite(v, torch.as_tensor(games))
    return v, outputs
