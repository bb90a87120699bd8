"""Images decoded on access: from files, or from encoded bytes in a table."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from harsanyi.pictures import UnknownRangeError, as_rgb_or_grey, check_bits

# Pillow only recognises these, or lets another program or the operating system draw them, or does not read
# how their values are scaled (FITS).
NOT_READ = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}


def formats() -> tuple[str, ...]:
    """The formats that are read: all that Pillow decodes itself, with its plugins.

    >>> {"GIF", "JPEG", "PNG", "TIFF"} <= set(formats()), "EPS" in formats()
    (True, False)
    """
    Image.init()
    return tuple(sorted(set(Image.OPEN) - NOT_READ))


def extensions() -> set[str]:
    """The lower-case endings of files in these formats.

    >>> {".gif", ".jfif", ".png"} <= extensions(), ".npy" in extensions()
    (True, False)
    """
    readable = {*formats(), "MPO"}  # which Pillow opens as JPEG
    return {ending for ending, form in Image.registered_extensions().items() if form in readable}


def decode(source: bytes | Path, bits: int | None = None) -> Image.Image:
    """A whole picture decoded to the last pixel, as :func:`harsanyi.pictures.as_rgb_or_grey` has it."""
    # In memory: of a file Pillow asks for as many bytes at once as the length of a chunk says.
    content = source if isinstance(source, bytes) else source.read_bytes()
    with Image.open(io.BytesIO(content), formats=formats()) as image:
        return as_rgb_or_grey(image, bits)


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
    sequence; `bits` is that of :func:`harsanyi.pictures.as_rgb_or_grey`. Indexing decodes, and raises
    ValueError with the image's name where that fails, an UnknownRangeError where its white is not known.

    >>> png = io.BytesIO()
    >>> Image.new("L", (3, 2)).save(png, "PNG")
    >>> Images(lambda row: png.getvalue(), names=("a", "b"))[1].size
    (3, 2)
    """

    def __init__(
        self,
        source: Callable[[int], bytes | Path],
        names: Sequence[str],
        rows: Sequence[int] | None = None,
        bits: int | None = None,
    ) -> None:
        self.source, self.names, self.bits = source, tuple(names), bits
        self.rows = tuple(range(len(self.names)) if rows is None else rows)
        assert len(self.rows) == len(self.names), (len(self.rows), len(self.names))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        row, name = self.rows[index], self.names[index]
        try:
            return decode(self.source(row), self.bits)
        except UnknownRangeError as error:
            raise UnknownRangeError(f"{name}: {error}") from error
        except Exception as error:  # on damaged bytes Pillow raises nearly anything
            reason = str(error) or type(error).__name__
            raise ValueError(
                f"{name} cannot be read as an image ({reason}): repair or remove it, or set skip_unreadable"
            ) from error

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[index] for index in range(len(self)))

    def select(self, indices: Sequence[int]) -> Images:
        """The images at these indices, still undecoded."""
        return Images(
            self.source, [self.names[i] for i in indices], [self.rows[i] for i in indices], self.bits
        )

    def with_bits(self, bits: int) -> Images:
        """The same images, whose whole numbers in more than 8 bits have so many."""
        check_bits(bits)
        return Images(self.source, self.names, self.rows, bits)
