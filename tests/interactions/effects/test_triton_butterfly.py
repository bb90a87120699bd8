"""Triton's kernel against the definition of the butterfly, and its choice on a GPU.

On a GPU it runs there, else on the CPU where Triton interprets it (CONTRIBUTING.md says how).
"""

import os

import pytest
import torch

from harsanyi.interactions import and_interactions
from harsanyi.interactions.effects import butterfly
from tests.interactions.effects.test_butterfly import WAYS, literal, random

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU or TRITON_INTERPRET=1", allow_module_level=True)
pytest.importorskip("triton")

from harsanyi.interactions.effects.triton_butterfly import launch  # noqa: E402


@pytest.mark.parametrize(("lower", "sign"), WAYS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n", range(1, 13))
def test_it_is_the_definition_for_many_tables(n, dtype, lower, sign):
    """Two programs of tables, the second not full."""
    table = random((2**12 >> n) + 1, 2**n).to(dtype)
    found = table.to(DEVICE, copy=True)
    launch(found, [1 << player for player in range(n)], lower, sign)
    assert torch.equal(found.cpu(), literal(table, lower, sign, 1))


@pytest.mark.parametrize(("lower", "sign"), WAYS)
@pytest.mark.parametrize("shape", [(2, 14, 1), (3, 5, 3), (2, 3, 700), (1, 10, 5)])
def test_it_is_the_definition_on_any_axis_and_for_more_players(shape, lower, sign):
    """Players in two launches, columns that end within a program, and more columns than one has."""
    lead, n, width = shape
    table = random(lead, 2**n, width)
    found = table.to(DEVICE, copy=True)
    launch(found, [width << player for player in range(n)], lower, sign)
    assert torch.equal(found.cpu(), literal(table, lower, sign, 1))


def test_zeros_keep_their_sign():
    """The halves are found by sums with zeros, which would make a 0 of a −0."""
    found = torch.tensor([-0.0, -0.0], dtype=torch.float64, device=DEVICE)
    launch(found, [1], False, -1)
    assert found.signbit().tolist() == [True, False]


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE.type == "cpu", reason="needs a CUDA device")
def test_transforms_take_it_on_a_gpu_but_not_under_autograd():
    assert butterfly._kernel(torch.device("cuda", 0)) is launch
    table = random(8, 2**5)
    assert torch.equal(and_interactions(table.cuda()).cpu(), and_interactions(table))
    assert butterfly._way(table.cuda().requires_grad_()) is not launch
