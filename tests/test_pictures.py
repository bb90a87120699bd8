"""Pictures of every mode as 8-bit RGB or grey; the right values by numpy."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from harsanyi.data import load
from harsanyi.models.loading.preprocess import ImagePreprocess
from harsanyi.pictures import UnknownRangeError, as_rgb_or_grey

RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).round().astype(np.uint16)
RIGHT = np.linspace(0, 255, 64 * 64).reshape(64, 64)
ONE_LEVEL = 1  # of 255: Pillow cuts 16-bit colours where others round


def close(picture, right, tolerance=ONE_LEVEL):
    return np.abs(np.asarray(picture).astype(float) - right).max() <= tolerance


def png(values, significant=None):
    """A 16-bit PNG by its standard: (h, w) grey, (h, w, 2) with alpha, (h, w, 3) colour, (h, w, 4) both."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    bits = chunk(b"sBIT", bytes(significant)) if significant else b""
    parts = chunk(b"IHDR", header) + bits + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def opened(content):
    return Image.open(io.BytesIO(content))


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


DEEP = {
    "array": lambda: Image.fromarray(RAMP),
    "I": lambda: Image.fromarray(RAMP.astype(np.int32)),
    "I;16B": lambda: Image.frombytes("I;16B", (64, 64), RAMP.astype(">u2").tobytes()),
    "I;16L": lambda: Image.frombytes("I;16L", (64, 64), RAMP.astype("<u2").tobytes()),
    "png": lambda: opened(png(RAMP)),
    "png of 16 significant bits": lambda: opened(png(RAMP, [16])),
    "png stretched from 12 bits": lambda: opened(png(RAMP, [12])),
    "little-endian tiff": lambda: opened(tiff(RAMP, byteorder="<")),
    "big-endian tiff": lambda: opened(tiff(RAMP, byteorder=">")),
    "compressed big-endian tiff": lambda: opened(tiff(RAMP, byteorder=">", compression="zlib")),
    "tiff where white is zero": lambda: opened(tiff(65535 - RAMP, photometric="miniswhite")),
    "signed tiff": lambda: opened(tiff((RAMP // 2).astype(np.int16))),
    "32-bit tiff": lambda: opened(tiff(RAMP.astype(np.int32))),
    "pgm": lambda: opened(b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes()),
    "pgm of 12 bits": lambda: opened(b"P5 64 64 4095\n" + (RAMP // 16).astype(">u2").tobytes()),
    "floats to 1": lambda: Image.fromarray((RIGHT / 255).astype(np.float32)),
    "floats to 255": lambda: Image.fromarray(RIGHT.astype(np.float32)),
    "whole floats": lambda: Image.fromarray(RIGHT.round().astype(np.float32)),
    "float tiff": lambda: opened(tiff((RIGHT / 255).astype(np.float32))),
    "big-endian float tiff": lambda: opened(tiff((RIGHT / 255).astype(np.float32), byteorder=">")),
    "float tiff where white is zero": lambda: opened(
        tiff((1 - RIGHT / 255).astype(np.float32), photometric="miniswhite")
    ),
}


@pytest.mark.parametrize("form", DEEP)
def test_deep_greys_span_black_to_white(form):
    grey = as_rgb_or_grey(DEEP[form]())
    assert grey.mode == "L"
    assert close(grey, RIGHT)


COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)
RIGHT_COLOURS = np.stack([RIGHT, RIGHT[::-1], RIGHT.T], axis=-1)


@pytest.mark.parametrize(
    "content",
    [
        png(COLOURS),
        png(COLOURS, [12, 12, 12]),
        png(np.dstack([COLOURS, RAMP])),
        tiff(COLOURS, photometric="rgb", byteorder="<"),
        tiff(COLOURS, photometric="rgb", byteorder=">"),
    ],
)
def test_deep_colours(content):
    assert close(as_rgb_or_grey(opened(content)), RIGHT_COLOURS)


def test_deep_grey_with_alpha():
    assert close(as_rgb_or_grey(opened(png(np.dstack([RAMP, RAMP])))), RIGHT[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kept", [np.uint16, np.int32])
def test_fewer_bits_than_there_is_room_for_are_to_be_said(bits, kept):
    picture = Image.fromarray((RAMP >> (16 - bits)).astype(kept))
    with pytest.raises(UnknownRangeError, match=f"largest value is {2**bits - 1}, .*bits={bits} or bits=16"):
        as_rgb_or_grey(picture)
    assert close(as_rgb_or_grey(picture, bits=bits), RIGHT)
    assert close(as_rgb_or_grey(picture, bits=16), RIGHT / 2 ** (16 - bits))


def test_bits_that_the_header_says():
    twelve = RAMP >> 4
    assert close(as_rgb_or_grey(opened(png(twelve, [12]))), RIGHT)  # not stretched, against the standard
    with pytest.raises(UnknownRangeError, match="bits=12"):  # dark by the standard, or of 12 bits
        as_rgb_or_grey(opened(png(twelve // 16 * 16, [12])))
    assert close(as_rgb_or_grey(opened(png(twelve, [16]))), RIGHT / 16)
    assert close(as_rgb_or_grey(opened(png(twelve, [12])), bits=16), RIGHT / 16)


def test_the_header_is_read_also_after_the_pixels(tmp_path):
    (tmp_path / "a.png").write_bytes(png(RAMP >> 4, [12]))
    picture = Image.open(tmp_path / "a.png")
    picture.load()
    assert close(as_rgb_or_grey(picture), RIGHT)


def packed_twelve_bits(values):
    """A TIFF of 12 bits a value, two in three bytes: header, one directory, pixels."""
    first, second = values.reshape(-1, 2).astype(int).T
    pixels = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8)
    height, width = values.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: pixels.size}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + pixels.size) + pixels.tobytes() + directory


def test_tiff_of_twelve_bits():
    assert close(as_rgb_or_grey(opened(packed_twelve_bits(RAMP >> 4))), RIGHT)


@pytest.mark.parametrize(
    ("values", "bits", "message"),
    [
        (np.array([[-5, 3000]], np.int32), None, "go from -5 to 3000: shift them so that black is 0"),
        (np.array([[-5, 3000]], np.int32), 12, "shift them"),
        (np.array([[0, 70000]], np.int32), None, "bits=24 or bits=32"),
        (np.array([[0, 5000]], np.uint16), 12, "largest value is 5000, but 12 bits end at 4095"),
        (
            np.array([[0.0, 4095.0]], np.float32),
            None,
            "from 0 to 4095: expected 0 to 1, or 0 to 255",
        ),
        (np.array([[0.0, 1.02]], np.float32), None, r"floats go from 0 to 1\.02"),
        (np.array([[-0.5, 0.5]], np.float32), None, r"floats go from -0\.5 to 0\.5"),
        (np.array([[0.0, np.nan]], np.float32), None, "floats go from nan to nan"),
        (np.array([[0.0, np.inf]], np.float32), None, "floats go from 0 to inf"),
    ],
)
def test_other_ranges_are_refused(values, bits, message):
    with pytest.raises(UnknownRangeError, match=message):
        as_rgb_or_grey(Image.fromarray(values), bits)


@pytest.mark.parametrize("make", [png, lambda values: tiff(values, photometric="rgb")])
def test_dark_colours_of_16_bits_are_refused(make):
    content = make(COLOURS >> 4)
    with pytest.raises(UnknownRangeError, match="16 bits, of which Pillow reads the upper 8, .* up to 15"):
        as_rgb_or_grey(opened(content))
    with pytest.raises(UnknownRangeError, match="save it with 8 bits a colour"):
        as_rgb_or_grey(opened(content), bits=12)
    assert close(as_rgb_or_grey(opened(content), bits=16), RIGHT_COLOURS / 16)


def test_dark_inks_of_16_bits_are_refused():
    """12 bits of ink in 16 are nearly none: the picture would be white."""
    inks = np.dstack([COLOURS, RAMP])
    assert as_rgb_or_grey(opened(tiff(inks, photometric="separated"))).mode == "RGB"
    with pytest.raises(UnknownRangeError, match="these go up to 15"):
        as_rgb_or_grey(opened(tiff(inks >> 4, photometric="separated")))


def test_alpha_does_not_tell_the_range_of_colours():
    with pytest.raises(UnknownRangeError, match="these go up to 15"):
        as_rgb_or_grey(opened(png(np.dstack([COLOURS >> 4, np.full_like(RAMP, 65535)]))))


def test_what_pillow_misreads_is_refused():
    planes = tiff(np.moveaxis(COLOURS, -1, 0), photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="colours of 16 bits in separate planes, which Pillow misreads"):
        as_rgb_or_grey(opened(planes))
    with pytest.raises(ValueError, match="signed values of 8 bits, which Pillow misreads"):
        as_rgb_or_grey(opened(tiff((RAMP >> 9).astype(np.int8))))


def test_black_is_black_in_any_depth():
    assert not np.asarray(as_rgb_or_grey(Image.new("I;16", (3, 2)))).any()


RGB = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def test_alpha_and_palettes_leave_the_colours_as_they_are():
    with_alpha = np.dstack([RGB, GREY])
    assert close(as_rgb_or_grey(Image.fromarray(with_alpha)), RGB, 0)
    assert close(as_rgb_or_grey(Image.fromarray(with_alpha[..., [0, 3]], "LA")), GREY, 0)
    palette = Image.frombytes("P", (8, 8), bytes(range(64)))
    palette.putpalette(RGB.reshape(-1).tolist())
    assert close(as_rgb_or_grey(palette), RGB, 0)
    palette.info["transparency"] = 3
    assert close(as_rgb_or_grey(palette), RGB, 0)
    palette.info["transparency"] = bytes(range(64))
    assert close(as_rgb_or_grey(palette), RGB, 0)
    assert close(as_rgb_or_grey(Image.fromarray(GREY > 127)), (GREY > 127) * 255, 0)


def test_premultiplied_alpha_is_divided_out():
    alpha = np.full((8, 8), 200, np.uint8)
    picture = Image.fromarray(np.dstack([RGB, alpha])).convert("RGBa")
    assert close(as_rgb_or_grey(picture), RGB, 2)  # two roundings, of which one is divided by 200/255
    picture = Image.fromarray(np.dstack([GREY, alpha]), "LA").convert("La")
    assert close(as_rgb_or_grey(picture), GREY, 2)


def test_ink_and_luma():
    inks = np.dstack([255 - RGB, np.zeros((8, 8), np.uint8)])
    assert close(as_rgb_or_grey(Image.fromarray(inks, "CMYK")), RGB)
    y = RGB @ [0.299, 0.587, 0.114]
    cb, cr = 128 + (RGB[..., 2] - y) / 1.772, 128 + (RGB[..., 0] - y) / 1.402
    luma = np.stack([y, cb, cr], axis=-1).round().clip(0, 255).astype(np.uint8)
    # The rounded chroma is multiplied by up to 1.772.
    assert close(as_rgb_or_grey(Image.fromarray(luma, "YCbCr")), RGB, 2)


def lab_of(rgb):
    """CIE Lab under D50 by its definition: sRGB to linear, to XYZ, Bradford's adaptation."""
    values = rgb / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d65, d50 = np.array([0.95047, 1, 1.08883]), np.array([0.96422, 1, 0.82521])
    adapt = np.linalg.inv(cones) @ np.diag((cones @ d50) / (cones @ d65)) @ cones
    x, y, z = np.moveaxis(np.cbrt(linear @ np.array(to_xyz).T @ adapt.T / d50), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def test_lab():
    rgb = RGB // 2 + 60  # bright enough for the cube roots
    lab = lab_of(rgb)
    stored = np.stack([lab[..., 0] * 2.55, lab[..., 1], lab[..., 2]], axis=-1).round().astype(int) % 256
    picture = Image.frombytes("LAB", (8, 8), stored.astype(np.uint8).tobytes())
    # Half a unit of a* or b*, where they were rounded, is up to four levels of blue.
    assert close(as_rgb_or_grey(picture), rgb, 4)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_several_frames_are_refused(kind):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="holds 2 frames, but an input is one picture: keep the frame"):
        as_rgb_or_grey(Image.open(file))
    second = Image.open(file)
    second.seek(1)
    assert as_rgb_or_grey(second.copy()).mode == "RGB"


def test_further_pictures_of_a_camera_are_previews():
    file = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (2, 1))])
    assert as_rgb_or_grey(Image.open(file)).size == (4, 3)


def test_pictures_are_turned_upright_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "JPEG", exif=exif)
    upright = as_rgb_or_grey(Image.open(file))
    assert upright.size == as_rgb_or_grey(upright).size == (4, 6)


def test_bits_are_between_8_and_32():
    with pytest.raises(ValueError, match="bits is 4: expected 8 to 32"):
        as_rgb_or_grey(Image.new("L", (2, 2)), bits=4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", DEEP)
def test_a_network_sees_the_same_from_python_and_from_files(tmp_path, form, channels):
    preprocess = ImagePreprocess((64, 64), (0.0,) * channels, (1.0,) * channels, channels, crop=1.0)
    picture = DEEP[form]()
    seen = preprocess([picture])
    assert seen.shape == (1, channels, 64, 64)
    right = torch.from_numpy(RIGHT).float().div(255).expand(1, channels, 64, 64)
    torch.testing.assert_close(seen, right, rtol=0, atol=1.01 * ONE_LEVEL / 255)
    as_rgb_or_grey(DEEP[form]()).save(tmp_path / "a.png")
    assert torch.equal(preprocess(load(tmp_path).items), seen)


def test_a_network_refuses_a_picture_of_unknown_range():
    with pytest.raises(
        ValueError, match=r"largest value is 4095, .* bits=12 .* harsanyi\.pictures\.as_rgb_or_grey"
    ):
        ImagePreprocess()([Image.fromarray(RAMP >> 4)])
    assert ImagePreprocess()([as_rgb_or_grey(Image.fromarray(RAMP >> 4), bits=12)]).isfinite().all()
