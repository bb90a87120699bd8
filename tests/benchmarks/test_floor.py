"""The closed forms of transformers' multiply-adds, against the counts of the plan itself."""

import pytest
import timm
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.plans.floor import ENCODERS, Encoder, vision
from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.plans.regions import convolutions, cuts, moves, pointwise, pools, steps
from harsanyi.interactions.plans.regions.tables import tables_plan

TOKENS = 10


def vision_game() -> tuple[MaskedModel, Encoder, int]:
    """A ViT-tiny of three blocks; four players, of 7 × 7 patches each."""
    network = timm.create_model("vit_tiny_patch16_224", depth=3)
    nn.init.normal_(network.head.weight, std=0.02)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    game = MaskedModel(network.eval(), image, Players.grid(224, 224, 2, 2), labels=[0])
    return game, vision("", 192).of_blocks(3), 2 * 196 + 1


def text_game() -> tuple[MaskedModel, Encoder, int]:
    """A BERT of three layers; four players of two tokens, and two tokens of none."""
    config = BertConfig(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96)
    ids = torch.randint(5, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    owner = torch.tensor([-1, *(word for word in range(4) for _ in range(2)), -1])
    game = MaskedModel(
        BertForSequenceClassification(config).eval(),
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        Players(owner, 4, axis=0),
        labels=[0],
        baseline=3.0,
        score="log_odds",
        masked="input_ids",
    )
    encoder = Encoder("", TOKENS, 48, 96, 3, 0, TOKENS, 48**2 + 2 * 48, fused=False)
    return game, encoder, 2 * 8 + 2


@pytest.mark.parametrize("make", [vision_game, text_game])
def test_the_closed_forms_are_the_plan_s_own_counts(make, monkeypatch):
    """To the last multiply-add, moves counted as nothing."""
    for module in (convolutions, cuts, moves, pointwise, pools, steps):
        if hasattr(module, "MOVE_COST"):
            monkeypatch.setattr(module, "MOVE_COST", 0.0)
    game, encoder, rows = make()
    plan = tables_plan(game).plan(0)
    assert plan.dense_cost == encoder.dense(game.n)
    assert plan.cost == encoder.planned(game.n, rows)
    assert encoder.floor(game.n) < plan.cost


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.title)
def test_the_floor_lies_below_the_plan(encoder):
    rows = 2 * encoder.tokens
    assert encoder.floor(12) < encoder.planned(12, rows) < encoder.dense(12)


@pytest.mark.parametrize("blocks", [1, 2])
def test_what_the_floor_assumes_of_the_first_block(blocks):
    """The hidden activations of all coalitions span as many dimensions as they can; before they do not.

    Attention over tokens of one player each, four heads' worth of softmax, float64: the sums over the tokens
    have rank at most heads · (players + 1), those behind the GELU the full one.
    """
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n, width, heads, hidden = 6, 24, 2, 96
    coalitions = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
    state = random(2, n, width)
    tokens = torch.where(coalitions[..., None] == 1, state[1], state[0])  # (coalitions, tokens, width)
    for block in range(blocks):
        queries, keys, values = (
            (tokens @ (random(width, width) / width**0.5)).unflatten(-1, (heads, -1)).transpose(1, 2)
            for _ in range(3)
        )
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
        joined = attended.transpose(1, 2).flatten(2)
        if block == 0:
            first = joined[coalitions[:, 0] == 1, 0]  # token 0 in one of its states
            assert torch.linalg.matrix_rank(first) <= heads * (n + 1)
        tokens = tokens + joined
        inner = nn.functional.gelu(tokens @ (random(width, hidden) / width**0.5))
        assert torch.linalg.matrix_rank(inner[:, 0], rtol=1e-12) == min(2**n, hidden)
        tokens = tokens + inner @ (random(hidden, width) / hidden**0.5)
