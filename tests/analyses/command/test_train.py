"""`harsanyi train`: a series by each kind of pretraining, read by the commands that look at networks."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from harsanyi import data, models
from harsanyi.analyses.command.cli import main
from harsanyi.models.training.pretrain import KINDS

QUICK = {"adversarial": ["--attack-steps", "1"], "random-labels": ["--random-classes", "3"]}


@pytest.fixture(scope="module")
def clothes(tmp_path_factory) -> Path:
    """Folders of pictures, twelve of each of two classes."""
    folder = tmp_path_factory.mktemp("clothes")
    inputs = data.fashion_mnist("train")
    labels, classes = inputs.level("fine")
    for number in (0, 1):
        (folder / classes[number].replace("/", " ")).mkdir()
        for row in (labels == number).nonzero()[0][:12]:
            inputs.items[row].save(folder / classes[number].replace("/", " ") / f"{row}.png")
    return folder


def train(clothes: Path, out: Path, *more: str) -> None:
    options = ["--data", clothes, "--out", out, "--batch-size", 8, *more]
    main(["train", "--model", "small:cnn", "--device", "cpu", *map(str, options)])


@pytest.fixture(scope="module")
def pretrained(clothes, tmp_path_factory) -> dict[str, Path]:
    """A series of two epochs by each kind."""
    folder = tmp_path_factory.mktemp("series")
    for kind in KINDS:
        train(clothes, folder / kind, "--kind", kind, "--epochs", "2", *QUICK.get(kind, []))
    return {kind: folder / kind for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_leaves_a_series_and_its_history(pretrained, kind):
    assert [found.step for found in models.series(pretrained[kind])] == [0, 1, 2]
    history = pd.read_csv(pretrained[kind] / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2]
    assert history["loss"].notna().tolist() == [False, True, True]
    settings = models.read_checkpoint(models.series(pretrained[kind])[-1].path).facts["settings"]
    stated = {"adversarial": ("steps", 1), "masked": ("share", 0.75), "contrastive": ("temperature", 0.5)}
    if kind in stated:
        name, value = stated[kind]
        assert settings["kind"][name] == value
    if kind == "random-labels":
        assert settings["classes"] == ["random 0", "random 1", "random 2"]


def test_what_it_says(clothes, pretrained, tmp_path, capsys):
    start = pretrained["masked"] / "epoch-002.safetensors"
    train(clothes, tmp_path / "probe", "--start", str(start), "--transfer", "probe", "--epochs", "1")
    said = capsys.readouterr().out
    assert "small:cnn gets a new head for 2 classes, drawn with the seed." in said
    assert "Probe of small:cnn on 22 pictures, 1 epoch." in said
    history = pd.read_csv(tmp_path / "probe" / "history.csv")["held_out_accuracy"]
    assert f"held_out_accuracy: {history.iloc[0]:.4g} before, {history.iloc[-1]:.4g} after." in said
    assert re.search(rf"harsanyi compare --model small:cnn --before {start} --after \S+epoch-001", said)


def test_a_probe_moves_the_head_alone_and_fine_tuning_all(clothes, pretrained, tmp_path):
    start = pretrained["contrastive"] / "epoch-002.safetensors"
    body = models.read_checkpoint(start).state
    for transfer, stays in (("probe", True), ("finetune", False)):
        out = tmp_path / transfer
        train(clothes, out, "--start", str(start), "--transfer", transfer, "--epochs", "1")
        first, last = (models.read_checkpoint(found.path) for found in models.series(out))
        assert all(torch.equal(first.state[name], body[name]) for name in body)
        assert all(torch.equal(last.state[name], body[name]) == stays for name in body)
        assert not torch.equal(first.state["linear.weight"], last.state["linear.weight"])
        assert last.classes == ("T-shirt top", "Trouser")


def test_a_head_of_the_same_classes_is_kept(clothes, pretrained, tmp_path, capsys):
    start = pretrained["supervised"] / "epoch-002.safetensors"
    train(clothes, tmp_path, "--start", str(start), "--epochs", "0")
    first = models.read_checkpoint(tmp_path / "epoch-000.safetensors").state
    assert torch.equal(first["linear.weight"], models.read_checkpoint(start).state["linear.weight"])
    assert "gets a new head" not in capsys.readouterr().out


def test_other_samples_test_each_epoch(clothes, tmp_path):
    train(clothes, tmp_path, "--test-data", str(clothes), "--epochs", "1")
    accuracy = pd.read_csv(tmp_path / "history.csv")["held_out_accuracy"]
    # Of 24 samples, and not of a tenth of them.
    assert ((accuracy * 24) % 1).abs().max() < 1e-9
    settings = models.read_checkpoint(tmp_path / "epoch-001.safetensors").facts["settings"]
    assert settings["held_out"] == settings["samples"]


EARLY = ("--validation", "0.25", "--patience", "2", "--epochs", "30", "--rate", "0.03")


def test_training_stops_by_the_validation_loss(clothes, tmp_path, capsys):
    train(clothes, tmp_path / "out", *EARLY)
    said = capsys.readouterr().out
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    losses = history["validation_loss"].tolist()
    best, last = losses.index(min(losses)), len(losses) - 1
    assert best == last - 2 < 28
    lowest = f"the validation loss was lowest after epoch {best}, {losses[best]:.4g}."
    assert f"Training stopped after epoch {last} of 30: {lowest}" in said
    chosen = tmp_path / "out" / f"epoch-{best:03d}.safetensors"
    assert f"Checkpoint of the lowest validation loss: {chosen}" in said
    assert f"--start {chosen} " in said
    assert "on 16 pictures" in said
    # Literally: a tenth of each class is held out, then a quarter of the rest validates.
    left, _ = data.load(clothes).split(0.9, 0, "label")
    _, validation = left.split(0.75, 0, "label")
    network = models.load("small:cnn", chosen)
    logits = network.model(network.preprocess(validation.items))
    loss = torch.nn.functional.cross_entropy(logits, torch.as_tensor(validation.labels["label"]))
    assert loss.item() == pytest.approx(losses[best], abs=1e-5)  # float32 sums in another order


def test_of_a_training_that_diverges_an_epoch_before_is_named(clothes, tmp_path, capsys):
    train(
        clothes,
        tmp_path,
        "--validation",
        "0.25",
        "--epochs",
        "1",
        "--optimiser",
        "plain-sgd",
        "--rate",
        "1e30",
    )
    said = capsys.readouterr().out
    losses = pd.read_csv(tmp_path / "history.csv")["validation_loss"]
    assert losses.isna().tolist() == [False, True]
    assert f"The validation loss was lowest after epoch 0, {losses[0]:.4g}." in said


def test_without_patience_all_epochs_are_trained(clothes, tmp_path, capsys):
    train(clothes, tmp_path, "--kind", "masked", "--validation", "0.25", "--epochs", "2")
    losses = pd.read_csv(tmp_path / "history.csv")["validation_loss"].tolist()
    assert len(losses) == 3
    best = losses.index(min(losses))
    assert (
        f"The validation loss was lowest after epoch {best}, {losses[best]:.4g}." in capsys.readouterr().out
    )


def test_an_early_stopped_training_that_was_killed_ends_the_same(clothes, tmp_path, monkeypatch):
    train(clothes, tmp_path / "whole", *EARLY)

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harsanyi.models.training.train.whole", killed)
        with pytest.raises(SystemExit):
            train(clothes, tmp_path / "out", *EARLY)
    train(clothes, tmp_path / "out", *EARLY)
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("whole", "out")]
    assert histories[0] == histories[1]
    paths = [models.series(tmp_path / name)[-1].path for name in ("whole", "out")]
    states = [models.read_checkpoint(path).state for path in paths]
    assert paths[0].name == paths[1].name
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", ["contrastive", "random-labels"])
def test_the_series_is_opened_by_track(clothes, pretrained, tmp_path, kind):
    """A series without a head, or with one of other classes, is read through read-outs."""
    options = ["--series", f"{kind}={pretrained[kind]}", "--data", clothes, "--out", tmp_path / "track"]
    more = ["--inputs", "2", "--players", "grid:2x2", "--read-out", kind, "--device", "cpu"]
    main(["track", "--model", "small:cnn", *map(str, options), *more])
    table = pd.read_csv(tmp_path / "track" / "trajectories.csv")
    assert set(table["step"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--kind", "masked", "--temperature", "2"],
            "--temperature is for --kind contrastive; the kind is m",
        ),
        (["--patch", "4"], "--patch is for --kind masked; the kind is supervised: leave it out"),
        (
            ["--kind", "contrastive", "--level", "label"],
            "--level is for labels, and --kind contrastive reads",
        ),
        (
            ["--kind", "masked", "--transfer", "probe"],
            "--transfer is for --kind supervised; the kind is mask",
        ),
        (["--kind", "random-labels", "--test-data", "x"], "random labels are of the training's alone"),
        (["--kind", "random-labels", "--random-classes", "1"], "--random-classes is 1: expected 2 or more"),
        (["--transfer", "probe"], "--start random knows nothing: give a checkpoint"),
        (["--kind", "masked", "--patch", "5"], "patches of 5 pixels do not divide 28 × 28"),
        (["--epochs", "-1"], "expected epochs ≥ 0"),
        (["--patience", "2"], "--patience is for early stopping, and --validation is 0: leave it out"),
        (["--validation", "0.2", "--patience", "0"], "--patience is 0: expected 1 or more"),
        (
            ["--validation", "1"],
            "--validation is 1.0: expected a share of samples, 0 or more and less than 1",
        ),
        (
            ["--validation", "0.01"],
            "--data, less what tests, has 22: --validation 0.01 of them leaves a part empty",
        ),
        (["--kind", "random-labels", "--validation", "0.2"], "--validation is for labels of other samples"),
        (["--kind", "contrastiv"], "--kind is 'contrastiv', expected supervised, contrastive, masked, adver"),
    ],
)
def test_what_cannot_be_trained(more, said, clothes, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train(clothes, tmp_path / "out", *more)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_without_labels_have_kinds_of_their_own(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    for grey in range(6):
        Image.new("L", (28, 28), 40 * grey).save(tmp_path / "pictures" / f"{grey}.png")
    with pytest.raises(SystemExit):
        train(tmp_path / "pictures", tmp_path / "out")
    assert "has no labels, and --kind supervised learns them" in capsys.readouterr().err
    train(tmp_path / "pictures", tmp_path / "out", "--kind", "masked", "--epochs", "1")
    assert len(models.series(tmp_path / "out")) == 2
