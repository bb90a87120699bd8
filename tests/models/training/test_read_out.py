"""Read-outs: scikit-learn's decision function, told by the network itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harsanyi.models import fit_read_out, load
from harsanyi.models.training.probes import hold_out

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
    held = hold_out(np.array(labels), 0.2, 0)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    probe.fit(features[~held], np.array(labels)[~held])
    logits = read_out.network.logits(network.preprocess(images)).double().numpy()
    expected = probe.decision_function(features)
    got = logits[:, 1] - logits[:, 0] if len(classes) == 2 else logits
    np.testing.assert_allclose(got, expected, atol=2e-4)  # float32 forwards of features up to about 1
    assert read_out.accuracy == pytest.approx(probe.score(features[held], np.array(labels)[held]))
    assert read_out.train_accuracy == pytest.approx(probe.score(features[~held], np.array(labels)[~held]))
    assert (read_out.samples, read_out.cached, read_out.network.classes) == (40, False, tuple(classes))


def test_each_label_has_a_logistic_regression_of_its_own(dark_and_light, tmp_path: Path):
    images, labels = dark_and_light
    sets = np.stack([np.array(labels), np.arange(len(labels)) % 3 == 0], axis=1).astype(float)
    network = load("small:cnn", "random")
    read_out = fit((images, sets), ["light", "third"], tmp_path, network, task="multi-label")
    features = network.features(network.preprocess(images)).double().numpy()
    held = hold_out(sets, 0.2, 0)
    logits = read_out.network.logits(network.preprocess(images)).double().numpy()
    right = []
    for column in range(2):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        probe.fit(features[~held], sets[~held, column])
        expected = probe.decision_function(features)
        # As for classes; the probe of a label that pixels do not tell reaches further out.
        np.testing.assert_allclose(logits[:, column], expected, atol=2e-3)
        right.append((expected > 0) == sets[:, column])
    assert read_out.accuracy == pytest.approx(np.mean([of[held] for of in right]))
    assert read_out.train_accuracy == pytest.approx(np.mean([of[~held] for of in right]))
    assert read_out.network.classes == ("light", "third")


def test_numbers_have_a_ridge_regression(dark_and_light, tmp_path: Path):
    images, _ = dark_and_light
    numbers = np.array([np.asarray(image).mean() / 100 - 1 for image in images])
    network = load("small:cnn", "random")
    read_out = fit((images, numbers), ["grey"], tmp_path, network, task="regression")
    features = network.features(network.preprocess(images)).double().numpy()
    held = hold_out(numbers, 0.2, 0)
    probe = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(features[~held], numbers[~held])
    outputs = read_out.network.logits(network.preprocess(images))[:, 0].double().numpy()
    np.testing.assert_allclose(outputs, probe.predict(features), atol=2e-4)  # float32 forwards
    assert read_out.accuracy == pytest.approx(
        r2_score(numbers[held], probe.predict(features[held])), abs=1e-9
    )
    assert read_out.train_accuracy == pytest.approx(probe.score(features[~held], numbers[~held]), abs=1e-9)
    again = fit((images, numbers), ["grey"], tmp_path, network, task="regression")
    assert again.cached


@pytest.mark.parametrize(
    ("task", "labels", "classes", "said"),
    [
        (
            "multi-label",
            [[1, 0]] * 40,
            ["a", "b"],
            r"with each label and as many without; a \(40 of 40\), b \(0 of",
        ),
        ("regression", [2.0] * 40, ["grey"], "needs 4 samples or more that differ, got 40 of 1 numbers"),
        ("regression", [np.nan] * 40, ["grey"], "expected regression labels, finite numbers"),
        ("multi-label", [0] * 40, ["a", "b"], r"expected multi-label labels of shape \(40, 2\)"),
    ],
)
def test_other_tasks_with_nothing_to_fit_are_refused(
    task, labels, classes, said, dark_and_light, tmp_path: Path
):
    with pytest.raises(ValueError, match=said):
        fit((dark_and_light[0], np.array(labels, float)), classes, tmp_path, task=task)


def test_hold_out_takes_one_where_all_sets_differ():
    held = hold_out(np.eye(5), 0.2, seed=0)
    assert held.sum() == 1


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
    held = hold_out(target, 0.2, seed=0)
    assert np.bincount(target[held]).tolist() == [1, 1, 20]
    assert np.array_equal(held, hold_out(target, 0.2, seed=0))
    assert not np.array_equal(held, hold_out(target, 0.2, seed=1))


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


def test_share_tohold_out(dark_and_light, tmp_path: Path):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        fit(dark_and_light, TWO, tmp_path, held_out=1.0)
