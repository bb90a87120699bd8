"""Planned operations on rows, done run by run, so that a slice is worked on while it is near.

A run is some operations one after another on the same regions, each taking from the others of the run rows of
the same number alone. It is done slice by slice, a worker to each core; what the run alone uses is never
written down as a whole table.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, fx

from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.plans.regions.steps import RowStep

# Of a step's result; a tuple where it has several parts.
Table = Tensor | tuple[Tensor, ...]
# Numbers of the widest row of a slice, in all: on a CPU what is done with it should stay in a core's cache.
NUMBERS = {"cpu": 2**19, "cuda": 2**26}


def in_runs(
    planned: Mapping[fx.Node, RowStep], tables: Mapping[fx.Node, Table], kept: set[fx.Node]
) -> dict[fx.Node, Table]:
    """The tables that are kept, from those that operations begin with.

    Args:
        planned: in order.
    """
    steps = {step: plan for step, plan in planned.items() if plan.layout is not None}
    last = {node: step for step, plan in steps.items() for node in plan.sources}
    found = dict(tables)
    for run in _runs(steps):
        used = {node for step, plan in steps.items() if step not in run for node in plan.sources}
        found |= _done(run, found, {step for step in run if step in used | kept})
        for node in {node for plan in run.values() for node in plan.sources} - kept:
            if last[node] in run:
                found.pop(node, None)
    return {node: found[node] for node in kept}


def _runs(planned: Mapping[fx.Node, RowStep]) -> Iterator[dict[fx.Node, RowStep]]:
    run: dict[fx.Node, RowStep] = {}
    for step, plan in planned.items():
        if run and not _goes_on(run, plan):
            yield run
            run = {}
        run[step] = plan
    if run:
        yield run


def _goes_on(run: Mapping[fx.Node, RowStep], plan: RowStep) -> bool:
    before = next(iter(run.values()))
    return (
        plan.regions.key == before.regions.key
        and not plan.at_once
        and not before.at_once
        and all(near for node, near in zip(plan.sources, plan.aligned, strict=True) if node in run)
    )


def _done(
    run: Mapping[fx.Node, RowStep], tables: Mapping[fx.Node, Table], wanted: set[fx.Node]
) -> dict[fx.Node, Table]:
    """The wanted tables of a run."""
    first = next(iter(run.values()))
    device = _parts(next(iter(tables.values())))[0].device
    numbers = NUMBERS.get(device.type, NUMBERS["cuda"])
    count = first.regions.rows if first.at_once else numbers // max(plan.width for plan in run.values())
    slices = first.regions.slices(max(1, count))

    def done(rows: slice) -> dict[fx.Node, Table]:
        values: dict[fx.Node, Table] = {}
        for step, plan in run.items():
            given = [
                values[node] if node in values else _rows(tables[node], rows) if near else tables[node]
                for node, near in zip(plan.sources, plan.aligned, strict=True)
            ]
            values[step] = plan.apply(rows, *given)
        return {step: values[step] for step in wanted}

    def write(made: dict[fx.Node, Table], rows: slice) -> None:
        for step, table in made.items():
            for part, target in zip(_parts(table), _parts(whole[step]), strict=True):
                target[rows] = part

    def work(rows: slice) -> None:
        with torch.inference_mode():  # each thread has its own
            write(done(rows), rows)

    with torch.inference_mode():
        some = done(slices[0])
        if len(slices) == 1:
            return some
        whole = {step: _room(table, first.regions.rows) for step, table in some.items()}
        write(some, slices[0])
        in_workers(work, slices[1:], device)
    return whole


def _parts(table: Table) -> tuple[Tensor, ...]:
    return (table,) if isinstance(table, Tensor) else table


def _rows(table: Table, rows: slice) -> Table:
    return table[rows] if isinstance(table, Tensor) else tuple(part[rows] for part in table)


def _room(table: Table, rows: int) -> Table:
    """For as many rows like those of a table."""
    parts = tuple(part.new_empty(rows, *part.shape[1:]) for part in _parts(table))
    return parts[0] if isinstance(table, Tensor) else parts
