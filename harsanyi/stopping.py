"""Ctrl-C and SIGTERM end a command by one exception, whatever a library makes of it on its way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

# The signals that ask for an end, and what Python does with them where nobody handles them.
_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
# Those that have come in the innermost `stoppable`.
_ASKED: list[int] = []


class Stopped(KeyboardInterrupt):
    """The user, the system, or who runs the queue, asks the process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """A context that Ctrl-C and SIGTERM end by `Stopped`, unless somebody else handles or ignores them.

    A library that is interrupted may raise another error, such as "initialization failed" of a module that
    was being loaded. Once a signal has come, whatever error ends the context is `Stopped`.

    Raises:
        Stopped: a signal has come.

    >>> try:
    ...     with stoppable():
    ...         try:
    ...             signal.raise_signal(signal.SIGTERM)
    ...         except KeyboardInterrupt:
    ...             raise ImportError("initialization failed")
    ... except Stopped as stopped:
    ...     stopped.number == signal.SIGTERM
    True
    """
    in_main = threading.current_thread() is threading.main_thread()
    ours = {number: usual for number, usual in _USUAL.items() if signal.getsignal(number) == usual}
    for number in ours if in_main else ():
        signal.signal(number, _stop)
    try:
        yield
    except BaseException as error:
        if _ASKED and not isinstance(error, Stopped):
            raise Stopped(_ASKED[-1]) from error
        raise
    finally:
        for number, usual in ours.items() if in_main else ():
            signal.signal(number, usual)
        _ASKED.clear()


@contextmanager
def handlers_kept() -> Iterator[None]:
    """A context after which signals are handled as before, whatever a library has put in their place.

    A library's own handler may end the process by the number of the signal while the context lasts: that is
    `Stopped`, too.

    Raises:
        Stopped: a signal has come.

    >>> before = signal.getsignal(signal.SIGTERM)
    >>> with handlers_kept():
    ...     _ = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    >>> signal.getsignal(signal.SIGTERM) == before
    True
    """
    before = {number: signal.getsignal(number) for number in _USUAL}
    try:
        yield
    except SystemExit as ended:
        for number, handler in before.items():
            if ended.code == number and signal.getsignal(number) != handler:
                _stop(number)
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None:  # one that was not installed from Python cannot be put back
                    signal.signal(number, handler)


def asked_to_stop() -> bool:
    """Whether a signal has come: an error is then no fault of what is worked on."""
    return bool(_ASKED)


def require_leave_to_go_on() -> None:
    """Raise `Stopped` where a signal has come whose exception was lost on its way.

    To be called where nothing is half done.
    """
    if _ASKED:
        raise Stopped(_ASKED[-1])


def _stop(number: int, frame: object = None) -> NoReturn:
    _ASKED.append(number)
    raise Stopped(number)
