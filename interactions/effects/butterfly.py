"""The butterfly over the coalition index, in place: one pass per player, within the cache wherever it can be.

Every way to it makes the same additions in the same order, the last player first. So a table has the same
bits whatever batch, shape or device it is in.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from harsanyi.interactions.machine.batching import in_workers

Entries = np.ndarray[Any, np.dtype[Any]]
Rows = tuple[Tensor, ...]

# Entries of a block, which all players pass over before the next block: 4 MiB in float64, a share of the
# cores' last cache. Smaller blocks are nearer to a core, but then calls take longer than additions.
BLOCK_ENTRIES = 2**19
# Blocks that a worker takes at a time.
PART = 16
# Entries of a whole batch up to which NumPy's cheaper calls outweigh torch's faster loops.
SMALL = 2**14
# Halves of so few entries are too short for an inner loop.
SHORT = 4
# Two entries as one number: half the columns, and the same additions.
PAIR = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}


def butterfly_(table: Tensor, *, lower: bool = False, sign: int = 1, axis: int = -1) -> Tensor:
    """One pass per player, in place: add ±(half without i) to the half with i, or the reverse.

    Args:
        table: contiguous, with 2**n entries on `axis`.
        lower: add the half with i to the half without.
        sign: 1 to add, −1 to subtract.
        axis: of the coalitions.

    Returns:
        The table itself, with its new values.

    >>> butterfly_(torch.tensor([1.0, 2.0, 4.0, 8.0]), sign=-1).tolist()
    [1.0, 1.0, 3.0, 3.0]
    """
    if not table.numel():
        return table
    width = table.shape[axis % table.ndim + 1 :].numel()
    halves = [width << player for player in range(table.shape[axis].bit_length() - 1)]
    entries = _entries(table)
    if entries is None:
        for half in halves:
            _pass(table.view(-1), half, lower, sign)
    elif len(entries) <= SMALL:
        _numpy_passes(entries, halves, lower, sign)
    else:
        _in_blocks(entries, halves, lower, sign)
    return table


def _entries(table: Tensor) -> Entries | None:
    """The memory of a float table on a CPU, unless autograd or a transform of `torch.func` watches it."""
    if not table.is_cpu or table.dtype not in (torch.float32, torch.float64):
        return None
    if unpack_dual(table).tangent is not None:
        return None
    try:
        return table.view(-1).numpy()
    except RuntimeError:  # torch hides from NumPy what it watches
        return None


def _pass(entries: Tensor, half: int, lower: bool, sign: int) -> None:
    """One player's pass, on any device and under autograd."""
    halves = entries.view(-1, 2, half)
    halves.select(1, int(not lower)).add_(halves.select(1, int(lower)), alpha=sign)


def _in_blocks(entries: Entries, halves: list[int], lower: bool, sign: int) -> None:
    """All players whose halves fit into a block, block by block, then the others."""
    inside = [half for half in halves if 2 * half <= BLOCK_ENTRIES]
    if inside:
        whole = 2 * inside[-1]
        size = BLOCK_ENTRIES // whole * whole
        full = len(entries) // size * size
        blocks, rest = entries[:full].reshape(-1, size), entries[None, full:]
        parts = [blocks[start : start + PART] for start in range(0, len(blocks), PART)]
        parts += [rest] if rest.size else []
        work = partial(_block_passes, halves=inside, lower=lower, sign=sign)
        if len(parts) > 1:
            in_workers(work, parts, torch.device("cpu"))
        else:
            work(parts[0])
    for half in halves[len(inside) :]:
        _pass(torch.from_numpy(entries), half, lower, sign)


def _block_passes(blocks: Entries, halves: list[int], lower: bool, sign: int) -> None:
    """The passes of players over blocks `(blocks, entries)`, all of them over one block before the next."""
    short = [half for half in halves if half <= SHORT]
    tensor = torch.from_numpy(blocks)
    rows = [_rows(tensor, half, lower) for half in halves[len(short) :]]
    for number, block in enumerate(blocks):
        _numpy_passes(block, short, lower, sign)
        for targets, sources in rows:
            targets[number].add_(sources[number], alpha=sign)


def _rows(blocks: Tensor, half: int, lower: bool) -> tuple[Rows, Rows]:
    """The halves of each block that a player's pass adds to, and those that it adds.

    For many blocks at once: made one by one, they take as long as the additions.
    """
    halves = blocks.view(len(blocks), -1, 2, half)
    return halves.select(2, int(not lower)).unbind(), halves.select(2, int(lower)).unbind()


def _numpy_passes(entries: Entries, halves: Sequence[int], lower: bool, sign: int) -> None:
    """The passes of players by NumPy; column by column where halves are too short for an inner loop."""
    add = np.add if sign > 0 else np.subtract
    with np.errstate(all="ignore"):  # as torch, which does not warn of infinities
        for half in halves:
            if half > SHORT:
                rows = entries.reshape(-1, 2, half)
                target = rows[:, int(not lower)]
                add(target, rows[:, int(lower)], target)
                continue
            numbers, columns = (entries, half) if half % 2 else (entries.view(PAIR[entries.dtype]), half // 2)
            to, from_ = (0, columns) if lower else (columns, 0)
            for column in range(columns):
                target = numbers[to + column :: 2 * columns]
                add(target, numbers[from_ + column :: 2 * columns], target)
