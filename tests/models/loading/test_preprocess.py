"""Settings of the preprocessing: what they may be, and which scale they have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, functional

from harsanyi.models import ImagePreprocess, TextPreprocess, load

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def test_a_scale_of_255_is_recognised(pictures):
    """The same pixels, by (p - mean) / std on 0..255 and on 0..1."""
    bytes_scale = {name: [255 * value for value in values] for name, values in IMAGENET.items()}
    unit, other = (ImagePreprocess().with_settings(each)(pictures) for each in (IMAGENET, bytes_scale))
    torch.testing.assert_close(other, unit, rtol=0, atol=1e-5)  # rounding of the division
    means_alone = {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0]}  # as Caffe had it
    x = ImagePreprocess((32, 32), crop=1.0).with_settings(means_alone)(
        [Image.new("RGB", (32, 32), (9, 9, 9))]
    )
    expected = 9 - torch.tensor(means_alone["mean"])
    torch.testing.assert_close(x[0, :, 0, 0], expected, rtol=1e-5, atol=1e-4)  # rounding in float32
    assert ImagePreprocess().with_settings({"mean": 127.5, "std": 127.5}).mean == (0.5,) * 3
    assert ImagePreprocess().with_settings({"mean": 0.0, "std": 255.0}).std == (1.0,) * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"means": [0.5]}, "unknown preprocessing means: expected size, mean, std, channels, crop"),
        ({"mean": [0.5, 0.5]}, "mean is .* expected 3 numbers, one a channel"),
        ({"std": [0.5, 0.5, 0.5, 0.5]}, "std is .* expected 3 numbers"),
        ({"std": [0.2, 0.0, 0.2]}, "std > 0"),
        ({"std": float("nan")}, "std is .* expected 3 numbers"),
        ({"mean": [123.7, 116.3, 103.5], "std": [0.229, 0.224, 0.225]}, "have different scales"),
        ({"mean": "imagenet"}, "mean is 'imagenet': expected a number"),
        ({"std": True}, "std is True: expected a number"),
        ({"mean": None}, "mean is None: expected a number"),
        ({"size": (32, 32, 3)}, r"expected size \(height, width\)"),
        ({"size": 32.5}, "expected whole pixels"),
        ({"crop": 1.5}, "0 < crop ≤ 1"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic': expected one of nearest"),
        ({"crop_mode": "border"}, "crop_mode is 'border': expected one of center, squash"),
        ({"channels": 4}, "pictures have 1"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        ImagePreprocess().with_settings(settings)


def test_one_number_stands_for_all_channels_and_grey_takes_the_mean():
    assert ImagePreprocess().with_settings({"mean": 0.25, "size": 8}).mean == (0.25,) * 3
    grey = ImagePreprocess().with_settings({"channels": 1, "mean": [0.2, 0.3, 0.4]})
    assert grey.mean == pytest.approx((0.3,))


def test_maps_lie_where_pictures_lie():
    """The pixel of each number, from a picture whose pixels are numbered by column."""
    preprocess = ImagePreprocess((10, 20), crop=0.5, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="nearest")
    columns = np.tile(np.arange(80, dtype=np.uint8), (40, 1))
    placed = preprocess.place(Image.fromarray(columns))
    pixels = preprocess([Image.fromarray(columns)])[0, 0].mul(255).round().numpy()
    assert placed.shape == (10, 20)
    assert np.array_equal(placed, pixels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 3}, "unknown preprocessing size: expected max_length"),
        ({"max_length": 0}, "max_length is 0"),
        ({"max_length": 2.5}, "max_length is 2.5"),
        ({"max_length": True}, "max_length is True"),
    ],
)
def test_text_settings_that_make_no_sense(tiny_tokenizer, settings, message):
    with pytest.raises(ValueError, match=message):
        TextPreprocess(tiny_tokenizer).with_settings(settings)


def test_a_token_without_an_embedding(tiny_tokenizer):
    preprocess = TextPreprocess(tiny_tokenizer, vocabulary=9)
    assert preprocess(["the cat"])["input_ids"].shape == (1, 4)
    with pytest.raises(ValueError, match=r"makes token 10, 'bad', but the network has embeddings for 9"):
        preprocess(["the bad cat"])


# In load


def test_the_users_settings_override_all_others(tmp_path: Path, pictures):
    from harsanyi.models import save_checkpoint

    network = load("small:resnet20", "random")
    file = save_checkpoint(
        tmp_path / "a.safetensors", network.model, preprocessing={"mean": [0.1], "crop": 0.9}
    )
    (tmp_path / "args.yaml").write_text("mean: [0.7, 0.7, 0.7]\ninterpolation: bicubic\n")
    loaded = load("small:resnet20", file, preprocessing={"mean": 0.3}, image_size=16)
    preprocess = loaded.preprocess
    # What harsanyi wrote is whole: files beside it are not asked.
    assert (preprocess.mean, preprocess.crop, preprocess.size) == ((0.3,) * 3, 0.9, (16, 16))
    assert preprocess.interpolation == "bilinear"
    (note,) = loaded.notes
    assert note.endswith(
        "mean from your settings, crop from the checkpoint, size from your image size, "
        "all else from the built-in network small:resnet20."
    )
    with pytest.raises(ValueError, match="unknown preprocessing sizes"):
        load("small:resnet20", file, preprocessing={"sizes": 3})
    with pytest.raises(ValueError, match="expected settings by name"):
        load("small:resnet20", file, preprocessing=[3])


@pytest.mark.parametrize("interpolation", sorted(mode.value for mode in InterpolationMode))
@pytest.mark.parametrize("size", [(20, 31), (33, 20), (20, 20)])
def test_pixels_are_those_of_torchvision(interpolation, size):
    """Resized and cropped alike, to the last bit."""
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    preprocess = ImagePreprocess((13, 15), (0,) * 3, (1,) * 3, crop=0.9, interpolation=interpolation)
    found = preprocess.display(preprocess([image]))[0]
    scale = max(int(13 / 0.9) / size[1], int(15 / 0.9) / size[0])
    resized = [max(13, int(size[1] * scale + 1e-6)), max(15, int(size[0] * scale + 1e-6))]
    expected = functional.center_crop(
        functional.resize(image, resized, InterpolationMode(interpolation)), [13, 15]
    )
    assert np.array_equal(found, np.asarray(expected))
