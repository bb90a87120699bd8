"""Files that are written whole or not at all, in folders that one process at a time writes into."""

import errno
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from harsanyi.stopping import require_leave_to_go_on

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

# The system's numbers of a full disk (or quota, or largest file), and of one that is only read.
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
# The locks that this process holds.
_HELD: set[Path] = set()

Options = ParamSpec("Options")
Result = TypeVar("Result")


class _HasFolder(Protocol):
    """A study."""

    @property
    def out(self) -> Path:
        """Its folder."""


Study = TypeVar("Study", bound=_HasFolder)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A context that writes a file whole or not at all, a power cut included.

    Its folder is made if it is missing. One process at a time may write a file: see `sole_writer`.

    Args:
        path: of the file.

    Yields:
        the path to write to. After the context that file is on the disk and takes the place of `path`; after
        an error there is none, and `path` is as before.

    Raises:
        OSError: as `said_plainly`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with whole(Path(folder, "new", "a.txt")) as path:
    ...         _ = path.write_text("all of it")
    ...     Path(folder, "new", "a.txt").read_text()
    'all of it'
    """
    require_leave_to_go_on()
    partial = path.with_name(f"{path.name}.partial")
    with said_plainly(path):
        _require_held_folders(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _to_disk(partial)
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _to_disk(path.parent)


@contextmanager
def said_plainly(
    path: Path, *, needs: int | None = None, advice: str = "name another folder"
) -> Iterator[None]:
    """A context that writes a file: that the disk is full or read-only, or the folder gone, is said plainly.

    Args:
        path: of the file.
        needs: bytes that it takes in all, where that is known.
        advice: what to do else.

    Returns:
        the context, which gives nothing.

    Raises:
        OSError: naming the file, what is wrong, and the space that is needed.

    >>> with said_plainly(Path("a.h5"), needs=2**31):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    OSError: there is no room for a.h5, which takes 2.1 GB: make room, or name another folder
    """
    try:
        yield
    except Exception as error:
        code = _system_code(error)
        if code in FULL:
            takes = f", which takes {_in_words(needs)}" if needs else f", beyond {_in_words(_written(path))}"
            raise OSError(f"there is no room for {path}{takes}: make room, or {advice}") from error
        of_it = isinstance(error, OSError) and _is_below(error.filename, path.parent)
        if of_it and code in READ_ONLY:
            raise OSError(f"{path.parent} cannot be written into ({os.strerror(code)}): {advice}") from error
        if of_it and code == errno.ENOENT and not path.parent.exists():
            raise OSError(f"the folder of {path} is gone: something removed it meanwhile") from error
        raise


def room_at(path: Path) -> tuple[Path, int]:
    """The folder of a file, or the one above it that exists, and the bytes that are free there."""
    folder = next(place for place in path.absolute().parents if place.exists())
    return folder, shutil.disk_usage(folder).free


def require_room(path: Path, needs: int) -> None:
    """Refuse to begin a file that the disk has no room for.

    Args:
        path: of the file.
        needs: bytes that it will take.

    Raises:
        OSError: naming the file, and the bytes that it needs and that are free.

    >>> require_room(Path("a.h5"), 0)
    """
    folder, free = room_at(path)
    if needs > free:
        raise OSError(
            f"there is no room for {path}, which takes {_in_words(needs)}: {_in_words(free)} are free at "
            f"{folder}; make room, or name another folder"
        )


def _system_code(error: Exception) -> int:
    """The number of the system's error, which libraries may keep in their own words only; 0 for others."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    inside = re.search(r"errno = (\d+)", str(error))  # as h5py has it
    return int(inside[1]) if inside else 0


def _is_below(name: str | bytes | int | None, folder: Path) -> bool:
    """Whether an error names a file of a folder, however either is written."""
    if not isinstance(name, str | bytes):  # a number of an open file, or nothing
        return False
    return Path(os.fsdecode(name)).resolve().is_relative_to(folder.resolve())


def _written(path: Path) -> int:
    """Bytes of a file that are written so far."""
    parts = (path.with_name(f"{path.name}.partial"), path)
    return next((part.stat().st_size for part in parts if part.exists()), 0)


