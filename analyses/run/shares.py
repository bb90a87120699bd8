"""Shares of a study: value tables of some games each, in folders of their own, and joined again."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harsanyi.analyses.run.compute import fill_tables
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import STORE_FILE, STUDY_FILE
from harsanyi.analyses.run.same_networks import require_same_answers
from harsanyi.analyses.study.study import OF_TASKS, Study, study_in
from harsanyi.interactions import Store
from harsanyi.interactions.store.differences import differences
from harsanyi.interactions.store.on_disk import ranges_of
from harsanyi.progress import progress_bar
from harsanyi.writing import sole_writer, whole

AUTO = "auto"
# Where the shares of one study may differ: where the work is done, which changes numbers by rounding at most.
PLACES = ("out", "share", "on", "device", *OF_TASKS)


def compute_share(study: Study, *, progress: bool = True, announce: bool = True) -> tuple[Study, Store]:
    """The value tables of one share of a study's games, in a folder of their own.

    Args:
        study: its settings, with `share`; `study.out` is the folder of all shares.
        progress, announce: as for `compute`.

    Returns:
        the study of this share alone, whose `out` is its own folder, and the store in it.

    Raises:
        ValueError: there are fewer blocks of games than shares.
    """
    study = in_its_folder(study)
    _, store, _ = fill_tables(study, progress=progress, announce=announce)
    return study, store


def in_its_folder(study: Study) -> Study:
    """A study of a share whose `out` is the folder of that share alone, and whose share is a number.

    >>> from harsanyi.analyses import Compute
    >>> study = Compute(model="small:cnn", data=Path("data"), out=Path("run"), share="3/8")
    >>> in_its_folder(study).out.as_posix(), in_its_folder(in_its_folder(study)).out.as_posix()
    ('run/share-3-of-8', 'run/share-3-of-8')
    """
    share = own_place() if study.share == AUTO else study.share
    assert share is not None
    name = f"share-{share.replace('/', '-of-')}"
    return replace(study, share=share, out=study.out if study.out.name == name else study.out / name)


def own_place() -> str:
    """The share of this process: by its place in a SLURM array, else among the processes of torchrun.

    Raises:
        ValueError: it is in neither.
    """
    array = [os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "COUNT")]
    if all(array):
        number, first, count = (int(value or 0) for value in array)
        if number - first < count:
            return f"{number - first + 1}/{count}"
        raise ValueError("--share auto is for arrays without gaps: submit --array=1-8, or give --share K/OF")
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return f"{int(os.environ['RANK']) + 1}/{os.environ['WORLD_SIZE']}"
    raise ValueError("--share auto is for a SLURM array or torchrun, and this is in neither: give K/OF")


def merge(folders: Sequence[Path], out: Path, *, progress: bool = True) -> Study:
    """Join the shares of a study: all of its value tables, in one folder, as one process writes them.

    A merge that is repeated, or was stopped, takes what is missing.

    Args:
        folders: of the shares.
        out: folder of the whole study.
        progress: whether to draw a bar.

    Returns:
        the whole study. Its folder has the value tables, and what was measured of networks and inputs;
        `compute` of it takes no forward.

    Raises:
        ValueError: shares are of different studies, naming the difference; games are missing in all of them;
            a share is damaged; `out` belongs to another command.
        FileNotFoundError: a folder holds no share.
    """
    studies = [study_in(folder / STUDY_FILE) for folder in folders]
    require_own_folder(out, type(studies[0]).__name__.lower())
    stores = [Store(folder / STORE_FILE) for folder in folders]
    for folder, study in zip(folders, studies, strict=True):
        if told := differences(_compared(studies[0]), _compared(study)):
            raise ValueError(f"{folders[0]} and {folder} are shares of different studies: {told}")
    for store in stores[1:]:
        stores[0].require_like(store)
        require_same_answers(stores[0], store)
    _require_all(stores)
    if (out / STORE_FILE).exists():  # of a merge that was stopped, or of another study
        Store(out / STORE_FILE).require_like(stores[0])
    whole_study = replace(studies[0], out=out, share=None)
    with sole_writer(out), progress_bar(len(stores), "shares", "share", shown=progress) as bar:
        for path in sorted(folders[0].iterdir()):
            # What is small and the same in all of them, and the tables of the first one.
            kept = path.is_file() and path.name != STUDY_FILE and not path.name.startswith(".")
            if kept and not (out / path.name).exists():
                with whole(out / path.name) as partial:
                    shutil.copyfile(path, partial)
        joined = Store(out / STORE_FILE)
        for store in stores:
            joined.take(store)
            bar.update()
        whole_study.write(out / STUDY_FILE)
    return whole_study


def _compared(study: Study) -> dict[str, object]:
    """The settings in which all shares of a study are the same."""
    return {name: value for name, value in study.settings().items() if name not in PLACES}


def _require_all(stores: Sequence[Store]) -> None:
    """Refuse shares that are not the whole of a study, naming the games that none of them has."""
    for network in stores[0].networks:
        missing = ~np.any([store.settled(network) for store in stores], axis=0)
        if missing.any():
            first, *others = ranges_of(missing, len(missing))
            more = f" and {sum(map(len, others))} more" if others else ""
            raise ValueError(
                f"no share has the tables of {network} for inputs {first.start} to {first.stop - 1}{more}: "
                "name the folders of all shares, and run again those that were stopped"
            )
