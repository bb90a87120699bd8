"""HDF5 files of strangers: the one way to open one. It leads to no other file and unpacks in bounds."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from harsanyi.reading import reading

# Groups within each other, objects in all, and axes of a data set.
MAX_DEPTH, MAX_OBJECTS, MAX_AXES = 8, 20_000, 8
# All data sets together, in bytes for each byte of the file, and those that any file may have.
UNPACKED, ALLOWANCE = 100, 2**20
# Texts are read so many at a time, so that texts that share their bytes in the file are found out.
TEXTS = 64
# Bytes of a data set from which on it is mapped.
MAPPED = 2**24


@contextmanager
def opened(path: Path, what: str, advice: str = "make it again") -> Iterator[h5py.File]:
    """An HDF5 file, searched before anything in it is read.

    External links and storage, virtual data sets and soft links are refused: they lead to other files, or
    around. So are objects beyond number, groups that hold themselves, and data sets that unpack to more than
    a hundred times the file.

    Args:
        path: of the file.
        what: it is expected to be, for messages.
        advice: what to do about a file that is something else.

    Yields:
        the file; whatever goes wrong while it is read is a ValueError that names it.
    """
    with reading(path, what, advice), searched(path) as file:
        yield file


def searched(path: Path, mode: str = "r") -> h5py.File:
    """An open HDF5 file, searched as `opened` has it; to be called in a context of `reading`."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    # Without a lock: a reader must not stop the run that writes, and rows in place need no lock.
    file = h5py.File(path, mode, locking=False)
    try:
        _search(file, path.stat().st_size)
    except BaseException:
        file.close()
        raise
    return file


def numbers(data: h5py.Dataset) -> np.ndarray:
    """The numbers of a data set. Many are not read but mapped: they come from the file when they are used.

    What is written into them stays in memory. The file may be replaced by another one, but not be cut short.

    Args:
        data: of a file that nobody writes.
    """
    where = data.id.get_offset()  # None where they do not lie in one piece
    if os.name != "posix" or where is None or data.nbytes < MAPPED:
        return data[()]
    return np.memmap(data.file.filename, data.dtype, "c", where, data.shape)


def texts(data: h5py.Dataset) -> np.ndarray:
    """The texts of a data set, as an array of `str`; a ValueError where they take more than their file.

    Args:
        data: of strings.
    """
    if data.ndim == 0 or data.dtype.kind != "O":
        return data.asstr()[()]
    rows = max(1, TEXTS // max(1, int(np.prod(data.shape[1:]))))
    room = _size(data)
    parts = []
    for start in range(0, len(data), rows):
        part = data[start : start + rows]
        room -= sum(map(len, part.ravel()))
        if room < 0:
            raise ValueError("its texts take more bytes than the file has")
        parts.append(np.vectorize(lambda text: text.decode("utf-8"), otypes=[object])(part))
    return np.concatenate(parts) if parts else np.empty(data.shape, object)


def _size(data: h5py.Dataset) -> int:
    """Bytes of the file of a data set."""
    return data.file.id.get_filesize()


def _search(file: h5py.File, size: int) -> None:
    """Refuse a file whose objects lead elsewhere, or are too many, too deep or too large."""
    room = UNPACKED * size + ALLOWANCE
    groups: list[tuple[Any, int]] = [(file, 0)]
    objects = 0
    while groups:
        group, depth = groups.pop()
        names: list[bytes] = []
        if group.id.get_num_objs() > MAX_OBJECTS:
            raise ValueError(f"it has more than {MAX_OBJECTS} objects")
        group.id.links.iterate(names.append)
        _check_attributes(group, len(names))
        for name in names:
            objects += 1
            if objects > MAX_OBJECTS or depth > MAX_DEPTH:
                raise ValueError(f"it has more than {MAX_OBJECTS} objects, or groups {MAX_DEPTH} deep")
            if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise ValueError(f"{name!r} is a link to another place or file, which is never followed")
            child = group[name]
            if isinstance(child, h5py.Group):
                groups.append((child, depth + 1))
                continue
            if not isinstance(child, h5py.Dataset):
                raise ValueError(f"{name!r} is neither a group nor a data set")
            room -= _bytes_of(child)
            if room < 0:
                raise ValueError("its data sets unpack to more than a hundred times its size")


def _bytes_of(data: h5py.Dataset) -> int:
    """Bytes of a data set in memory; a ValueError where they lie in another file, or are of an odd kind."""
    plist = data.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise ValueError(f"{data.name} takes its numbers from other files, which are never opened")
    if data.shape is None or len(data.shape) > MAX_AXES:
        raise ValueError(f"{data.name} has no axes, or more than {MAX_AXES}")
    is_text = h5py.check_string_dtype(data.dtype) is not None
    if not (is_text or data.dtype.kind in "biuf"):
        raise ValueError(f"{data.name} holds {data.dtype}, neither numbers nor texts")
    _check_attributes(data, MAX_AXES)
    return int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize


def _check_attributes(owner: Any, most: int) -> None:
    """Refuse attributes in great number, and with more entries than what they describe has parts."""
    if len(owner.attrs) > MAX_OBJECTS:
        raise ValueError(f"{owner.name} has more than {MAX_OBJECTS} attributes")
    for name in owner.attrs:
        shape = owner.attrs.get_id(name).shape
        if shape is not None and int(np.prod(shape, dtype=object)) > max(1, most):
            raise ValueError(f"the attribute {name!r} of {owner.name} has {shape} entries")
