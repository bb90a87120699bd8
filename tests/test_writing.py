"""One process at a time writes into a folder; a file is whole or not there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harsanyi.writing import sole_writer, whole, write_whole
from tests.places import ROOT

# Holds a folder until it is told to end.
HOLD = """
import sys
from pathlib import Path
from harsanyi.writing import sole_writer
with sole_writer(Path(sys.argv[1]), *sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Start a process that holds a folder, or a file of it."""
    processes = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_second_process_is_told_who_writes(tmp_path: Path, hold):
    process = hold(str(tmp_path))
    told = rf"is being written by process {process.pid} on .+, since \d{{4}}-"
    with pytest.raises(ValueError, match=told), sole_writer(tmp_path):
        pass


def test_files_of_a_folder_have_writers_of_their_own(tmp_path: Path, hold):
    hold(str(tmp_path), "a.h5")
    with sole_writer(tmp_path, "b.h5"):
        pass
    with pytest.raises(ValueError, match=r"a\.h5 is being written by process"), sole_writer(tmp_path, "a.h5"):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_folder_of_a_dead_process_is_free(tmp_path: Path, hold, end):
    process = hold(str(tmp_path))
    process.send_signal(end)
    process.wait()
    with sole_writer(tmp_path):
        pass


def test_the_folder_is_free_afterwards_and_only_then(tmp_path: Path, hold):
    with sole_writer(tmp_path):
        with sole_writer(tmp_path):
            pass
        second = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            input="",
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert f"process {os.getpid()}" in second.stderr
    hold(str(tmp_path))


def test_what_fails_at_once_leaves_no_folder(tmp_path: Path):
    def fail(*files: str) -> None:
        with sole_writer(tmp_path / "run"):
            for name in files:
                write_whole(tmp_path / "run" / name, "")
            raise ValueError("a wrong option")

    with pytest.raises(ValueError, match="a wrong option"):
        fail()
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="a wrong option"):
        fail("study.toml")
    assert (tmp_path / "run" / "study.toml").exists()


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_whole(path, "first")

    def write_half() -> None:
        with whole(path) as partial:
            partial.write_text("half of the sec")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
