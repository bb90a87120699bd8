"""Image processors of transformers: how the pictures of its image classifiers are prepared."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harsanyi.models.loading.preparation.settings import PROCESSOR
from harsanyi.models.loading.preprocess import ImagePreprocess

RESAMPLING = {mode: mode.name.lower() for mode in Image.Resampling}
# Pictures on which two ways to prepare are compared (height, width), beside two larger than the result. Their
# sides follow each other, as the middle of an odd and of an even number of pixels is rounded differently.
TRIALS = tuple(size for more in range(6) for size in ((37, 53 + more), (95 + more, 60)))
# Far below the 1/255 of a pixel value, and above the rounding of float32.
EXACT = 1e-5


@dataclass(frozen=True)
class ProcessorPreprocess:
    """Pictures as an image processor of transformers prepares them.

    Attributes:
        processor: of the transformers library.
    """

    processor: Any

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's inputs, in pixels."""
        height, width = self([Image.new("RGB", (64, 48))]).shape[-2:]
        return height, width

    def with_settings(self, settings: Mapping[str, Any] | None) -> "ImagePreprocess | ProcessorPreprocess":
        """The processor with these settings instead of its own.

        Args:
            settings: as :class:`harsanyi.models.ImagePreprocess` has them, without ``channels`` and
                ``crop_mode``; or "processor", the content of a preprocessor_config.json.

        Returns:
            the preprocessing.

        Raises:
            ValueError: the processor has no such setting, or it makes no sense.
        """
        changes = dict(settings or {})
        content = dict(changes.pop(PROCESSOR, None) or _content(self.processor))
        if not changes:
            return image_preprocess(content)
        kind = type(self.processor).__name__
        # The same checks, and the same help with scales, as for other pictures.
        plain = ImagePreprocess().with_settings(changes)
        for name in changes:
            content |= _changed(name, getattr(plain, name), content, kind)
        changed = image_preprocess(content)
        if "size" in changes and changed.size != plain.size:
            raise ValueError(
                f"{kind} cannot make pictures of {plain.size[0]} × {plain.size[1]} pixels: give another size"
            )
        return changed

    def settings(self) -> dict[str, Any]:
        """All settings, for :func:`harsanyi.models.save_checkpoint`."""
        return {PROCESSOR: _content(self.processor)}

    def __call__(self, items: Sequence[Image.Image]) -> Tensor:
        """Pictures to a float32 tensor (batch, channels, height, width).

        Raises:
            ValueError: there are no pictures, an item is not a PIL image, or the processor leaves pictures of
                different sizes.
        """
        if not len(items):
            raise ValueError("expected at least one picture, but got none")
        prepared = [self._prepared(item) for item in items]
        if len({tuple(each.shape) for each in prepared}) > 1:
            raise ValueError(
                f"{type(self.processor).__name__} leaves pictures of different sizes: resize them before"
            )
        return torch.stack(prepared)

    def display(self, inputs: Tensor) -> np.ndarray:
        """Network inputs as pictures, uint8 (batch, height, width, 3), without the normalisation."""
        black, colours = self._colours()
        pixels = inputs.detach().cpu().double() - black.view(-1, 1, 1)
        pixels = torch.einsum("ij,bjhw->bihw", colours.inverse(), pixels)
        pixels = pixels.mul(255).round().clamp(0, 255).to(torch.uint8)
        return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()

    def _colours(self) -> tuple[Tensor, Tensor]:
        """What the processor makes of black, and what each full colour adds, a column each, in float64.

        Whatever it does to the values (scales, offsets, another order of channels) is of this form.
        """
        black, *full = (
            self._prepared(Image.new("RGB", (64, 64), colour)).double()
            for colour in ("black", "#ff0000", "#00ff00", "#0000ff", "white")
        )
        full = full[:3] if len(black) == 3 else full[3:]
        middle = black.shape[1] // 2, black.shape[2] // 2
        centres = [each[:, middle[0], middle[1]] for each in (black, *full)]
        return centres[0], torch.stack(centres[1:], dim=1) - centres[0][:, None]

    def place(self, picture: Image.Image) -> np.ndarray:
        """A map of numbers below 256 (mode "L"), put where a picture of its size is put: (height, width)."""
        placed = self._prepared(picture, resample=Image.Resampling.NEAREST)
        return self.display(placed[None])[0, ..., 0].astype(np.int64)

    def _prepared(self, picture: Image.Image, **options: Any) -> Tensor:
        if not isinstance(picture, Image.Image):
            raise ValueError(
                f"expected PIL images, but got {type(picture).__name__}: open pictures with PIL.Image.open"
            )
        grey = len(getattr(self.processor, "image_mean", None) or (0,) * 3) == 1
        picture = picture.convert("L" if grey else "RGB")
        return self.processor(images=picture, return_tensors="pt", **options)["pixel_values"][0].float()


def image_preprocess(content: Mapping[str, Any]) -> ImagePreprocess | ProcessorPreprocess:
    """The preprocessing of a preprocessor_config.json: ours where it makes the same pixels, else theirs.

    Args:
        content: of the file.

    Returns:
        the preprocessing.

    Raises:
        ValueError: transformers has no such processor, or it does not make pixels of pictures.
    """
    return simplest(ProcessorPreprocess(_processor(content)))


