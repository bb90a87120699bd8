"""What a network's outputs are called, and which of them a label means."""

import pytest

from harsanyi.models import load, save_checkpoint


@pytest.mark.parametrize(
    ("saved", "stated", "source"),
    [
        (["cat", "dog"], None, "checkpoint"),
        (["cat", "dog"], ["hound", "kitten"], "given"),
        (None, None, "numbers"),
        (["0", "1"], None, "numbers"),
    ],
)
def test_where_the_names_are_from(tmp_path, saved, stated, source):
    network = load("small:cnn", "random", classes=["a", "b"])
    path = save_checkpoint(tmp_path / "a.safetensors", network.model, classes=saved)
    loaded = load("small:cnn", path, classes=stated)
    assert loaded.class_source == source
    assert loaded.named == (source != "numbers")
    assert loaded.classes == tuple(stated or saved or ("0", "1"))


def test_names_of_an_own_file(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclasses = ['cat', 'dog']\n"
        "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 2))\n",
        encoding="utf-8",
    )
    assert load(f"{tmp_path / 'net.py'}:build", "random").class_source == "architecture"


def test_names_of_imagenet():
    network = load("timm:resnet10t", "random")
    assert (network.class_source, network.classes[:2]) == ("ImageNet", ("tench", "goldfish"))


def test_outputs_are_renamed_without_touching_the_model():
    network = load("small:cnn", "random", classes=["a", "b"])
    renamed = network.with_names(["cat", "dog"])
    assert (renamed.classes, renamed.class_source) == (("cat", "dog"), "given")
    assert renamed.model is network.model
    with pytest.raises(ValueError, match="answers 2 classes, but 3 names were given"):
        network.with_names(["a", "b", "c"])


def test_outputs_of_labels():
    network = load("small:cnn", "random", classes=["red", "green", "blue"])
    assert network.outputs_of([0, 1, 1], ["blue", "red"]) == [2, 0, 0]
    assert network.outputs_of([2, 0], ["0", "1", "2"], "integers") == [2, 0]
    with pytest.raises(
        ValueError, match=r"small:cnn has 3 outputs, red, green, blue; the data has 1 classes"
    ):
        network.outputs_of([0], ["cyan"])


def test_outputs_of_labels_are_never_assumed_in_silence():
    network = load("small:cnn", "random", classes=["0", "1"])
    assert network.outputs_of([1], ["cat", "dog"], "declared") == [1]
    with pytest.warns(UserWarning, match="taken for cat, dog, in this order: by number, ASSUMED"):
        assert network.outputs_of([1], ["cat", "dog"]) == [1]
