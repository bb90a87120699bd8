"""The page of `make gpu`."""

import time

import pytest

from benchmarks.accelerator import __main__ as accelerator
from benchmarks.accelerator.__main__ import NO_ACCELERATOR, PARTS, Part, page, rows_of
from benchmarks.accelerator.there import SMALL, There
from harsanyi.accelerator import CPU

THERE = There(CPU, SMALL)


def measured(*, accelerator, **rows):
    facts = {"device": "a device", "torch": "2", "python": "3", "command": "make gpu"}
    return facts | {"accelerator": accelerator} | {title: [] for title in PARTS} | rows


@pytest.mark.parametrize("accelerator", [True, False])
def test_a_page_says_where_its_times_mean_nothing(accelerator):
    assert (NO_ACCELERATOR in page(measured(accelerator=accelerator))) == (not accelerator)


def test_numbers_and_reasons_are_shown_in_one_table(monkeypatch):
    monkeypatch.setattr(accelerator, "PARTS", {"A part": Part(lambda there: iter(()), 1, "What it is.")})
    rows = [
        {"network": "a", "why not": "no trace"},
        {"network": "b", "ratio": 0.51234, "same bits": True},
        {"network": "c", "ratio": None},
    ]
    lines = page(measured(accelerator=True, **{"A part": rows})).splitlines()
    assert lines[-7:] == [
        "What it is.",
        "",
        "| network | ratio | same bits | why not |",
        "| --- | --- | --- | --- |",
        "| a |  |  | no trace |",
        "| b | 0.512 | yes |  |",
        "| c | – |  |  |",
    ]


def test_a_part_ends_with_its_time_and_with_its_failure():
    def rows(there):
        yield {"network": "a"}
        yield {"network": "b"}
        raise RuntimeError("no kernel")

    now = time.perf_counter()
    late = rows_of(Part(rows, 1, ""), THERE, now - 1)
    assert late == [{"network": "a"}, {"why not": "further rows: the time was over"}]
    assert rows_of(Part(rows, 1, ""), THERE, now + 60)[1:] == [
        {"network": "b"},
        {"why not": "RuntimeError: no kernel"},
    ]