def simplest(theirs: ProcessorPreprocess) -> ImagePreprocess | ProcessorPreprocess:
    """Our settings in place of a processor, if they make the same pixels of trial pictures of many sizes.

    Args:
        theirs: the processor.

    Returns:
        ours or theirs.

    Raises:
        ValueError: the processor does not make pixels of pictures.
    """
    ours = _plain(theirs.processor)
    height, width = (224, 224) if ours is None else ours.size
    generator = np.random.default_rng(0)
    sizes = (*TRIALS, (2 * height + 1, width + 30), (height + 77, 3 * width + 2))
    pictures = [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    try:
        expected = theirs(pictures)
    except Exception as error:  # each of the many processors fails in its own way
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{type(theirs.processor).__name__} of preprocessor_config.json cannot prepare pictures "
            f"({reason}): correct that file, or move it away and give preprocessing="
        ) from error
    # Which pixel is the nearest is a question of rounding, other for each size of picture.
    if ours is None or ours.interpolation == "nearest":
        return theirs
    if (ours.channels, *ours.size) != tuple(expected.shape[1:]):
        return theirs
    return ours if (ours(pictures) - expected).abs().max() <= EXACT else theirs


def _processor(content: Mapping[str, Any]) -> Any:
    from transformers import AutoImageProcessor

    # A processor's own code ("auto_map") is never run.
    plain = {name: value for name, value in content.items() if name not in ("auto_map", "model_type")}
    with tempfile.TemporaryDirectory() as folder:
        if "model_type" in content:
            kind = json.dumps({"model_type": content["model_type"]})
            (Path(folder) / "config.json").write_text(kind, encoding="utf-8")
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(plain), encoding="utf-8")
        try:
            return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # whatever a strange file suggests
            reason = str(error).strip().split("\n")[0].replace(folder, "preprocessor_config.json")
            raise ValueError(
                f"transformers makes no image processor of preprocessor_config.json ({reason}): "
                "correct that file, or move it away and give preprocessing="
            ) from error


def _content(processor: Any) -> dict[str, Any]:
    return json.loads(processor.to_json_string())


def _changed(name: str, value: Any, content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The entries of a preprocessor_config.json for one of our settings."""
    if name in ("mean", "std"):
        return {f"image_{name}": list(value), "do_normalize": True}
    if name == "interpolation":
        return {"resample": next(int(mode) for mode, known in RESAMPLING.items() if known == value)}
    if name == "crop" and "crop_pct" in content:
        return {"crop_pct": value}
    if name == "size":
        return _resized(value, content)
    raise ValueError(f"{kind} has no setting {name}: expected mean, std, size or interpolation")


def _resized(size: tuple[int, int], content: Mapping[str, Any]) -> dict[str, Any]:
    """Another size of the output: of the crop where there is one, with the share of the picture in it."""
    height, width = size
    sides = {"height": height, "width": width}
    before, crop = content.get("size") or {}, content.get("crop_size") or {}
    cropped = content.get("do_center_crop") and "height" in crop
    if "shortest_edge" not in before:
        return {"size": sides, **({"crop_size": sides} if cropped else {})}
    if not cropped:
        return {"size": {"shortest_edge": min(size)}}
    edge = round(before["shortest_edge"] / min(crop["height"], crop["width"]) * max(size))
    return {"size": {"shortest_edge": edge}, "crop_size": sides}


def _plain(processor: Any) -> ImagePreprocess | None:
    """Our settings for a processor, as far as they can be read off; the pixels decide whether they fit."""
    size, crop = (_entries(getattr(processor, name, None)) for name in ("size", "crop_size"))
    cropped = bool(getattr(processor, "do_center_crop", False) and crop.get("height"))
    share = getattr(processor, "crop_pct", None)
    edge = size.get("shortest_edge")
    shape: dict[str, Any]
    if size.get("height") and size.get("width") and not cropped:
        shape = {"size": (size["height"], size["width"]), "crop": 1.0, "crop_mode": "squash"}
    elif edge and cropped and crop["height"] <= edge:
        shape = {"size": (crop["height"], crop["width"]), "crop": crop["height"] / edge}
    elif edge and share:
        small = edge < 384
        shape = {"size": edge, "crop": share if small else 1.0, "crop_mode": "center" if small else "squash"}
    else:
        return None
    normalised = getattr(processor, "do_normalize", False)
    mean, std = (processor.image_mean, processor.image_std) if normalised else ([0.0] * 3, [1.0] * 3)
    resample = RESAMPLING[Image.Resampling(int(getattr(processor, "resample", None) or 0))]
    scales = {"mean": list(mean), "std": list(std), "channels": len(mean), "interpolation": resample}
    try:
        return ImagePreprocess().with_settings({**shape, **scales})
    except ValueError:
        return None


def _entries(value: Any) -> dict[str, Any]:
    """A size of a processor as a dict; {} where it has none."""
    if value is None:
        return {}
    pairs = value if isinstance(value, Mapping) else {name: getattr(value, name) for name in vars(value)}
    return {name: number for name, number in pairs.items() if number is not None}
