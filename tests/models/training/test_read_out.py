"""Read-outs: scikit-learn's decision function, told by the network itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harsanyi.models import fit_read_out, load
from harsanyi.models.training.read_out import _hold_out

TWO, THREE = ["dark", "light"], ["dark", "light", "odd"]


def fit(samples, classes, cache: Path, network=None, **options):
    return fit_read_out(network or load("small:cnn", "random"), *samples, classes, cache=cache, **options)


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_logits_are_the_decision_function(classes, dark_and_light, tmp_path: Path):
    images, labels = dark_and_light
    labels = [label if i < 30 else len(classes) - 1 for i, label in enumerate(labels)]
    network = load("small:cnn", "random")
    read_out = fit((images, labels), classes, tmp_path, network)
    features = network.features(network.preprocess(images)).double().numpy()
    held = _hold_out(np.array(labels), 0.2, 0)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    probe.fit(features[~held], np.array(labels)[~held])
    logits = read_out.network.logits(network.preprocess(images)).double().numpy()
    expected = probe.decision_function(features)
    got = logits[:, 1] - logits[:, 0] if len(classes) == 2 else logits
    np.testing.assert_allclose(got, expected, atol=2e-4)  # float32 forwards of features up to about 1
    assert read_out.accuracy == pytest.approx(probe.score(features[held], np.array(labels)[held]))
    assert read_out.train_accuracy == pytest.approx(probe.score(features[~held], np.array(labels)[~held]))
    assert (read_out.samples, read_out.cached, read_out.network.classes) == (40, False, tuple(classes))


def test_constant_features_take_no_part(dark_and_light, tmp_path: Path):
    network = load("small:cnn", "random")
    with (
        torch.no_grad()
    ):  # some features are always 0, one is always 1000 and would be divided by rounding errors
        network.model.hidden.weight[:9] = 0
        network.model.hidden.bias[:9] = torch.tensor([-1.0] * 8 + [1000.1])
    read_out = fit(dark_and_light, TWO, tmp_path, network)
    assert (read_out.network.model.linear.weight[:, :9] == 0).all()
    assert read_out.accuracy == 1.0


def test_hold_out_keeps_every_class_on_both_sides():
    target = np.repeat([0, 1, 2], [2, 3, 100])
    held = _hold_out(target, 0.2, seed=0)
    assert np.bincount(target[held]).tolist() == [1, 1, 20]
    assert np.array_equal(held, _hold_out(target, 0.2, seed=0))
    assert not np.array_equal(held, _hold_out(target, 0.2, seed=1))


def test_second_time_from_the_cache(dark_and_light, tmp_path: Path):
    first, second = (fit(dark_and_light, TWO, tmp_path) for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert (first.accuracy, first.train_accuracy) == (second.accuracy, second.train_accuracy)
    assert torch.equal(first.network.model.linear.weight, second.network.model.linear.weight)
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]


def change(case: str, samples):
    """The same question but for one thing: (samples, classes, network, options)."""
    images, labels = list(samples[0]), list(samples[1])
    network, classes, options = load("small:cnn", "random"), TWO, {}
    match case:
        case "weight":
            with torch.no_grad():
                network.model.conv1.weight[0, 0, 0, 0] += 1e-3
        case "function":  # same weights, same printed form of the model, other features
            conv2 = network.model.conv2.forward
            network.model.conv2.forward = lambda x: conv2(x).sigmoid()
        case "last image":
            images[-1] = Image.new("L", (28, 28), 200)
        case "label":
            labels[0] = 1
        case "class names":
            classes = ["night", "day"]
        case _:
            options = {case: {"held_out": 0.3, "seed": 1, "batch_size": 7}[case]}
    return (images, labels), classes, network, options


@pytest.mark.parametrize(
    "case", ["weight", "function", "last image", "label", "class names", "held_out", "seed", "batch_size"]
)
def test_no_stale_hit(case: str, dark_and_light, tmp_path: Path):
    fit(dark_and_light, TWO, tmp_path)
    samples, classes, network, options = change(case, dark_and_light)
    assert not fit(samples, classes, tmp_path, network, **options).cached


def test_damaged_cache_is_written_anew(dark_and_light, tmp_path: Path):
    fit(dark_and_light, TWO, tmp_path)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:50])
    assert not fit(dark_and_light, TWO, tmp_path).cached
    assert fit(dark_and_light, TWO, tmp_path).cached


def test_cache_is_in_the_users_cache_folder(dark_and_light, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fit_read_out(load("small:cnn", "random"), *dark_and_light, TWO)
    assert len(list((tmp_path / "harsanyi" / "read-outs").glob("*.safetensors"))) == 1


def test_the_users_cache_folder_is_bounded(dark_and_light, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those used last stay; a folder that the user names is the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("harsanyi.models.training.read_out.MAX_FILES", 2)
    network, folder = load("small:cnn", "random"), tmp_path / "harsanyi" / "read-outs"

    def cached(seed: int, cache: Path | None = None) -> bool:
        return fit_read_out(network, *dark_and_light, TWO, seed=seed, cache=cache).cached

    assert [cached(0), cached(1), cached(0), cached(2)] == [False, False, True, False]
    assert len(list(folder.iterdir())) == 2
    assert [cached(0), cached(1)] == [True, False]
    for seed in range(3):
        cached(seed, tmp_path / "own")
    assert len(list((tmp_path / "own").iterdir())) == 3


def test_text(tiny_bert, tmp_path: Path):
    sentences, labels = ["good cat", "bad cat", "good dog", "bad dog", "good", "bad"], [1, 0] * 3
    network = load(str(tiny_bert[0]))
    read_out = fit((sentences, labels), ["bad", "good"], tmp_path / "cache", network, batch_size=2)
    assert read_out.train_accuracy == 1.0
    assert network.classes == ("bad", "good", "mixed")


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0] * 39 + [1], TWO, r"too few of: light \(1\)"),
        ([0] * 40, TWO, r"too few of: light \(0\)"),
        ([0, 1] * 20, THREE, r"too few of: odd \(0\)"),
        ([0, 1] * 19, TWO, "expected 40 whole numbers"),
        ([0.5, 1] * 20, TWO, "expected 40 whole numbers"),
        ([0, 2] * 20, TWO, "expected labels from 0 to 1"),
        ([-1, 0] * 20, TWO, "expected labels from 0 to 1"),
        ([0] * 40, ["dark"], "expected at least 2"),
    ],
)
def test_samples_that_do_not_suffice(labels, classes, message, dark_and_light, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        fit((dark_and_light[0], labels), classes, tmp_path)


def test_share_to_hold_out(dark_and_light, tmp_path: Path):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        fit(dark_and_light, TWO, tmp_path, held_out=1.0)
