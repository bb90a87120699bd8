"""What long work says while it runs: bars, and lines beside them.

A bar moves in a terminal and in a notebook. Elsewhere, in a log, a line a minute says how far it is.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm.asyncio import tqdm as plain_tqdm
from tqdm.auto import tqdm

WARNING = "WARNING: "
# A bar, and a line in a log: counts are whole, and written as in all else that is said.
COUNTED = "{n:,.0f} of {total:,.0f} {unit}s"
BAR = "{desc}: {percentage:3.0f}%|{bar}| " + COUNTED + " [{elapsed}<{remaining}]"
LINE = "{desc}: {percentage:.0f}%, " + COUNTED + ", {elapsed} so far, {remaining} left"
# Seconds between two lines in a log; shorter work has none.
LOG_INTERVAL = 60

_quiet = ContextVar("quiet", default=False)


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """A context without bars, and without lines that are no warnings.

    >>> with quietly():
    ...     say("half of it is done", "WARNING: it looks wrong")
    WARNING: it looks wrong
    """
    token = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(token)


def say(*lines: str) -> None:
    """Print lines at once, without disturbing a bar; where all is quiet, those alone that warn."""
    said = [line for line in lines if not _quiet.get() or line.startswith(WARNING)]
    if said and _moves():
        tqdm.write("\n".join(said), file=sys.stdout)
        sys.stdout.flush()
    elif said:  # tqdm would draw the bars of a log anew, a line each
        print("\n".join(said), flush=True)


def progress_bar(total: int, title: str, unit: str, *, shown: bool = True, there: int = 0) -> "tqdm[Any]":
    """Start a bar.

    The time left is by the mean rate since the start: work often comes in large pieces, so the rate of the
    moment says little.

    Args:
        total: number of units.
        title: what is done, in front of the bar.
        unit: what is counted.
        shown: whether there is a bar at all.
        there: number of units that take no time.

    Returns:
        the bar, a context manager.
    """
    return _kind()(
        total=total,
        initial=there,
        unit=unit,
        bar_format=BAR,
        desc=title,
        disable=not shown or _quiet.get(),
        smoothing=0,
        miniters=1,
    )


def _kind() -> "type[tqdm[Any]]":
    """Bars that move, where they can."""
    return tqdm if _moves() else _Lines


def _moves() -> bool:
    """Whether a bar can move here."""
    return sys.stderr.isatty() or tqdm is not plain_tqdm  # the other is that of notebooks


class _Lines(plain_tqdm):  # type: ignore[type-arg]
    """A bar for a log: a line each minute, none for shorter work."""

    def __init__(self, **options: Any) -> None:
        rare: dict[str, Any] = {"mininterval": LOG_INTERVAL, "delay": LOG_INTERVAL}
        super().__init__(**options | {"bar_format": LINE}, **rare, leave=False)

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """A function that writes a line."""

        def write(line: str) -> None:
            if line:
                file.write(line + "\n")
                file.flush()

        return write

    def close(self) -> None:
        """End, without a line: what comes next says that this is done."""
        self.delay = float("inf")  # nothing was drawn that is to be cleared
        super().close()
