"""Sizes of pictures that networks of libraries take, and what their builders say."""

import pytest

from harsanyi.models import load


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "timm:halonet26t",
            200,
            r"timm:halonet26t does not take pictures of 200 × 200 pixels \(AssertionError\); "
            r"it takes, for instance, 248 × 248, 256 × 256: give one",
        ),
        (
            "torchvision:vit_b_32",
            100,
            r"vit_b_32 cannot be built with these settings \(AssertionError: Input shape",
        ),
        ("torchvision:maxvit_t", 100, r"maxvit_t cannot be built .*give another image size"),
        ("timm:test_vit", 100, r"test_vit cannot be built|does not take pictures of 100 × 100"),
    ],
)
def test_sizes_that_do_not_work(name: str, size: int, message: str):
    with pytest.raises(ValueError, match=message):
        load(name, "random", image_size=size)


def test_transformers_of_another_size_are_built_for_it(pictures):
    network = load("torchvision:vit_b_32", "random", image_size=64, classes=["a", "b"])
    assert network.logits(network.preprocess(pictures[:1])).shape == (1, 2)


def test_sizes_that_are_named_work(pictures):
    network = load("timm:halonet26t", "random", image_size=248, classes=["a", "b"])
    assert network.logits(network.preprocess(pictures[:1])).shape == (1, 2)


def test_builders_errors_name_the_network():
    wrong = {"channels": 1, "size": (0, 0)}
    with pytest.raises(ValueError, match=r"timm:test_vit cannot be built with these settings"):
        load("timm:test_vit", "random", preprocessing=wrong)
