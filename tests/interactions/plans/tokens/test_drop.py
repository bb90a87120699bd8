"""Token dropping against one dense forward per coalition, in float64; what stays counted by hand."""

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from harsanyi.data import planted
from harsanyi.interactions import MaskedModel, Players, coalition_masks, token
from harsanyi.interactions.game.forward import arguments
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.tokens.drop import drop_plan
from tests.interactions.plans.tokens.dense_numbers import (
    all_pairs,
    require_any_order,
    require_dense_numbers,
    require_rounding_in_float32,
)

VOCABULARY, TOKENS, PADDING = 40, 9, 1
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 24, "pad_token_id": PADDING, "num_labels": 3,
}  # fmt: skip


def made(kind, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(config).double().eval()


def bert(kind=BertForSequenceClassification):
    return made(kind, BertConfig(**SMALL))


def roberta():
    return made(RobertaForSequenceClassification, RobertaConfig(**SMALL))


def distilbert():
    config = DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=24,
        num_labels=3, pad_token_id=PADDING,
    )  # fmt: skip
    return made(DistilBertForSequenceClassification, config)


OWNERS = {
    "a token each, between marks": [-1, 0, 1, 2, 3, -1, -1, -1, -1],
    "several tokens, interleaved": [-1, 1, 0, 1, 3, 0, 2, 3, -1],
    "the first token is a player's": [0, 1, 1, 2, 3, -1, -1, -1, -1],
    "no background": [0, 1, 1, 2, 3, 0, 2, 3, 1],
    "one player": [-1, -1, 0, 0, -1, -1, -1, -1, -1],
}


def attended_game(model, owner, lengths=(9, 6), **options):
    """Games of random tokens, padded behind lengths[g]; absent players are not attended to."""
    owner = torch.tensor(owner)
    owner = owner if owner.ndim == 2 else owner.expand(len(lengths), -1)
    mask = (torch.arange(TOKENS) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(2, VOCABULARY, mask.shape, generator=torch.Generator().manual_seed(1))
    inputs = {"input_ids": torch.where(mask == 1, ids, PADDING), "attention_mask": mask}
    inputs |= options.pop("inputs", {})
    options = {"masked": "attention_mask", "baseline": "zeros", "labels": [2] * len(lengths)} | options
    return MaskedModel(model, inputs, Players(owner, int(owner.max()) + 1, 0, per_game=True), **options)


def require_same_table(game, plan, **options):
    require_dense_numbers(game, plan, min_spread=1e-5, **options)


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS.keys())
def test_a_table_is_the_dense_one(owner):
    game = attended_game(bert(), owner)
    require_same_table(game, drop_plan(game))


def test_roberta_counts_positions_from_its_padding():
    game = attended_game(roberta(), OWNERS["several tokens, interleaved"])
    plan = drop_plan(game)
    assert plan.positions[1].tolist() == [2, 3, 4, 5, 6, 7, 1, 1, 1]
    require_same_table(game, plan)


def test_distilbert_is_served_where_it_takes_positions():
    game = attended_game(distilbert(), OWNERS["several tokens, interleaved"])
    if "position_ids" in arguments(game.model):
        require_same_table(game, drop_plan(game))
    else:
        with pytest.raises(NotApplicable, match="takes no position_ids"):
            drop_plan(game)


def test_inputs_beside_the_tokens_and_positions_of_ones_own():
    others = {
        "token_type_ids": (torch.arange(TOKENS) > 4).long().expand(2, -1),
        "position_ids": torch.arange(TOKENS).flip(0).expand(2, -1),
    }
    game = attended_game(bert(), OWNERS["several tokens, interleaved"], inputs=others)
    require_same_table(game, drop_plan(game))


def test_float32_differs_by_rounding():
    game = attended_game(bert().float(), OWNERS["several tokens, interleaved"])
    require_rounding_in_float32(game, drop_plan(game))


def test_pairs_in_any_order_and_more_than_once():
    game = attended_game(bert(), OWNERS["several tokens, interleaved"])
    require_any_order(game, drop_plan(game))


@pytest.mark.parametrize("name", OWNERS)
def test_the_tokens_that_stay(name):
    """By hand, coalition by coalition; the network is shown just as many, with padding in none."""
    game = attended_game(bert(), OWNERS[name])
    expected = 0
    for length in (9, 6):
        for coalition in coalition_masks(game.n).tolist():
            there = [p < 0 or coalition[p] for p in OWNERS[name][:length]]
            # The first stays in any case, and all do where none is attended to.
            expected += sum(there) + (not there[0]) if any(there) else TOKENS
    plan, shown = drop_plan(game), []
    handle = game.model.register_forward_pre_hook(
        lambda module, args, kwargs: shown.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    plan.scores(*all_pairs(game), batch_size=2)
    handle.remove()
    assert sum(shown) == expected
    assert plan.share == pytest.approx(expected / (2 * 2**game.n * TOKENS), abs=1e-15)


class Pooled(nn.Module):
    """Bert with another read-out: the mean over all tokens, attended or not, or over the attended."""

    def __init__(self, attended):
        super().__init__()
        self.bert, self.attended = bert(), attended

    def forward(self, input_ids, attention_mask, position_ids=None):
        hidden = self.bert.bert(input_ids, attention_mask, position_ids=position_ids)[0]
        weights = attention_mask if self.attended else torch.ones_like(attention_mask)
        pooled = (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
        return self.bert.classifier(pooled)


def test_mean_pooling_needs_the_mask():
    owner = OWNERS["several tokens, interleaved"]
    served = attended_game(Pooled(True), owner)
    require_same_table(served, drop_plan(served))
    with pytest.raises(NotApplicable, match="not those of the dense forward"):
        drop_plan(attended_game(Pooled(False), owner))


class WithoutPositions(nn.Module):
    def __init__(self):
        super().__init__()
        self.bert = bert()

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids, attention_mask)


def test_games_that_cannot_be_served():
    owner = OWNERS["several tokens, interleaved"]
    refused = {
        "takes no position_ids": attended_game(WithoutPositions(), owner),
        "layer 'bert.embeddings.word_embeddings' is masked": attended_game(
            bert(), owner, masked=None, baseline="embedding_zeros"
        ),
        "input_ids is masked": attended_game(bert(), owner, masked=None, baseline=token(0)),
        "absent players are attended": attended_game(bert(), owner, baseline=1.0),
        "not those of the dense": attended_game(
            bert(BertForMaskedLM), owner, score=lambda outputs, labels: outputs[:, 0, 3]
        ),
        "bfloat16": attended_game(bert().bfloat16(), owner),
        "shows no tokens": planted(6, seed=3),
    }
    for reason, game in refused.items():
        with pytest.raises(NotApplicable, match=reason):
            drop_plan(game)


def test_the_model_comes_back_as_it_was():
    model = bert().train()
    game = attended_game(model, OWNERS["several tokens, interleaved"])
    drop_plan(game).scores(*all_pairs(game))
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()
