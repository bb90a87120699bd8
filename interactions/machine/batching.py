"""Work in batches that suit their device, on a CPU one worker to each core."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from harsanyi.interactions.machine.memory import available_memory

# Entries of the tables worked on at once. On a CPU a batch should stay in its core's caches.
ENTRIES = {"cpu": 2**16, "cuda": 2**24}

# The largest activation of a CPU batch: past a cache, a forward is bound by memory. With this and the least
# batch below, convolutional networks and transformers took at most 1.1 times as long as with the best of a
# quarter to four times as large a batch, on 2 cores (benchmarks/README.md, "The dense plan's batch").
CPU_ACTIVATION_BYTES = 6 * 2**20
# The largest activation's share of a GPU's free memory: a forward holds a few of that size at once.
GPU_ACTIVATION_SHARE = 1 / 16
SMALLEST_BATCH, LARGEST_BATCH = 4, 4096

# Batches of each worker whose results are given at once.
ROUND = 16

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def batch_fitting(activation: int, device: torch.device, *, threads: int = 1) -> int:
    """The power of two so many inputs of which have a largest activation, in bytes, that suits the device.

    Args:
        threads: that share a batch, on a CPU; each has a cache of its own.

    >>> batch_fitting(2**20, torch.device("cpu")), batch_fitting(2**20, torch.device("cpu"), threads=2)
    (4, 8)
    """
    if device.type == "cpu":
        budget, smallest = float(CPU_ACTIVATION_BYTES * threads), SMALLEST_BATCH * threads
    else:
        budget, smallest = available_memory(device) * GPU_ACTIVATION_SHARE, SMALLEST_BATCH
    fitting = min(LARGEST_BATCH, max(smallest, int(budget // activation)))
    return 1 << (fitting.bit_length() - 1)


def over_batches(work: Callable[[Tensor], Result], tables: Tensor) -> list[Result]:
    """What `work` makes of the numbers of the tables in each batch, in order.

    The operations are many and small, and threads that share them wait for each other most of the time (two
    are three to four times slower than one): on a CPU, each batch has one thread for itself.

    Args:
        work: takes indices along the first axis of the tables.
        tables: `(tables, ...)`.

    >>> over_batches(lambda rows: rows.tolist(), torch.zeros(3, 2))
    [[0, 1, 2]]
    """
    entries = ENTRIES.get(tables.device.type, ENTRIES["cuda"])
    size = max(1, entries // tables.shape[1:].numel())
    return in_workers(work, torch.arange(len(tables), device=tables.device).split(size), tables.device)


def in_rounds(
    work: Callable[[Tensor], Tensor], count: int, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The numbers 0 … count − 1 in order, round by round, and what `work` makes of them in batches of `size`.

    >>> rounds = in_rounds(torch.neg, 3, 2, torch.device("cpu"))
    >>> [(numbers.tolist(), made.tolist()) for numbers, made in rounds]
    [([0, 1, 2], [0, -1, -2])]
    """
    for numbers in torch.arange(count, device=device).split(size * ROUND * torch.get_num_threads()):
        yield numbers, torch.cat(in_workers(work, numbers.split(size), device))


def in_workers(
    work: Callable[[Batch], Result], batches: Sequence[Batch], device: torch.device
) -> list[Result]:
    """What `work` makes of each batch, in order; on a CPU with one thread for each of several at a time.

    >>> in_workers(sum, [(1, 2), (3, 4)], torch.device("cpu"))
    [3, 7]
    """
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    if workers == 1:
        return [work(batch) for batch in batches]
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, batches))
    finally:
        torch.set_num_threads(workers)  # threads made from now on take it from the last that was set anywhere
