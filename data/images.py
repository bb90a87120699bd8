"""Images decoded on access: from files, or from encoded bytes in a table."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def as_rgb_or_grey(image: Image.Image) -> Image.Image:
    """The image as 8-bit "RGB", or "L" where it has no colour; alpha is dropped, 16 bits become 8.

    >>> as_rgb_or_grey(Image.new("RGBA", (2, 2))).mode, as_rgb_or_grey(Image.new("1", (2, 2))).mode
    ('RGB', 'L')
    """
    if image.mode.startswith("I"):  # Pillow's own conversion clips 16 bits at 255 instead of scaling them
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    if image.mode == "P" and "transparency" in image.info:  # directly to RGB, Pillow warns
        image = image.convert("RGBA")
    return image.convert("RGB")


def decode(source: bytes | Path) -> Image.Image:
    """A whole image decoded to the last pixel and turned upright as its EXIF tag says."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with Image.open(file) as image:
        image.load()
        return as_rgb_or_grey(ImageOps.exif_transpose(image))


def encoded(cell: Any) -> bytes | Path:
    """What the `datasets` library keeps for one image, {"bytes", "path"} or plain bytes, as a source."""
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None and isinstance(cell, dict) and cell.get("path"):
        return Path(cell["path"])
    if content is None:
        raise ValueError("the cell is empty")
    return bytes(content)


class Images(Sequence[Image.Image]):
    """A sequence of PIL images that holds their places, not their pixels.

    `source(row)` gives the file or the encoded bytes of one image; `rows` says which rows are in the
    sequence. Indexing decodes, and raises ValueError with the image's name where that fails.

    >>> png = io.BytesIO()
    >>> Image.new("L", (3, 2)).save(png, "PNG")
    >>> Images(lambda row: png.getvalue(), names=("a", "b"))[1].size
    (3, 2)
    """

    def __init__(
        self, source: Callable[[int], bytes | Path], names: Sequence[str], rows: Sequence[int] | None = None
    ) -> None:
        self.source, self.names = source, tuple(names)
        self.rows = tuple(range(len(self.names)) if rows is None else rows)
        assert len(self.rows) == len(self.names), (len(self.rows), len(self.names))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        row, name = self.rows[index], self.names[index]
        try:
            return decode(self.source(row))
        except Exception as error:  # on damaged bytes Pillow raises nearly anything
            reason = str(error) or type(error).__name__
            raise ValueError(
                f"{name} cannot be read as an image ({reason}): repair or remove it, or set skip_unreadable"
            ) from error

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[index] for index in range(len(self)))

    def select(self, indices: Sequence[int]) -> Images:
        """The images at these indices, still undecoded."""
        return Images(self.source, [self.names[i] for i in indices], [self.rows[i] for i in indices])
