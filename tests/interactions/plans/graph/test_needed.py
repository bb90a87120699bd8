"""Networks that read one token: the same outputs from fewer numbers, and from no fewer where all are read."""

import pytest
import torch
import torch.nn.functional as F
from timm.models import VisionTransformer
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.graph.needed import only_needed
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.graph.traced import Traced

# In float64 two orders of summation differ by some units of 2e-16; outputs here are of size 1.
SAME = {"rtol": 0.0, "atol": 1e-12}
TOKENS, WIDTH = 5, 12
aten = torch.ops.aten


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
        outputs, expected = [one(batch) for one in (whole, needed)], net(batch)
    return whole, needed, all(torch.allclose(one, expected, **SAME) for one in outputs)


def numbers(traced: Traced) -> int:
    """How many numbers all linear layers give for one input."""
    linear = [step for step in traced.steps if step.target is aten.linear.default]
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


@pytest.mark.parametrize("read", [lambda x: x[:, -1], lambda x: x[:, -1:], lambda x: x[:, 4:5, 1:]])
def test_the_last_token_of_causal_attention_sees_all(read):
    net = Reads(lambda x: read(x).flatten(1) @ torch.ones(read(x).shape[-1], WIDTH).double(), causal=True)
    whole, needed, same = narrowed(net, torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    assert numbers(whole) - numbers(needed) == (TOKENS - 1) * WIDTH


def test_causal_attention_of_other_tokens_is_left_whole():
    """There a query's place says what it may see."""
    net = Reads(lambda x: x[:, 2], causal=True)
    _, needed, same = narrowed(net, torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    attention = aten.scaled_dot_product_attention.default
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


class Pointed(nn.Module):
    """What a function makes of tokens, read at one of them."""

    def __init__(self, then):
        super().__init__()
        self.then = then

    def forward(self, x):
        return self.then(x)[:, 2]


TURNED = {
    "softmax over features": lambda x: x.exp().softmax(-1),
    "log softmax over features": lambda x: x.exp().log_softmax(2),
    "rows of a product": lambda x: x.exp() @ x.transpose(1, 2),
    "rows of a product with a constant": lambda x: x.exp() @ torch.eye(WIDTH, dtype=x.dtype),
    "columns of a product": lambda x: (x.sin() @ x.exp().transpose(1, 2)).transpose(1, 2),
    "stretched": lambda x: x.exp().expand(x.size(0), TOKENS, WIDTH).sin(),
    "stretched from one": lambda x: x.mean(1, keepdim=True).expand(-1, TOKENS, -1).exp(),
    "chosen between": lambda x: torch.where(x > 0, x.exp(), 0.5),
    "chosen between numbers": lambda x: torch.where(x.exp() > 1, 1.0, 0.5).to(x.dtype),
    "filled": lambda x: x.exp().masked_fill(x > 0, torch.tensor(0.5, dtype=x.dtype)),
    "an axis more before": lambda x: x.exp().unsqueeze(1).sin().transpose(1, 2).flatten(2),
    "an axis more after": lambda x: x.exp().unsqueeze(3).sin().flatten(2),
    "in another type": lambda x: x.exp().to(torch.float32).to(torch.float64).sin(),
    "a mean over features": lambda x: (lambda made: made * made.mean(-1, keepdim=True))(x.exp()),
    "features side by side": lambda x: torch.cat([x.exp(), x], 2),
    "some features": lambda x: x.exp()[:, :, 1:3],
    "a token of all": lambda x: x.exp()[:, :, None].sum(2, keepdim=True)[:, :, 0],
    "scaled by the length": lambda x: x.exp() * x.size(0) / x.size(0),
}


@pytest.mark.parametrize("name", TURNED)
def test_what_one_token_needs(name):
    """The exponential is taken of one token."""
    torch.manual_seed(0)
    _, needed, same = narrowed(Pointed(TURNED[name]), torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    assert [step.meta["val"].shape[1] for step in needed.steps if step.target is aten.exp.default] == [1]


WHOLE = {
    "softmax over tokens": lambda x: x.softmax(1),
    "one token beside another": lambda x: x.roll(1, 1),
    "a product with itself": lambda x: (lambda square: square @ square)(x[:, :, :TOKENS]),
    "sums up to a token": lambda x: x.cumsum(1),
    "tokens one after another": lambda x: torch.cat([x[:, :2], x[:, 2:]], 1),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_needs_all_tokens(name):
    torch.manual_seed(0)
    _, needed, same = narrowed(Pointed(WHOLE[name]), torch.randn(2, TOKENS, WIDTH, dtype=torch.float64))
    assert same
    made = [step for step in needed.steps if step.target not in (aten.slice.Tensor, aten.select.int)]
    assert [step.meta["val"].shape[1] for step in made] == [TOKENS]


class Sentence(nn.Module):
    """An encoder of ids, an attention mask beside; read by its own head or by the mean of the tokens."""

    def __init__(self, net, mean=False):
        super().__init__()
        self.net, self.mean = net, mean

    def forward(self, ids, beside):
        if not self.mean:
            return self.net(ids, **beside).logits
        mask = beside["attention_mask"][..., None]
        return (self.net(ids, **beside).last_hidden_state * mask).sum(1) / mask.sum(1)


SIZES = {"vocab_size": 30, "max_position_embeddings": 12, "pad_token_id": 1, "num_labels": 3}
BLOCKS = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 96}


def encoder(name: str, how: str) -> nn.Module:
    """Three blocks of width 24, of a perceptron of width 96."""
    torch.manual_seed(0)
    options = {**SIZES, "attn_implementation": how}
    if name == "bert":
        return BertForSequenceClassification(BertConfig(**BLOCKS, **options)).double().eval()
    if name == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**BLOCKS, **options)).double().eval()
    config = DistilBertConfig(dim=24, n_layers=3, n_heads=2, hidden_dim=96, **options)
    return DistilBertForSequenceClassification(config).double().eval()


def ids_and_mask(count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    mask = (torch.arange(8) < torch.arange(8, 8 - count, -1)[:, None]).long()
    return torch.randint(5, 30, (count, 8)) * mask + 1 - mask, {"attention_mask": mask}


def multiplied(traced: Traced) -> int:
    """Multiply-adds of one sentence in all linear layers and products."""
    count = 0
    for step in traced.steps:
        shape = (
            [int(size) for size in step.meta["val"].shape[1:]] if hasattr(step.meta["val"], "shape") else []
        )
        size = int(torch.Size(shape).numel())
        if step.target in (aten.linear.default, aten.matmul.default):
            count += size * int(step.args[0].meta["val"].shape[-1])
        if step.target is aten.scaled_dot_product_attention.default:
            count += 2 * size * int(step.args[1].meta["val"].shape[-2])
    return count


@pytest.mark.parametrize(
    ("name", "how"), [("bert", "sdpa"), ("bert", "eager"), ("roberta", "sdpa"), ("distilbert", "eager")]
)
def test_the_last_block_of_an_encoder_is_made_for_the_class_token_alone(name, how):
    net = Sentence(encoder(name, how))
    whole = trace(net, *ids_and_mask(2))
    before, needed = multiplied(whole), only_needed(whole)
    with torch.inference_mode():
        ids, beside = ids_and_mask(3)
        assert torch.allclose(needed(ids, beside), net(ids, beside), **SAME)
    # Of 8 tokens, 7 need no query, no output of the attention and no perceptron; and they look at none.
    saved = 7 * (2 * 24**2 + 2 * 24 * 96) + 7 * 2 * 8 * 24
    assert before - multiplied(needed) == saved
    # Ten twelfths of the last of three blocks, but for the class token and for the products of attention.
    assert saved / before == pytest.approx(10 / 12 / 3 * 7 / 8, rel=0.05)


def test_a_language_model_asked_for_the_next_token_makes_the_last_one_alone():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    ids = torch.randint(3, 30, (1, 8))
    game = MaskedModel(
        LlamaForCausalLM(config).double().eval(),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        Players(torch.tensor([-1, 0, 0, 1, 2, -1, 3, -1]), 4, axis=0),
        labels=[3],
        baseline=7.0,
        score="next_token_log_odds",
    )
    _, traced = traced_game(game)
    # Of the last block queries, output of the attention and perceptron; and the vocabulary.
    a_block = 24 * 24 + 2 * 24 * 12 + 24 * 24 + 3 * 24 * 40
    one = 24 * 24 + 24 * 24 + 3 * 24 * 40 + 24 * 30
    attention = 2 * 2 * 8 * 8 * 24 + 2 * 8 * 24
    assert multiplied(traced) == 8 * (2 * a_block + 2 * 24 * 12) + one + attention
    outputs, expected = evaluate(game, plan="dense", progress=False), torch.empty(16, dtype=torch.float64)
    for number, mask in enumerate(coalition_masks(4)):
        there = torch.cat([mask, torch.tensor([True])])[game.players.owner]  # -1 is the last
        logits = game.model(input_ids=torch.where(there, ids, 7)).logits[0, -1]
        expected[number] = logits[3] - torch.cat([logits[:3], logits[4:]]).logsumexp(0)
    assert torch.allclose(
        dense_plan(game).scores(torch.zeros(16).long(), coalition_masks(4)), expected, **SAME
    )
    assert torch.allclose(outputs[0], expected, **SAME)


def test_the_mean_of_the_tokens_needs_them_all():
    net = Sentence(encoder("bert", "sdpa").bert, mean=True)
    whole = trace(net, *ids_and_mask(2))
    needed = only_needed(whole)
    ids, beside = ids_and_mask(3)
    with torch.inference_mode():
        assert torch.allclose(needed(ids, beside), net(ids, beside), **SAME)
    assert multiplied(needed) == multiplied(whole)
