"""Random convolutional networks, players and cuts: outputs by way of rows are the dense ones, in float64."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions import MaskedModel, Players, coalition_masks
from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.regions.cuts import plan_regions
from harsanyi.interactions.plans.regions.regions import Regions
from harsanyi.interactions.plans.regions.steps import TableLayout
from harsanyi.interactions.plans.regions.tables import RegionTables

# Of the largest output. A few layers of a few hundred products each, in another order, in float64: 1e-14 at
# most; a wrong row shows in the first digits.
EXACT = 1e-9
ACTIVATIONS = (nn.ReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU)


class RandomNetwork(nn.Module):
    """Some random operations one after another, and a head; all drawn from a seed."""

    def __init__(self, seed):
        super().__init__()
        self.draw = random.Random(seed)
        self.parts, self.steps = nn.ModuleList(), []
        self.size = [self.draw.randint(9, 16), self.draw.randint(9, 16)]
        self.shape = tuple(self.size)
        self.width = 3
        kinds = [self.convolution, self.convolution, self.residual, self.branches, self.pool, self.pointwise,
                 self.shared, self.padded, self.shuffled, self.channels_last, self.upsampled]  # fmt: skip
        for place in range(self.draw.randint(3, 7)):
            self.draw.choice(kinds if place < 2 else [*kinds, self.excited])()
        self.flat = self.draw.random() < 0.3
        self.head = nn.Linear(self.width * (self.size[0] * self.size[1] if self.flat else 1), 3)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return self.head(torch.flatten(x, 1) if self.flat else F.adaptive_avg_pool2d(x, 1).flatten(1))

    def added(self, part):
        self.parts.append(part)
        return part

    def resized(self, step):
        """Runs a step after the others, and finds what size it leaves."""
        self.steps.append(step)
        with torch.no_grad():
            self.width, *self.size = step(torch.zeros(2, self.width, *self.size)).shape[1:]

    def kernel(self, stride=(1, 2)):
        """A kernel with stride, padding and dilation that fits what is there."""
        size = [min(self.draw.choice([1, 2, 3, 3, 5]), length) for length in self.size]
        dilation = [
            self.draw.choice([1, 2]) if 2 * k - 1 <= n else 1 for k, n in zip(size, self.size, strict=True)
        ]
        padding = [self.draw.randint(0, k // 2) for k in size]
        return {
            "kernel_size": tuple(size),
            "stride": tuple(self.draw.choice(stride) for _ in size),
            "padding": tuple(padding),
            "dilation": tuple(dilation),
        }

    def normed(self, width):
        """A batch norm with statistics, or nothing; and an activation, in place or not."""
        kind = self.draw.choice(ACTIVATIONS)
        activation = kind() if kind is nn.GELU else kind(inplace=self.draw.random() < 0.5)
        if self.draw.random() < 0.4:
            return nn.Sequential(activation)
        norm = nn.BatchNorm2d(width, affine=self.draw.random() < 0.7)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        return nn.Sequential(norm, activation)

    def convolution(self):
        groups = self.draw.choice([1, 1, self.width, 2 if self.width % 2 == 0 else 1])
        width = groups * self.draw.randint(1, max(1, 8 // groups))
        options = self.kernel()
        modes = ["zeros", "zeros", "replicate", "circular", "reflect"]
        mode = self.draw.choice(modes if max(options["padding"]) < min(self.size) else modes[:1])
        layer = nn.Conv2d(
            self.width, width, groups=groups, padding_mode=mode, bias=self.draw.random() < 0.5, **options
        )
        self.resized(self.added(nn.Sequential(layer, self.normed(width)).eval()))

    def residual(self):
        body = nn.Conv2d(self.width, self.width, 3, padding=1)
        body = self.added(nn.Sequential(body, self.normed(self.width)).eval())
        after = self.draw.choice([F.relu, F.relu_, torch.tanh, lambda x: x])
        self.resized(lambda x: after(body(x) + x))

    def branches(self):
        left = self.added(nn.Conv2d(self.width, self.draw.randint(1, 4), 3, padding=1))
        right = self.added(nn.Conv2d(self.width, self.draw.randint(1, 4), (1, 3), padding="same"))
        pooled = self.draw.random() < 0.5
        self.resized(
            lambda x: torch.cat([left(x), right(x), *([F.max_pool2d(x, 3, 1, 1)] if pooled else [])], 1)
        )

    def pool(self):
        size, ceil = [min(self.draw.choice([2, 3]), length) for length in self.size], self.draw.random() < 0.5
        padding = self.draw.choice([0, 1]) if min(size) > 1 else 0
        counted = self.draw.random() < 0.5
        if self.draw.random() < 0.5:
            self.resized(lambda x: F.max_pool2d(x, size, 2, padding, ceil_mode=ceil))
        else:
            self.resized(lambda x: F.avg_pool2d(x, size, 2, padding, ceil, counted))

    def pointwise(self):
        places = torch.randn(1, self.width, *self.size, dtype=torch.float64)
        self.register_buffer(f"places_{len(self.steps)}", places)
        number = f"places_{len(self.steps)}"
        self.resized(lambda x: (x * 0.5 + getattr(self, number).to(x)).sigmoid() * x)

    def shared(self):
        layer = self.added(nn.Conv2d(self.width, self.width, 3, padding=1))
        self.resized(lambda x: layer(F.relu(layer(x))))

    def padded(self):
        sizes = [self.draw.randint(0, 2) for _ in range(4)]
        self.resized(lambda x: F.pad(x, sizes, value=0.3)[:, :, 1:])

    def shuffled(self):
        groups = 2 if self.width % 2 == 0 else 1

        def shuffle(x):
            split = x.view(x.size(0), groups, x.size(1) // groups, x.size(2), x.size(3))
            left, right = split.transpose(1, 2).reshape(x.shape), x
            return left + right

        self.resized(shuffle)

    def channels_last(self):
        norm, layer = self.added(nn.LayerNorm(self.width)), self.added(nn.Linear(self.width, self.width))
        self.resized(lambda x: x + layer(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2))

    def excited(self):
        layer = self.added(nn.Conv2d(self.width, self.width, 1))
        self.resized(lambda x: x * layer(F.adaptive_avg_pool2d(x, 1)).sigmoid())

    def upsampled(self):
        if max(self.size) <= 10:
            self.resized(lambda x: F.interpolate(x, scale_factor=2))


def random_owners(draw, shape, n):
    """A grid, cells around random centres, or no order at all; some places nobody's."""
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    places = torch.cartesian_prod(torch.arange(shape[0]), torch.arange(shape[1])).float()
    kind = draw.choice(["bands", "cells", "cells", "none"])
    if kind == "bands":
        owner = torch.arange(shape[1]).expand(shape) * n // shape[1]
    elif kind == "cells":
        centres = torch.rand(n, 2, generator=generator) * torch.tensor(shape)
        owner = torch.cdist(places, centres).argmin(1).view(shape)
    else:
        owner = torch.randint(0, n, shape, generator=generator)
    owner = owner.clone()
    if draw.random() < 0.5:
        owner[torch.rand(shape, generator=generator) < 0.2] = -1
    owner.view(-1)[torch.randperm(owner.numel(), generator=generator)[:n]] = torch.arange(n)
    return owner


