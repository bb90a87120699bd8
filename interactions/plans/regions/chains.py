"""Runs planned operations on tables of rows, chain by chain, so that data stays in a core's cache.

A chain is several operations one after another with the same regions, where row r of each needs row r of the
others only. `run_chains` takes the planned steps and the tables at the start, and gives the tables at the
end. A chain is computed slice of rows by slice of rows, one worker to each core. Tables that only the chain
uses are never written as a whole.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, fx

from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.machine.memory import return_freed_memory
from harsanyi.interactions.plans.regions.steps import RowStep

# The table of a step's result; a tuple where the result has several parts.
Table = Tensor | tuple[Tensor, ...]
# How many numbers a slice of the widest table of a chain may have: on a CPU a slice should stay in the cache.
# An accelerator has other caches and wants few, large launches.
CPU_SLICE_NUMBERS, ACCELERATOR_SLICE_NUMBERS = 2**19, 2**26
# Bytes of tables from which on freed memory is returned to the system; for less, that is not worth its time.
RETURNED_FROM = 2**24


def run_chains(
    planned: Mapping[fx.Node, RowStep], tables: Mapping[fx.Node, Table], wanted: set[fx.Node]
) -> dict[fx.Node, Table]:
    """Run planned steps; tables without further use are freed early.

    Args:
        planned: the steps in order.
        tables: of the activations before the steps.
        wanted: the nodes whose tables to give.

    Returns:
        The tables of the wanted nodes, `(rows, channels…)` each.
    """
    steps = {node: step for node, step in planned.items() if step.layout is not None}
    last_user = {source: node for node, step in steps.items() for source in step.sources}
    live = dict(tables)
    for chain in chains_of(steps):
        used_outside = {
            source for node, step in steps.items() if node not in chain for source in step.sources
        }
        live |= _run(chain, live, {node for node in chain if node in used_outside | wanted})
        for source in {source for step in chain.values() for source in step.sources} - wanted:
            if last_user[source] in chain:
                live.pop(source, None)
        if sum(part.nbytes for table in live.values() for part in _parts(table)) > RETURNED_FROM:
            return_freed_memory()
    return {node: live[node] for node in wanted}


def chain_starts(planned: Mapping[fx.Node, RowStep]) -> list[fx.Node]:
    """The first step of each chain; what comes before it runs by itself."""
    steps = {node: step for node, step in planned.items() if step.layout is not None}
    return [next(iter(chain)) for chain in chains_of(steps)]


def chains_of(steps: Mapping[fx.Node, RowStep]) -> Iterator[dict[fx.Node, RowStep]]:
    """The steps chain by chain, in order."""
    chain: dict[fx.Node, RowStep] = {}
    for node, step in steps.items():
        if chain and not _continues(chain, step):
            yield chain
            chain = {}
        chain[node] = step
    if chain:
        yield chain


def _continues(chain: Mapping[fx.Node, RowStep], step: RowStep) -> bool:
    first = next(iter(chain.values()))
    return (
        step.regions.key == first.regions.key
        and not step.at_once
        and not first.at_once
        and all(
            aligned for source, aligned in zip(step.sources, step.aligned, strict=True) if source in chain
        )
    )


def slices_of(chain: Mapping[fx.Node, RowStep], device: torch.device) -> list[slice]:
    """The rows of a chain, slice by slice."""
    first = next(iter(chain.values()))
    numbers = CPU_SLICE_NUMBERS if device.type == "cpu" else ACCELERATOR_SLICE_NUMBERS
    count = first.regions.rows if first.at_once else numbers // max(step.width for step in chain.values())
    return first.regions.slices(max(1, count))


def _run(
    chain: Mapping[fx.Node, RowStep], tables: Mapping[fx.Node, Table], wanted: set[fx.Node]
) -> dict[fx.Node, Table]:
    """The wanted tables of one chain."""
    first = next(iter(chain.values()))
    device = _parts(next(iter(tables.values())))[0].device
    slices = slices_of(chain, device)

    def computed(rows: slice) -> dict[fx.Node, Table]:
        values: dict[fx.Node, Table] = {}
        for node, step in chain.items():
            inputs = [
                values[source]
                if source in values
                else _rows(tables[source], rows)
                if aligned
                else tables[source]
                for source, aligned in zip(step.sources, step.aligned, strict=True)
            ]
            values[node] = step.apply(rows, *inputs)
        return {node: values[node] for node in wanted}

    def write(values: dict[fx.Node, Table], rows: slice) -> None:
        for node, table in values.items():
            for part, target in zip(_parts(table), _parts(whole[node]), strict=True):
                target[rows] = part

    def work(rows: slice) -> None:
        with torch.inference_mode():  # a setting of each thread
            write(computed(rows), rows)

    with torch.inference_mode():
        values = computed(slices[0])
        if len(slices) == 1:
            return values
        whole = {node: _empty_like(table, first.regions.rows) for node, table in values.items()}
        write(values, slices[0])
        in_workers(work, slices[1:], device)
    return whole


def _parts(table: Table) -> tuple[Tensor, ...]:
    return (table,) if isinstance(table, Tensor) else table


def _rows(table: Table, rows: slice) -> Table:
    return table[rows] if isinstance(table, Tensor) else tuple(part[rows] for part in table)


def _empty_like(table: Table, rows: int) -> Table:
    """An uninitialised table with `rows` rows like those of another table."""
    parts = tuple(part.new_empty(rows, *part.shape[1:]) for part in _parts(table))
    return parts[0] if isinstance(table, Tensor) else parts
