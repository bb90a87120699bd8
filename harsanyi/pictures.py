"""Pictures of any mode as 8-bit RGB or grey: the one way for files of a data set and pictures in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

# Depths that pictures are kept in, beside the 16 bits that a file has room for.
DEPTHS = (8, 10, 12, 14, 16, 24, 32)
# Nearly every picture has a value in the upper three quarters of its range. One without is not guessed at.
DARK = 1 / 4
# Pillow stretches these to all 16 bits itself, as their headers say how many bits they have.
STRETCHED = {"PPM", "JPEG2000"}
# Of these the first frame is the picture, further ones are previews or layers.
ONE_PICTURE = {"MPO", "PSD"}

# Tags of TIFF, and values of theirs.
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION, SAMPLE_FORMAT = 258, 262, 284, 339
WHITE_IS_ZERO, SEPARATE, SIGNED = 0, 2, 2


class UnknownRangeError(ValueError):
    """A picture of which nothing says what value is white."""


def as_rgb_or_grey(picture: Image.Image, bits: int | None = None) -> Image.Image:
    """The picture upright as 8-bit "RGB", or "L" where it has no colour, without its alpha.

    A whole number v of b bits becomes round(255 v / (2ᵇ − 1)). b is `bits`, else what the file's header
    says, else 16 where a value is at least 2¹⁴: a darker picture may as well hold 10, 12 or 14 bits, and is
    refused. Floats from 0 to 1 become round(255 v), and floats from 0 to 255 are rounded. 8-bit pictures keep
    their values.

    Args:
        picture: of any mode of Pillow, with one frame.
        bits: of whole numbers in more than 8 bits; white is 2**bits − 1. By default as above.

    Returns:
        the picture in mode "RGB" or "L".

    Raises:
        UnknownRangeError: nothing says which value is white, or a value lies outside the range.
        ValueError: for a picture of several frames, and for forms of TIFF that Pillow misreads.

    >>> deep = Image.fromarray(np.array([[0, 2048, 4095]], dtype=np.uint16))
    >>> np.asarray(as_rgb_or_grey(deep, bits=12)).tolist()
    [[0, 128, 255]]
    >>> as_rgb_or_grey(Image.new("RGBA", (2, 2))).mode, as_rgb_or_grey(Image.new("1", (2, 2))).mode
    ('RGB', 'L')
    """
    if bits is not None:
        check_bits(bits)
    _refuse_frames(picture)
    _refuse_misread(picture)
    cut = _is_cut(picture)  # before its pixels are read: then Pillow closes the file
    known, room = bits or _header_bits(picture), _room(picture)
    inverted = picture.mode[0] in "IF" and _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":
        values = np.asarray(picture)
        grey = _of_floats(values) if picture.mode == "F" else _of_integers(values, known, room)
        return Image.fromarray(255 - grey if inverted else grey)
    if cut:
        _refuse_lost_bits(picture, bits)
    if picture.mode in ("La", "RGBa"):  # Pillow divides by alpha on the way to these alone
        picture = picture.convert(picture.mode[:-1] + "A")
    if picture.mode == "P" and "transparency" in picture.info:  # directly to RGB, Pillow warns
        picture = picture.convert("RGBA")
    return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")


def check_bits(bits: int) -> None:
    """ValueError unless a value can have so many bits.

    >>> check_bits(12)
    """
    if bits not in range(8, 33):
        raise ValueError(f"bits is {bits}: expected 8 to 32, as 12 where white is 4095")


def _refuse_frames(picture: Image.Image) -> None:
    """ValueError for an animation, and for a file of several pages."""
    if getattr(picture, "is_animated", False) and picture.format not in ONE_PICTURE:
        raise ValueError(
            f"it holds {getattr(picture, 'n_frames', 'several')} frames, but an input is one picture: "
            "keep the frame that you mean as a picture of its own"
        )


def _refuse_misread(picture: Image.Image) -> None:
    """ValueError for two forms of TIFF whose values Pillow reads as others."""
    depths = _tag(picture, BITS_PER_SAMPLE) or (8,)
    planes = _tag(picture, PLANAR_CONFIGURATION) == SEPARATE and depths[0] > 8
    if planes or (depths == (8,) and _tag(picture, SAMPLE_FORMAT) == (SIGNED,)):
        form = "colours of 16 bits in separate planes" if planes else "signed values of 8 bits"
        raise ValueError(f"it holds {form}, which Pillow misreads: save it with 8 unsigned bits a colour")


def _of_floats(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Floats of 0 to 1, or of 0 to 255, as bytes."""
    low, high = float(values.min()), float(values.max())  # not-a-number fails all comparisons
    whole = high > 1 and bool((values == np.round(values)).all())
    if not (low >= 0 and (high <= 1 or 255 * DARK <= high <= 255 or (whole and high <= 255))):
        raise UnknownRangeError(
            f"its floats go from {low:g} to {high:g}: expected 0 to 1, or 0 to 255 with values over "
            f"{255 * DARK:g}; scale them to 0 to 1"
        )
    return np.round(values.astype(np.float64) * (255 if high <= 1 else 1)).astype(np.uint8)


