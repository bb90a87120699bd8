"""The user's cache folder, for what may be computed again."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of one kind of files in harsanyi's part of the user's cache folder (`XDG_CACHE_HOME`).

    Args:
        name: of the kind.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harsanyi" / name


def trim(folder: Path, files: int, total: int) -> None:
    """Remove the files of a folder that were not used for longest, until it keeps its bounds.

    Args:
        folder: of files alone.
        files: how many may stay.
        total: bytes that they may have together.
    """
    found = []
    for file in folder.iterdir():
        try:
            state = file.stat()
        except FileNotFoundError:  # another process removes files, too
            continue
        found.append((state.st_mtime_ns, state.st_size, file))
    kept = 0
    for number, (_, size, file) in enumerate(sorted(found, reverse=True)):
        kept += size
        if number >= files or kept > total:
            file.unlink(missing_ok=True)
