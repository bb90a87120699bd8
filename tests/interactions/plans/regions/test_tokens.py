"""Rows of tokens: what transformers make of each token before tokens meet, against every masked input."""

import pytest
import timm
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from harsanyi.interactions import MaskedModel, Players, coalition_masks
from harsanyi.interactions.plans.regions.tables import tables_plan

# Sums of a few hundred products in another order, in float64.
EXACT = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def require_dense_scores(game):
    """All coalitions of all games, and the steps that were done on rows, by their names."""
    plan = tables_plan(game)
    games = torch.arange(game.games).repeat_interleave(2**game.n)
    masks = coalition_masks(game.n).repeat(game.games, 1)
    with torch.inference_mode(), game.prepared():
        expected = game.scores(games, masks)
    assert expected.std() > 1e-3  # the players matter
    torch.testing.assert_close(plan.scores(games, masks), expected, rtol=0, atol=EXACT)
    region = plan.plan(0)
    return [step.name for step in plan.traced.steps[: region.stop]], region


def test_patches_and_the_first_queries_keys_and_values():
    """A class token, the same for all inputs, stands beside the patches."""
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5, embed_dim=48)
    nn.init.normal_(net.head.weight)
    game = MaskedModel(net.eval(), torch.randn(2, 3, 32, 32), Players.grid(32, 32, 2, 2), labels=[0, 1])
    names, region = require_dense_scores(game)
    assert {"conv2d", "cat", "linear"} <= set(names)
    # Four patches present or absent, and the class token.
    assert region.layouts[region.traced.steps[region.stop - 1]].regions.rows == 4 * 2 + 1


def bert(**options):
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        **options,
    )
    net = BertForSequenceClassification(config)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.eval()


def sentences(length=8):
    ids = torch.randint(5, 30, (2, length))
    mask = torch.ones(2, length, dtype=torch.int64)
    mask[1, -2:] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": (torch.arange(length) > 4).long().expand(2, -1),
    }


OWNER = torch.tensor([-1, 0, 1, 1, 2, 3, -1, -1])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_words_replaced(attention):
    """Types of tokens are read beside them; words are looked up once a word, present and absent."""
    game = MaskedModel(
        bert(attn_implementation=attention),
        sentences(),
        Players(OWNER, 4, axis=0),
        labels=[0, 1],
        masked="input_ids",
        baseline=3.0,
    )
    names, region = require_dense_scores(game)
    assert {"embedding", "layer_norm", "linear"} <= set(names)
    assert {node.meta["val"].dtype for node in region.beside} == {torch.int64}


def test_embeddings_masked():
    net = bert()
    layer = "bert.embeddings.word_embeddings"
    game = MaskedModel(
        net,
        sentences(),
        Players(OWNER, 4, axis=0),
        labels=[0, 1],
        masked="input_ids",
        layer=layer,
        baseline="zeros",
    )
    names, _ = require_dense_scores(game)
    assert "linear" in names
    assert names[0] != "embedding"


def test_types_of_tokens_that_nobody_gave():
    """The model makes them for as many sentences as there are; they are the same for all."""
    inputs = sentences()
    del inputs["token_type_ids"]
    game = MaskedModel(
        bert(), inputs, Players(OWNER, 4, axis=0), labels=[0, 1], masked="input_ids", baseline=3.0
    )
    names, region = require_dense_scores(game)
    assert {"expand", "linear"} <= {name.rstrip("_0123456789") for name in names}
    assert not region.beside


def test_players_of_each_sentence():
    """Words lie elsewhere in every sentence."""
    owner = torch.stack([OWNER, OWNER.roll(1)])
    game = MaskedModel(
        bert(),
        sentences(),
        Players(owner, 4, axis=0, per_game=True),
        labels=[0, 1],
        masked="input_ids",
        baseline=3.0,
    )
    require_dense_scores(game)
