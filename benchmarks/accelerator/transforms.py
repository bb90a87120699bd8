"""Transforms and splits of value tables on an accelerator, beside the speed of its memory."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.accelerator.there import There
from harsanyi.interactions import SparseAndOr, and_interactions

# What fits a share of any accelerator's memory.
MAX_NUMBERS = 2**27


def tables(there: There) -> Iterator[dict[str, Any]]:
    """For each number of players: a copy, the transform and the sparse split of a batch of tables."""
    for n in there.sizes.players:
        games = max(1, min(there.sizes.games, MAX_NUMBERS // 2**n))
        v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        v = v.to(there.device)
        copying, transforming = there.seconds(v.clone), there.seconds(partial(and_interactions, v))
        yield {
            "players": n,
            "tables": games,
            "copy, GB/s": 2 * v.nbytes / copying / 1e9,
            "time, transform / copy": transforming / copying,
            "transform, µs a table": transforming / games * 1e6,
            "tables that are split": len(_few(v)),
            "sparse split, ms a table": _splitting(there, v),
            "largest gap": _gap(v),
        }


def _few(v: Tensor) -> Tensor:
    """Tables for a split in seconds."""
    return v[: max(1, min(len(v), 2**21 // v.shape[1]))]


def _splitting(there: There, v: Tensor) -> float:
    few = _few(v)
    return there.once(lambda: SparseAndOr()(few)) / len(few) * 1e3


def _gap(v: Tensor) -> float:
    """The largest relative duality gap of the splits."""
    gap = SparseAndOr()(_few(v)[:4]).gap
    return float("nan") if gap is None else float(gap.max())
