"""The games of `benchmarks.checkpoints`: three inputs each, and checkpoints with random weights."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.masked_images import grid
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

GAMES, WORDS = 3, 8


@dataclass(frozen=True)
class Case:
    """One architecture on its inputs.

    Attributes:
        title: in the table.
        network: makes a checkpoint from a seed.
        inputs: makes the inputs of all games.
        players: of each input.
        plan: to choose.
        baseline: of masked elements.
        planning: whether the trace and the plan of tables alone are timed, without any forward.
    """

    title: str
    network: Callable[[int], nn.Module]
    inputs: Callable[[], Tensor]
    players: Players
    plan: str = "auto"
    baseline: float = 0.0
    planning: bool = False

    def game(self, network: nn.Module) -> MaskedModel:
        """The games of a checkpoint."""
        labels = [0] * GAMES
        return MaskedModel(
            network, self.inputs(), self.players, labels=labels, baseline=self.baseline, score="logit"
        )


def images(title: str, name: str, cells: tuple[int, int], *, size: int = 224, plan: str = "auto") -> Case:
    """A network of pictures by its name, and a grid of players."""

    def network(seed: int) -> nn.Module:
        return with_noise(models.load(name, "random", seed=seed).model, seed)

    def inputs() -> Tensor:
        channels = 1 if name.startswith("small:cnn") else 3
        return torch.randn(GAMES, channels, size, size, generator=torch.Generator().manual_seed(0))

    return Case(f"{title}, {size}²", network, inputs, grid(*cells, size), plan)


def with_noise(network: nn.Module, seed: int) -> nn.Module:
    """The network with statistics of batch norms, and a last layer, that do something."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(head.weight, std=0.02, generator=generator)
    return network.eval()


def sentences(title: str) -> Case:
    """Six layers of BERT, a word of two tokens for each player."""

    def network(seed: int) -> nn.Module:
        from transformers import BertConfig, BertForSequenceClassification

        torch.manual_seed(seed)
        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        return BertForSequenceClassification(config).eval()

    def inputs() -> Tensor:
        return torch.randint(5, 1000, (GAMES, 2 * WORDS + 2), generator=torch.Generator().manual_seed(0))

    return Case(title, network, inputs, word_players(), "tables", baseline=3.0)


def word_players() -> Players:
    """A player for each word of two tokens; the first and the last token have none."""
    owner = torch.tensor([-1, *(word for word in range(WORDS) for _ in range(2)), -1])
    return Players(owner, WORDS, axis=0)


def tuned(network: nn.Module, parts: list[str]) -> nn.Module:
    """A copy of a network, the parameters of some parts with noise."""
    other = deepcopy(network)
    with torch.no_grad():
        for part in parts:
            for weight in other.get_submodule(part).parameters():
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.01)
    return other


CASES = {
    "resnet18": images("ResNet-18", "torchvision:resnet18", (2, 4)),
    "resnet18-10": images("ResNet-18", "torchvision:resnet18", (2, 5), size=128),
    "resnet18-12": images("ResNet-18", "torchvision:resnet18", (3, 4)),
    "resnet50": images("ResNet-50", "torchvision:resnet50", (2, 4)),
    "resnet152": replace(images("ResNet-152", "torchvision:resnet152", (2, 5), plan="tables"), planning=True),
    "mobilenet": images("MobileNetV2", "torchvision:mobilenet_v2", (2, 4)),
    "efficientnet": images("EfficientNet-B0", "torchvision:efficientnet_b0", (2, 4), plan="dense"),
    "vit-small": images("ViT-small", "timm:vit_small_patch16_224", (2, 4), plan="dense"),
    "small-cnn": images("a small CNN", "small:cnn", (2, 4), size=28, plan="tables"),
    "small-resnet20": images("ResNet-20", "small:resnet20", (2, 4), size=32, plan="tables"),
    "bert-6": sentences("BERT, 6 layers"),
}
# Which parts of a second checkpoint differ, by the name of the case.
PARTS = {
    "resnet18": (["fc"], ["layer4", "fc"], ["layer3", "layer4", "fc"]),
    "resnet18-10": (["fc"], ["layer4", "fc"]),
    "mobilenet": (["classifier"], ["features.17", "features.18", "classifier"]),
    "vit-small": (["head"], ["blocks.10", "blocks.11", "norm", "head"]),
    "bert-6": (["classifier"], ["bert.encoder.layer.5", "classifier"]),
}
