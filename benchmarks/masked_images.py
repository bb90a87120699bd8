"""The games of the image benchmarks: networks by name, an image of noise, its players, and plain masking."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from harsanyi.interactions import Players

SIZE = 224
# As `harsanyi.models.load` takes them.
NETWORKS = {
    "vgg16": "torchvision:vgg16",
    "resnet18": "torchvision:resnet18",
    "resnet50": "torchvision:resnet50",
    "resnet18-irregular": "torchvision:resnet18",
    "convnext-tiny": "timm:convnext_tiny",
    "efficientnet-b0": "torchvision:efficientnet_b0",
    "vit-tiny": "timm:vit_tiny_patch16_224",
}
TITLES = {
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet18-irregular": "ResNet-18, irregular regions",
    "convnext-tiny": "ConvNeXt-tiny",
    "efficientnet-b0": "EfficientNet-B0",
    "vit-tiny": "ViT-tiny",
}
# Rows and columns of the grid, by number of players.
GRIDS = {4: (2, 2), 6: (2, 3), 8: (2, 4), 10: (2, 5), 12: (3, 4)}


def noise(size: int = SIZE) -> Tensor:
    """The image `(1, 3, size, size)`."""
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def players_of(name: str, n: int, size: int = SIZE) -> Players:
    """The n players of a network's image: grid cells, or irregular regions if its name ends so."""
    return irregular(n) if name.endswith("-irregular") else grid(*GRIDS[n], size)


def grid(rows: int, columns: int, size: int = SIZE) -> Players:
    """Cells as equal as whole pixels can be."""
    row = torch.arange(size)[:, None] * rows // size
    column = torch.arange(size)[None, :] * columns // size
    return Players.from_mask((row * columns + column)[None])


def irregular(count: int) -> Players:
    """Regions of the pixels nearest to random points."""
    points = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * SIZE
    pixels = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE)).double()
    return Players.from_mask(torch.cdist(pixels, points.double()).argmin(1).view(1, SIZE, SIZE))


def in_layout(network: nn.Module, layout: torch.memory_format = torch.channels_last) -> nn.Module:
    """A copy of a network in a memory layout."""
    copy: Any = deepcopy(network)
    laid_out: nn.Module = copy.to(memory_format=layout)
    return laid_out


def masking(
    image: Tensor, players: Players, layout: torch.memory_format = torch.channels_last
) -> Callable[[Tensor], Tensor]:
    """A function from coalitions to images `(coalitions, …)`, zeros where a player is absent."""
    owner, image = players.owner.reshape(image.shape[-2:]), image.contiguous(memory_format=layout)

    def masked(coalitions: Tensor) -> Tensor:
        return (image * coalitions[:, owner][:, None]).contiguous(memory_format=layout)

    return masked
