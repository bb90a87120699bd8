"""Each operation on the rows of its regions against torch's own on every coalition, in float64."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions import chains
from harsanyi.interactions.plans.regions.cuts import plan_regions
from harsanyi.interactions.plans.regions.regions import Regions
from harsanyi.interactions.plans.regions.steps import TableLayout

# The same products in another order, a few hundred of them and of numbers near 1, in float64.
EXACT = 1e-12
N, CHANNELS, SHAPE = 4, 4, (7, 9)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@cache
def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def masked(owner, seed=0):
    """An input on all coalitions of its players, the baseline another input."""
    present = (torch.arange(2**N)[:, None] >> torch.arange(N)) & 1 == 1
    keep = torch.cat([present, torch.ones(2**N, 1, dtype=torch.bool)], 1)[:, owner]
    x, baseline = random(2, CHANNELS, *owner.shape, seed=seed)
    return present, torch.where(keep[:, None], x, baseline)


def owner_map(seed, shape=SHAPE):
    """Players without any order, some places nobody's."""
    return torch.randint(-1, N, shape, generator=torch.Generator().manual_seed(seed))


def layout_of(owner, channels=CHANNELS):
    players = np.where(owner.numpy() < 0, 0, 1 << owner.clamp(min=0).numpy())
    return TableLayout(Regions(players.reshape(-1), tuple(owner.shape)), (channels,))


def require_dense_numbers(function, owner=None, cuts=None):
    """By rows all the way, what is returned is what the function gives of every coalition."""
    owner = owner_map(0) if owner is None else owner
    present, batch = masked(owner)
    expected = function(batch)  # first, so that what it draws is drawn before it is traced
    traced = trace(Function(function).double(), batch[:2])
    plan = plan_regions(traced, layout_of(owner), N, cuts or (0, len(traced.steps)))
    colours = torch.tensor(plan.colours)
    covering = [int(sum(2**p for p in range(N) if row[p])) for row in plan.covering(torch.device("cpu"))]
    assert plan.covering(torch.device("cpu")).shape == (2 ** (1 + int(colours.max())), N)
    live = traced.run(0, plan.start, {traced.source: batch[covering]}, len(covering))
    order = torch.randperm(2**N, generator=torch.Generator().manual_seed(1))
    values = plan.activations(plan.tables(live), present[order], images_last=True)
    outputs = traced.run(plan.stop, len(traced.steps), values, 2**N)[traced.result]
    torch.testing.assert_close(outputs, expected[order], rtol=0, atol=EXACT)
    return plan