def _in_words(count: int) -> str:
    """Bytes in the unit that suits them.

    >>> _in_words(3_500_000_000), _in_words(12)
    ('3.5 GB', '12 bytes')
    """
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def write_whole(path: Path, text: str) -> None:
    """Write a text whole or not at all.

    Args:
        path: of the file; its folder is made if it is missing.
        text: in UTF-8.
    """
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def sole_writer(folder: Path, name: str = "") -> Iterator[None]:
    """A context in which no other process writes into a folder, or one file of it.

    The folder is made if it is missing, and an error that leaves nothing in it leaves no folder. The system
    releases the lock when its process ends, however that ends. Nobody who reads is held up. Within one
    process contexts may be nested. Where the system has no such locks (Windows), there is none.

    Args:
        folder: that is written into.
        name: of the file; by default the folder as a whole. The two do not know of each other.

    Raises:
        ValueError: another process is in this context; the message names it. Or `folder` is a file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, sole_writer(Path(folder)), sole_writer(Path(folder)):
    ...     "no other process writes here"
    'no other process writes here'
    """
    is_new = not folder.exists()
    if not is_new and not folder.is_dir():
        raise ValueError(f"{folder} is a file: expected a folder")
    with said_plainly(folder / (name or "a file")):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock_of(folder, name)
        handle = None if fcntl is None or lock in _HELD else _hold(lock)
    if fcntl is None or lock in _HELD:
        yield
        return
    if handle is None:
        raise ValueError(
            f"{folder / name} is being written by {_holder(lock)}: wait until it has finished, or name "
            "another folder"
        )
    _HELD.add(lock)
    if not name:
        _remove_left_over(folder)
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}, since {since}".encode())
        yield
    finally:
        _HELD.remove(lock)
        with suppress(FileNotFoundError):  # the folder may be gone, or be another one with a lock of its own
            if os.path.samestat(os.fstat(handle), lock.stat()):
                lock.unlink()
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        os.close(handle)


def writer_of(folder: Path, name: str = "") -> str | None:
    """Who writes into a folder, or one file of it, in words; None where nobody does, or nobody can know.

    Nothing is written, and nobody is held up.

    Args:
        folder, name: as for `sole_writer`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     writer_of(Path(folder)) is None
    True
    """
    return _writer_by(_lock_of(folder, name))


def _lock_of(folder: Path, name: str) -> Path:
    """The lock of a file in a folder, or of the folder as a whole."""
    return folder.resolve() / f".{name or 'folder'}.lock"


def _writer_by(lock: Path) -> str | None:
    """Who holds a lock, in words; None where nobody does, or nobody can know."""
    if fcntl is None or not lock.exists():
        return None
    if lock in _HELD:
        return _holder(lock)
    handle = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(lock)
    finally:
        os.close(handle)
    return None


def alone_in_its_folder(
    run: Callable[Concatenate[Study, Options], Result],
) -> Callable[Concatenate[Study, Options], Result]:
    """A function of a study as the `sole_writer` of the study's folder, `out`.

    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> with TemporaryDirectory() as folder:
    ...     alone_in_its_folder(lambda study: study.out.exists())(SimpleNamespace(out=Path(folder, "new")))
    True
    """

    @wraps(run)
    def alone(study: Study, *options: Options.args, **named: Options.kwargs) -> Result:
        with sole_writer(study.out):
            return run(study, *options, **named)

    return alone


def _hold(lock: Path) -> int | None:
    """An open file that holds a lock until it is closed; None where another process holds it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        os.close(handle)  # its holder removed the file after it was opened here: try a new one


def _require_held_folders(path: Path) -> None:
    """Refuse to make a folder anew that this process is the sole writer of: something has removed it."""
    place = path.resolve()
    if any(place.is_relative_to(lock.parent) and not lock.exists() for lock in _HELD):
        raise OSError(f"the folder of {path} is gone: something removed it meanwhile")


def _remove_left_over(folder: Path) -> None:
    """Remove the locks of files in a folder that a power cut has left, and that nobody holds."""
    for lock in folder.resolve().glob(_lock_of(folder, "*").name):
        if _writer_by(lock) is None:
            lock.unlink(missing_ok=True)


def _holder(lock: Path) -> str:
    """Who holds a lock, in words."""
    try:
        return lock.read_text(encoding="utf-8") or "another process"  # which has just begun
    except (OSError, UnicodeDecodeError):
        return "another process"


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
