"""Networks that read one token: the same outputs from fewer numbers, and from no fewer where all are read."""

import pytest
import torch
import torch.nn.functional as F
from timm.models import VisionTransformer
from torch import nn

from interactions.needed_tokens import only_needed
from interactions.traced import Traced, trace

# In float64 two orders of summation differ by some units of 2e-16; outputs here are of size 1.
SAME = {"rtol": 0.0, "atol": 1e-12}
TOKENS, WIDTH = 5, 12


class Reads(nn.Module):
    """Two blocks of attention and a linear layer over tokens, and then whatever `read` takes of them."""

    def __init__(self, read, *, causal: bool = False, mask: torch.Tensor | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.read, self.causal = read, causal
        self.register_buffer("mask", mask)
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
        self.after = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.places = nn.Parameter(torch.randn(1, TOKENS, WIDTH))
        self.head = nn.Linear(WIDTH, 3)
        self.double()

    def forward(self, x):
        for qkv, after in zip(self.qkv, self.after, strict=True):
            q, k, v = qkv(x).view(x.size(0), TOKENS, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.causal)
            x = x + after(mixed.transpose(1, 2).reshape(x.size(0), TOKENS, WIDTH))
            x = x + F.gelu(self.norm(x)) * self.places
        return self.head(self.read(x))


def narrowed(net: nn.Module, example: torch.Tensor) -> tuple[Traced, Traced, bool]:
    """The trace before and after, and whether both give what the network gives, on another batch."""
    whole = trace(net.eval(), example)
    needed = only_needed(whole)
    batch = torch.randn(3, *example.shape[1:], dtype=torch.float64)
    with torch.inference_mode():
        found = [one.run(0, len(one.steps), {one.source: batch}, 3)[one.result] for one in (whole, needed)]
        expected = net(batch)
    return whole, needed, all(torch.allclose(one, expected, **SAME) for one in found)


def numbers(traced: Traced) -> int:
    """How many numbers all linear layers give for one input."""
    linear = [step for step in traced.steps if step.target is torch.ops.aten.linear.default]
    return sum(int(torch.Size(step.meta["val"].shape[1:]).numel()) for step in linear)


@pytest.mark.parametrize("place", [0, 3, -1])
def test_one_token_is_read(place):
    whole, needed, same = narrowed(
        Reads(lambda x: x[:, place]), torch.randn(2, TOKENS, WIDTH, dtype=torch.float64)
    )
    assert same
    # Of the last linear layer of the last block one token of five; the first block is whole.
    assert numbers(whole) - numbers(needed) == (TOKENS - 1) * WIDTH


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.mean(1),
        lambda x: x[:, 0] + x[:, 1],
        lambda x: x.flatten(1)[:, :WIDTH] + x.sum(1),
        lambda x: x[:, :2].sum(1),
    ],
)
def test_several_tokens_are_read(read):
    whole, needed, same = narrowed(Reads(read), torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    assert numbers(whole) == numbers(needed)


@pytest.mark.parametrize("rows", [1, TOKENS])
def test_what_masks_the_queries_is_taken_with_them(rows):
    mask = torch.randn(1, 1, rows, TOKENS, dtype=torch.float64)
    net = Reads(lambda x: x[:, 2], mask=mask)
    whole, needed, same = narrowed(net, torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    assert numbers(needed) < numbers(whole)


def test_causal_attention_is_left_whole():
    """There a query's place says what it may see."""
    net = Reads(lambda x: x[:, 2], causal=True)
    _, needed, same = narrowed(net, torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    attention = torch.ops.aten.scaled_dot_product_attention.default
    assert all(step.meta["val"].shape[-2] == TOKENS for step in needed.steps if step.target is attention)


def test_a_vision_transformer():
    torch.manual_seed(0)
    net = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=2, num_classes=5)
    whole, needed, same = narrowed(net.double(), torch.randn(2, 3, 16, 16, dtype=torch.float64))
    assert same
    # Of the last block's projection and perceptron, one of 17 tokens.
    assert numbers(whole) - numbers(needed) == 16 * (24 + 4 * 24 + 24)


def test_a_network_without_tokens_stays_as_it_is():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).double()
    whole, needed, same = narrowed(net, torch.randn(2, 1, 4, 4, dtype=torch.float64))
    assert same
    assert needed is whole
