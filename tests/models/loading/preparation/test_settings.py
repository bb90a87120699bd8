"""Files of trainers beside a checkpoint, and what they say of the preprocessing."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
import yaml
from PIL import Image
from timm.models import save_for_hf
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from harsanyi.models import load

TIMM = "timm:test_resnet"
OPTIONS = {"mean": [0.1, 0.2, 0.3], "std": None, "img_size": 64, "crop_pct": 0.9, "interpolation": "bilinear"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), tmp_path / "model.pth")
    return tmp_path / "model.pth"


@pytest.mark.parametrize("file", ["args.yaml", "model_args.yaml"])
@pytest.mark.parametrize("name", [TIMM, "own"])
def test_arguments_of_timms_training(weights: Path, tmp_path: Path, file: str, name: str):
    (weights.parent / file).write_text(yaml.safe_dump(OPTIONS | {"model": "test_resnet"}))
    if name == "own":
        name = f"{tmp_path / 'net.py'}:build"
        (tmp_path / "net.py").write_text(
            "import timm\n"
            "def build(num_classes=3): return timm.create_model('test_resnet', num_classes=num_classes)"
        )
    network = load(name, weights)
    preprocess = network.preprocess
    assert (preprocess.size, preprocess.crop, preprocess.interpolation) == ((64, 64), 0.9, "bilinear")
    # What args.yaml leaves open is timm's own for test_resnet, and the usual of ImageNet for a user's file.
    std = (0.5, 0.5, 0.5) if name == TIMM else (0.229, 0.224, 0.225)
    assert (preprocess.mean, preprocess.std) == ((0.1, 0.2, 0.3), std)
    assert f"mean, interpolation, crop and size from {file}" in " ".join(network.notes)


def test_what_the_checkpoint_says_counts_more(tmp_path: Path):
    model = timm.create_model("test_resnet", num_classes=3)
    saved = {"state_dict": model.state_dict(), "args": argparse.Namespace(mean=[0.5, 0.5, 0.5])}
    torch.save(saved, tmp_path / "last.pth.tar")
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(OPTIONS))
    network = load(TIMM, tmp_path / "last.pth.tar")
    assert (network.preprocess.mean, network.preprocess.size) == ((0.5,) * 3, (64, 64))
    assert "mean from the checkpoint" in " ".join(network.notes)


def test_arguments_of_torchvisions_references(tmp_path: Path):
    """The file that references/classification/train.py writes; pixels are those of its own transform."""
    model = torchvision.models.resnet18(num_classes=3)
    arguments = argparse.Namespace(val_resize_size=72, val_crop_size=56, interpolation="bicubic", lr=0.1)
    torch.save({"model": model.state_dict(), "epoch": 1, "args": arguments}, tmp_path / "model_1.pth")
    network = load("torchvision:resnet18", tmp_path / "model_1.pth")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    theirs = ImageClassification(crop_size=56, resize_size=72, interpolation=InterpolationMode.BICUBIC)
    # A pixel of 255 more or less, by another rounding of the resized side.
    assert torch.allclose(network.preprocess([picture])[0], theirs(picture), atol=1.01 / 255 / 0.224)
    assert "interpolation, size and crop from the checkpoint" in " ".join(network.notes)


def test_a_file_that_is_no_yaml(weights: Path):
    (weights.parent / "args.yaml").write_text("mean: [0.1")
    with pytest.raises(ValueError, match=r"args.yaml cannot be read as plain YAML"):
        load(TIMM, weights)


def test_yaml_runs_nothing(weights: Path, tmp_path: Path):
    touched = tmp_path / "touched"
    (weights.parent / "args.yaml").write_text(f"mean: !!python/object/apply:pathlib.Path.touch [{touched}]")
    with pytest.raises(ValueError, match="as plain YAML"):
        load(TIMM, weights)
    assert not touched.exists()


@pytest.mark.parametrize("name", ["{}", "timm:{}", TIMM])
def test_a_folder_of_timm(tmp_path: Path, name: str, pictures):
    """As save_for_hf writes it: under its own name, and as the checkpoint of the architecture."""
    folder = tmp_path / "hub"
    model = timm.create_model("test_resnet", num_classes=3, global_pool="max").eval()
    config = {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}, "label_names": ["a", "b", "c"]}
    save_for_hf(model, folder, model_config=config, safe_serialization=True)
    network = load(name.format(folder), folder if name == TIMM else None)
    x = network.preprocess(pictures)
    assert (network.preprocess.mean, network.preprocess.std) == ((0.5,) * 3, (0.25,) * 3)
    torch.testing.assert_close(network.logits(x), model(x).detach(), rtol=1e-5, atol=1e-5)  # order of sums
    assert "global_pool='max'" in " ".join(network.notes)
    if name != TIMM:
        assert network.classes == ("a", "b", "c")


def test_the_processor_beside_a_checkpoint_of_timm(weights: Path, pictures):
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3)
    (weights.parent / "preprocessor_config.json").write_text(processor.to_json_string())
    network = load(TIMM, weights)
    expected = processor(images=pictures, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(network.preprocess(pictures), expected, rtol=0, atol=1e-5)  # rounding
    assert "the image processor from preprocessor_config.json" in " ".join(network.notes)


@pytest.mark.parametrize(
    "content", [{"image_processor_type": "NoSuch"}, {"size": {}}, {"auto_map": {"A": "b.C"}}]
)
def test_a_processor_that_does_not_work(weights: Path, content):
    (weights.parent / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="preprocessor_config.json"):
        load(TIMM, weights)
