"""What the splitting would wait for on a GPU. What it solves is in test_fit, test_joint, test_ranges."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harsanyi.interactions.sparse.halpern import CERTIFY_PERIOD, split
from harsanyi.interactions.sparse.program import Program

aten = torch.ops.aten
# Operations whose result the processor must have before it goes on: values, and shapes that depend on values.
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal}


class Waits(TorchDispatchMode):
    """Counts the operations that would wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = function.overloadpacket in (aten.index, aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.count += masks or function.overloadpacket in WAITS
        return function(*args, **(kwargs or {}))


def test_what_waits_is_counted():
    values = torch.arange(3.0)
    with Waits() as waits:
        values + values
        values[torch.tensor([0, 2])]
    assert waits.count == 0
    with Waits() as waits:
        values[values > 1]
        bool((values > 1).any())
        values[0].item()
    assert waits.count == 3


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_it_waits_for_the_device_once_a_certificate(noise):
    """No gap is negative, so that all games stay."""
    u = torch.randn(3, 2**4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u -= u[:, :1].clone()
    program = Program(u, torch.full_like(u, noise).index_fill_(1, torch.tensor([0]), 0))
    counts = []
    for certificates in (1, 1, 4):  # once to make what is kept
        with Waits() as waits:
            split(program, tolerance=-1.0, max_steps=certificates * CERTIFY_PERIOD)
        counts.append(waits.count)
    assert counts[2] - counts[1] == 3
