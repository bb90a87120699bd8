"""The most memory that a game's tables take, with all that is in memory to compute them.

The tables of a chain's inputs and results are there at once, and so are the slices that each worker has under
way. On a CPU, the dense parts before and after hold a few activations of a batch for each worker. Elsewhere
their batches take a share of the memory that is free, beside that of the tables.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import fx

from harsanyi.interactions.machine.batching import ROUND_BATCHES, batch_fitting, worker_count
from harsanyi.interactions.plans.graph.step import numbers_of
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.regions.chains import chains_of, slices_of
from harsanyi.interactions.plans.regions.steps import RowStep, TableLayout

# A worker's pieces are freed and taken again in many sizes; on a CPU as much lies between them, unused.
FRAGMENTED = 2
# Activations of the size of the largest that a dense forward holds at once: a step's input, its result, a
# shortcut beside them, and what the step itself needs.
DENSE_ACTIVATIONS = 4
# oneDNN compiles a kernel for each shape of a product, and keeps as many as this. Those of a ResNet-18 had
# 172 KiB each: what was in use with all of them, above what was with 16 (ONEDNN_PRIMITIVE_CACHE_CAPACITY).
COMPILED, COMPILED_BYTES = 1024, 172 * 2**10


def peak_bytes(
    traced: Traced,
    layouts: Mapping[fx.Node, Any],
    planned: Sequence[RowStep],
    cuts: tuple[int, int],
    n: int,
    covering: int,
) -> int:
    """The most memory of one game's tables, beside the network and its values.

    Args:
        traced: the network.
        layouts: of the activations.
        planned: the steps in order, from the first of the network on.
        cuts: the numbers of the first step on rows and of the first step after them.
        n: players.
        covering: how many coalitions the first part has.

    Returns:
        bytes, the indices, weights and compiled kernels included.
    """
    start, stop = cuts
    steps = dict(zip(traced.steps[start:stop], planned[start:stop], strict=True))
    indices = sum(step.index_bytes for step in steps.values())
    # The activations of the first part are there in pieces and in one, then in one and as rows.
    whole = covering * sum(prod(part.shape) for node in traced.live(start) for part in _parts(layouts[node]))
    first = 2 * _itemsize(traced) * whole + _tables(traced, layouts, start) + _dense(traced, 0, start)
    last = _dense(traced, stop, len(traced.steps)) + _round(traced, stop, n)
    kept = indices + _compiled(traced, steps)
    return kept + max(first, _chains(traced, layouts, steps), _tables(traced, layouts, stop) + last)


def _chains(traced: Traced, layouts: Mapping[fx.Node, Any], steps: Mapping[fx.Node, RowStep]) -> int:
    """The most memory of a chain with the tables around it."""
    itemsize, device = _itemsize(traced), traced.source.meta["val"].device
    place = {node: number for number, node in enumerate(traced.steps)}
    peak = 0
    for chain in chains_of({node: step for node, step in steps.items() if step.layout is not None}):
        before, after = (place[node] for node in (next(iter(chain)), next(reversed(chain))))
        live = set(traced.live(before)) | (set(traced.live(after + 1)) & set(chain))
        slices = slices_of(chain, device)
        rows = max(rows.stop - rows.start for rows in slices)
        pieces = sum(rows * step.width for step in chain.values())
        scratch = max(step.scratch(rows) + rows * step.width for step in chain.values())
        workers = min(worker_count(device), len(slices))
        fragmented = FRAGMENTED if device.type == "cpu" else 1
        taken = _of(live, layouts) + fragmented * workers * (pieces + scratch)
        peak = max(peak, itemsize * taken)
    return peak


def _compiled(traced: Traced, steps: Mapping[fx.Node, RowStep]) -> int:
    """Bytes of the compiled products, of which each slice may have its own shapes."""
    device = traced.source.meta["val"].device
    if device.type != "cpu":
        return 0
    chains = chains_of({node: step for node, step in steps.items() if step.layout is not None})
    shapes = sum(
        len(slices_of(chain, device)) * sum(step.products for step in chain.values()) for chain in chains
    )
    return COMPILED_BYTES * min(shapes, COMPILED)


def _tables(traced: Traced, layouts: Mapping[fx.Node, Any], place: int) -> int:
    """Bytes of the tables that are needed from a place on."""
    return _itemsize(traced) * _of(traced.live(place), layouts)


def _of(nodes: "set[fx.Node] | tuple[fx.Node, ...]", layouts: Mapping[fx.Node, Any]) -> int:
    """Numbers of the tables of some nodes."""
    return sum(part.regions.rows * part.width for node in nodes for part in _parts(layouts.get(node)))


def _parts(layout: Any) -> tuple[TableLayout, ...]:
    if layout is None:
        return ()
    return (layout,) if isinstance(layout, TableLayout) else tuple(layout)


def _dense(traced: Traced, start: int, stop: int) -> int:
    """Bytes of the activations that the workers of a dense part have at once."""
    device = traced.source.meta["val"].device
    if start == stop or device.type != "cpu":
        return 0
    largest = traced.largest(start, stop)
    return DENSE_ACTIVATIONS * worker_count(device) * batch_fitting(largest, device) * largest


def _round(traced: Traced, stop: int, n: int) -> int:
    """Bytes of the outputs of a round, in pieces and in one."""
    device = traced.source.meta["val"].device
    if device.type != "cpu":
        return 0
    count = batch_fitting(traced.largest(stop), device) * ROUND_BATCHES * worker_count(device)
    return 2 * min(2**n, count) * _itemsize(traced) * numbers_of(traced.result)


def _itemsize(traced: Traced) -> int:
    itemsize: int = traced.source.meta["val"].dtype.itemsize
    return itemsize
