"""One process at a time writes into a folder; a file is whole or not there."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harsanyi.writing import require_room, sole_writer, whole, write_whole
from tests.places import ROOT

# Holds a folder until it is told to end.
HOLD = """
import sys
import tempfile
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


# Writes a table under a limit on the size of files, which the system tells as it tells a full disk.
FULL = """
import resource, sys
from pathlib import Path
import numpy as np, h5py
from harsanyi.writing import whole
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with whole(Path(sys.argv[1])) as partial:
        if partial.name.startswith("a.h5"):
            with h5py.File(partial, "w") as file:
                file["v"] = np.ones(10**6)
        else:
            partial.write_bytes(bytes(10**6))
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.h5", "a.txt"])
def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, name: str):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / name], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.startswith(f"there is no room for {tmp_path / name}, beyond "), done
    assert done.stdout.endswith("make room, or name another folder\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_no_disk_has_room_for(tmp_path: Path):
    with pytest.raises(
        OSError, match=r"no room for .*values\.h5, which takes 1152921504\.6 GB: .* are free at"
    ):
        require_room(tmp_path / "new" / "values.h5", 2**60)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("relative", [False, True])
def test_a_folder_of_others_is_said_in_a_sentence(relative, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        if relative:
            monkeypatch.chdir(Path(folder).parent)
            folder = Path(folder).name
        os.seteuid(65534)
        try:
            with pytest.raises(OSError, match=rf"{folder} cannot be written into \(Permission denied\)"):
                write_whole(Path(folder, "a.txt"), "a")
            with (
                pytest.raises(OSError, match=rf"{folder} cannot be written into \(Permission denied\)"),
                sole_writer(Path(folder)),
            ):
                pytest.fail("it was locked")
        finally:
            os.seteuid(0)


def test_locks_that_a_power_cut_has_left_are_removed_and_those_that_are_held_stay(tmp_path: Path):
    for name in ("values.h5", "other.h5"):
        (tmp_path / f".{name}.lock").write_text("process 1 on a machine that is off", encoding="utf-8")
    with sole_writer(tmp_path, "other.h5"), sole_writer(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".other.h5.lock", ".folder.lock"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_meanwhile(tmp_path: Path):
    file = tmp_path / "run" / "a.txt"
    writing = whole(file)
    writing.__enter__().parent.rmdir()
    with pytest.raises(OSError, match=r"the folder of .*a\.txt is gone"):
        writing.__exit__(None, None, None)


def test_a_folder_that_is_removed_under_its_writer_is_not_made_anew(tmp_path: Path):
    """Else a part of a run would lie there, which the next command takes for that of another."""
    folder = tmp_path / "run"
    with sole_writer(folder):
        write_whole(folder / "a.txt", "a")
        shutil.rmtree(folder)
        for name in ("b.txt", "figures/c.txt"):
            with pytest.raises(OSError, match=r"the folder of .* is gone: something removed it meanwhile"):
                write_whole(folder / name, "b")
    assert not folder.exists()
    write_whole(folder / "b.txt", "b")


def test_the_lock_of_a_folder_that_was_made_anew_is_left_alone(tmp_path):
    """Somebody has removed the folder of a writer, and another process writes into a new one of its name."""
    folder = tmp_path / "run"
    with sole_writer(folder):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / ".folder.lock").write_text("process 1 elsewhere")
    assert (folder / ".folder.lock").read_text() == "process 1 elsewhere"
