"""The butterfly over the coalition index, in place: one pass per player, from near memory where it can be.

Every way to it makes the same additions in the same order, the last player first. So a table has the same
bits whatever batch, shape or device it is in.
"""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import get_ident
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from harsanyi.interactions.machine.batching import in_workers

Entries = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[Entries, Entries]
Rows = tuple[Tensor, ...]
# Takes a table, the entries in a half of each player, the last player first, and `lower` and `sign`.
Way = Callable[[Tensor, list[int], bool, int], None]

# Entries of a block, which all players pass over before the next block: 4 MiB in float64, a share of the
# cores' last cache. Smaller blocks are nearer to a core, but then calls take longer than additions.
BLOCK_ENTRIES = 2**19
# Blocks that a worker takes at a time.
PART = 16
# Entries of a whole batch up to which NumPy's cheaper calls outweigh torch's faster loops.
SMALL = 2**13
# Halves of so few entries are too short for an inner loop.
SHORT = 4
# So few halves are added one by one: NumPy's calls on one axis take a third of those on two.
FEW = 4
# Two entries as one number: half the columns, and the same additions.
TWO = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}


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
    if table.numel():
        width = table.shape[axis % table.ndim + 1 :].numel()
        halves = [width << player for player in range(table.shape[axis].bit_length() - 1)]
        _way(table)(table, halves, lower, sign)
    return table


def _way(table: Tensor) -> Way:
    """The fastest way that there is for a table."""
    plain = table.is_contiguous() and table.dtype in (torch.float32, torch.float64) and not _watched(table)
    if plain and table.is_cpu:
        return _in_memory
    if plain and table.is_cuda:
        return _kernel(table.device) or _pass_by_pass
    return _pass_by_pass


def _watched(table: Tensor) -> bool:
    """Whether autograd or a transform of `torch.func` follows what is done to a table."""
    if table.requires_grad or unpack_dual(table).tangent is not None:
        return True
    try:
        table.data_ptr()
    except RuntimeError:  # how torch refuses a look behind its back
        return True
    return False


@lru_cache
def _kernel(device: torch.device) -> Way | None:
    """Triton's kernel, where it runs on a device."""
    if not importlib.util.find_spec("triton"):
        return None
    try:
        from harsanyi.interactions.effects.triton_butterfly import launch

        launch(torch.zeros(2, device=device), [1], False, 1)
    except Exception as error:  # of a compiler or a driver, which the passes of torch do not need
        warnings.warn(f"Triton's kernels do not run on {device}; slower transforms: {error}", stacklevel=2)
        return None
    return launch


def _pass_by_pass(table: Tensor, halves: list[int], lower: bool, sign: int) -> None:
    """Each pass over the whole table, on any device and under autograd."""
    for half in halves:
        rows = table.view(-1, 2, half)
        rows.select(1, int(not lower)).add_(rows.select(1, int(lower)), alpha=sign)


def _in_memory(table: Tensor, halves: list[int], lower: bool, sign: int) -> None:
    """On a CPU: the passes whose halves fit into a block, block by block, then the others."""
    entries = table.numpy().reshape(-1)
    if len(entries) <= SMALL:
        scratch, pairs = _scratch(get_ident(), entries.dtype, len(entries), tuple(halves), lower)
        scratch[:] = entries
        _add(pairs, sign)
        entries[:] = scratch
        return
    inside = [half for half in halves if 2 * half <= BLOCK_ENTRIES]
    if inside:
        work = partial(_block_passes, halves=inside, lower=lower, sign=sign)
        parts = _parts(entries, 2 * inside[-1])
        if len(parts) > 1:
            in_workers(work, parts, table.device)
        else:
            work(parts[0])
    _pass_by_pass(table, halves[len(inside) :], lower, sign)


def _parts(entries: Entries, whole: int) -> list[Entries]:
    """The blocks `(blocks, entries)` of each worker, every block a multiple of a whole."""
    size = BLOCK_ENTRIES // whole * whole
    full = len(entries) // size * size
    blocks, rest = entries[:full].reshape(-1, size), entries[None, full:]
    parts = [blocks[start : start + PART] for start in range(0, len(blocks), PART)]
    return [*parts, rest] if rest.size else parts


def _block_passes(blocks: Entries, halves: list[int], lower: bool, sign: int) -> None:
    """All passes over one block before the next."""
    short = [half for half in halves if half <= SHORT]
    long = halves[len(short) :]
    with torch.inference_mode():  # calls are cheaper
        tensor = torch.from_numpy(blocks)
        if len(blocks) == 1:
            _add(_pairs(blocks[0], short, lower), sign)
            _pass_by_pass(tensor, long, lower, sign)
            return
        rows = [_rows(tensor, half, lower) for half in long]
        for number, block in enumerate(blocks):
            _add(_pairs(block, short, lower), sign)
            for targets, sources in rows:
                targets[number].add_(sources[number], alpha=sign)


def _rows(blocks: Tensor, half: int, lower: bool) -> tuple[Rows, Rows]:
    """The halves of each block that a player's pass adds to, and those that it adds.

    For many blocks at once: made one by one, they take a good part of the time of the additions.
    """
    without, with_ = (halves.unbind() for halves in blocks.view(len(blocks), -1, 2, half).unbind(2))
    return (without, with_) if lower else (with_, without)


@lru_cache
def _scratch(
    thread: int, dtype: np.dtype[Any], size: int, halves: tuple[int, ...], lower: bool
) -> tuple[Entries, list[Pair]]:
    """Memory of a thread for small tables, with its halves: to make them takes as long as to add them."""
    scratch = np.empty(size, dtype)
    return scratch, _pairs(scratch, halves, lower)


def _pairs(entries: Entries, halves: Sequence[int], lower: bool) -> list[Pair]:
    """What NumPy adds to what, in order; column by column where halves are too short for an inner loop."""
    pairs: list[Pair] = []
    for half in halves:
        if half > SHORT:
            rows = entries.reshape(-1, 2, half)
            targets, sources = rows[:, int(not lower)], rows[:, int(lower)]
            pairs += zip(targets, sources, strict=True) if len(rows) <= FEW else [(targets, sources)]
            continue
        numbers, columns = (entries, half) if half % 2 else (entries.view(TWO[entries.dtype]), half // 2)
        to, from_ = (0, columns) if lower else (columns, 0)
        for column in range(columns):
            pairs.append((numbers[to + column :: 2 * columns], numbers[from_ + column :: 2 * columns]))
    return pairs


def _add(pairs: list[Pair], sign: int) -> None:
    """Add to the first of each pair its second."""
    add = np.add if sign > 0 else np.subtract
    with np.errstate(all="ignore"):  # as torch, which does not warn of infinities
        for target, source in pairs:
            add(target, source, target)
