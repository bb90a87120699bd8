"""Masked pretraining: patches of a picture are predicted from the others, without labels."""

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.kinds.decoder import (
    HEADS,
    Decoder,
    images_of,
    patches_of,
    tokens_dropped,
    transformer_in,
)
from harsanyi.models.training.kinds.kind import Kind, require_backbone, require_images
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples

MIN_PATCHES = 7  # a side, unless a patch is stated


@dataclass(frozen=True)
class Masked(Kind):
    """A masked autoencoder (He et al., 2022): the pixels of masked patches, from those that are seen.

    In a vision transformer of timm the tokens of masked patches are dropped, and a small decoder sees the
    tokens of the others. Any other network is given the picture with masked patches in the mean colour, and
    the decoder sees what enters its head, as one token. The loss is the mean squared error over the pixels of
    masked patches alone, in the square of the inputs' unit. Which patches are masked is drawn for each
    picture and step.

    Checkpoints have no head: the decoder is thrown away, and the head was not trained.

    Attributes:
        share: of the patches that is masked, between 0 and 1; one patch at least is masked and one seen.
        patch: side of a patch in pixels, a divisor of both sides of the picture. By default the transformer's
            own; else the largest that leaves 7 patches a side, or the smallest there is.
        width: of the decoder, a multiple of 4.
        depth: blocks of the decoder, 1 or more.

    Raises:
        ValueError: a value outside these ranges.

    >>> Masked(share=0.5).settings()["kind"]
    {'name': 'masked', 'share': 0.5, 'patch': None, 'width': 64, 'depth': 1}
    """

    name: ClassVar[str] = "masked"
    keeps_head: ClassVar[bool] = False

    share: float = 0.75
    patch: int | None = None
    width: int = 64
    depth: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or (self.patch is not None and self.patch < 1):
            raise ValueError(
                f"expected a share between 0 and 1 and a patch of 1 pixel or more, but got {self.share} and "
                f"{self.patch}"
            )
        if self.width < HEADS or self.width % HEADS or self.depth < 1:
            raise ValueError(
                f"expected a width that is a multiple of {HEADS} and a depth of 1 or more, but got "
                f"{self.width} and {self.depth}"
            )

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """As `Kind.require_sense`: also patches that do not fit the pictures are refused."""
        super().require_sense(network, samples, recipe)
        require_backbone(self, network, recipe)
        self.patch_for(network, require_images(network.preprocess(samples.items[:1])))

    def patch_for(self, network: Network, images: Tensor) -> int:
        """The side of a patch, in pixels.

        Args:
            network: which may have patches of its own.
            images: its inputs (batch, channels, height, width).

        Raises:
            ValueError: a patch that is not a transformer's own, or does not divide the sides, or is the
                whole picture.
        """
        height, width = images.shape[-2:]
        transformer = transformer_in(network.model)
        own = None if transformer is None else transformer.patch_embed.patch_size
        if own is not None and (own[0] != own[1] or self.patch not in (None, own[0])):
            raise ValueError(
                f"{network.name} has patches of {own[0]} × {own[1]} pixels, whose tokens are dropped: leave "
                "patch out" + ("" if own[0] == own[1] else "; only square ones can be masked")
            )
        divisors = [side for side in range(1, gcd(height, width) + 1) if gcd(height, width) % side == 0]
        fitting = [side for side in divisors if min(height, width) // side >= MIN_PATCHES]
        patch = own[0] if own is not None else self.patch or max(fitting, default=1)
        if patch not in divisors or patch == height == width:
            raise ValueError(
                f"patches of {patch} pixels do not divide {height} × {width} into two or more: expected one "
                f"of {', '.join(str(side) for side in divisors if not side == height == width)}"
            )
        return patch

    def aside(self, network: Network, example: NetworkInputs) -> nn.Module:
        """The decoder."""
        images = require_images(example)
        patches = patches_of(images[:1], self.patch_for(network, images))
        transformer = transformer_in(network.model)
        features = network.features(images[:1]).shape[1] if transformer is None else transformer.embed_dim
        return Decoder(features, patches.shape[1], patches.shape[2], self.width, self.depth)

    def batch(
        self, network: Network, inputs: NetworkInputs, target: Tensor, recipe: Recipe
    ) -> tuple[NetworkInputs, Tensor]:
        """As `Kind.batch`: what is seen, with the numbers of patches; and the masked patches' pixels."""
        images = require_images(inputs)
        patch = self.patch_for(network, images)
        patches = patches_of(images, patch)
        seen, masked = drawn_patches(len(images), patches.shape[1], self.share)
        rows = masked[..., None].expand(-1, -1, patches.shape[2])
        hidden = patches.gather(1, rows)
        if transformer_in(network.model) is None:
            shown = patches.scatter(1, rows, torch.zeros_like(hidden))  # zero is the mean colour
            images = images_of(shown, patch, *images.shape[-2:])
        return {"images": images, "seen": seen, "masked": masked}, hidden

    def run(self, network: Network, aside: nn.Module, inputs: NetworkInputs) -> Tensor:
        """As `Kind.run`: the pixels of masked patches as they are predicted (batch, masked, pixels)."""
        assert isinstance(inputs, dict)
        assert isinstance(aside, Decoder)
        seen, masked = (inputs[name].to(network.device) for name in ("seen", "masked"))
        transformer = transformer_in(network.model)
        if transformer is None:
            whole = network.head_inputs(inputs["images"])[:, None]
            no_patch = len(aside.places) - 1
            return aside(whole, torch.full_like(masked[:, :1], no_patch), masked)
        with tokens_dropped(transformer, seen) as encoded:
            network.forward(inputs["images"])
        return aside(encoded[0], seen, masked)

    def loss(self, outputs: Tensor, target: Tensor, recipe: Recipe, groups: list[Tensor]) -> Tensor:
        """As `Kind.loss`: the mean squared error over all pixels of masked patches."""
        return F.mse_loss(outputs.to(target.dtype), target)


def drawn_patches(count: int, patches: int, share: float) -> tuple[Tensor, Tensor]:
    """The patches that are seen and those that are masked, drawn for each picture by itself.

    Args:
        count: of pictures.
        patches: of a picture, two or more.
        share: that is masked, rounded, but one at least and not all.

    Returns:
        numbers of patches, each row without repetition: (pictures, seen) and (pictures, masked).

    >>> seen, masked = drawn_patches(1, 4, 0.75)
    >>> sorted([*seen[0].tolist(), *masked[0].tolist()]), masked.shape
    ([0, 1, 2, 3], torch.Size([1, 3]))
    """
    hidden = min(max(1, round(share * patches)), patches - 1)
    order = torch.rand(count, patches).argsort(1)
    return order[:, hidden:], order[:, :hidden]
