"""Pretraining of every kind leaves a series, as training does; it goes on, and is read, like any other."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from harsanyi.models import (
    Adversarial,
    Contrastive,
    Masked,
    Recipe,
    Samples,
    load,
    pretrain,
    read_checkpoint,
    series,
    train,
)
from harsanyi.models.training.pretrain import KINDS
from tests.models.training.series import same, states

RECIPE = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3}
QUICK = {"adversarial": Adversarial(steps=2)}
COLUMNS = {
    "supervised": {"held_out_accuracy", "held_out_loss"},
    "contrastive": {"held_out_loss"},
    "masked": {"held_out_loss"},
    "adversarial": {
        *("held_out_accuracy", "held_out_loss"),
        *("held_out_adversarial_accuracy", "held_out_adversarial_loss"),
    },
    "random-labels": {"train_accuracy", "train_loss"},
}
HEADLESS = ("contrastive", "masked")


@pytest.fixture
def few(dark_and_light) -> Samples:
    items, labels = dark_and_light
    return Samples(items[:18], labels[:18])


def run(network, samples, kind, folder: Path, **options) -> list[Path]:
    held_out = None if kind == "random-labels" else samples
    recipe = Recipe(**{**RECIPE, **options})
    return pretrain(
        network, samples, QUICK.get(kind, kind), recipe, folder=folder, held_out=held_out, progress=False
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_is_one_and_its_checkpoints_have_what_was_trained(network, few, tmp_path: Path, kind):
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    random_state = torch.get_rng_state()
    paths = run(network, few, kind, tmp_path)
    assert [found.path for found in series(tmp_path)] == paths
    assert len(paths) == 3
    assert same(network.model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not (tmp_path / "unfinished.pt").exists()
    history = pd.read_csv(tmp_path / "history.csv")
    assert set(history) == {"epoch", "loss", *COLUMNS[kind]}
    first, last = states(paths)[0], states(paths)[-1]
    body = {name for name in before if not name.startswith("linear.")}
    assert set(last) == (body if kind in HEADLESS else set(before))
    assert all(torch.equal(first[name], before[name]) for name in first)
    assert all(not torch.equal(last[name], first[name]) for name in last)
    settings = read_checkpoint(paths[-1]).facts["settings"]
    assert settings.get("kind", {}).get("name") == (None if kind == "supervised" else kind)
    loaded = load("small:cnn", paths[-1], classes=["dark", "light"])
    assert loaded.has_head == (kind not in HEADLESS)
    if kind == "random-labels":
        assert read_checkpoint(paths[-1]).classes == ("random 0", "random 1")


def test_supervised_pretraining_is_training(network, few, tmp_path: Path):
    paths = run(network, few, "supervised", tmp_path / "a")
    again = train(network, few, Recipe(**RECIPE), folder=tmp_path / "b", held_out=few, progress=False)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_series_ends_bit_for_bit_the_same(network, few, tmp_path: Path, monkeypatch, kind):
    whole = run(network, few, kind, tmp_path / "whole", epochs=3)
    monkeypatch.setattr("harsanyi.models.training.train.save_epoch", stopping_after(2))
    with pytest.raises(KeyboardInterrupt):
        run(network, few, kind, tmp_path / "stopped", epochs=3)
    monkeypatch.undo()
    assert (tmp_path / "stopped" / "unfinished.pt").is_file()
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "stopped").glob("epoch-*"))]
    stopped = run(network, few, kind, tmp_path / "stopped", epochs=3)
    assert [path.stat().st_mtime_ns for path in stopped][: len(times)] == times
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in stopped]
    tables = [(tmp_path / name / "history.csv").read_bytes() for name in ("whole", "stopped")]
    assert tables[0] == tables[1]


def stopping_after(epochs: int):
    """What saves an epoch, and is interrupted at a later one."""
    from harsanyi.models.training.series_folder import save_epoch

    def save(path, network, settings, row, **more):
        if row["epoch"] >= epochs:
            raise KeyboardInterrupt
        save_epoch(path, network, settings, row, **more)

    return save


def test_a_transformer_is_pretrained_by_dropped_tokens(few, tmp_path: Path):
    colours = Samples([item.convert("RGB") for item in few.items[:8]], few.labels[:8])
    network = load("small:vit", "random", classes=["dark", "light"])
    paths = run(network, colours, "masked", tmp_path, epochs=1)
    first, last = states(paths)
    assert not any(name.startswith("head.") for name in last)
    # The class token sees patches only from the second block on, and every weight below the head has a part.
    assert [name for name in last if torch.equal(first[name], last[name])] == []


@pytest.mark.parametrize(("kind", "lower"), [("contrastive", 0.05), ("masked", 0.05), ("random-labels", 0.0)])
def test_what_is_minimised_falls(network, dark_and_light, tmp_path: Path, kind, lower):
    run(network, Samples(*dark_and_light), kind, tmp_path, epochs=6)
    history = pd.read_csv(tmp_path / "history.csv")
    losses = history["train_loss" if kind == "random-labels" else "held_out_loss"]
    assert losses.iloc[-1] < losses.iloc[0] - lower


def test_fine_tuning_from_a_backbone_whole_and_as_a_probe(network, few, tmp_path: Path):
    backbone = run(network, few, "masked", tmp_path / "pre", epochs=1)[-1]
    start = load("small:cnn", backbone, classes=["dark", "light"])
    for freeze in (False, True):
        recipe = Recipe(**RECIPE, freeze_backbone=freeze)
        paths = train(start, few, recipe, folder=tmp_path / f"after-{freeze}", held_out=few, progress=False)
        first, last = states(paths)[0], states(paths)[-1]
        moved = {name for name in first if not torch.equal(first[name], last[name])}
        assert moved == ({"linear.weight", "linear.bias"} if freeze else set(first))


def test_validation_stops_a_kind_without_labels(network, few, tmp_path: Path):
    paths = pretrain(
        network,
        few,
        "masked",
        # At such a rate the loss rises at once.
        Recipe(epochs=6, batch_size=8, learning_rate=30.0, patience=1),
        folder=tmp_path,
        held_out=few,
        validation=few,
        progress=False,
    )
    assert len(paths) < 7
    assert {"validation_loss", "held_out_loss"} <= set(pd.read_csv(tmp_path / "history.csv"))


@pytest.mark.parametrize(
    ("kind", "recipe", "said"),
    [
        ("contrast", {}, "no kind of pretraining 'contrast': expected supervised, contrastive, masked, adv"),
        ("contrastive", {"batch_size": 17}, "leaves one of 18 alone: choose another batch size"),
        ("contrastive", {"freeze_backbone": True}, "freeze_backbone keeps that as it is: leave it out"),
        ("masked", {"task": "regression"}, "masked pretraining reads no labels: leave out task"),
        (Masked(patch=5), {}, "patches of 5 pixels do not divide 28 × 28 .*: expected one of 1, 2, 4, 7, 14"),
        (Masked(patch=28), {}, "patches of 28 pixels do not divide 28 × 28 into two or more"),
        (
            "adversarial",
            {"levels": ((0, 0),), "betas": (1.0,)},
            "adversarial pretraining is on one class an item, without levels of them",
        ),
    ],
)
def test_what_cannot_be_pretrained_is_said_before_anything_is_written(
    network, few, tmp_path: Path, kind, recipe, said
):
    with pytest.raises(ValueError, match=said):
        run(network, few, kind, tmp_path, **recipe)
    assert not list(tmp_path.iterdir())


def test_samples_that_are_missing_or_one_too_many(network, few, tmp_path: Path):
    options = {"folder": tmp_path, "progress": False}
    with pytest.raises(ValueError, match=r"measured after each epoch: give held_out=Samples"):
        pretrain(network, few, "masked", **options)
    with pytest.raises(ValueError, match="held_out would have none: leave out"):
        pretrain(network, few, "random-labels", held_out=few, **options)
    with pytest.raises(ValueError, match="random-labels have none: leave it out"):
        pretrain(network, few, "random-labels", Recipe(patience=1), **options)


@pytest.mark.parametrize("kind", ["contrastive", "masked", "adversarial"])
def test_sentences_have_no_pictures(tiny_bert, tmp_path: Path, kind):
    network = load(str(tiny_bert[0])).with_new_head(["bad", "good"])
    samples = Samples(["good cat", "bad cat"], [1, 0])
    with pytest.raises(ValueError, match=f"{kind} pretraining is for pictures, but .* reads sentences"):
        pretrain(network, samples, kind, folder=tmp_path, held_out=samples)


def test_random_labels_of_sentences(tiny_bert, tmp_path: Path):
    network = load(str(tiny_bert[0])).with_new_head(["bad", "good"])
    samples = Samples(["good cat", "bad cat", "good dog", "bad dog"], [1, 0, 1, 0])
    assert len(run(network, samples, "random-labels", tmp_path, epochs=1)) == 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Contrastive, {"temperature": 0}),
        (Contrastive, {"projection": 0}),
        (Contrastive, {"crop": 0}),
        (Contrastive, {"colours": 2}),
        (Masked, {"share": 1}),
        (Masked, {"patch": 0}),
        (Masked, {"width": 6}),
        (Masked, {"depth": 0}),
        (Adversarial, {"radius": 0}),
        (Adversarial, {"steps": 0}),
    ],
)
def test_kinds_out_of_range(kind, options):
    with pytest.raises(ValueError, match="expected .* but got"):
        kind(**options)


def test_a_patch_of_a_transformer_is_its_own(few, tmp_path: Path):
    colours = Samples([item.convert("RGB") for item in few.items[:4]], few.labels[:4])
    network = load("small:vit", "random", classes=["dark", "light"])
    with pytest.raises(ValueError, match="has patches of 4 × 4 pixels, whose tokens are dropped: leave"):
        run(network, colours, Masked(patch=8), tmp_path)
