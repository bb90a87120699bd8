"""The devices of these tests: the second device, and the accelerator of the machine where there is one."""

from collections.abc import Iterator

import pytest
import torch

from tests.device import second
from tests.planning import make_planning_free

HAS_ACCELERATOR = torch.accelerator.is_available()
DEVICES = [
    pytest.param(
        "second",
        marks=pytest.mark.skipif(
            HAS_ACCELERATOR or not second.is_possible(),
            reason="needs a torch that takes a device in Python, and no other accelerator",
        ),
    ),
    pytest.param(
        "accelerator",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not HAS_ACCELERATOR, reason="needs an accelerator")],
    ),
]


@pytest.fixture(params=DEVICES)
def device(request) -> Iterator[torch.device]:
    """A device that is not the CPU."""
    if request.param == "accelerator":
        yield torch.empty(0, device=torch.accelerator.current_accelerator()).device
        return
    with second.present() as device:
        yield device


@pytest.fixture
def planned(monkeypatch):
    """Plans are looked for however few the forwards are."""
    make_planning_free(monkeypatch)
