"""Runs that were watched while they trained: interactions at steps, and no checkpoints.

A callback writes the interactions of each step into a folder, beside `watched.json`. `watched_run` makes a
`Run` of such folders, as if their checkpoints had been tracked.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harsanyi.analyses.run.extraction import interactions_path, study_interactions
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import STORE_FILE, STUDY_FILE, Run
from harsanyi.analyses.study.facts import Facts
from harsanyi.analyses.study.kept import read_kept, write_kept
from harsanyi.analyses.study.study import Track, checkpoint_of
from harsanyi.interactions import Interactions, Store
from harsanyi.models.digest import digest
from harsanyi.models.training.series import WATCHED

WATCHED_FILE = "watched.json"


@dataclass(frozen=True)
class Watched:
    """What the interactions of a watched run depend on, beside the weights, and how they were measured.

    Attributes:
        name: of the training run.
        inputs: the names of the inputs.
        labels: what is scored in each.
        baseline: of masked elements.
        score: the number that is read off the outputs.
        layer: whose output is masked; None for the input.
        contents: a digest of inputs, players and labels.
        seconds: the budget of a training step.
        start: the step of the network that others are compared with.
        steps: those that were evaluated, rising.
        took: seconds that each of them took.
        spread: number of training steps over which each was spread; 0 where no step waited.
        left_out: chosen steps that were left out, since the evaluation before was not done.
        failed: why a network failed, by its step; it has no interactions.
    """

    name: str
    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    baseline: str
    score: str
    layer: str | None
    contents: str
    seconds: float
    start: int
    steps: tuple[int, ...] = ()
    took: tuple[float, ...] = ()
    spread: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of all that makes two watched runs comparable."""
        return digest(json.dumps([getattr(self, key) for key in COMPARED]))

    @classmethod
    def read(cls, folder: Path) -> "Watched | None":
        """That of a folder; None where there is none."""
        return read_kept(folder / WATCHED_FILE, cls)

    def write(self, folder: Path) -> None:
        """Write it into the folder, whole or not at all."""
        write_kept(folder / WATCHED_FILE, self, self.fingerprint, indent=1)


# The fields in which runs must agree to be set side by side.
COMPARED = ("inputs", "labels", "baseline", "score", "layer", "contents")


def interactions_at(folder: Path, name: str, step: int) -> Path:
    """The file of the interactions of a run at a step.

    Args:
        folder: of the watched run.
        name: of the run.
        step: of the training.

    Returns:
        The path, whether there is a file or not.
    """
    return interactions_path(folder, checkpoint_of(name, step))


def watched_run(study: Track) -> Run | None:
    """The run of a study whose runs were watched while they trained.

    The value tables go into one store in `study.out`, as `compute` would have left it: `Run.open` and the
    commands for finished runs open it. A method that a file was not made with is applied to its value tables.

    Args:
        study: its series, and its pretrained network where there is one, are folders and files of callbacks.

    Returns:
        the run; None where the study names checkpoints.

    Raises:
        ValueError: watched runs beside checkpoints, or runs of other inputs, players, scores or baselines.
    """
    paths = {name: Path(where) for name, where in study.checkpoints.items()}
    kept = [name for name, path in paths.items() if WATCHED.fullmatch(path.name)]
    if not kept:
        return None
    if missing := [name for name in paths if name not in kept]:
        raise ValueError(
            f"{missing[0]} is a checkpoint, and {kept[0]} was watched while it trained: track either "
            "checkpoints alone, or watched runs alone"
        )
    settings = _settings(sorted({path.parent for path in paths.values()}))
    tables = {name: Interactions.load(path).v for name, path in paths.items()}
    first = next(iter(tables.values()))
    require_own_folder(study.out, "track")
    study.out.mkdir(parents=True, exist_ok=True)
    path = study.out / STORE_FILE
    if path.exists() and not Store(path).settings.get("watched"):
        raise ValueError(f"{study.out} holds another study: name another folder (--out)")
    store = Store.create(
        path, settings=settings, networks=list(tables), games=len(first), n=first.shape[1].bit_length() - 1
    )
    for name, v in tables.items():
        store.put(name, v)
    study.write(study.out / STUDY_FILE)
    return Run(study, store, study_interactions(study, store, Facts()), Facts())


def _settings(folders: list[Path]) -> dict[str, Any]:
    """What the value tables of watched runs depend on; a ValueError where folders differ."""
    described = {folder: Watched.read(folder) for folder in folders}
    first = described[folders[0]]
    for folder, watched in described.items():
        if watched is None:
            raise ValueError(f"{folder / WATCHED_FILE} is missing or damaged, which says what was watched")
        assert first is not None
        if differ := [key for key in COMPARED if getattr(watched, key) != getattr(first, key)]:
            raise ValueError(
                f"{folder} was watched with other {', '.join(differ)} than {folders[0]}: watch the same "
                "inputs in the same way"
            )
    assert first is not None
    values = asdict(first)
    return {"watched": True, **{key: values[key] for key in COMPARED}}
