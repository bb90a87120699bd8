"""Linear layers and convolutions by either kernel, against torch's own in float64."""

import pytest
import torch
import torch.nn.functional as F

from harsanyi.interactions.machine import onednn
from harsanyi.interactions.machine.onednn import (
    KEPT_SHAPES,
    MIN_MULTIPLY_ADDS,
    MIN_ROWS,
    FasterLinear,
    PackedConvolution,
    PackedLinear,
    linear,
    multiply_into,
)

BY_MACHINE = onednn.multiplies_faster

# Rounding of sums of up to 40 products of numbers near 1 in float32.
PRODUCT_ROUNDING = 2e-5


@pytest.fixture(params=[True, False], autouse=True)
def _kernel(request, monkeypatch):
    """As on a processor where oneDNN's linear layers are the faster ones, and where they are not."""
    monkeypatch.setattr(onednn, "multiplies_faster", lambda: request.param)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def require_same(outputs, expected):
    assert outputs.shape == expected.shape
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs.double(), expected, rtol=0, atol=PRODUCT_ROUNDING)


WIDTH = 200
# Few, as many as are worth the other kernel, and one more or less.
ROWS = [
    1,
    MIN_ROWS - 1,
    MIN_ROWS,
    MIN_MULTIPLY_ADDS // (40 * WIDTH),
    MIN_MULTIPLY_ADDS // (40 * WIDTH) + 1,
    3 * MIN_ROWS + 7,
]


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    """With rows of any number, one after another by the same weights."""
    weight, shift = random(WIDTH, 40, seed=1), random(WIDTH, seed=2) if bias else None
    packed = PackedLinear(weight)
    for rows in (*ROWS, *ROWS):
        x = random(rows, 40)
        expected = F.linear(x.double(), weight.double(), None if shift is None else shift.double())
        with torch.inference_mode():
            require_same(packed(x, shift), expected)
            require_same(linear(x, weight, shift), expected)
            target = torch.full((rows, WIDTH), torch.nan)
            multiply_into(target, x, weight)
        require_same(target, x.double() @ weight.double().T)


def test_rows_of_several_axes_and_in_other_memory():
    x, weight = random(6, 40, 100).transpose(1, 2), random(WIDTH, 40, seed=1)
    expected = F.linear(x.double(), weight.double())
    with torch.inference_mode():
        require_same(PackedLinear(weight)(x), expected)
        require_same(linear(x, weight), expected)


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((1, 1), {}),
        ((1, 1), {"stride": [2, 1]}),
        ((1, 1), {"padding": [1, 0]}),
        ((1, 1), {"groups": 2}),
        ((3, 3), {"groups": 2, "padding": [1]}),
        ((1, 1), {"stride": [2]}),
        ((3, 1), {"padding": [1, 0], "dilation": [1, 1]}),
    ],
)
def test_convolution(memory, kernel, options):
    images = random(5, 8, 11, 12).contiguous(memory_format=memory)
    weight, bias = random(6, 8 // options.get("groups", 1), *kernel, seed=1), random(6, seed=2)
    expected = F.conv2d(images.double(), weight.double(), bias.double(), **options)
    with torch.inference_mode():
        packed = PackedConvolution(weight, **options)
        for count in (2, 5, 3, 5):
            require_same(packed(images[:count], bias), expected[:count])
            assert len(packed._packed) <= KEPT_SHAPES
        require_same(
            PackedConvolution(weight, **options)(images[:, :, ::2]),
            F.conv2d(images[:, :, ::2].double(), weight.double(), **options),
        )
        if memory == torch.channels_last:
            assert packed(images).is_contiguous(memory_format=torch.channels_last)


def test_linear_layers_of_any_network():
    """Given by place or by keyword, with few rows and with many."""
    net = torch.nn.Sequential(torch.nn.Linear(40, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 9))
    weight = random(9, 40, seed=1)
    for rows in (3, max(ROWS)):
        x = random(rows, 40)
        with torch.inference_mode(), FasterLinear():
            outputs, by_keyword = net(x), F.linear(input=x, weight=weight)
        with torch.inference_mode():
            torch.testing.assert_close(outputs, net(x), rtol=0, atol=PRODUCT_ROUNDING)
            torch.testing.assert_close(by_keyword, F.linear(x, weight), rtol=0, atol=PRODUCT_ROUNDING)


def test_a_network_is_followed_only_where_that_may_pay():
    """Following costs every operation a call."""
    assert isinstance(onednn.faster_linear(), FasterLinear) == onednn.multiplies_faster()


@pytest.mark.parametrize("capability", ["AVX512", "AVX2", "DEFAULT"])
def test_the_kernel_follows_from_the_machine(monkeypatch, capability):
    """And not from a measurement: a run that is repeated has the same bits."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert BY_MACHINE.__wrapped__() == (capability == "AVX512")


def test_a_row_has_the_same_bits_among_any_others():
    """By packed weights, whatever number of rows met them first."""
    x, weight = random(3 * max(ROWS), 40), random(WIDTH, 40, seed=1)
    packed = PackedLinear(weight)
    with torch.inference_mode():
        few, many = packed(x[: max(ROWS)]), packed(x)
        assert torch.equal(few, many[: max(ROWS)])
        assert torch.equal(many, PackedLinear(weight)(x))


def test_float64_is_left_to_torch():
    x, weight = random(2 * MIN_ROWS, 40).double(), random(9, 40, seed=1).double()
    images, window = random(2, 3, 6, 6).double(), random(4, 3, 2, 2).double()
    with torch.inference_mode():
        assert torch.equal(linear(x, weight), F.linear(x, weight))
        assert torch.equal(PackedLinear(weight)(x), F.linear(x, weight))
        assert torch.equal(PackedConvolution(window)(images), F.conv2d(images, window))


def test_no_rows_and_no_images():
    with torch.inference_mode():
        assert PackedLinear(random(9, 40))(random(0, 40)).shape == (0, 9)
        assert PackedConvolution(random(4, 3, 2, 2))(random(0, 3, 5, 5)).shape == (0, 4, 4, 4)


def test_without_its_kernels_all_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(onednn, "_packs", lambda: False)
    x, weight, images, window = random(40, 8), random(9, 8), random(2, 3, 6, 6), random(4, 3, 2, 2)
    with torch.inference_mode():
        assert torch.equal(PackedLinear(weight)(x), F.linear(x, weight))
        assert torch.equal(PackedConvolution(window)(images), F.conv2d(images, window))
    assert not BY_MACHINE.__wrapped__()


def test_gradients_go_through():
    """Outside of inference it is torch's own."""
    x, weight = random(max(ROWS), 40).requires_grad_(), random(WIDTH, 40, seed=1)
    (linear(x, weight) + PackedLinear(weight)(x)).sum().backward()
    torch.testing.assert_close(x.grad, 2 * weight.sum(0).expand_as(x), rtol=0, atol=WIDTH * PRODUCT_ROUNDING)
    images = random(2, 3, 5, 5).requires_grad_()
    PackedConvolution(torch.ones(1, 3, 1, 1))(images).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))
