"""Pictures as the image processors of transformers prepare them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor

from harsanyi.models import ImagePreprocess
from harsanyi.models.loading.preparation.processors import ProcessorPreprocess, image_preprocess, simplest

SMALL = {"height": 32, "width": 32}
PROCESSORS = {
    "ViTImageProcessor": {"size": SMALL},
    "DeiTImageProcessor": {"size": {"height": 40, "width": 40}, "crop_size": SMALL},
    "BeitImageProcessor": {"size": SMALL, "crop_size": SMALL},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 32}},
    "BitImageProcessor": {"size": {"shortest_edge": 37}, "crop_size": SMALL},
    "EfficientNetImageProcessor": {"size": SMALL},
    "LevitImageProcessor": {"size": {"shortest_edge": 32}, "crop_size": SMALL},
    "MobileViTImageProcessor": {"size": {"shortest_edge": 36}, "crop_size": SMALL},
    "CLIPImageProcessor": {"size": {"shortest_edge": 32}, "crop_size": SMALL},
    "SiglipImageProcessor": {"size": SMALL},
}


@pytest.fixture
def odd_pictures() -> list[Image.Image]:
    generator = np.random.default_rng(5)
    sizes = ((33, 47), (101, 61), (32, 301), (17, 90), (18, 90), (90, 19))
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def content(name: str, **options) -> dict:
    return json.loads(getattr(transformers, name)(**options).to_json_string())


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_processor(tmp_path: Path, name: str, odd_pictures):
    settings = content(name, **PROCESSORS[name])
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    theirs = AutoImageProcessor.from_pretrained(tmp_path)
    expected = theirs(images=odd_pictures, return_tensors="pt")["pixel_values"]
    preprocess = image_preprocess(settings)
    # Ours is taken where it is the same to the rounding of float32, theirs is theirs.
    tolerance = 1e-5 if isinstance(preprocess, ImagePreprocess) else 0
    torch.testing.assert_close(preprocess(odd_pictures), expected, rtol=0, atol=tolerance)
    assert preprocess.size == (32, 32)
    again = image_preprocess(settings).with_settings(preprocess.settings())
    assert torch.equal(again(odd_pictures), preprocess(odd_pictures))
    grey_and_transparent = [odd_pictures[0].convert("L"), odd_pictures[1].convert("RGBA")]
    assert preprocess(grey_and_transparent).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", PROCESSORS)
def test_pictures_are_shown_and_maps_placed_as_the_network_sees_them(name: str):
    """A picture of its own size, so that resizing changes no pixel; blue left, red right."""
    preprocess = image_preprocess(content(name, **PROCESSORS[name]))
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:, :32, 2], pixels[:, 32:, 0] = 200, 100
    shown = preprocess.display(preprocess([Image.fromarray(pixels)]))[0]
    assert shown.shape == (32, 32, 3)
    for column, colour in ((4, (0, 0, 200)), (27, (100, 0, 0))):
        assert np.abs(shown[16, column].astype(int) - colour).max() <= 1  # rounding to whole pixels
    placed = preprocess.place(Image.fromarray(pixels[..., 0] // 50 + 1))
    assert placed.shape == (32, 32)
    assert (placed[:, :14] == 1).all()
    assert (placed[:, 18:] == 3).all()


def test_ours_is_taken_where_it_is_the_same():
    """transformers' own way with PIL, the only one of version 4, is ours; that with tensors is not quite."""
    named = next((n for n in ("ViTImageProcessorPil", "ViTImageProcessor") if hasattr(transformers, n)), "")
    theirs = ProcessorPreprocess(getattr(transformers, named)(size=SMALL))
    half = (0.5, 0.5, 0.5)
    assert simplest(theirs) == ImagePreprocess((32, 32), half, half, crop=1.0, crop_mode="squash")
    nearest = ProcessorPreprocess(getattr(transformers, named)(size=SMALL, resample=0))
    assert simplest(nearest) is nearest


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("ViTImageProcessor", {"size": 48}, (48, 48)),
        ("BitImageProcessor", {"size": (64, 64)}, (64, 64)),
        ("ConvNextImageProcessor", {"size": 40, "crop": 1.0}, (40, 40)),
    ],
)
def test_settings_change_the_processor(name: str, change: dict, expected, odd_pictures):
    preprocess = image_preprocess(content(name, **PROCESSORS[name]))
    changed = preprocess.with_settings(
        {**change, "mean": 0.1, "std": [0.2, 0.3, 0.4], "interpolation": "nearest"}
    )
    assert changed.size == expected
    x = changed([Image.new("RGB", (60, 60), (255, 255, 255))])
    torch.testing.assert_close(x[0, :, 9, 9], torch.tensor([4.5, 3.0, 2.25]), rtol=0, atol=1e-5)  # rounding


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ViTImageProcessor", {"crop": 0.5}, "ViTImageProcessor has no setting crop"),
        ("ViTImageProcessor", {"sizes": 3}, "unknown preprocessing sizes"),
        ("ViTImageProcessor", {"std": 0}, "std > 0"),
        ("ConvNextImageProcessor", {"size": (32, 48)}, "cannot make pictures of 32 × 48"),
    ],
)
def test_settings_that_a_processor_lacks(name: str, change: dict, message: str):
    theirs = ProcessorPreprocess(getattr(transformers, name)(**PROCESSORS[name]))
    with pytest.raises(ValueError, match=message):
        theirs.with_settings(change)


def test_what_is_no_picture(odd_pictures):
    theirs = ProcessorPreprocess(transformers.ViTImageProcessor(do_resize=False))
    with pytest.raises(ValueError, match="leaves pictures of different sizes"):
        theirs(odd_pictures)
    with pytest.raises(ValueError, match="expected PIL images, but got str"):
        theirs(["cat.png"])
    with pytest.raises(ValueError, match="at least one picture"):
        theirs([])


def test_code_of_a_processor_is_not_run():
    with pytest.raises(ValueError, match="transformers makes no image processor"):
        image_preprocess({"auto_map": {"AutoImageProcessor": "evil.Processor"}})
