"""Lets a CPU's forwards take the memory that the forward before has freed."""

from functools import cache

import torch

# glibc learns from freed blocks of at most 32 MiB, its header included.
LARGEST_LEARNT = 31 * 2**20


@cache
def keep_freed_memory() -> None:
    """Let glibc keep the memory of activations for the next forward, once a process.

    glibc asks the system for each block above a threshold, and gives it back when it is freed. The next
    forward then waits for the system to clear every page again: a third of the time of a MobileNetV2's
    forwards (benchmarks/README.md, "Freed memory"). The threshold starts at 128 KiB and grows to the largest
    block of at most 32 MiB that was ever freed; twice of that stays at the end of the heap. So a block of
    nearly this size is freed here, which nothing has written to. That is what happens in a program that drops
    a large array.

    Other allocators, and one whose threshold a user has set (`MALLOC_MMAP_THRESHOLD_`), do as they did.

    >>> keep_freed_memory()
    """
    torch.empty(LARGEST_LEARNT, dtype=torch.uint8)
