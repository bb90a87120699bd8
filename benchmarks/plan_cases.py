"""The games that `benchmarks.plans` asks, each with the plain way that a careful user would ask it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

import models
from interactions import MaskedModel, Players

SIZE, WORDS, BASELINE = 224, 12, 3
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
        game: with one input.
        plain: the network on masked inputs, batch by batch; nothing shared.
        plan: what is measured.
        least: the share of the plain time that is asked for.
    """

    game: Callable[[], MaskedModel]
    plain: Callable[[MaskedModel, Wrap], Asked]
    plan: str
    least: float


def grid(rows: int, columns: int) -> Players:
    """Cells as equal as whole pixels can be."""
    row = torch.arange(SIZE)[:, None] * rows // SIZE
    column = torch.arange(SIZE)[None, :] * columns // SIZE
    return Players.from_mask((row * columns + column)[None])


def irregular(count: int) -> Players:
    """Regions of the pixels nearest to points drawn at random."""
    points = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * SIZE
    pixels = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE)).double()
    return Players.from_mask(torch.cdist(pixels, points.double()).argmin(1).view(1, SIZE, SIZE))


def image_game(model: str, players: Callable[[], Players]) -> MaskedModel:
    """One image of noise; random weights, of the last layer too."""
    network = models.load(model, "random", seed=0).model
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(head.weight, std=0.02)  # some libraries begin with zeros
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return MaskedModel(network, image, players(), labels=[0])


def plain_images(game: MaskedModel, wrap: Wrap) -> Asked:
    """Batch norms folded, channels last."""
    network = copy.deepcopy(game.model)
    if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        network = fuse(network)
    network = wrap(network.to(memory_format=torch.channels_last))
    owner = game.players.owner.reshape(SIZE, SIZE)
    image = game.inputs.contiguous(memory_format=torch.channels_last)

    def asked(coalitions: Tensor) -> Tensor:
        return network(image * coalitions[:, owner][:, None])

    return asked


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


def image_case(model: str, players: Callable[[], Players], least: float) -> Case:
    return Case(lambda: image_game(model, players), plain_images, "tables", least)


CASES = {
    "vgg16": image_case("torchvision:vgg16", lambda: grid(3, 4), 0.035),
    "resnet18": image_case("torchvision:resnet18", lambda: grid(3, 4), 0.30),
    "resnet50": image_case("torchvision:resnet50", lambda: grid(3, 4), 0.33),
    "resnet18-irregular": image_case("torchvision:resnet18", lambda: irregular(10), 0.32),
    "vit-tiny": image_case("timm:vit_tiny_patch16_224", lambda: grid(3, 4), 0.90),
    "bert-6": Case(lambda: encoder_game("input_ids"), plain_sentences, "tables", 0.86),
    "bert-6-unattended": Case(lambda: encoder_game("attention_mask"), plain_sentences, "drop", 0.86),
    "causal-30": Case(causal_game, plain_sentences, "prefix", 0.33),
}