def convolution(**options):
    kernel = options.pop("kernel", (3, 3))
    width = options.pop("width", 6)
    bias = random(width, seed=3) if options.pop("bias", True) else None
    weight = random(width, CHANNELS // options.get("groups", 1), *kernel, seed=2)
    return lambda x: F.conv2d(x, weight, bias, **options)


CONVOLUTIONS = {
    "plain": {},
    "padded": {"padding": 1},
    "without bias": {"padding": 1, "bias": False},
    "strided": {"padding": 1, "stride": 2},
    "strides of their own": {"padding": (2, 0), "stride": (1, 3)},
    "dilated": {"padding": 2, "dilation": 2},
    "dilations of their own": {"padding": (0, 3), "dilation": (1, 3)},
    "kernel that is not square": {"kernel": (1, 5), "padding": (0, 2)},
    "even kernel": {"kernel": (2, 4), "padding": (1, 2)},
    "padding beyond the kernel": {"padding": 4},
    "groups": {"padding": 1, "groups": 2},
    "groups without bias": {"padding": 1, "groups": 2, "bias": False},
    "depthwise": {"padding": 1, "groups": 4, "width": 4},
    "depthwise without bias": {"padding": 1, "groups": 4, "width": 4, "bias": False},
    "depthwise, more channels after": {"padding": 1, "groups": 4, "width": 8},
    "one place": {"kernel": (1, 1)},
    "one place, strided": {"kernel": (1, 1), "stride": 2},
    "one place, padded": {"kernel": (1, 1), "padding": 1},
    "one place, groups": {"kernel": (1, 1), "groups": 2},
    "one place, depthwise": {"kernel": (1, 1), "groups": 4, "width": 4},
    "same": {"padding": "same"},
    "same, even kernel, dilated": {"kernel": (4, 2), "padding": "same", "dilation": (2, 3)},
    "valid": {"padding": "valid", "stride": 2},
    "all there is": {"kernel": SHAPE},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    require_dense_numbers(convolution(**CONVOLUTIONS[name]))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes(mode):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Conv2d(CHANNELS, 5, (3, 5), padding=(1, 2), stride=(1, 2), padding_mode=mode).double()
    require_dense_numbers(layer.requires_grad_(False))


POOLS = {
    "max": lambda x: F.max_pool2d(x, 2),
    "max, padded": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max, ceil": lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
    "max, ceil, padded": lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "max, dilated": lambda x: F.max_pool2d(x, 2, 1, 1, dilation=(2, 3)),
    "max, not square": lambda x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0)),
    "max of numbers below zero, padded": lambda x: F.max_pool2d(x - 100, 3, 2, 1),
    "mean": lambda x: F.avg_pool2d(x, 2),
    "mean, padded": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "mean, padding not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "mean, ceil": lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
    "mean, ceil, padded": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "mean, ceil, padding not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
    "mean, divisor": lambda x: F.avg_pool2d(x, (2, 3), (2, 1), (1, 0), divisor_override=5),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools(name):
    require_dense_numbers(POOLS[name])


TAKEN = {
    "padded with a number": lambda x: F.pad(x, (1, 0, 2, 3), value=1.5),
    "padded on one axis": lambda x: F.pad(x, (2, 1)),
    "padded, then convolved": lambda x: convolution()(F.pad(x, (0, 1, 0, 1))),
    "cropped by padding": lambda x: F.pad(x, (-1, 2, 0, -2)),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "replicated": lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"),
    "around": lambda x: F.pad(x, (1, 2, 3, 0), mode="circular"),
    "channels added": lambda x: F.pad(x, (0, 0, 0, 0, 1, 2), value=0.5),
    "rows sliced": lambda x: x[:, :, 1:-1],
    "every other place": lambda x: x[:, :, ::2, 1::2],
    "channels sliced": lambda x: x[:, 1:3] * x[:, 2:],
    "whole batch sliced": lambda x: x[:, :, :, 1:][:],
    "upsampled": lambda x: F.interpolate(x, scale_factor=2),
    "upsampled to a size": lambda x: F.interpolate(x, size=(10, 13)),
    "shrunk": lambda x: F.interpolate(x, scale_factor=(0.5, 0.7)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_moved_places(name):
    require_dense_numbers(TAKEN[name])


def layer_normed(x):
    last = x.permute(0, 2, 3, 1)
    last = F.layer_norm(last, (CHANNELS,), 1 + random(CHANNELS, seed=4), random(CHANNELS, seed=5), 1e-3)
    last = F.gelu(F.linear(last, random(8, CHANNELS, seed=6), random(8, seed=7)))
    return F.linear(last, random(CHANNELS, 8, seed=8)).permute(0, 3, 1, 2) + x


def shuffled(x):
    return x.view(-1, 2, 2, *SHAPE).transpose(1, 2).reshape(-1, CHANNELS, *SHAPE)


def branched(x):
    left, right = x.chunk(2, 1)
    one, two, three = torch.split(x, [1, 1, 2], 1)
    return torch.cat([left, F.max_pool2d(right, 3, 1, 1), one * two, three, three], 1)


CHANNELS_MOVED = {
    "channels last": layer_normed,
    "shuffled": shuffled,
    "shuffled by name": lambda x: F.channel_shuffle(x, 2),
    "split and joined": branched,
    "grouped by view": lambda x: (x.view(-1, 2, 2, *SHAPE) * 2.0).view(-1, CHANNELS, *SHAPE),
}


@pytest.mark.parametrize("name", CHANNELS_MOVED)
def test_channels_moved(name):
    require_dense_numbers(CHANNELS_MOVED[name])


PLACES = random(1, CHANNELS, *SHAPE, seed=9)
POINTWISE = {
    "relu": F.relu,
    "hardswish": F.hardswish,
    "several": lambda x: F.silu(x) * F.gelu(x, approximate="tanh") + F.mish(F.relu6(x)) - F.elu(x),
    "prelu": lambda x: F.prelu(x, random(CHANNELS, seed=3)),
    "prelu of one slope": lambda x: F.prelu(x, random(1, seed=3)),
    "numbers": lambda x: 1 - 2 * x / 3,
    "other factor": lambda x: torch.add(x, x.tanh(), alpha=0.3),
    "twice the same": lambda x: x + x,
    "number of no axes": lambda x: x * torch.tensor(0.5, dtype=x.dtype),
    "by channel": lambda x: x * random(CHANNELS, 1, 1, seed=2) + random(1, CHANNELS, 1, 1, seed=3),
    "by place": lambda x: x + PLACES,
    "by place, before it": lambda x: PLACES[0] - x,
    "by place, for all channels": lambda x: x * PLACES[0, 0] + PLACES[:, :1],
    "by row": lambda x: x + PLACES[0, :, :, :1],
    "by column": lambda x: x * PLACES[0, 0, :1],
    "by place, channels last": lambda x: (x.permute(0, 2, 3, 1) + PLACES.permute(0, 2, 3, 1)),
    "by place for all channels, channels last": lambda x: x.permute(0, 2, 3, 1) * PLACES[0, 0, :, :, None],
    "by channel, channels last": lambda x: x.permute(0, 2, 3, 1) * random(CHANNELS, seed=4),
    "chosen": lambda x: torch.where(x > 0.2, x, PLACES),
    "clamped": lambda x: torch.clamp(x, max=PLACES.abs()),
    "regions of their own": lambda x: (
        convolution(width=4, padding=1)(x) * x + F.avg_pool2d(x, (1, 5), 1, (0, 2))
    ),
    "three of them": lambda x: torch.addcmul(
        x, convolution(width=4, padding=2, dilation=2)(x), F.max_pool2d(x, 3, 1, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTWISE)
def test_each_place_by_itself(name):
    require_dense_numbers(POINTWISE[name])


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_that_stays(affine):
    gain, shift = (random(CHANNELS, seed=seed) if affine else None for seed in (2, 3))
    mean, variance = random(CHANNELS, seed=4), random(CHANNELS, seed=5).abs() + 0.1
    require_dense_numbers(lambda x: F.relu(F.batch_norm(x, mean, variance, gain, shift)) + x)


@pytest.mark.parametrize("seed", range(8))
def test_random_regions_and_cuts(seed):
    """One small network over other players each time, with rows from anywhere to anywhere."""

    def network(x):
        x = F.relu(convolution(width=4, padding=1)(x)) + x
        x = torch.cat([F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)], 1)
        return F.conv2d(x, random(3, 8, 1, 1, seed=8)) * 2

    generator = torch.Generator().manual_seed(seed)
    start, more = (int(torch.randint(0, 4, (), generator=generator)) for _ in range(2))
    require_dense_numbers(network, owner_map(seed), (start, start + more))


@pytest.mark.parametrize("numbers", [1, 300])
def test_working_in_slices_changes_nothing(numbers, monkeypatch):
    """Down to the rows of one place at a time, and to a few channels of their products."""
    monkeypatch.setattr(chains, "CPU_SLICE_NUMBERS", numbers)
    monkeypatch.setattr("harsanyi.interactions.plans.regions.convolutions.WORKSPACE_BYTES", 1)
    require_dense_numbers(lambda x: F.max_pool2d(convolution(padding=1, width=40)(x), 2))
    require_dense_numbers(convolution(padding=1, groups=2))
    require_dense_numbers(lambda x: F.relu(F.conv2d(x, random(8, CHANNELS, 3, 3)).chunk(2, 1)[1]) * 2)


def test_rows_of_a_layout_without_any_player():
    """All background: one row a place, on one coalition twice."""
    plan = require_dense_numbers(convolution(padding=1), torch.full(SHAPE, -1))
    assert plan.layouts[plan.traced.result].regions.rows == SHAPE[0] * SHAPE[1]


NOT_UNDERSTOOD = {
    "pooled over all places": lambda x: x * x.mean((2, 3), keepdim=True),
    "flattened": lambda x: x.flatten(1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "weights of the input": lambda x: F.linear(x.permute(0, 2, 3, 1), x.mean((0, 2, 3))[None]),
    "other permutation": lambda x: x.permute(0, 1, 3, 2),
    "places transposed": lambda x: x.transpose(2, 3),
    "places joined in their second axis": lambda x: torch.cat([x, x], 3),
    "places split": lambda x: x.split(3, 2)[0],
    "norm over places": lambda x: F.layer_norm(x, SHAPE),
    "places and channels padded": lambda x: F.pad(x, (1, 1, 0, 0, 1, 1)),
    "broadcast to more": lambda x: x[:, :1] + PLACES,
    "two shapes": lambda x: x * x[:, :1],
    "joined with a constant": lambda x: torch.cat([x, PLACES.expand(x.size(0), -1, -1, -1)], 1),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "group norm": lambda x: F.group_norm(x, 2),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_refused_and_never_done_wrong(name):
    with pytest.raises(NotApplicable):
        require_dense_numbers(NOT_UNDERSTOOD[name])
