"""Batches: all tables once, in order, with the threads left as they were."""

import pytest
import torch

from harsanyi.interactions.machine import batching
from harsanyi.interactions.machine.batching import over_batches


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(batching, "CPU_BATCH_ENTRIES", 24)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_table_is_in_one_batch_and_in_order(small_batches, threads):
    found = over_batches(lambda rows: rows.tolist(), torch.zeros(7, 8))
    assert found == [[0, 1, 2], [3, 4, 5], [6]]


def test_each_batch_has_one_thread_and_the_caller_keeps_its_own(small_batches, threads):
    assert set(over_batches(lambda rows: torch.get_num_threads(), torch.zeros(7, 8))) == {1}
    assert torch.get_num_threads() == threads


def test_an_error_in_a_batch_is_the_callers_and_leaves_the_threads(small_batches, threads):
    def work(rows):
        raise ValueError(f"rows {rows.tolist()}")

    with pytest.raises(ValueError, match=r"rows \[0, 1, 2\]"):
        over_batches(work, torch.zeros(7, 8))
    assert torch.get_num_threads() == threads


def test_a_table_larger_than_a_batch_is_one_for_itself(small_batches):
    assert over_batches(len, torch.zeros(2, 64)) == [1, 1]
