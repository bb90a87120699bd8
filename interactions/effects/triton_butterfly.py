"""The butterfly on a GPU: up to twelve players of thousands of tables in one pass over memory.

Needs Triton, which comes with torch for CUDA. Import this module only where it is.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

# Entries that a program holds in its registers.
TILE = 2**12
# Players of one launch: all that fit a tile, or, with columns, so many that whole cache lines are read.
MOST, MOST_IN_COLUMNS = 12, 8
WARPS = 8


def launch(table: Tensor, halves: list[int], lower: bool, sign: int) -> None:
    """The passes of players over all tables of a batch, in place: one launch for up to twelve of them.

    Args:
        table: contiguous.
        halves: the number of entries in a half, by player, each twice the last.
        lower: as in `butterfly_`.
        sign: as in `butterfly_`.
    """
    while halves:
        width = halves[0]
        players = min(len(halves), MOST if width == 1 else MOST_IN_COLUMNS)
        columns = min(TILE >> players, triton.next_power_of_2(width))
        tables = TILE >> players if columns == 1 else 1
        all_tables = table.numel() // (width << players)
        programs = triton.cdiv(all_tables, tables) * triton.cdiv(width, columns)
        shape = {"PLAYERS": players, "TABLES": tables, "COLUMNS": columns}
        with torch.cuda.device_of(table):
            _passes[(programs,)](
                table, all_tables, width, **shape, LOWER=lower, ADD=sign > 0, num_warps=WARPS
            )
        halves = halves[players:]


@triton.jit
@no_type_check  # Triton reads the source itself
def _passes(
    entries,
    all_tables,
    width,
    PLAYERS: tl.constexpr,
    TABLES: tl.constexpr,
    COLUMNS: tl.constexpr,
    LOWER: tl.constexpr,
    ADD: tl.constexpr,
):
    """The passes of some players over a tile of tables `(tables, 2**players, width)`."""
    across = tl.cdiv(width, COLUMNS)
    table = (tl.program_id(0) // across).to(tl.int64) * TABLES + tl.arange(0, TABLES)[:, None, None]
    coalition = tl.arange(0, 1 << PLAYERS)[None, :, None]
    column = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)[None, None, :]
    places = entries + (table * (1 << PLAYERS) + coalition) * width + column
    inside = (table < all_tables) & (column < width)
    tile = tl.load(places, mask=inside, other=0.0)
    for player in tl.static_range(PLAYERS):
        tile = _pass(tile, TABLES << (PLAYERS - 1 - player), COLUMNS << player, LOWER, ADD)
    tl.store(places, tl.reshape(tile, (TABLES, 1 << PLAYERS, COLUMNS)), mask=inside)


@triton.jit
@no_type_check  # Triton reads the source itself
def _pass(tile, BEFORE: tl.constexpr, AFTER: tl.constexpr, LOWER: tl.constexpr, ADD: tl.constexpr):
    """One player's pass over a tile. A half is found by a sum with zeros, of integers to keep all bits."""
    halves = tl.reshape(tile, (BEFORE, 2, AFTER))
    is_source = tl.arange(0, 2)[None, :, None] == (1 if LOWER else 0)
    bits = halves.to(tl.int64 if halves.dtype == tl.float64 else tl.int32, bitcast=True)
    source = tl.sum(tl.where(is_source, bits, 0), axis=1, keep_dims=True).to(halves.dtype, bitcast=True)
    return tl.where(is_source, halves, halves + source if ADD else halves - source)
