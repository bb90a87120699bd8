"""What masked pretraining adds to a network: patches, dropped tokens, and a small decoder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

HEADS = 4  # of the decoder's attention


def patches_of(images: Tensor, patch: int) -> Tensor:
    """Cut images into patches, row by row.

    Args:
        images: (batch, channels, height, width), both sides multiples of the patch's.
        patch: its side, in pixels.

    Returns:
        (batch, patches, channels · patch²).

    >>> patches_of(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1].tolist()
    [2.0, 3.0, 6.0, 7.0]
    """
    cut = images.unfold(2, patch, patch).unfold(3, patch, patch)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def images_of(patches: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Put patches of :func:`patches_of` together again.

    Args:
        patches: (batch, patches, channels · patch²).
        patch: its side, in pixels.
        height: of the images.
        width: of the images.

    Returns:
        (batch, channels, height, width).

    >>> images = torch.arange(32.0).reshape(1, 2, 4, 4)
    >>> bool((images_of(patches_of(images, 2), 2, 4, 4) == images).all())
    True
    """
    parts = patches.reshape(len(patches), height // patch, width // patch, -1, patch, patch)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, height, width)


def transformer_in(model: nn.Module) -> VisionTransformer | None:
    """The vision transformer of timm within a model, if there is one, and one alone."""
    inside = [module for module in model.modules() if isinstance(module, VisionTransformer)]
    return inside[0] if len(inside) == 1 else None


@contextmanager
def tokens_dropped(transformer: VisionTransformer, kept: Tensor) -> Iterator[list[Tensor]]:
    """A transformer that goes on with some of its patches' tokens alone, once their places are in them.

    Args:
        transformer: whose forward runs in the block.
        kept: numbers of patches (batch, kept), on its device.

    Yields:
        a list that gets the tokens after the last block (batch, kept, features), without those of no patch.
    """
    before = transformer.num_prefix_tokens
    encoded: list[Tensor] = []

    def drop(module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
        rows = kept[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :before], tokens[:, before:].gather(1, rows)], 1)

    hooks = [
        transformer.patch_drop.register_forward_hook(drop),
        transformer.norm.register_forward_hook(lambda _, inputs, tokens: encoded.append(tokens[:, before:])),
    ]
    try:
        yield encoded
    finally:
        for hook in hooks:
            hook.remove()


class Decoder(nn.Module):
    """Predicts the pixels of masked patches from tokens of what was seen: a small transformer.

    Tokens that were seen get the place of their patch, or one place for what is of the whole picture; each
    masked patch is a learned token with its own place. All attend to each other, and a linear layer makes
    pixels of the masked ones.

    Args:
        features: of a token that was seen.
        patches: of a picture.
        pixels: numbers of a patch.
        width: of the decoder, a multiple of 4.
        depth: its blocks.
    """

    def __init__(self, features: int, patches: int, pixels: int, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.masked = nn.Parameter(0.02 * torch.randn(width))
        self.places = nn.Parameter(0.02 * torch.randn(patches + 1, width))  # the last: of no patch
        block = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm, self.pixels = nn.LayerNorm(width), nn.Linear(width, pixels)

    def forward(self, tokens: Tensor, places: Tensor, masked: Tensor) -> Tensor:
        """The pixels of masked patches.

        Args:
            tokens: (batch, seen, features).
            places: numbers of their patches (batch, seen); the number of patches for tokens of no patch.
            masked: numbers of the masked patches (batch, masked).

        Returns:
            (batch, masked, pixels).
        """
        seen = self.embed(tokens) + self.places[places]
        asked = self.masked + self.places[masked]
        return self.pixels(self.norm(self.blocks(torch.cat([seen, asked], 1))[:, seen.shape[1] :]))
