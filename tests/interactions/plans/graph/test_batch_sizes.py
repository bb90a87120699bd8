"""Networks that compute with the length of the batch, traced once and run on any."""

import functools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.graph import of_game
from harsanyi.interactions.plans.graph.kept import Programs
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.graph.values import Size, Value
from harsanyi.interactions.plans.plan import NotApplicable

# The same sums in another order, of a few hundred terms near 1 in float64.
EXACT = 1e-10


class Patches(nn.Module):
    """Attention among equal places of patches: the batch times the places of a patch, as in MobileViT."""

    def __init__(self, channels=4):
        super().__init__()
        self.attention = nn.Linear(channels, 3 * channels)

    def forward(self, x):
        batch, channels, height, width = x.shape
        rows, columns = math.ceil(height / 2), int(math.ceil(width / 2))  # noqa: RUF046
        x = x.reshape(batch * channels * rows, 2, columns, 2).transpose(1, 2)
        x = x.reshape(batch, channels, rows * columns, 4).transpose(1, 3)
        x = x.reshape(batch * 4, rows * columns, -1)
        q, k, v = self.attention(x).reshape(batch * 4, rows * columns, 3, channels).unbind(2)
        x = F.scaled_dot_product_attention(q, k, v).view(batch, 4, rows * columns, -1)
        x = x.transpose(1, 3).reshape(batch * channels * rows, columns, 2, 2)
        return x.transpose(1, 2).reshape(batch, channels, 2 * rows, 2 * columns)


class Positions(nn.Module):
    """Adds places that are counted for every input of the batch, as in EdgeNeXt."""

    def forward(self, x):
        batch, channels, height, width = x.shape
        mask = torch.zeros(batch, height, width, dtype=torch.bool, device=x.device)
        down = (~mask).cumsum(1, dtype=x.dtype)
        waves = down[..., None] / torch.arange(1, 1 + channels // 2, device=x.device, dtype=x.dtype)
        waves = torch.stack([waves.sin(), waves.cos()], dim=4).flatten(3)
        return x + waves.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Unfolded(nn.Module):
    """Patches by F.unfold, each a row of one batch, and back by F.fold."""

    def __init__(self, channels=4):
        super().__init__()
        self.mix = nn.Linear(4 * channels, 4 * channels)

    def forward(self, x):
        patches = F.unfold(x, 2, stride=2).transpose(1, 2)
        mixed = self.mix(patches.reshape(-1, patches.shape[-1])).relu()
        mixed = mixed.reshape(x.shape[0], -1, patches.shape[-1]).transpose(1, 2)
        return F.fold(mixed, x.shape[-2:], 2, stride=2)


class SequenceFirst(nn.Module):
    """Attention with the batch on the second axis, as nn.MultiheadAttention has it."""

    def __init__(self, channels=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2)

    def forward(self, x):
        tokens = x.flatten(2).permute(2, 0, 1)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return mixed.permute(1, 2, 0).reshape(x.shape)


class Windows(nn.Module):
    """Windows in the batch, as in Swin, by views of sizes that are read off the input."""

    def __init__(self, channels=4):
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x):
        batch, channels, height, width = x.size()
        x = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5).contiguous()
        x = self.mix(x.view(batch * (height // 2) * (width // 2), channels, 4)).relu()
        x = x.view(x.shape[0] // (height * width // 4), height // 2, width // 2, channels, 2, 2)
        return x.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)


class Rearranged(nn.Module):
    """Patches by einops."""

    def forward(self, x):
        from einops import rearrange

        rows = rearrange(x, "b c (h p) (w q) -> (b p q) (h w) c", p=2, q=2).softmax(1)
        return rearrange(rows, "(b p q) (h w) c -> b c (h p) (w q)", p=2, q=2, h=x.shape[2] // 2)


class Counted(nn.Module):
    """Its batch becomes a number of Python's."""

    def forward(self, x):
        return x.reshape(len(x) * 4, -1).softmax(1).reshape(int(x.shape[0]), *x.shape[1:])


MODULES = {part.__name__: part for part in (Patches, Positions, Unfolded, SequenceFirst, Windows, Rearranged)}


@functools.cache
def game_of(part):
    """Two pictures of 8 × 8 under a network with this part in the middle."""
    if part is Rearranged:
        pytest.importorskip("einops")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), part()),
            *(
                nn.Conv2d(4, 6, 3, padding=1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(6, 3),
            ),
        )
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return MaskedModel(net.double(), x, Players.grid(8, 8, 2, 2), labels=[0, 1], score="logit")


@pytest.mark.parametrize("name", MODULES)
def test_traces_run_on_batches_of_any_length(name):
    game, traced = traced_game(game_of(MODULES[name]))
    for length in (1, 2, 3, 5):
        batch = torch.randn(
            length, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(length)
        )
        torch.testing.assert_close(traced(batch), game.model(batch), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", MODULES)
def test_plans_are_right_or_refused_in_their_own_words(name):
    game = game_of(MODULES[name])
    expected = evaluate(game, progress=False)
    try:
        v = evaluate(game, plan="tables", progress=False)
    except ValueError as reason:
        assert "no cut pays" in str(reason)  # noqa: PT017
    else:
        torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", MODULES)
def test_estimates_do_not_fix_the_length_of_the_batch(name):
    _, traced = traced_game(game_of(MODULES[name]))
    bytes_of_one = traced.largest()
    for node in traced.steps:
        if isinstance(node.meta["val"], Value):
            assert any(isinstance(size, Size) for size in node.meta["val"].shape), node.name
    # The widest activation of one picture: six channels of 8 × 8, or the tripled four of its attention.
    assert bytes_of_one in (8 * 64 * 6, 8 * 64 * 12)


def test_a_length_that_is_fixed_while_tracing_is_named():
    with pytest.raises(
        ValueError, match="a step's batch size was fixed while tracing: its code has it as a number"
    ):
        choose(game_of(Counted), "tables")


def test_a_trace_of_one_length_is_refused(monkeypatch, tmp_path):
    program_of = of_game.program_of

    def fixed(*arguments):
        program = program_of(*arguments)
        return replace(program, sizes=dict.fromkeys(program.sizes, Size((2,))))

    monkeypatch.setattr(of_game, "PROGRAMS", Programs(lambda: tmp_path))
    monkeypatch.setattr(of_game, "program_of", fixed)
    with pytest.raises(NotApplicable, match="a step's batch size was fixed while tracing: on a batch of 1"):
        traced_game(game_of.__wrapped__(Patches))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050"])
def test_networks_of_timm_that_compute_with_the_batch(name):
    import timm

    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=5).eval().double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    game = MaskedModel(net, x, Players.grid(64, 64, 2, 2), labels=[0, 1])
    expected = evaluate(game, progress=False)
    torch.testing.assert_close(evaluate(game, plan="tables", progress=False), expected, rtol=0, atol=EXACT)
