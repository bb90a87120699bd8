"""Preprocessing: from pictures and sentences to the inputs of a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harsanyi.pictures import as_rgb_or_grey

NetworkInputs = Tensor | dict[str, Tensor]
# As torchvision calls them; Pillow has one way to the nearest pixel.
INTERPOLATIONS = {mode.name.lower(): mode for mode in Image.Resampling} | {
    "nearest-exact": Image.Resampling.NEAREST
}
CROP_MODES = ("center", "squash")
SCALES = ("mean", "std")
# Pixels of a network's input, on either side.
MAX_SIDE = 16_384


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
            values = getattr(self, name)
            if len(values) != self.channels or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} is {values}: expected {self.channels} numbers, one a channel")
        if len(self.size) != 2 or min(self.size) < 1 or not 0 < self.crop <= 1 or min(self.std) <= 0:
            raise ValueError(f"expected size (height, width) ≥ 1, 0 < crop ≤ 1 and std > 0, but got {self}")
        for name, known in (("interpolation", INTERPOLATIONS), ("crop_mode", CROP_MODES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}")

    def with_settings(self, settings: Mapping[str, Any] | None) -> "ImagePreprocess":
        """A copy with these settings.

        A mean or std for pixels of 0 to 255 is divided by 255. One number stands for all channels, and three
        are averaged for grey pictures.

        Args:
            settings: by the names of the attributes; a number may stand for a square ``size``.

        Returns:
            the copy.

        Raises:
            ValueError: a setting is unknown, or makes no sense.

        >>> ImagePreprocess().with_settings({"size": 32, "mean": 0.5}).mean
        (0.5, 0.5, 0.5)
        """
        names = [field.name for field in fields(self)]
        changes = dict(settings or {})
        if unknown := sorted(map(str, changes.keys() - set(names))):
            raise ValueError(
                f"unknown preprocessing {', '.join(unknown)}: expected {', '.join(names)} for pictures"
            )
        channels = changes.get("channels", self.channels)
        changes |= _unit_scale({name: _numbers(name, changes[name]) for name in SCALES if name in changes})
        for name in SCALES:
            changes[name] = _for_channels(changes.get(name, getattr(self, name)), channels)
        if "size" in changes:
            changes["size"] = _size(changes["size"])
        if "crop" in changes:
            changes["crop"] = _numbers("crop", changes["crop"])[0]
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

    def place(self, picture: Image.Image) -> np.ndarray:
        """A map of numbers below 256 (mode "L"), put where a picture of its size is put: (height, width).

        Every number is that of the nearest pixel, so that there are no numbers in between.
        """
        grey = replace(self, channels=1, mean=(0.0,), std=(1.0,), interpolation="nearest")
        return grey([picture])[0, 0].mul(255).round().long().numpy()

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
        image = image.resize((resized[1], resized[0]), INTERPOLATIONS[self.interpolation])
        top, left = round((resized[0] - height) / 2), round((resized[1] - width) / 2)
        image = image.crop((left, top, left + width, top + height))
        return np.asarray(image).reshape(height, width, self.channels)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    """The numbers of a setting, which may be one number."""
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    try:
        if any(isinstance(each, bool | str) for each in values):
            raise ValueError
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}: expected a number, or one a channel") from None


def _size(value: Any) -> tuple[int, ...]:
    """Height and width; one number is both."""
    sides = _numbers("size", value)
    if any(side != int(side) for side in sides):
        raise ValueError(f"size is {value!r}: expected whole pixels (height, width)")
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ValueError(f"size is {value!r}: expected 1 to {MAX_SIDE} pixels a side")
    return tuple(map(int, sides * 2 if len(sides) == 1 else sides))


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One number for every channel; grey takes the mean over red, green and blue."""
    if len(values) == 1:
        return values * channels
    return (sum(values) / 3,) if channels == 1 and len(values) == 3 else values


def _unit_scale(scales: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """Mean and std of pixels between 0 and 1, where they were given for 0 to 255."""
    # Means of pixels between 0 and 1 are below 1. Their std is 1 where nothing is scaled, and else below.
    large = [name for name, bound in (("mean", 1.0), ("std", 2.0)) if max(scales.get(name) or (0,)) > bound]
    if not large:
        return scales
    if min(scales.get("std", (1.0,))) < 1 or any(len(values) == 0 for values in scales.values()):
        raise ValueError(
            f"mean {scales.get('mean')} and std {scales.get('std')} have different scales: "
            "expected both for pixels between 0 and 1, or both for 0 to 255"
        )
    return {name: tuple(value / 255 for value in values) for name, values in scales.items()}


@dataclass(frozen=True)
class TextPreprocess:
    """Tokenises sentences into one padded batch: input_ids, attention_mask, … each (batch, tokens).

    Attributes:
        tokenizer: of the transformers library.
        max_length: longer sentences are cut to so many tokens.
        count_positions: whether the batch holds position_ids, counted from a sentence's own first token.
            Without them, padding on the left would change the positions of a sentence in a batch.
        vocabulary: the number of tokens that the network has embeddings for, where it is known.
    """

    tokenizer: Any
    max_length: int = 512
    count_positions: bool = False
    vocabulary: int | None = None

    def with_settings(self, settings: Mapping[str, Any] | None) -> "TextPreprocess":
        """A copy with these settings: "max_length", the tokens that a sentence is cut to.

        Args:
            settings: by name.

        Returns:
            the copy.

        Raises:
            ValueError: a setting is unknown, or the length is no whole number above 0.
        """
        changes = dict(settings or {})
        length = changes.pop("max_length", self.max_length)
        if changes:
            raise ValueError(
                f"unknown preprocessing {', '.join(map(str, changes))}: expected max_length for sentences"
            )
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise ValueError(f"max_length is {length!r}: expected a number of tokens above 0")
        return replace(self, max_length=length)

    def settings(self) -> dict[str, Any]:
        """All settings, for :func:`harsanyi.models.save_checkpoint`."""
        return {"max_length": self.max_length}

    def __call__(self, items: Sequence[str]) -> dict[str, Tensor]:
        """Sentences to a batch of tokens.

        Raises:
            ValueError: there are no sentences, one is empty or no string, or has a token that the network
                does not know.
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
        self._require_known(batch["input_ids"])
        if self.count_positions:
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return batch

    def _require_known(self, tokens: Tensor) -> None:
        if self.vocabulary is not None and (number := int(tokens.max())) >= self.vocabulary:
            raise ValueError(
                f"the tokenizer makes token {number}, {self.tokenizer.convert_ids_to_tokens(number)!r}, but "
                f"the network has embeddings for {self.vocabulary} tokens alone: "
                "take the tokenizer it was trained with"
            )
