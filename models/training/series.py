"""The checkpoints of one training run in order, read off their names."""

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from harsanyi.models.loading.checkpoints import FOLDER_FILES
from harsanyi.models.loading.libraries.adapters import is_adapter
from harsanyi.shown import first_few


@dataclass(frozen=True)
class NumberedCheckpoint:
    """Path and step of a checkpoint in a series; its weights are not read yet.

    Attributes:
        step: epochs or optimiser steps, as the trainer wrote them into the name. Epoch 0 is the network
            before training for :func:`train`, and the network after the first epoch for timm and Lightning.
        path: a file or folder for :func:`harsanyi.models.read_checkpoint`.
    """

    step: int
    path: Path


class NamingScheme(NamedTuple):
    """How a trainer names its checkpoints; the only group of the pattern is the step."""

    trainer: str
    example: str
    pattern: str
    folders: bool = False
    left_out: str = ""

    def checkpoints(self, paths: Iterable[Path]) -> list[NumberedCheckpoint]:
        """The paths that carry a name of this trainer."""
        is_checkpoint = Path.is_dir if self.folders else Path.is_file
        matches = [(re.fullmatch(self.pattern, path.name), path) for path in paths if is_checkpoint(path)]
        return [NumberedCheckpoint(int(match[1]), path) for match, path in matches if match]

    def __str__(self) -> str:
        return f"{self.example} ({self.trainer}{self.left_out and f', without {self.left_out}'})"


# What a callback of harsanyi writes in place of a checkpoint: the interactions at a step.
WATCHED = re.compile(r"interactions-[\w-]+@(\d+)\.h5")

# Names with a step and names with an epoch alone are two schemes: their numbers cannot be compared.
NAMING_SCHEMES = (
    NamingScheme("harsanyi", "epoch-012.safetensors", r"epoch-(\d+)\.safetensors"),
    NamingScheme("Hugging Face", "checkpoint-500/", r"checkpoint-(\d+)", True, "the final model beside them"),
    NamingScheme(
        "timm",
        "checkpoint-17.pth.tar",
        r"checkpoint-(\d+)\.pth\.tar",
        left_out="last, model_best, milestone-… and recovery-…",
    ),
    NamingScheme(
        "Lightning by step",
        "epoch=3-step=400.ckpt",
        r"(?=.*\bstep=(\d+)).*\.ckpt",
        left_out="last.ckpt",
    ),
    NamingScheme("Lightning by epoch", "epoch=3.ckpt", r"(?=.*\bepoch=(\d+))(?!.*\bstep=\d).*\.ckpt"),
    NamingScheme("harsanyi.callbacks", "interactions-run@500.h5", WATCHED.pattern),
)
# Of files of weights, for the glob that an error suggests.
ENDINGS = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
EXPECTED = (
    "expected a folder with checkpoints of one run, named as "
    f"{', '.join(scheme.example for scheme in NAMING_SCHEMES)}, "
    "or a glob such as 'runs/a/*.pt' with a number in each name"
)


def series(where: str | Path) -> list[NumberedCheckpoint]:
    """Find the checkpoints of one training run and put them in order, by their names alone.

    A folder is searched, and ``checkpoints/`` in it, where Lightning's loggers put them. Other files of the
    trainers are left out: Hugging Face's final model in the folder itself; timm's last and model_best, its
    milestones, which count from one, and its recovery files; Lightning's last. Lightning's names are ordered
    by their step, or by their epoch where no name has a step.

    Args:
        where: a folder as :func:`train`, Hugging Face's trainer, timm or Lightning writes it; or a
            glob, in which the last number in each name is the step, unless a trainer named them as above.

    Returns:
        At least two checkpoints; their steps increase.

    Raises:
        FileNotFoundError: there is no such folder, no file fits the glob, the folder holds no checkpoints of
            a known naming scheme, or one of them is a folder without weights.
        ValueError: ``where`` is or holds a single checkpoint, mixes two naming schemes, or has two
            checkpoints of one step; or a name that fits the glob has no number, or is unlike the others.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("checkpoint-10.pth.tar", "checkpoint-9.pth.tar", "last.pth.tar"):
    ...     (folder / name).touch()
    >>> [(checkpoint.step, checkpoint.path.name) for checkpoint in series(folder)]
    [(9, 'checkpoint-9.pth.tar'), (10, 'checkpoint-10.pth.tar')]
    """
    where = Path(where)
    checkpoints = sorted(_find(where), key=lambda checkpoint: checkpoint.step)
    if len(checkpoints) == 1:
        raise ValueError(
            f"{where} holds one checkpoint, {checkpoints[0].path.name}, and no series: {EXPECTED}"
        )
    _refuse_duplicates(checkpoints)
    _refuse_without_weights(checkpoints)
    return checkpoints


