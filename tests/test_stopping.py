"""Ctrl-C and SIGTERM end a command as such, also where a library makes another error of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harsanyi import data
from harsanyi.failing import is_failure
from harsanyi.stopping import Stopped, asked_to_stop, handlers_kept, require_leave_to_go_on, stoppable
from harsanyi.writing import write_whole

ROOT = Path(__file__).parents[1]
SIGNALS = [signal.SIGTERM, signal.SIGINT]
# A network that is interrupted while a library is loaded, as modules in C and C++ have it.
INTERRUPTED = """
import os, signal

try:
    os.kill(os.getpid(), signal.{name})
except KeyboardInterrupt as stop:
    raise ImportError("initialization failed") from {cause}
"""


@contextmanager
def interrupted(number: int, then: BaseException | None) -> Iterator[None]:
    """A library that is interrupted by a signal, and makes another error of it, or none, or lets it pass."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt as stop:
        yield
        if then is not None:
            raise then from None
        raise stop from None


def ended_by_a_library(number: int) -> None:
    """A library with a handler of its own, as Ray has while it starts, meets a signal."""
    signal.signal(number, lambda number, frame: sys.exit(number))
    signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("error", [ImportError("initialization failed"), SystemExit(1), None])
def test_whatever_becomes_of_the_exception_it_is_a_stop(number, error):
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with pytest.raises(Stopped) as stopped, stoppable(), interrupted(number, error):
        assert asked_to_stop()
    assert stopped.value.number == number
    assert {each: signal.getsignal(each) for each in SIGNALS} == before
    assert not asked_to_stop()


def test_a_lost_stop_is_found_again_where_nothing_is_half_done(tmp_path):
    with stoppable():
        require_leave_to_go_on()
        write_whole(tmp_path / "before.txt", "nobody has asked for an end yet")
        with suppress(KeyboardInterrupt):  # as a library does that catches everything
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            write_whole(tmp_path / "after.txt", "never written")
    assert [path.name for path in tmp_path.iterdir()] == ["before.txt"]


def test_no_input_is_blamed_for_a_stop():
    error = ImportError("initialization failed")
    assert is_failure(error)
    with pytest.raises(Stopped), stoppable(), interrupted(signal.SIGTERM, error):
        assert not is_failure(error)
    assert is_failure(error)


def test_other_errors_pass_and_handlers_of_others_stay():
    with pytest.raises(ValueError, match="as it was"), stoppable():
        raise ValueError("as it was")
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGTERM)
            assert not asked_to_stop()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_library_that_ends_the_process_by_a_handler_of_its_own_is_stopped_too(number):
    ours = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stoppable(), handlers_kept():
        ended_by_a_library(number)
    assert stopped.value.number == number
    assert signal.getsignal(number) == ours
    with pytest.raises(SystemExit), stoppable(), handlers_kept():
        sys.exit(number)  # no handler's word, so no signal


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("cause", ["stop", "None"])
def test_a_stop_while_a_library_is_loaded_has_its_own_exit_code(tmp_path, name, code, cause):
    (tmp_path / "net.py").write_text(INTERRUPTED.format(name=name, cause=cause))
    command = ["compute", f"--model={tmp_path / 'net.py'}:Net", "--checkpoint=random", "--level=coarse"]
    command += [f"--data={data.fashion_mnist_path('test')}", f"--out={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "harsanyi", *command], capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert (ended.returncode, ended.stderr) == (
        code,
        "harsanyi: stopped; the same command goes on from here\n",
    )
