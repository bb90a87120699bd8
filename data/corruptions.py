"""Corruptions of pictures and sentences, in steps of severity."""

import io
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from harsanyi.data.inputs import Inputs

Corruption = Callable[[Any, float, np.random.Generator], Any]
NOISE = "noise"
SEVERITIES = (1, 2, 3, 4, 5)
# The amounts of severities 1 to 5.
NOISE_SPREADS = (8, 16, 24, 36, 48)  # standard deviations, of 255
BLUR_RADII = (0.01, 0.02, 0.03, 0.045, 0.06)  # standard deviations, of the shorter side
CONTRAST_FACTORS = (0.7, 0.55, 0.4, 0.3, 0.2)  # of the distance from the mean grey
BRIGHTNESS_FACTORS = (1.2, 1.4, 1.7, 2.0, 2.4)  # of each pixel
JPEG_QUALITIES = (50, 30, 18, 11, 7)  # of JPEG
PIXEL_SHARES = (0.6, 0.5, 0.4, 0.3, 0.2)  # of the sides
WORD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the words, at least one


def corrupted(
    inputs: Inputs,
    name: str,
    severity: float,
    seed: int = 0,
    *,
    enough: Callable[[Any], bool] = lambda item: True,
) -> Inputs:
    """Corrupt each input on access; names and labels stay.

    The random draws of an input depend on the seed and on its name only. They are the same in every selection
    of inputs and at every severity, so that severities differ in nothing else.

    Args:
        inputs: pictures or sentences.
        name: one of `CORRUPTIONS[inputs.kind]`.
        severity: 1 to 5, whole. Of "noise", any amount above 0: the standard deviation of Gaussian noise on
            the pixels, in units of 0 to 255; of sentences, the number of swaps of neighbouring letters.
        seed: of the draws.
        enough: a condition on corrupted items. Where an item fails it, the next smaller severities are tried,
            and in the end the item stays as it is.

    Returns:
        the inputs; `items` corrupts an item each time it is read.

    Raises:
        ValueError: for a name or severity that these inputs do not have.

    >>> inputs = Inputs(["a plain sentence"], "text", ("a",))
    >>> corrupted(inputs, "case", 5).items[0]
    'a PLAIN SENTENCE'
    """
    _require_corruption(name, severity, inputs.kind)
    return replace(inputs, items=_Corrupted(inputs, name, severity, seed, enough))


def corruption(specification: str, kind: Literal["image", "text"]) -> tuple[str, float]:
    """Name and severity out of NAME:SEVERITY; a ValueError where inputs of this kind have no such corruption.

    >>> corruption("blur:3", "image"), corruption("noise:2.5", "image")
    (('blur', 3.0), ('noise', 2.5))
    """
    name, _, number = specification.partition(":")
    try:
        severity = float(number)
    except ValueError:
        raise ValueError(
            f"{specification!r} is no corruption: expected NAME:SEVERITY, as "
            f"{next(iter(CORRUPTIONS[kind]))}:3"
        ) from None
    _require_corruption(name, severity, kind)
    return name, severity


def _require_corruption(name: str, severity: float, kind: Literal["image", "text"]) -> None:
    """Refuse a name or a severity that inputs of this kind do not have."""
    if name not in CORRUPTIONS[kind]:
        raise ValueError(
            f"there is no corruption {name!r} of {kind} inputs; there are {', '.join(CORRUPTIONS[kind])}"
        )
    if name != NOISE and severity not in SEVERITIES:
        raise ValueError(f"the severity of {name} is {severity:g}: expected 1, 2, 3, 4 or 5")
    if name == NOISE and not (0 < severity < math.inf and (kind == "image" or severity == int(severity))):
        expected = "a whole number of swaps" if kind == "text" else "a standard deviation"
        raise ValueError(f"the amount of noise is {severity:g}: expected {expected} above 0")


class _Corrupted(Sequence[Any]):
    """The items of inputs, corrupted on access."""

    def __init__(
        self, inputs: Inputs, name: str, severity: float, seed: int, enough: Callable[[Any], bool]
    ) -> None:
        self.inputs, self.seed, self.enough = inputs, seed, enough
        self.corrupt = CORRUPTIONS[inputs.kind][name]
        self.severities = (severity, *range(math.ceil(severity) - 1, 0, -1))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        item, name = self.inputs.items[index], self.inputs.names[index]
        for severity in self.severities:
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
            corrupted_item = self.corrupt(item, severity, rng)
            if self.enough(corrupted_item):
                return corrupted_item
        return item


def _noise(image: Image.Image, spread: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image)
    noisy = pixels + spread * rng.standard_normal(pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _gaussian_noise(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return _noise(image, _amount(NOISE_SPREADS, severity), rng)


def _blur(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(_amount(BLUR_RADII, severity) * min(image.size)))


def _contrast(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(_amount(CONTRAST_FACTORS, severity))


def _brightness(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(_amount(BRIGHTNESS_FACTORS, severity))


def _jpeg(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(_amount(JPEG_QUALITIES, severity)))
    with Image.open(file) as compressed:
        return compressed.convert(image.mode)


def _pixelate(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(_amount(PIXEL_SHARES, severity) * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


def _swaps(text: str, count: float, rng: np.random.Generator) -> str:
    """`count` times, two neighbouring letters of a word change places; each letter moves once at most."""
    pairs = [i for i in range(len(text) - 1) if text[i : i + 2].isalpha() and text[i] != text[i + 1]]
    letters, moved = list(text), set[int]()
    for i in rng.permutation(pairs).astype(int).tolist():
        if len(moved) < 2 * count and not {i, i + 1} & moved:
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
            moved |= {i, i + 1}
    return "".join(letters)


def _swapped_letters(text: str, severity: float, rng: np.random.Generator) -> str:
    return _swaps(text, len(_draw_words(text.split(), severity, rng)), rng)


def _dropped_words(text: str, severity: float, rng: np.random.Generator) -> str:
    words = text.split()
    dropped = _draw_words(words, severity, rng)
    return " ".join(word for i, word in enumerate(words) if i not in dropped) or text


def _case(text: str, severity: float, rng: np.random.Generator) -> str:
    words = text.split(" ")
    raised = _draw_words(words, severity, rng)
    return " ".join(word.upper() if i in raised else word for i, word in enumerate(words))


def _draw_words(words: list[str], severity: float, rng: np.random.Generator) -> set[int]:
    """The numbers of the words to corrupt; those of a smaller severity are among them."""
    count = math.ceil(_amount(WORD_SHARES, severity) * len(words))
    return set(rng.permutation(len(words))[:count].tolist())


def _amount(amounts: Sequence[float], severity: float) -> float:
    return amounts[int(severity) - 1]


CORRUPTIONS: dict[Literal["image", "text"], dict[str, Corruption]] = {
    "image": {
        "gaussian_noise": _gaussian_noise,
        "blur": _blur,
        "contrast": _contrast,
        "brightness": _brightness,
        "jpeg": _jpeg,
        "pixelate": _pixelate,
        NOISE: _noise,
    },
    "text": {
        "swapped_letters": _swapped_letters,
        "dropped_words": _dropped_words,
        "case": _case,
        NOISE: _swaps,
    },
}
