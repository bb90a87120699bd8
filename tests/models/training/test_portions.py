"""Training portion by portion: warm, shrunk and perturbed, or from scratch, against literal arithmetic."""

import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from harsanyi.models import (
    Recipe,
    Samples,
    load,
    portion_series,
    read_checkpoint,
    shrink_and_perturb,
    split_portions,
    train,
    train_portions,
)
from harsanyi.models.training import train as train_module
from tests.models.training.series import same, states

RECIPE = Recipe(epochs=2, batch_size=8, seed=3)


@pytest.fixture
def portions(dark_and_light) -> list[Samples]:
    return split_portions(Samples(*dark_and_light), 3, seed=5)


def trained(network, portions, folder: Path, **options) -> list[list[Path]]:
    options = {"held_out": portions[0], "progress": False} | options
    return train_portions(network, portions, RECIPE, folder=folder, **options)


def test_portions_are_disjoint_and_hold_every_sample_with_its_label():
    items, labels = [f"item {number}" for number in range(11)], list(range(11))
    portions = split_portions(Samples(items, labels), 3, seed=5)
    assert [len(portion.items) for portion in portions] == [4, 4, 3]
    together = [item for portion in portions for item in portion.items]
    assert sorted(together) == sorted(items)
    assert together != items
    for portion in portions:
        assert [f"item {label}" for label in portion.labels] == portion.items
    again, other = (split_portions(Samples(items, labels), 3, seed=seed) for seed in (5, 6))
    assert [portion.items for portion in again] == [portion.items for portion in portions]
    assert [portion.items for portion in other] != [portion.items for portion in portions]


def test_shrink_and_perturb_by_hand():
    network = load("small:resnet20", "random", classes=["dark", "light"])
    network = replace(network, model=network.model.double())
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    after = shrink_and_perturb(network, 0.6, 0.01, seed=7).model
    generator = torch.Generator().manual_seed(7)
    for name, weights in after.named_parameters():
        noise = torch.randn(before[name].shape, generator=generator, dtype=torch.float64)
        # The same two roundings in one or two operations: a unit in the last place of each.
        torch.testing.assert_close(
            weights.detach(), 0.6 * before[name] + 0.01 * noise, rtol=1e-15, atol=1e-16
        )
    running = {name for name, _ in network.model.named_buffers()}
    assert any("running_var" in name for name in running)
    assert same(
        {name: after.state_dict()[name] for name in running}, {name: before[name] for name in running}
    )
    assert same(network.model.state_dict(), before)


def test_noise_has_its_standard_deviation_and_no_noise_leaves_the_weights(network):
    weights = torch.cat(
        [p.detach().flatten() for p in shrink_and_perturb(network, 0.0, 2.0).model.parameters()]
    )
    # Of m normal numbers, mean and standard deviation lie within five standard errors but for 1 in 10⁶.
    error = 5 * 2.0 / len(weights) ** 0.5
    assert abs(weights.mean()) < error
    assert abs(weights.std() - 2.0) < error
    assert same(shrink_and_perturb(network, 1.0, 0.0).model.state_dict(), network.model.state_dict())


def test_a_warm_start_begins_where_the_portion_before_ended(network, portions, tmp_path: Path):
    first, second, third = map(states, trained(network, portions, tmp_path))
    assert same(first[0], network.model.state_dict())
    assert same(second[0], first[-1])
    assert same(third[0], second[-1])
    assert not same(third[-1], third[0])


def test_a_warm_start_on_the_newest_portion_is_training_on_it_from_there(network, portions, tmp_path: Path):
    paths = trained(network, portions, tmp_path / "portions", union=False)
    begin = load("small:cnn", paths[0][-1], classes=network.classes)
    alone = train(begin, portions[1], RECIPE, folder=tmp_path / "alone", held_out=portions[0], progress=False)
    assert same(states(paths[1])[-1], states(alone)[-1])


def test_a_shrunk_start_is_the_end_before_shrunk_and_perturbed(network, portions, tmp_path: Path):
    paths = trained(network, portions, tmp_path, start="shrunk", shrink=0.5, noise=0.1)
    first, second, third = map(states, paths)
    noises = []
    for before, after in ((first, second), (second, third)):
        # float32: θ₁ − λ θ₀ cancels, with an error of few units in the last place of weights around 1.
        rests = [(after[0][name] - 0.5 * before[-1][name]) / 0.1 for name in network.model.state_dict()]
        noises.append(torch.cat([rest.flatten() for rest in rests]))
    for noise in noises:
        assert abs(noise.std() - 1) < 5 / len(noise) ** 0.5  # five standard errors
    assert (
        abs(torch.corrcoef(torch.stack(noises))[0, 1]) < 5 / len(noises[0]) ** 0.5
    )  # each portion has its own


