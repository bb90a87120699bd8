"""Batch sizes that suit a device, and work in batches with one worker to each core of a CPU."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from harsanyi.accelerator import multiprocessors, total_bytes

# Entries of the tables in one batch. On a CPU a batch should stay in its core's caches.
CPU_BATCH_ENTRIES, ACCELERATOR_BATCH_ENTRIES = 2**16, 2**24

# The largest activation of a CPU batch: beyond the caches, memory limits a forward. With this and the
# smallest batch below, convolutional networks and transformers took at most 1.1 times as long as with the
# best batch from a quarter to four times as large, on 2 cores (benchmarks/README.md, "The dense plan's
# batch").
CPU_ACTIVATION_BYTES = 6 * 2**20
# An accelerator's largest activation: enough for each of its multiprocessors to be busy, and no more than one
# part in this many of its memory, since a forward holds a few of that size at once. Both are constants of the
# machine: with a batch from its free memory the last bits of the outputs would change from run to run. GPU:
# not measured.
MULTIPROCESSOR_ACTIVATION_BYTES = 4 * 2**20
ACTIVATION_PART = 64
SMALLEST_BATCH, LARGEST_BATCH = 4, 4096

# Batches of each worker in one round of `in_rounds`.
ROUND_BATCHES = 16

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def batch_fitting(activation: int, device: torch.device, *, threads: int = 1) -> int:
    """The largest power-of-two batch whose largest activation fits the device's budget.

    Args:
        activation: bytes of the largest activation for one input.
        device: of the network.
        threads: that share a batch on a CPU; each has a cache of its own.

    Returns:
        The number of inputs in a batch.

    >>> batch_fitting(2**20, torch.device("cpu")), batch_fitting(2**20, torch.device("cpu"), threads=2)
    (4, 8)
    """
    if device.type == "cpu":
        budget, smallest = float(CPU_ACTIVATION_BYTES * threads), SMALLEST_BATCH * threads
    else:
        budget, smallest = _accelerator_budget(device), SMALLEST_BATCH
    fitting = min(LARGEST_BATCH, max(smallest, int(budget // activation)))
    return 1 << (fitting.bit_length() - 1)


def _accelerator_budget(device: torch.device) -> float:
    """Bytes of the largest activation on an accelerator."""
    memory, busy = total_bytes(device) / ACTIVATION_PART, multiprocessors(device)
    return memory if busy is None else min(memory, busy * MULTIPROCESSOR_ACTIVATION_BYTES)


def over_batches(work: Callable[[Tensor], Result], tables: Tensor) -> list[Result]:
    """Work on tables batch by batch.

    The operations are many and small. Threads that share them mostly wait for each other; two are three to
    four times slower than one. So on a CPU each batch has one thread for itself.

    Args:
        work: takes the indices of a batch along the first axis of the tables.
        tables: `(tables, ...)`.

    Returns:
        The result for each batch, in order.

    >>> over_batches(lambda rows: rows.tolist(), torch.zeros(3, 2))
    [[0, 1, 2]]
    """
    size = _batch(tables.shape[1:].numel(), tables.device)
    return in_workers(work, torch.arange(len(tables), device=tables.device).split(size), tables.device)


def rounds(count: int, entries: int, device: torch.device) -> list[range]:
    """Numbers of tables in order, in rounds of whole batches of `over_batches`, some for each worker.

    A round by itself has the batches that it has among all, and so the bits.

    Args:
        count: how many tables.
        entries: of each.
        device: that the tables will be on.

    Returns:
        the numbers of each round.

    >>> rounds(80, 2**14, torch.device("cpu"))[0].stop % 4  # four such tables are a batch
    0
    """
    size = _batch(entries, device) * (ROUND_BATCHES * worker_count(device) if device.type == "cpu" else 1)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _batch(entries: int, device: torch.device) -> int:
    """How many tables of so many entries are worked on together."""
    most = CPU_BATCH_ENTRIES if device.type == "cpu" else ACCELERATOR_BATCH_ENTRIES
    return max(1, most // entries)


def in_rounds(
    work: Callable[[Tensor], Tensor], count: int, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Work on the numbers 0 … count − 1 in order, round by round.

    Args:
        work: takes the numbers of a batch, and gives a row for each.
        count: how many numbers.
        size: of a batch.
        device: of the numbers.

    Yields:
        The numbers of a round `(numbers,)`, and the results `(numbers, ...)`.

    >>> rounds = in_rounds(torch.neg, 3, 2, torch.device("cpu"))
    >>> [(numbers.tolist(), made.tolist()) for numbers, made in rounds]
    [([0, 1, 2], [0, -1, -2])]
    """
    for numbers in torch.arange(count, device=device).split(size * ROUND_BATCHES * torch.get_num_threads()):
        yield numbers, torch.cat(in_workers(work, numbers.split(size), device))


def worker_count(device: torch.device) -> int:
    """How many workers `in_workers` has."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def in_workers(
    work: Callable[[Batch], Result], batches: Sequence[Batch], device: torch.device
) -> list[Result]:
    """Work on batches; on a CPU on several at a time, one thread each.

    Args:
        work: takes a batch.
        batches: in order.
        device: where the work runs.

    Returns:
        The result for each batch, in order.

    >>> in_workers(sum, [(1, 2), (3, 4)], torch.device("cpu"))
    [3, 7]
    """
    workers = worker_count(device)
    if workers == 1:
        return [work(batch) for batch in batches]
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, batches))
    finally:
        torch.set_num_threads(workers)  # new threads inherit the last setting of any thread
