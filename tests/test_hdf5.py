"""HDF5 files of strangers lead to no other file, and unpack in bounds."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from harsanyi.hdf5 import opened, texts

Change = Callable[[h5py.File, Path], object]


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "v", (4,))
    file.create_virtual_dataset("v", layout)


def nested(file: h5py.File, other: Path) -> None:
    group = file
    for _ in range(20):
        group = group.create_group("a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, p: f.create_dataset("v", (4,), "f8", external=[(str(p), 0, 32)]), "from other files"),
        (lambda f, p: f.__setitem__("v", h5py.ExternalLink(str(p), "/v")), "a link to another place or file"),
        (lambda f, p: f.__setitem__("v", h5py.SoftLink("/w")), "a link to another place or file"),
        (lambda f, p: f.__setitem__("v", f), "groups 8 deep"),
        (virtual, "from other files"),
        (nested, "groups 8 deep"),
        (lambda f, p: f.create_dataset("v", (2**30,), "f8", chunks=(2**16,)), "more than a hundred times"),
        (lambda f, p: f.create_dataset("v", (2,), h5py.ref_dtype), "neither numbers nor texts"),
        (lambda f, p: f.create_dataset("v", (2,), "c16"), "neither numbers nor texts"),
        (lambda f, p: f.attrs.__setitem__("a", np.zeros(100)), "the attribute 'a'"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_read(tmp_path: Path, change: Change, message: str):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["v"] = np.ones(4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["w"] = np.ones(4)
        change(file, tmp_path / "other.h5")
    file = opened(tmp_path / "a.h5", "a table")
    with pytest.raises(ValueError, match=rf"a\.h5 cannot be read as a table.*{message}"), file:
        pytest.fail("it was opened")


def test_small_archives_take_no_memory(tmp_path: Path):
    """1 GB of zeros in a few kB: refused within 10 MB, a hundredth of it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("v", (2**27,), "f8", chunks=(2**20,), compression="gzip")
        data[: 2**20] = 0
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than a hundred times"), opened(tmp_path / "a.h5", "a table"):
        pytest.fail("it was opened")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_texts_as_written(tmp_path: Path):
    words = np.array([[f"é{row}", "b"] for row in range(200)], object)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("words", data=words, dtype=h5py.string_dtype())
        file.create_dataset("none", (0, 2), dtype=h5py.string_dtype())
    with opened(tmp_path / "a.h5", "texts") as file:
        assert texts(file["words"]).tolist() == words.tolist()
        assert texts(file["none"]).shape == (0, 2)


def test_what_is_no_file(tmp_path: Path):
    (tmp_path / "a.h5").write_bytes(b"hello")
    with (
        pytest.raises(ValueError, match=r"a\.h5 cannot be read as a table"),
        opened(tmp_path / "a.h5", "a table"),
    ):
        pytest.fail("it was opened")
    with pytest.raises(FileNotFoundError, match=r"b\.h5"), opened(tmp_path / "b.h5", "a table"):
        pytest.fail("it was opened")