def test_from_scratch_is_a_fresh_training_on_the_union(network, portions, tmp_path: Path):
    paths = trained(network, portions, tmp_path / "portions", start="scratch")
    for count in (1, 2, 3):
        items = [item for portion in portions[:count] for item in portion.items]
        union = Samples(items, np.concatenate([portion.labels for portion in portions[:count]]))
        fresh = train(
            network, union, RECIPE, folder=tmp_path / f"{count}", held_out=portions[0], progress=False
        )
        assert [same(a, b) for a, b in zip(states(paths[count - 1]), states(fresh), strict=True)] == [
            True
        ] * 3


@pytest.mark.parametrize("start", ["warm", "shrunk", "scratch"])
def test_what_was_interrupted_goes_on_to_the_same_bits(network, portions, tmp_path: Path, monkeypatch, start):
    whole = trained(network, portions, tmp_path / "whole", start=start)
    save, left = train_module.save_epoch, iter(range(5))

    def stopping(*arguments):
        save(*arguments)
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "save_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):  # in the second portion, after its last epoch but before its end
        trained(network, portions, tmp_path / "stopped", start=start)
    monkeypatch.setattr(train_module, "save_epoch", save)
    assert not (tmp_path / "stopped/portion-03").exists()
    resumed = trained(network, portions, tmp_path / "stopped", start=start)
    for there, here in zip(chain(*whole), chain(*resumed), strict=True):
        assert there.read_bytes() == here.read_bytes()


def test_what_is_complete_is_kept_and_other_portions_are_refused(network, portions, tmp_path: Path):
    paths = trained(network, portions, tmp_path)
    times = [path.stat().st_mtime_ns for series in paths for path in series]
    assert trained(network, portions, tmp_path) == paths
    assert [path.stat().st_mtime_ns for series in paths for path in series] == times
    with pytest.raises(ValueError, match=r"portion-02 holds a series of other settings: start "):
        trained(network, portions, tmp_path, start="shrunk")
    with pytest.raises(ValueError, match=r"portion-02 holds a series of other settings: samples "):
        trained(network, [portions[0], portions[2], portions[1]], tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "cold"}, "no start 'cold': expected warm, shrunk, scratch"),
        (
            {"start": "shrunk", "shrink": 1.5},
            "expected a shrink (λ) from 0 to 1 and a noise (σ) of 0 or more",
        ),
        (
            {"start": "shrunk", "noise": -0.1},
            "expected a shrink (λ) from 0 to 1 and a noise (σ) of 0 or more",
        ),
        ({"start": "shrunk", "noise": float("nan")}, "expected a shrink (λ) from 0 to 1"),
    ],
)
def test_bad_starts_are_refused_before_anything_is_trained(network, portions, tmp_path, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        trained(network, portions, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_too_few_portions_or_samples_are_refused(network, portions, tmp_path: Path):
    with pytest.raises(ValueError, match="expected two portions or more, but got 1"):
        trained(network, portions[:1], tmp_path)
    for count in (0, 3):
        with pytest.raises(ValueError, match=f"expected 1 to 2 portions of 2 samples.*but got {count}"):
            split_portions(Samples(["a", "b"], [0, 1]), count)


def test_the_last_checkpoint_of_each_portion_is_found(network, portions, tmp_path: Path):
    paths = trained(network, portions, tmp_path)
    found = portion_series(tmp_path)
    assert [(each.step, each.path) for each in found] == [
        (1, paths[0][-1]),
        (2, paths[1][-1]),
        (3, paths[2][-1]),
    ]
    assert read_checkpoint(found[-1].path).epoch == 2


def test_portions_of_other_trainers_are_found_by_their_number(tmp_path: Path):
    for name in ("task_10/checkpoint-5/model.safetensors", "task_10/checkpoint-20/model.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "task_9").mkdir()
    (tmp_path / "task_9/model.safetensors").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "notes1.txt").touch()
    places = [(each.step, str(each.path.relative_to(tmp_path))) for each in portion_series(tmp_path)]
    assert places == [(9, "task_9"), (10, "task_10/checkpoint-20")]


def test_folders_without_portions_are_refused(tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match="there is no folder .*gone: expected one with a folder for each"
    ):
        portion_series(tmp_path / "gone")
    (tmp_path / "portion-1").mkdir()
    with pytest.raises(ValueError, match="has the numbered folders portion-1: expected two portions or more"):
        portion_series(tmp_path)
    (tmp_path / "portion-2").mkdir()
    with pytest.raises(FileNotFoundError, match="portion-1 holds nothing, and no checkpoints named"):
        portion_series(tmp_path)
    (tmp_path / "again-2").mkdir()
    with pytest.raises(ValueError, match="expected two portions or more, one folder each, with its number"):
        portion_series(tmp_path)
