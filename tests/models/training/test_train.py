"""Training leaves a series of checkpoints, the same one for the same seed."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from harsanyi.models import Recipe, Samples, ladder, load, performance, read_checkpoint, train
from harsanyi.models.training.recipe import _shift
from harsanyi.models.training.samples import input_batches
from tests.models.training.series import same, states, train_series


def run(network, samples, folder: Path, **options) -> list[Path]:
    return train_series(network, samples, folder, **{"epochs": 2, "batch_size": 8, **options})


@pytest.mark.parametrize(("optimiser", "rate"), [("adamw", 3e-3), ("sgd", 3e-2)])
def test_a_series_learns_and_says_how_well(network, dark_and_light, tmp_path: Path, optimiser, rate):
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    random_state = torch.get_rng_state()
    paths = run(network, dark_and_light, tmp_path, optimiser=optimiser, learning_rate=rate)
    assert [path.name for path in paths] == [f"epoch-00{i}.safetensors" for i in range(3)]
    assert same(network.model.state_dict(), before)
    assert same(states(paths)[0], before)
    assert torch.equal(torch.get_rng_state(), random_state)
    last = read_checkpoint(paths[-1])
    assert (last.epoch, last.classes, last.preprocessing["size"]) == (2, ("dark", "light"), [28, 28])
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2]
    assert math.isnan(history["loss"][0])
    assert history["loss"][2] == pytest.approx(last.facts["loss"])
    assert history["loss"][2] < history["loss"][1]
    trained = load("small:cnn", paths[-1])
    assert performance(trained, *dark_and_light).accuracy == last.facts["held_out_accuracy"] == 1.0


def test_one_seed_one_series(network, dark_and_light, tmp_path: Path):
    series = [
        run(network, dark_and_light, tmp_path / name, seed=seed, flip=True, crop_padding=2)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = (states(paths)[-1] for paths in series)
    assert same(a, b)
    assert not same(a, c)
    assert (tmp_path / "a" / "history.csv").read_bytes() == (tmp_path / "b" / "history.csv").read_bytes()


def test_a_complete_series_is_kept_and_a_broken_one_begun_again(network, dark_and_light, tmp_path: Path):
    paths = run(network, dark_and_light, tmp_path)
    end, times = states(paths)[-1], [path.stat().st_mtime_ns for path in paths]
    assert run(network, dark_and_light, tmp_path) == paths
    assert [path.stat().st_mtime_ns for path in paths] == times
    paths[-1].unlink()
    assert same(states(run(network, dark_and_light, tmp_path))[-1], end)


@pytest.mark.parametrize("option", [{"epochs": 3}, {"learning_rate": 0.5}, {"seed": 4}, {"flip": True}])
def test_other_settings_need_another_folder(network, dark_and_light, tmp_path: Path, option):
    run(network, dark_and_light, tmp_path)
    with pytest.raises(ValueError, match=f"of other settings: {next(iter(option))} "):
        run(network, dark_and_light, tmp_path, **option)


def test_other_data_or_start_need_another_folder(network, dark_and_light, tmp_path: Path):
    run(network, dark_and_light, tmp_path)
    images, labels = dark_and_light
    with pytest.raises(ValueError, match="samples "):
        run(network, (images, [1 - label for label in labels]), tmp_path)
    with pytest.raises(ValueError, match="start "):
        run(load("small:cnn", "random", seed=1, classes=network.classes), dark_and_light, tmp_path)


def test_frozen_backbone(dark_and_light, tmp_path: Path):
    network = load("small:resnet20", "random", classes=["dark", "light"])
    first, last = states(run(network, dark_and_light, tmp_path, epochs=1, freeze_backbone=True))
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert changed == {"linear.weight", "linear.bias"}  # batch norms' running means stand still, too
    assert all(p.requires_grad for p in network.model.parameters())


FROZEN = ("stem", "layer2")


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_frozen_stages_end_as_they_began_and_the_others_do_not(dark_and_light, tmp_path: Path, optimiser):
    network = load("small:resnet20", "random", classes=["dark", "light"])
    options = {"optimiser": optimiser, "weight_decay": 0.5, "learning_rate": 0.01}
    first, last = states(run(network, dark_and_light, tmp_path, epochs=1, frozen=FROZEN[::-1], **options))
    assert same(first, network.model.state_dict())
    still = {name for name in first if torch.equal(first[name], last[name])}
    assert still == {name for name in first if name.startswith(("conv1", "bn1", "layer2"))}
    assert all(p.requires_grad for p in network.model.parameters())


def test_all_but_the_head_frozen_is_a_frozen_backbone(dark_and_light, tmp_path: Path):
    network = load("small:cnn", "random", classes=["dark", "light"])
    a = run(network, dark_and_light, tmp_path / "a", freeze_backbone=True)
    b = run(network, dark_and_light, tmp_path / "b", **ladder(network)["freeze all"])
    assert all(same(*pair) for pair in zip(states(a), states(b), strict=True))


def test_reset_stages_begin_as_a_random_network(network, dark_and_light, tmp_path: Path):
    options = {"epochs": 1, "reset": ("hidden", "conv2"), "seed": 3}
    paths = run(network, dark_and_light, tmp_path / "a", **options)
    random = load("small:cnn", "random", classes=network.classes, seed=3).model.state_dict()
    own = network.model.state_dict()
    for name, tensor in states(paths)[0].items():
        assert torch.equal(tensor, (random if name.startswith(("hidden", "conv2")) else own)[name]), name
        assert not torch.equal(tensor, states(paths)[1][name]), name
    frozen = states(run(network, dark_and_light, tmp_path / "b", **options, frozen=("hidden",)))
    assert torch.equal(frozen[1]["hidden.weight"], random["hidden.weight"])
    assert same(states(run(network, dark_and_light, tmp_path / "c", **options))[1], states(paths)[1])


def test_settings_name_stages_only_where_there_are_any(network, dark_and_light, tmp_path: Path):
    plain, frozen = (
        read_checkpoint(run(network, dark_and_light, tmp_path / name, epochs=0, **option)[0]).facts[
            "settings"
        ]
        for name, option in (("plain", {}), ("frozen", {"frozen": ["hidden", "conv1"]}))
    )
    assert not {"frozen", "reset"} & plain.keys()
    assert frozen == {**plain, "frozen": ["conv1", "hidden"]}
    # Order does not matter; and a folder with frozen stages is not taken for one without.
    run(network, dark_and_light, tmp_path / "frozen", epochs=0, frozen=("conv1", "hidden"))
    with pytest.raises(ValueError, match=r"frozen \(\['conv1', 'hidden'\] there, None now\)"):
        run(network, dark_and_light, tmp_path / "frozen", epochs=0)
    with pytest.raises(ValueError, match=r"reset \(None there, \['conv1'\] now\)"):
        run(network, dark_and_light, tmp_path / "plain", epochs=0, reset=["conv1"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"frozen": ["linear"]},
            r"expected a list of stages of small:cnn, of \['conv1', .*but got \['linear'",
        ),
        ({"reset": "conv1"}, "expected a list of stages of small:cnn"),
        ({"frozen": ["conv1"], "freeze_backbone": True}, "expected freeze_backbone or frozen"),
        ({"frozen": ["conv1", "conv2", "hidden", "head"]}, "all stages are frozen"),
    ],
)
def test_stages_that_make_no_sense(network, dark_and_light, tmp_path: Path, option, message):
    with pytest.raises(ValueError, match=message):
        run(network, dark_and_light, tmp_path, **option)
    assert not list(tmp_path.iterdir())


def test_text(tiny_bert, tmp_path: Path):
    network = load(str(tiny_bert[0])).with_new_head(["bad", "good"])
    samples = ["good cat", "bad cat", "good dog", "bad dog"], [1, 0, 1, 0]
    paths = run(network, samples, tmp_path / "series", epochs=8, learning_rate=0.03, batch_size=2)
    again = run(network, samples, tmp_path / "again", epochs=8, learning_rate=0.03, batch_size=2)
    assert same(states(paths)[-1], states(again)[-1])  # dropout draws from the seed
    assert performance(load(str(tiny_bert[0]), paths[-1]), *samples).accuracy == 1.0


def recipe(flip: bool = False) -> Recipe:
    return Recipe(1, "sgd", 0.1, 0.0, batch_size=8, flip=flip)


def test_rate_rises_then_falls():
    rates = [recipe().rate(step, 100) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_shift_moves_each_image_as_a_whole():
    images = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5) + 1
    shifted = _shift(images, 1, torch.Generator().manual_seed(0))
    assert shifted.shape == images.shape
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    for image, frame in zip(shifted, padded, strict=True):
        windows = [frame[:, i : i + 4, j : j + 5] for i in range(3) for j in range(3)]
        assert sum(torch.equal(image, window) for window in windows) == 1


def test_flip_mirrors_some_images_and_not_others():
    images = torch.rand(64, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    flipped = recipe(flip=True).augment(images, torch.Generator().manual_seed(0))
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert 16 < sum(mirrored) < 48
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))


def test_large_sets_are_preprocessed_again_with_the_same_result(network, dark_and_light):
    chosen = torch.tensor([3, 1, 39])
    cached, again = (input_batches(network, dark_and_light[0], size)(chosen) for size in (2**30, 0))
    assert torch.equal(cached, again)


@pytest.mark.parametrize(
    "option",
    [{"optimiser": "adam"}, {"epochs": -1}, {"batch_size": 0}, {"learning_rate": 0.0}, {"crop_padding": -1}],
)
def test_recipes_that_make_no_sense(network, dark_and_light, tmp_path: Path, option):
    with pytest.raises(ValueError, match="expected"):
        run(network, dark_and_light, tmp_path, **option)


def test_labels_beyond_the_classes(network, dark_and_light, tmp_path: Path):
    with pytest.raises(ValueError, match="expected labels from 0 to 1"):
        run(network, (dark_and_light[0], [5] * 40), tmp_path)


def granular(tmp_path, name, betas, levels=((0, 0, 1),), **options):
    """A short run on three shades of grey, with the objective split over levels; its last row of history."""
    images = [Image.new("L", (28, 28), grey) for grey in (0, 30, 220) * 6]
    samples = Samples(images, [0, 1, 2] * 6)
    network = load("small:cnn", "random", classes=["black", "dark", "light"])
    folder = tmp_path / name
    recipe = Recipe(levels=levels, betas=betas, **({"epochs": 2, "batch_size": 9} | options))
    train(network, samples, recipe, folder=folder, held_out=samples, progress=False)
    return folder, pd.read_csv(folder / "history.csv").iloc[-1]


def test_beta_of_one_is_cross_entropy_and_of_zero_the_coarse_classes_alone(tmp_path):
    plain, last = granular(tmp_path, "plain", (), levels=())
    fine, split = granular(tmp_path, "fine", (1.0,))
    ours, theirs = (read_checkpoint(path / "epoch-002.safetensors").state for path in (fine, plain))
    for name, tensor in theirs.items():
        # The same gradients, summed in another order in float32, over four steps.
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-4)
    assert "held_out_coarse_accuracy" not in last
    assert split.held_out_coarse_loss < split.held_out_loss
    _, coarse = granular(tmp_path, "coarse", (0.0,))
    start = pd.read_csv(tmp_path / "coarse/history.csv").iloc[0]
    assert coarse.held_out_coarse_loss < start.held_out_coarse_loss


def test_a_series_knows_its_levels(tmp_path):
    folder, _ = granular(tmp_path, "one", (0.5,))
    settings = read_checkpoint(folder / "epoch-002.safetensors").facts["settings"]
    assert settings["levels"] == [[0, 0, 1]]
    assert settings["betas"] == [0.5]
    written = (folder / "history.csv").stat().st_mtime_ns
    granular(tmp_path, "one", (0.5,))
    assert (folder / "history.csv").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"betas \(\[0.5\] there, \[0.25\] now\)"):
        granular(tmp_path, "one", (0.25,))


def test_levels_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="expected a beta for each of 1 levels, got 0"):
        granular(tmp_path, "none", ())
    with pytest.raises(ValueError, match="expected the group of each of 3 classes"):
        granular(tmp_path, "short", (0.5,), levels=((0, 1),))


def test_training_stops_where_the_validation_loss_no_longer_falls(network, dark_and_light, tmp_path: Path):
    """With labels the other way round, what is learned raises the validation loss from the first epoch."""
    items, labels = dark_and_light
    turned = Samples(items, [1 - label for label in labels])
    recipe = Recipe(epochs=6, batch_size=8, learning_rate=3e-3, patience=2)
    parts = {"held_out": Samples(items, labels), "progress": False}
    paths = train(network, Samples(items, labels), recipe, folder=tmp_path, validation=turned, **parts)
    history = pd.read_csv(tmp_path / "history.csv")
    best = int(history.validation_loss.to_numpy().argmin())
    assert len(paths) == len(history) == best + 3 < 7
    for path, row in zip(paths, history.itertuples(), strict=True):
        measured = performance(load("small:cnn", path), *dark_and_light)
        assert row.held_out_accuracy == measured.accuracy
    times = [path.stat().st_mtime_ns for path in paths]
    again = train(network, Samples(items, labels), recipe, folder=tmp_path, validation=turned, **parts)
    assert again == paths
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_the_epochs_before_an_early_stop_are_those_of_the_whole_training(
    network, dark_and_light, tmp_path: Path
):
    items, labels = dark_and_light
    samples, turned = Samples(items, labels), Samples(items, [1 - label for label in labels])
    options = {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3}
    parts = {"held_out": samples, "progress": False}
    folders = tmp_path / "whole", tmp_path / "stopped"
    whole = train(network, samples, Recipe(**options), folder=folders[0], **parts)
    stopped = train(
        network, samples, Recipe(**options, patience=1), folder=folders[1], validation=turned, **parts
    )
    assert len(stopped) < len(whole)
    for first, second in zip(states(whole), states(stopped), strict=False):
        assert same(first, second)


def test_patience_needs_validation_samples(network, dark_and_light, tmp_path: Path):
    samples = Samples(*dark_and_light)
    with pytest.raises(ValueError, match=r"stops by validation samples: give validation=Samples"):
        train(network, samples, Recipe(patience=1), folder=tmp_path, held_out=samples)
    with pytest.raises(ValueError, match="a patience of 1 epoch or more, or None, but got 0"):
        Recipe(patience=0)


def test_a_stopped_training_that_was_killed_before_its_history_ends_the_same(
    network, dark_and_light, tmp_path: Path, monkeypatch
):
    items, labels = dark_and_light
    samples, turned = Samples(items, labels), Samples(items, [1 - label for label in labels])
    recipe = Recipe(epochs=6, batch_size=8, learning_rate=3e-3, patience=1)
    more = {"folder": tmp_path, "held_out": samples, "validation": turned, "progress": False}

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harsanyi.models.training.train.whole", killed)
        with pytest.raises(KeyboardInterrupt):
            train(network, samples, recipe, **more)
    there = sorted(path.name for path in tmp_path.glob("epoch-*"))
    paths = train(network, samples, recipe, **more)
    assert [path.name for path in paths] == there
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(there)
    assert not (tmp_path / "unfinished.pt").exists()
