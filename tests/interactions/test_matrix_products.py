"""Linear layers and convolutions by either kernel, against torch's own in float64."""

import pytest
import torch
import torch.nn.functional as F

from interactions import matrix_products
from interactions.matrix_products import FEWEST, INPUTS, FasterLinear, convolution, linear, multiply_into

MEASURED = matrix_products.convolving_is_faster

# Sums of up to 40 products of numbers near 1 in float32.
ROUNDING = 2e-5


@pytest.fixture(params=[True, False], autouse=True)
def _kernel(request, monkeypatch):
    """As on a processor where convolving is faster, and where it is not."""
    monkeypatch.setattr(matrix_products, "convolving_is_faster", lambda: request.param)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def require_same(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=ROUNDING)


ROWS = [1, FEWEST - 1, FEWEST, FEWEST + 1, FEWEST + INPUTS, 3 * FEWEST + 7]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("bias", [True, False])
def test_linear(rows, bias):
    x, weight, shift = random(rows, 40), random(9, 40, seed=1), random(9, seed=2) if bias else None
    expected = F.linear(x.double(), weight.double(), None if shift is None else shift.double())
    with torch.inference_mode():
        require_same(linear(x, weight, shift), expected)
        target = torch.full((rows, 9), torch.nan)
        multiply_into(target, x, weight)
    require_same(target, x.double() @ weight.double().T)


def test_rows_of_several_axes_and_in_other_memory():
    x, weight = random(6, 40, 100).transpose(1, 2), random(9, 40, seed=1)
    expected = F.linear(x.double(), weight.double())
    with torch.inference_mode():
        require_same(linear(x, weight), expected)


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((1, 1), {}),
        ((1, 1), {"stride": [2, 1]}),
        ((1, 1), {"padding": [1, 0]}),
        ((1, 1), {"groups": 2}),
        ((1, 1), {"stride": [2]}),
        ((3, 1), {"padding": [1, 0], "dilation": [1, 1]}),
    ],
)
def test_convolution(memory, kernel, options):
    images = random(5, 8, 11, 12).contiguous(memory_format=memory)
    weight, bias = random(6, 8 // options.get("groups", 1), *kernel, seed=1), random(6, seed=2)
    expected = F.conv2d(images.double(), weight.double(), bias.double(), **options)
    with torch.inference_mode():
        found = convolution(images, weight, bias, **options)
        require_same(found, expected)
        if memory == torch.channels_last:
            assert found.is_contiguous(memory_format=torch.channels_last)


def test_linear_layers_of_any_network():
    """Given by place or by keyword, with few rows and with many."""
    net = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.ReLU(), torch.nn.Linear(30, 9))
    weight = random(9, 40, seed=1)
    for rows in (3, 2 * FEWEST):
        x = random(rows, 40)
        with torch.inference_mode(), FasterLinear():
            found, by_keyword = net(x), F.linear(input=x, weight=weight)
        with torch.inference_mode():
            torch.testing.assert_close(found, net(x), rtol=0, atol=ROUNDING)
            torch.testing.assert_close(by_keyword, F.linear(x, weight), rtol=0, atol=ROUNDING)


def test_the_two_kernels_are_measured_one_against_the_other(monkeypatch):
    """Where linear layers are replaced, too."""
    convolved, counts = matrix_products._convolved, []

    def counted(*arguments):
        counts.append(1)
        return convolved(*arguments)

    def calls_of(work):
        counts.clear()
        work()
        return 1.0 - len(counts) / 2  # whoever convolves is the faster

    monkeypatch.setattr(matrix_products, "_convolved", counted)
    monkeypatch.setattr(matrix_products, "_best_time", calls_of)
    with FasterLinear():
        assert MEASURED.__wrapped__()
    assert len(counts) == 0  # the other one does not


def test_float64_is_left_to_torch():
    x, weight = random(2 * FEWEST, 40).double(), random(9, 40, seed=1).double()
    with torch.inference_mode():
        assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_gradients_go_through():
    """Outside of inference it is torch's own."""
    x, weight = random(2 * FEWEST, 40).requires_grad_(), random(9, 40, seed=1)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand_as(x), rtol=0, atol=ROUNDING)