def random_game(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RandomNetwork(seed).double().eval()
        x, baseline = torch.randn(2, 1, 3, *net.shape, dtype=torch.float64)
    n = net.draw.choice([4, 4, 5])
    players = Players(random_owners(net.draw, net.shape, n), n, axis=-2)
    return net, MaskedModel(net, x, players, baseline=baseline[0], labels=[0])


def cuts_of(traced, source, n):
    """The places among the steps where rows may begin or end: where all that lives is understood."""
    layouts = plan_regions(traced, source, n, (0, 0)).layouts
    understood = 1 + sum(step in layouts for step in traced.steps)
    return [
        place
        for place in range(understood)
        if all(isinstance(layouts.get(node), TableLayout) for node in traced.live(place))
    ]


def require_dense_outputs(seed, tried=4):
    net, game = random_game(seed)
    games, coalitions = torch.zeros(2**game.n, dtype=torch.int64), coalition_masks(game.n)
    with torch.inference_mode(), game.prepared():
        expected = game.forward(games, coalitions)
        traced = trace(net, game.inputs.expand(2, -1, -1, -1).clone())
        seen = game.players.players_at((3, *net.shape))
        source = TableLayout(Regions(seen, net.shape), (3,))
        places = cuts_of(traced, source, game.n)
        pairs = [sorted(net.draw.choices(places, k=2)) for _ in range(tried)] + [[0, places[-1]]]
        for start, stop in pairs:
            plan = plan_regions(traced, source, game.n, (start, stop))
            tables = RegionTables(game, traced, (3, *net.shape), 2**40, {0: plan})
            found = torch.full_like(expected, torch.nan)
            for numbers, outputs in tables.outputs(0, coalitions, batch_size=net.draw.choice([1, 5, 64])):
                found[numbers] = outputs
            error = float((found - expected).abs().max() / expected.abs().max())
            assert error < EXACT, f"seed {seed}, steps {start} to {stop}: {error}"
    return places[-1]


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed):
    assert require_dense_outputs(seed) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", range(8, 508, 50))
def test_many_random_networks(first):
    depths = [require_dense_outputs(seed) for seed in range(first, first + 50)]
    assert max(depths) > 10  # rows are really gone through
