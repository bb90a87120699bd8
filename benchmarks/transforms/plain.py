"""The plain butterfly in C, compiled when it is asked for."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.effects.transforms import player_count

SOURCE = Path(__file__).with_name("butterfly.c")
# As fast as the compiler makes it on this very processor.
COMMAND = ["cc", "-O3", "-march=native", "-shared", "-fPIC"]

Butterfly = Callable[[Float64[Tensor, "games coalitions"]], None]


@lru_cache(maxsize=1)
def plain_butterfly() -> Butterfly:
    """The AND interactions of tables, in place and in one thread.

    Raises:
        FileNotFoundError: where the system has no C compiler.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "butterfly.so")
        subprocess.run([*COMMAND, "-o", library, SOURCE], check=True)
        function = ctypes.CDLL(str(library)).butterfly
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_double]
    function.restype = None
    return lambda tables: function(tables.data_ptr(), len(tables), player_count(tables), -1.0)
