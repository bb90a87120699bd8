"""Preprocessing: from pictures and sentences to the inputs of a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as image_functional

from harsanyi.pictures import as_rgb_or_grey

NetworkInputs = Tensor | dict[str, Tensor]


class Preprocess(Protocol):
    """Items (pictures or sentences) to the inputs of a network."""

    def __call__(self, items: Sequence[Any], /) -> NetworkInputs: ...


@dataclass(frozen=True)
class ImagePreprocess:
    """Resizes, crops the centre and normalises pictures, as in the tests of published networks.

    Attributes:
        size: height and width in pixels.
        mean, std: of each channel, for values between 0 and 1.
        channels: 3 (RGB) or 1 (grey).
        crop: the share of the resized picture inside the crop; 1 is the whole shorter side.
        interpolation: "bilinear", "bicubic", "nearest", "lanczos", …
        crop_mode: "center" keeps the aspect ratio and crops, "squash" distorts to the size.

    >>> preprocess = ImagePreprocess(size=(32, 32))
    >>> preprocess([Image.new("RGB", (50, 40), "white")]).shape
    torch.Size([1, 3, 32, 32])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channels: int = 3
    crop: float = 0.875
    interpolation: str = "bilinear"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}: pictures have 1 (grey) or 3 (RGB)")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(
                    f"{name} is {getattr(self, name)}: expected {self.channels} numbers, one a channel"
                )
        if len(self.size) != 2 or min(self.size) < 1 or not 0 < self.crop <= 1 or min(self.std) <= 0:
            raise ValueError(f"expected size (height, width) ≥ 1, 0 < crop ≤ 1 and std > 0, but got {self}")

    def with_settings(self, settings: Mapping[str, Any] | None) -> "ImagePreprocess":
        """A copy with these settings, as far as it has them; a mean or std is averaged for other channels."""
        names = {field.name for field in fields(self)}
        changes = {name: value for name, value in (settings or {}).items() if name in names}
        channels = changes.get("channels", self.channels)
        for name in ("mean", "std"):
            values = tuple(float(value) for value in changes.get(name, getattr(self, name)))
            changes[name] = values if len(values) == channels else (sum(values) / len(values),) * channels
        changes["size"] = tuple(changes.get("size", self.size))
        return replace(self, **changes)

    def settings(self) -> dict[str, Any]:
        """All settings, for :func:`harsanyi.models.save_checkpoint`."""
        return asdict(self)

    def __call__(self, items: Sequence[Image.Image]) -> Tensor:
        """Pictures to a float32 tensor (batch, channels, height, width).

        Raises:
            ValueError: there are no pictures, or an item is not a PIL image.
        """
        if not len(items):
            raise ValueError("expected at least one picture, but got none")
        pixels = torch.from_numpy(np.stack([self._pixels(item) for item in items]))
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std).contiguous()

    def display(self, inputs: Tensor) -> np.ndarray:
        """Network inputs as pictures, uint8 (batch, height, width, 3), without the normalisation."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        pixels = (inputs.detach().cpu().float() * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
        return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()

    def _pixels(self, image: Image.Image) -> np.ndarray:
        if not isinstance(image, Image.Image):
            raise ValueError(
                f"expected PIL images, but got {type(image).__name__}: open pictures with PIL.Image.open"
            )
        image = as_rgb_or_grey(image).convert("L" if self.channels == 1 else "RGB")
        height, width = self.size
        if self.crop_mode == "squash":
            resized = [math.floor(height / self.crop), math.floor(width / self.crop)]
        else:  # the shorter side, relative to the size of the network, becomes size / crop
            sides = list(zip(self.size, image.size[::-1], strict=True))
            scale = max(math.floor(side / self.crop) / image_side for side, image_side in sides)
            resized = [max(side, int(image_side * scale + 1e-6)) for side, image_side in sides]
        image = image_functional.resize(image, resized, InterpolationMode(self.interpolation))
        image = image_functional.center_crop(image, [height, width])
        return np.asarray(image).reshape(height, width, self.channels)


@dataclass(frozen=True)
class TextPreprocess:
    """Tokenises sentences into one padded batch: input_ids, attention_mask, … each (batch, tokens).

    Attributes:
        tokenizer: of the transformers library.
        max_length: longer sentences are cut to so many tokens.
        count_positions: whether the batch holds position_ids, counted from a sentence's own first token.
            Without them, padding on the left would change the positions of a sentence in a batch.
    """

    tokenizer: Any
    max_length: int = 512
    count_positions: bool = False

    def with_settings(self, settings: Mapping[str, Any] | None) -> "TextPreprocess":
        """A copy with the "max_length" of the settings."""
        return replace(self, max_length=int((settings or {}).get("max_length", self.max_length)))

    def settings(self) -> dict[str, Any]:
        """All settings, for :func:`harsanyi.models.save_checkpoint`."""
        return {"max_length": self.max_length}

    def __call__(self, items: Sequence[str]) -> dict[str, Tensor]:
        """Sentences to a batch of tokens.

        Raises:
            ValueError: there are no sentences, or one is empty or no string.
        """
        if isinstance(items, str) or not len(items):
            raise ValueError(f"expected a list of one sentence or more, but got {items!r}")
        for i, sentence in enumerate(items):
            if not isinstance(sentence, str) or not sentence.strip():
                raise ValueError(
                    f"sentence {i} is {sentence!r}: expected some text; leave empty sentences out"
                )
        batch = dict(
            self.tokenizer(
                list(items), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
            )
        )
        if self.count_positions:
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return batch
