"""Readers take hostile files as they say: a checked value, or a documented error that names the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS, finding, replayed
from tests.fuzz.readers import READERS


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_was_found_once(path: Path, tmp_path: Path):
    assert replayed(path, tmp_path / "now") == ""


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read(name: str, tmp_path: Path):
    """Else a reader that refuses everything would pass."""
    reader = READERS[name]
    file = tmp_path / (reader.name or f"input{reader.ending}")
    reader.write(file)
    for other, write in reader.beside.items():
        write(tmp_path / other)
    reader.read(file)


def test_two_thousand_inputs():
    """In a process of its own: a crash, a hang and 512 MB of memory are findings, too."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--inputs", "2000"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2000 inputs" in done.stdout
    assert "0 findings" in done.stdout


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("v"), "KeyError"),
        (RecursionError("deep"), "RecursionError"),
        (ValueError("without a name"), "no file named"),
        (MemoryError("a.h5"), "MemoryError"),
        (UnicodeDecodeError("utf-8", b"a.h5", 0, 1, "a.h5"), "UnicodeDecodeError"),
    ],
)
def test_what_is_a_finding(error: Exception, said: str, tmp_path: Path):
    def read(path: Path) -> None:
        raise error

    assert said in finding(read, tmp_path / "a.h5")


def test_what_is_none(tmp_path: Path):
    def read(path: Path) -> None:
        raise ValueError(f"{path} is no store")

    assert finding(read, tmp_path / "a.h5") == ""
