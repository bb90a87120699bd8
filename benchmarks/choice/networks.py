"""The games of `benchmarks.choice`: twenty-one architectures with random weights, on inputs of noise."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.checkpoints.games import with_noise
from benchmarks.masked_images import GRIDS, grid
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players

# Words of a sentence, two tokens each, and what a masked token becomes.
WORDS, MASKED_TOKEN = 10, 3.0


@dataclass(frozen=True)
class Case:
    """One architecture and its inputs.

    Attributes:
        title: in the table.
        network: makes a checkpoint from a seed.
        inputs: makes some inputs from their number.
        players: of each input.
        score: of the network's outputs.
        baseline: of masked elements.
    """

    title: str
    network: Callable[[int], nn.Module]
    inputs: Callable[[int], Tensor]
    players: Players
    score: str = "logit"
    baseline: float = 0.0

    def game(self, network: nn.Module, inputs: int) -> MaskedModel:
        """A game for each of some inputs."""
        labels = [0] * inputs
        return MaskedModel(
            network,
            self.inputs(inputs),
            self.players,
            labels=labels,
            score=self.score,
            baseline=self.baseline,
        )


def images(title: str, name: str, *, n: int = 8, size: int = 224, channels: int = 3) -> Case:
    """A network of pictures by its name, and a grid of n players."""

    def network(seed: int) -> nn.Module:
        return with_noise(models.load(name, "random", seed=seed).model, seed)

    def inputs(count: int) -> Tensor:
        return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))

    return Case(f"{title}, {size}²", network, inputs, grid(*GRIDS[n], size))


def encoder(seed: int) -> nn.Module:
    """The shape of BERT-mini."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    return BertForSequenceClassification(config).eval()


def causal(seed: int) -> nn.Module:
    """The shape of GPT-2, the small one."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config()).eval()


def sentences(title: str, network: Callable[[int], nn.Module], score: str) -> Case:
    """A network of token ids, and a player for each word."""

    def inputs(count: int) -> Tensor:
        return torch.randint(5, 1000, (count, 2 * WORDS + 2), generator=torch.Generator().manual_seed(0))

    owner = torch.tensor([-1, *(word for word in range(WORDS) for _ in range(2)), -1])
    return Case(title, network, inputs, Players(owner, WORDS, axis=0), score, MASKED_TOKEN)


CASES = {
    "small-cnn": images("a small CNN", "small:cnn", size=28, channels=1),
    "resnet20": images("ResNet-20", "small:resnet20", n=10, size=32),
    "resnet18": images("ResNet-18", "torchvision:resnet18", n=10),
    "resnet50": images("ResNet-50", "torchvision:resnet50"),
    "resnext50": images("ResNeXt-50", "torchvision:resnext50_32x4d"),
    "vgg16": images("VGG-16", "torchvision:vgg16"),
    "googlenet": images("GoogLeNet", "torchvision:googlenet"),
    "densenet121": images("DenseNet-121", "torchvision:densenet121", n=10),
    "mobilenet-v2": images("MobileNetV2", "torchvision:mobilenet_v2", n=10),
    "mobilenet-v3": images("MobileNetV3, large", "torchvision:mobilenet_v3_large"),
    "mnasnet": images("MNASNet 1.0", "torchvision:mnasnet1_0"),
    "shufflenet": images("ShuffleNetV2 1.0", "torchvision:shufflenet_v2_x1_0"),
    "ghostnet": images("GhostNet 1.0", "timm:ghostnet_100"),
    "regnet-y-400mf": images("RegNetY-400MF", "torchvision:regnet_y_400mf", n=10),
    "efficientnet-b0": images("EfficientNet-B0", "torchvision:efficientnet_b0", n=10),
    "convnext-tiny": images("ConvNeXt-tiny", "torchvision:convnext_tiny"),
    "vit-tiny": images("ViT-tiny", "timm:vit_tiny_patch16_224"),
    "vit-small": images("ViT-small", "timm:vit_small_patch16_224", n=10),
    "swin-tiny": images("Swin-tiny", "torchvision:swin_t"),
    "bert-mini": sentences("BERT-mini's shape, 22 tokens", encoder, "logit"),
    "gpt2": sentences("GPT-2's shape, 22 tokens", causal, "next_token_log_odds"),
}
