"""Whose a folder is: it belongs to the command that made it, and no other replaces what lies there."""

from pathlib import Path

from harsanyi.analyses.report.page import REPORT_FILE
from harsanyi.analyses.run.run import STUDY_FILE, Run
from harsanyi.analyses.study.settings import read_toml

# The field by which the study file of a command is known; other study files are of `compute`.
MARKS = {
    "reliability": "layouts",
    "compare": "before",
    "track": "series",
    "granularity": "pretrain_epochs",
    "features": "optimisers",
    "fine-coarse": "subclasses",
}


def owner_of(folder: Path) -> str | None:
    """The command that made a folder, by its study file; None where there is none.

    Args:
        folder: of results.

    Raises:
        ValueError: the study file is no TOML.
    """
    if not (folder / STUDY_FILE).is_file():
        return None
    names = read_toml(folder / STUDY_FILE)
    return next((command for command, mark in MARKS.items() if mark in names), "compute")


def require_own_folder(folder: Path, command: str) -> None:
    """Refuse to write into the folder of another command, whose results would be replaced.

    Args:
        folder: to be written into.
        command: that is to write.

    Raises:
        ValueError: the folder belongs to another command; or it holds a report, but no study file.
    """
    owner = owner_of(folder)
    if owner == command or (owner is None and not (folder / REPORT_FILE).exists()):
        return
    whose = f"the results of harsanyi {owner}" if owner else "the report of another command"
    raise ValueError(
        f"{folder} holds {whose}, which harsanyi {command} would replace: name another folder (--out)"
    )


def comparison_for(folder: Path, command: str) -> Run:
    """The finished comparison that a command follows from, into a folder of the command's name below it.

    Args:
        folder: of the comparison.
        command: that follows.

    Raises:
        ValueError: the folder is another command's, or so is the one below.
    """
    if (owner := owner_of(folder)) not in (None, "compare"):
        raise ValueError(f"{folder} was made by harsanyi {owner}: {command} takes the folder of a comparison")
    run = Run.open(folder)
    if (below := owner_of(folder / command)) is not None:
        raise ValueError(
            f"{folder / command} holds the results of harsanyi {below}, and {command} writes there: move it"
        )
    return run
