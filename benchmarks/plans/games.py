"""The games of `benchmarks.plans`, each with the plain forward that a careful user would write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from benchmarks import sentences
from benchmarks.masked_images import NETWORKS, SIZE, TITLES, in_layout, masking, noise, players_of
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

# Takes coalitions `(coalitions, players)` of the one game, gives the network's outputs.
PlainForward = Callable[[Tensor], Tensor]
# Prepares a network: it gives the network itself, or the network by torch.compile.
Wrap = Callable[[nn.Module], Callable[..., Any]]


@dataclass(frozen=True)
class Case:
    """One game and a plan for it.

    Attributes:
        title: in the table.
        game: makes the game, of one input.
        plain: makes the plain forward: the network on masked inputs, without shared work.
        plan: the plan to measure, by name.
        goal: the share of the plain forward's time that the plan must reach.
    """

    title: str
    game: Callable[[], MaskedModel]
    plain: Callable[[MaskedModel, Wrap], PlainForward]
    plan: str
    goal: float


def image_game(network_name: str, players: Players, size: int = SIZE) -> MaskedModel:
    """A game of one image of noise and a network with random weights, by its name."""
    network = models.load(network_name, "random", seed=0).model
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(head.weight, std=0.02)  # some libraries start this layer at zero
    return MaskedModel(network, noise(size), players, labels=[0])


def plain_images(game: MaskedModel, wrap: Wrap) -> PlainForward:
    """The plain forward of an image network: batch norms folded, channels last."""
    from torch.fx.experimental.optimization import fuse  # here, since its import warns

    network = game.model
    assert isinstance(network, nn.Module)
    assert isinstance(game.inputs, Tensor)
    if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        network = fuse(network)
    forward, masked = wrap(in_layout(network)), masking(game.inputs, game.players)
    return lambda coalitions: forward(masked(coalitions))


def plain_sentences(game: MaskedModel, wrap: Wrap) -> PlainForward:
    """The plain forward of a text network; of a language model only the logits of the last token."""
    assert isinstance(game.model, nn.Module)
    last = {"logits_to_keep": 1} if game.score == "next_token_log_odds" else {}
    ids, mask = game.inputs["input_ids"], game.inputs["attention_mask"]
    network = wrap(game.model)

    def forward(coalitions: Tensor) -> Tensor:
        if game.masked == "input_ids":
            masked, attended = sentences.masked(ids, coalitions), mask.expand(len(coalitions), -1)
        else:
            masked, attended = ids.expand(len(coalitions), -1), sentences.present(coalitions).long()
        return network(input_ids=masked, attention_mask=attended, **last).logits

    return forward


def image_case(name: str, n: int, goal: float) -> Case:
    """The case of a network on an image with n players."""

    def game() -> MaskedModel:
        return image_game(NETWORKS[name], players_of(name, n))

    return Case(TITLES[name], game, plain_images, "tables", goal)


CASES = {
    "vgg16": image_case("vgg16", 12, 0.035),
    "resnet18": image_case("resnet18", 12, 0.30),
    "resnet50": image_case("resnet50", 12, 0.33),
    "resnet18-irregular": image_case("resnet18-irregular", 10, 0.32),
    "vit-tiny": image_case("vit-tiny", 12, 0.90),
    "bert-6": Case(
        "BERT, 6 layers, words replaced",
        lambda: sentences.game(sentences.encoder(), "input_ids"),
        plain_sentences,
        "tables",
        0.86,
    ),
    "bert-6-unattended": Case(
        "BERT, 6 layers, words unattended",
        lambda: sentences.game(sentences.encoder(), "attention_mask"),
        plain_sentences,
        "drop",
        0.86,
    ),
    "causal-30": Case(
        "SmolLM2-135M's shape, 30 layers",
        lambda: sentences.game(sentences.causal(), "input_ids"),
        plain_sentences,
        "prefix",
        0.33,
    ),
}
