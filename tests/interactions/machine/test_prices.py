"""Prices follow from what a device says of itself."""

import pytest
import torch

from harsanyi.interactions.machine import prices as prices_module
from harsanyi.interactions.machine.prices import Prices

ACCELERATOR = torch.device("meta")  # any device that is no CPU


def test_cores_share_products_and_numbers(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = Prices.of(torch.device("cpu"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    four = Prices.of(torch.device("cpu"))
    assert (four.multiply_add, four.number) == (one.multiply_add / 4, one.number / 4)
    assert four.call == one.call  # one thread makes the calls


@pytest.mark.parametrize(
    ("count", "taken"), [(132, 132), (20, 20), (None, prices_module.USUAL_MULTIPROCESSORS)]
)
def test_an_accelerator_is_as_fast_as_its_multiprocessors(monkeypatch, count, taken):
    monkeypatch.setattr(prices_module, "multiprocessors", lambda device: count)
    prices = Prices.of(ACCELERATOR)
    assert prices.multiply_add * taken == pytest.approx(1 / prices_module.MULTIPROCESSOR_MULTIPLY_ADDS)
    assert prices.number * taken == pytest.approx(8 / prices_module.MULTIPROCESSOR_BYTES)
    assert prices.call == prices_module.LAUNCH


def test_seconds_are_sums():
    assert Prices(3.0, 5.0, 7.0).seconds(1, 10, 100) == 3 + 50 + 700
