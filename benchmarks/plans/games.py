"""The games that `benchmarks.plans` asks, each with the plain way that a careful user would ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.masked_images import NETWORKS, SIZE, TITLES, in_layout, masking, noise, players_of
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

WORDS, BASELINE = 12, 3
# Two tokens a word, and one before and one after them all.
OWNER = torch.tensor([-1, *(word for word in range(WORDS) for _ in range(2)), -1])

# Outputs of some coalitions, `(coalitions, players)`, of the only game there is.
Asked = Callable[[Tensor], Tensor]
# What is done with a network before it is asked: nothing, or torch.compile.
Wrap = Callable[[nn.Module], Callable[..., Any]]


@dataclass(frozen=True)
class Case:
    """What is asked.

    Attributes:
        title: in the table.
        game: with one input.
        plain: the network on masked inputs, batch by batch; nothing shared.
        plan: what is measured.
        least: the share of the plain time that is asked for.
    """

    title: str
    game: Callable[[], MaskedModel]
    plain: Callable[[MaskedModel, Wrap], Asked]
    plan: str
    least: float


def image_game(network_name: str, players: Players, size: int = SIZE) -> MaskedModel:
    """One image of noise; random weights, of the last layer too; a network by name."""
    network = models.load(network_name, "random", seed=0).model
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(head.weight, std=0.02)  # some libraries begin with zeros
    return MaskedModel(network, noise(size), players, labels=[0])


def plain_images(game: MaskedModel, wrap: Wrap) -> Asked:
    """Batch norms folded, channels last."""
    from torch.fx.experimental.optimization import fuse  # which warns as it is imported

    network = game.model
    assert isinstance(network, nn.Module)
    assert isinstance(game.inputs, Tensor)
    if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        network = fuse(network)
    forward, masked = wrap(in_layout(network)), masking(game.inputs, game.players)
    return lambda coalitions: forward(masked(coalitions))


def encoder_game(masked: str) -> MaskedModel:
    """Six layers of BERT with random weights, one sentence."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return _text_game(BertForSequenceClassification(config), masked, "log_odds")


def causal_game() -> MaskedModel:
    """The shape of SmolLM2-135M, 30 layers, with random weights; the next token's log-odds."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return _text_game(LlamaForCausalLM(config), "input_ids", "next_token_log_odds")


def _text_game(network: nn.Module, masked: str, score: str) -> MaskedModel:
    ids = torch.randint(5, 1000, (1, len(OWNER)), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    baseline = float(BASELINE) if masked == "input_ids" else "zeros"
    return MaskedModel(
        network.eval(),
        inputs,
        Players(OWNER, WORDS, axis=0),
        labels=[0],
        baseline=baseline,
        score=score,
        masked=masked,
    )


def plain_sentences(game: MaskedModel, wrap: Wrap) -> Asked:
    """The network's own forward; of a language model the last token's logits alone."""
    assert isinstance(game.model, nn.Module)
    last = {"logits_to_keep": 1} if game.score == "next_token_log_odds" else {}
    ids, mask = game.inputs["input_ids"], game.inputs["attention_mask"]
    owner, network = torch.where(OWNER < 0, WORDS, OWNER), wrap(game.model)

    def asked(coalitions: Tensor) -> Tensor:
        there = torch.nn.functional.pad(coalitions, (0, 1), value=True)[:, owner]
        given = {
            "input_ids": torch.where(there, ids, BASELINE)
            if game.masked == "input_ids"
            else ids.expand(len(there), -1),
            "attention_mask": there.long()
            if game.masked == "attention_mask"
            else mask.expand(len(there), -1),
        }
        return network(**given, **last).logits

    return asked


def image_case(name: str, n: int, least: float) -> Case:
    def game() -> MaskedModel:
        return image_game(NETWORKS[name], players_of(name, n))

    return Case(TITLES[name], game, plain_images, "tables", least)


CASES = {
    "vgg16": image_case("vgg16", 12, 0.035),
    "resnet18": image_case("resnet18", 12, 0.30),
    "resnet50": image_case("resnet50", 12, 0.33),
    "resnet18-irregular": image_case("resnet18-irregular", 10, 0.32),
    "vit-tiny": image_case("vit-tiny", 12, 0.90),
    "bert-6": Case(
        "BERT, 6 layers, words replaced",
        lambda: encoder_game("input_ids"),
        plain_sentences,
        "tables",
        0.86,
    ),
    "bert-6-unattended": Case(
        "BERT, 6 layers, words unattended",
        lambda: encoder_game("attention_mask"),
        plain_sentences,
        "drop",
        0.86,
    ),
    "causal-30": Case("SmolLM2-135M's shape, 30 layers", causal_game, plain_sentences, "prefix", 0.33),
}