def _of_integers(values: npt.NDArray[Any], known: int | None, room: int) -> npt.NDArray[np.uint8]:
    """Whole numbers as bytes: of known bits, or of all there is room for unless they are dark."""
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise UnknownRangeError(f"its values go from {low} to {high}: shift them so that black is 0")
    bits = known or (room if high == 0 or 2**room * DARK <= high < 2**room else None)
    if bits is None:
        fitting = next(depth for depth in DEPTHS if high < 2**depth)
        raise UnknownRangeError(
            f"its largest value is {high}, and nothing says which value is white: it may be of {fitting} "
            f"bits, or dark and of more. Say which, as bits={fitting} or bits={16 if fitting < 16 else 32}, "
            "in harsanyi.data.load or harsanyi.pictures.as_rgb_or_grey"
        )
    if high >= 2**bits:
        raise UnknownRangeError(f"its largest value is {high}, but {bits} bits end at {2**bits - 1}")
    return np.round(values * (255 / (2**bits - 1))).astype(np.uint8)


def _refuse_lost_bits(picture: Image.Image, bits: int | None) -> None:
    """UnknownRangeError where the upper 8 of 16 bits, which Pillow keeps of colours, may lack the picture."""
    colours = np.array([band not in "AaX" for band in picture.getbands()])  # without alpha
    high = np.asarray(picture).reshape(-1, len(colours))[:, colours].max()
    if bits not in (None, 16) or (bits is None and high < 2**8 * DARK):
        raise UnknownRangeError(
            f"its colours are kept in 16 bits, of which Pillow reads the upper 8, and these go up to {high}. "
            "Say bits=16 if white is 65535 and it is dark; else save it with 8 bits a colour"
        )


def _is_cut(picture: Image.Image) -> bool:
    """Whether Pillow reads only the upper 8 bits of each of the file's values."""
    if picture.mode[0] in "IF" or picture.format in STRETCHED:
        return False
    if picture.format == "PNG":
        return any(kind == b"IHDR" and chunk[8:9] == b"\x10" for kind, chunk in _png_chunks(picture))
    depths = _tag(picture, BITS_PER_SAMPLE) or (8,)
    return max(depths) > 8


def _room(picture: Image.Image) -> int:
    """The bits that the values have room for, as far as they are used: 16, or 15 beside a sign."""
    signed = _tag(picture, SAMPLE_FORMAT) == (SIGNED,)
    return 15 if signed and _tag(picture, BITS_PER_SAMPLE) == (16,) else 16


def _header_bits(picture: Image.Image) -> int | None:
    """The bits of a value, where the header of its file says them."""
    if picture.format in STRETCHED:
        return 16
    if picture.format == "PNG":
        return _png_bits(picture)
    depths = _tag(picture, BITS_PER_SAMPLE)
    return depths[0] if depths and depths[0] not in (16, 32) else None


def _png_bits(picture: Image.Image) -> int | None:
    """The bits of a grey PNG with a chunk of significant bits, as far as its values bear them out.

    By the standard the values are stretched to 16 bits, which leaves their lower bits empty where they are
    dark. Some programs do not stretch them.
    """
    significant = [chunk[0] for kind, chunk in _png_chunks(picture) if kind == b"sBIT" and chunk]
    if picture.mode[0] != "I" or not significant or not 8 <= significant[0] <= 16:
        return None
    bits, values = significant[0], np.asarray(picture)
    if bits == 16 or values.max() >= 2**bits:
        return 16
    return bits if (values % 2 ** (16 - bits)).any() else None


def _png_chunks(picture: Image.Image) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk before the pixels; none where the file is gone."""
    stream: IO[bytes] | None = getattr(picture, "fp", None)
    if stream is not None and not stream.closed:
        place = stream.tell()
        chunks = list(_chunks_of(stream))
        stream.seek(place)
        return chunks
    path = getattr(picture, "filename", None)
    if path and Path(path).is_file():
        with Path(path).open("rb") as file:
            return list(_chunks_of(file))
    return []


def _chunks_of(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    stream.seek(8)  # behind the signature
    while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":
        yield head[4:], stream.read(int.from_bytes(head[:4], "big"))
        stream.seek(4, 1)  # over the checksum


def _tag(picture: Image.Image, number: int) -> Any:
    """A tag of a TIFF file; None where it has none."""
    return picture.tag_v2.get(number) if isinstance(picture, TiffImageFile) else None
