"""Outputs of other kinds through the commands: one number, probabilities, what depends on the batch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harsanyi.analyses import Compute
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.study.prepare import prepare
from harsanyi.interactions import Store

NETWORK = """
import torch
from torch import nn

PREPROCESS = {"size": (8, 8), "crop": 1.0, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
preprocess = PREPROCESS


class Red(nn.Module):
    def __init__(self, outputs, last=None):
        super().__init__()
        self.scale = nn.Linear(3, outputs, bias=False)
        self.last = last

    def forward(self, pixels):
        z = self.scale(pixels.mean((2, 3)))
        return z if self.last is None else self.last(z)


def red(num_classes=1):
    return Red(num_classes)


def probabilities(num_classes=2):
    return Red(num_classes, lambda z: z.softmax(1))


def mixed(num_classes=2):
    return Red(num_classes, lambda z: z - z.mean(0))
"""
WEIGHT = torch.tensor([[6.0, -3.0, -3.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """net.py, one.pth and two.pth, and pictures that are blue or red."""
    here = tmp_path_factory.mktemp("red")
    (here / "net.py").write_text(NETWORK, encoding="utf-8")
    draws = np.random.default_rng(0)
    for channel, colour in ((2, "blue"), (0, "red")):
        (here / "pictures" / colour).mkdir(parents=True)
        for i in range(8):
            pixels = draws.integers(0, 120, (8, 8, 3)).astype(np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(here / "pictures" / colour / f"{i}.png")
    torch.save({"scale.weight": WEIGHT}, here / "one.pth")
    torch.save({"scale.weight": torch.cat([-WEIGHT, WEIGHT])}, here / "two.pth")
    return here


@pytest.fixture
def study(folder, tmp_path) -> Compute:
    return Compute(
        model=f"{folder / 'net.py'}:red",
        checkpoint=str(folder / "one.pth"),
        data=folder / "pictures",
        inputs=4,
        players="grid:2x2",
        classes=("red",),
        out=tmp_path / "run",
    )


def logits(study: Compute) -> torch.Tensor:
    """The single output on the whole inputs, by hand."""
    games = prepare(study)
    pixels = torch.from_numpy(np.stack([np.asarray(item) for item in games.inputs.items])).double()
    return (pixels.div(255).sub(0.5).div(0.5).mean((1, 2)) @ WEIGHT.double().T)[:, 0]


def test_a_single_output_is_the_log_odds_of_the_class_of_its_name(study):
    run = compute(study, progress=False)
    labels = prepare(study).settings["labels"]
    signs = torch.tensor([1.0 if label == "red" else -1.0 for label in labels], dtype=torch.float64)
    # float32 forwards against float64 by hand
    assert torch.allclose(run.store.v("network")[:, -1], signs * logits(study), atol=1e-5)
    assert [row.accuracy for row in run.facts.performance] == [1.0]


def test_a_regression_is_scored_as_it_is(study):
    number = replace(study, score="output", label="predicted", classes=())
    run = compute(number, progress=False)
    assert torch.allclose(run.store.v("network")[:, -1], logits(number), atol=1e-5)  # float32 forwards
    assert run.facts.performance == ()
    labelled = replace(number, label="data", out=study.out / "labelled")
    assert torch.equal(
        Store(compute(labelled, progress=False).store.path).v("network"), run.store.v("network")
    )


def test_probabilities_are_read_as_such_and_said(study, folder):
    two = replace(study, checkpoint=str(folder / "two.pth"), classes=("blue", "red"))
    plain = compute(replace(two, model=f"{folder / 'net.py'}:red"), progress=False)
    with pytest.warns(UserWarning, match="probabilities of sum 1"):
        soft = compute(
            replace(two, model=f"{folder / 'net.py'}:probabilities", out=study.out / "soft"), progress=False
        )
    # float32 probabilities near 1 hold seven digits of 1 - p
    assert torch.allclose(soft.store.v("network"), plain.store.v("network"), atol=1e-3)
    assert any("probabilities" in note for note in soft.facts.networks["network"].notes)
    kept = json.loads((soft.folder / "facts.json").read_text(encoding="utf-8"))
    assert any("probabilities" in note for note in kept["networks"]["network"]["notes"])


def test_answers_that_depend_on_the_batch_are_refused_until_they_are_asked_for_singly(study, folder):
    mixed = replace(
        study,
        model=f"{folder / 'net.py'}:mixed",
        checkpoint=str(folder / "two.pth"),
        classes=("blue", "red"),
        label="predicted",
    )
    with pytest.raises(ValueError, match="batch_size=1"):
        compute(mixed, progress=False)
    alone = compute(replace(mixed, batch_size=1), progress=False)
    assert torch.equal(alone.store.v("network"), torch.zeros(4, 16, dtype=torch.float64))


def test_the_stated_preprocessing_is_taken_and_tells_studies_apart(study, tmp_path):
    (tmp_path / "grey.toml").write_text("mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n", encoding="utf-8")
    by_file = prepare(replace(study, preprocessing=tmp_path / "grey.toml"))
    by_option = prepare(replace(study, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    assert by_file.networks["network"].preprocess.mean == (0.0, 0.0, 0.0)
    assert by_file.settings == by_option.settings != prepare(study).settings
    assert any("your settings" in note for note in by_option.networks["network"].notes)
    with pytest.raises(ValueError, match="mean"):
        prepare(replace(study, mean=(0.5,) * 4))
