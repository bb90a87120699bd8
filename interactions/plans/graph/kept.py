"""Programs of architectures that were traced before: in this process, and in the user's cache folder.

Where an architecture has no program, the reason is kept in its place. Files are named by the fingerprint of
the architecture. They may be damaged, or written by anybody: what cannot be read is traced anew, and whoever
uses a kept program tries it beside the network.
"""

import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from harsanyi.failing import is_out_of_memory
from harsanyi.folders import cache_folder, trim
from harsanyi.interactions.plans.graph.program import Program
from harsanyi.interactions.plans.graph.written import from_bytes, to_bytes
from harsanyi.interactions.plans.plan import NotApplicable

# Programs, or reasons why there is none, that stay in memory: those used last.
MAX_PROGRAMS = 32
# Files in the cache folder, and their bytes together.
MAX_FILES, MAX_BYTES = 500, 2**27


class Programs:
    """Programs by the fingerprint of their architecture.

    Args:
        folder: gives the folder of files.

    >>> programs = Programs(lambda: Path("unused"))
    >>> programs.known("0" * 64) is None
    True
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self.folder, self.lock = folder, Lock()
        self.programs: OrderedDict[str, Program | NotApplicable] = OrderedDict()

    def known(self, key: str) -> Program | None:
        """The program under a key; None where there is none yet.

        Raises:
            NotApplicable: where it was found before why there is none.
        """
        with self.lock:
            program = self.programs.get(key) or self._read(key)
            if program is not None:
                self._remember(key, program)
        if isinstance(program, NotApplicable):
            raise program
        return program

    def keep(self, key: str, program: Program | NotApplicable) -> None:
        """Keep a program under a key, or a reason why there is none.

        What the machine lacked at the moment, such as memory, is a reason for this process alone.
        """
        with self.lock:
            self._remember(key, program)
            if not _is_of_the_moment(program):
                self._write(key, program)

    def forget(self, key: str) -> None:
        """Keep a program no longer."""
        with self.lock:
            self.programs.pop(key, None)
            try:
                self._file(key).unlink(missing_ok=True)
            except OSError:  # a folder that others write
                return

    def _remember(self, key: str, program: Program | NotApplicable) -> None:
        self.programs[key] = program
        self.programs.move_to_end(key)
        while len(self.programs) > MAX_PROGRAMS:
            self.programs.popitem(last=False)

    def _file(self, key: str) -> Path:
        return self.folder() / f"{key}.safetensors"

    def _read(self, key: str) -> Program | NotApplicable | None:
        """What the file of a key holds; None where that is missing or damaged."""
        try:
            program = from_bytes(self._file(key).read_bytes(), key)
            os.utime(self._file(key))  # used now, so that others are removed first
        except (OSError, ValueError):
            return None
        return program

    def _write(self, key: str, program: Program | NotApplicable) -> None:
        """Write the file of a key whole; nothing where the program or the folder does not allow it."""
        try:
            data = to_bytes(program, key)
            self.folder().mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder(), delete=False) as file:
                file.write(data)
            Path(file.name).replace(self._file(key))
            trim(self.folder(), MAX_FILES, MAX_BYTES)
        except (OSError, ValueError):
            return


def _is_of_the_moment(program: Program | NotApplicable) -> bool:
    """Whether another attempt may end otherwise: memory, files or the stack of calls were at an end."""
    cause = program.__cause__ if isinstance(program, NotApplicable) else None
    return isinstance(cause, MemoryError | OSError | RecursionError) or (
        isinstance(cause, RuntimeError) and is_out_of_memory(cause)
    )


PROGRAMS = Programs(lambda: cache_folder("traces"))