def thinned(checkpoints: Sequence[NumberedCheckpoint], count: int) -> list[NumberedCheckpoint]:
    """At most `count` of the checkpoints, evenly spaced in position, with the first and the last.

    Args:
        checkpoints: a series.
        count: the largest number of checkpoints, at least 2.

    Returns:
        the chosen checkpoints, in their order; all of them where there are no more than `count`.

    Raises:
        ValueError: count is below 2, which leaves no room for the first and the last.

    >>> steps = [NumberedCheckpoint(step, Path(f"checkpoint-{step}")) for step in range(0, 1100, 100)]
    >>> [checkpoint.step for checkpoint in thinned(steps, 3)]
    [0, 500, 1000]
    """
    if count < 2:
        raise ValueError(f"expected a count of at least 2, for the first and the last, but got {count}")
    if len(checkpoints) <= count:
        return list(checkpoints)
    spacing = (len(checkpoints) - 1) / (count - 1)
    return [checkpoints[round(i * spacing)] for i in range(count)]


def _find(where: Path) -> list[NumberedCheckpoint]:
    if where.is_file():
        raise ValueError(f"{where} is one checkpoint and no series: {EXPECTED}")
    # What exists is no glob, whatever its name: folders may be called run[1].
    if where.is_dir():
        return checkpoints_in(where)
    if glob.has_magic(str(where)):
        return _by_glob(where)
    raise FileNotFoundError(f"there is no {where}: {EXPECTED}")


def checkpoints_in(folder: Path) -> list[NumberedCheckpoint]:
    """The checkpoints in a folder, one or more, in the order of their names.

    Args:
        folder: of one run.

    Raises:
        FileNotFoundError, ValueError: as for `series`.
    """
    paths = sorted([*folder.glob("*"), *folder.glob("checkpoints/*")])
    if checkpoints := _by_scheme(folder, paths):
        return checkpoints
    if has_weights(folder):
        raise ValueError(f"{folder} is one checkpoint and no series: {EXPECTED}")
    ending = next((path.suffix for path in paths if path.suffix in ENDINGS), ENDINGS[0])
    raise FileNotFoundError(
        f"{folder} holds {first_few([path.name for path in paths]) or 'nothing'}, and no checkpoints named "
        f"as {'; '.join(map(str, NAMING_SCHEMES))}: give another folder, or a glob such as "
        f"'{folder / f'*{ending}'}' with a number in each name"
    )


def _by_glob(pattern: Path) -> list[NumberedCheckpoint]:
    # Path.glob would find hidden files, too: what an interrupted save leaves behind.
    paths = sorted(map(Path, glob.glob(str(pattern))))  # noqa: PTH207
    if not paths:
        raise FileNotFoundError(f"nothing fits the glob {pattern}: {EXPECTED}")
    checkpoints = _by_scheme(pattern, paths)
    if not checkpoints:
        return [_by_last_number(pattern, path) for path in paths]
    _refuse_strays(pattern, set(paths), checkpoints)
    return checkpoints


def _by_scheme(where: Path, paths: Sequence[Path]) -> list[NumberedCheckpoint]:
    """The checkpoints with a trainer's name; a run has one trainer."""
    by_trainer = {scheme.trainer: scheme.checkpoints(paths) for scheme in NAMING_SCHEMES}
    by_trainer = {trainer: checkpoints for trainer, checkpoints in by_trainer.items() if checkpoints}
    if len(by_trainer) > 1:
        mixed = " and ".join(f"{group[0].path.name} ({trainer})" for trainer, group in by_trainer.items())
        raise ValueError(f"{where} mixes {mixed}: expected one run; give a glob that fits one of them")
    return next(iter(by_trainer.values()), [])


def _by_last_number(pattern: Path, path: Path) -> NumberedCheckpoint:
    numbers = re.findall(r"\d+", path.name)
    if not numbers:
        raise ValueError(
            f"{path.name} fits the glob {pattern} but has no number: expected the step as the last number in "
            "each name; give a glob that leaves it out"
        )
    return NumberedCheckpoint(int(numbers[-1]), path)


def _refuse_strays(pattern: Path, paths: set[Path], checkpoints: Sequence[NumberedCheckpoint]) -> None:
    """Refuse other names: their last number may be a val_loss=0.25, or the version in last-v1.ckpt."""
    strays = sorted(path.name for path in paths - {checkpoint.path for checkpoint in checkpoints})
    if strays:
        raise ValueError(
            f"{first_few(strays)} is not named as {checkpoints[0].path.name}, which fits the glob {pattern}, "
            "too: give a glob that fits the numbered checkpoints alone"
        )


def _refuse_duplicates(checkpoints: Sequence[NumberedCheckpoint]) -> None:
    for earlier, later in pairwise(checkpoints):
        if earlier.step == later.step:
            raise ValueError(
                f"{earlier.path} and {later.path} are both of step {earlier.step}: expected one checkpoint "
                "for each step; give a glob that fits one of them, or move the other away"
            )


def _refuse_without_weights(checkpoints: Sequence[NumberedCheckpoint]) -> None:
    folders = [checkpoint.path for checkpoint in checkpoints if checkpoint.path.is_dir()]
    empty = [folder.name for folder in folders if not has_weights(folder)]
    if empty:
        raise FileNotFoundError(
            f"no weights in {first_few(empty)}: expected one of {', '.join(FOLDER_FILES)} in each folder; "
            "save the whole model there, or give a glob that leaves it out"
        )


def has_weights(folder: Path) -> bool:
    """Whether a folder is a checkpoint itself."""
    return is_adapter(folder) or any((folder / name).is_file() for name in FOLDER_FILES)
