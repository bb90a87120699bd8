"""Available memory, and the error where something needs more."""

import ctypes
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import cache

import torch

from harsanyi.accelerator import free_bytes, total_bytes

# Of an accelerator's memory, one part in this many is for a plan's tables and caches by default.
PLAN_PART = 4
CPU_PLAN_BYTES = 2 * 2**30


def plan_memory(device: torch.device) -> int:
    """Bytes for tables and caches of a plan by default: a constant of the machine, so that runs repeat."""
    return CPU_PLAN_BYTES if device.type == "cpu" else total_bytes(device) // PLAN_PART


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse work that needs more memory than the device has, with a MemoryError.

    Args:
        needed: bytes.
        device: to take them on.
        what: needs them, for the message.
    """
    available = free_bytes(device)
    if needed > available:
        raise MemoryError(
            f"{what} needs {gibibytes(needed)}, and {gibibytes(available)} are available on {device}: "
            "choose fewer players or fewer games"
        )


def gibibytes(count: int) -> str:
    """Bytes in words, of any size.

    >>> gibibytes(3 * 2**30), gibibytes(2**784)
    ('3 GiB', '9.476e+226 GiB')
    """
    return f"{Decimal(count) / 2**30:.4g} GiB"


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library can.

    Threads that come and go leave heaps behind, and what is freed there the next threads may not find.
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The function of glibc; None of another C library, and on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return function
