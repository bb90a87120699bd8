"""Sets of labels and numbers as targets: losses and measures as defined, and training that learns them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torch import Tensor

from harsanyi.models import Recipe, Samples, load, read_checkpoint, train
from harsanyi.models.training.tasks import check_target, task_loss, task_measures

EXACT = 1e-12
# Measures of float32 logits, in batches or at once.
FLOAT32 = 1e-5
PLACES = ("top", "left")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_average_precision(scores: list[float], labels: list[float]) -> float:
    """Σ (recall − recall before) · precision over the distinct scores as thresholds, from above."""
    found, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        recall = sum(taken) / sum(labels)
        found += (recall - before) * sum(taken) / len(taken)
        before = recall
    return found


def pictures(count: int, seed: int) -> tuple[list[Image.Image], np.ndarray, np.ndarray]:
    """Noise with a bright top half, a bright left half, both or neither; these sets, and mean brightness."""
    rng = np.random.default_rng(seed)
    sets = rng.integers(0, 2, (count, 2))
    grey = rng.uniform(20, 60, (count, 28, 28))
    grey[:, :14] += 60 * sets[:, 0, None, None]
    grey[:, :, :14] += 60 * sets[:, 1, None, None]
    grey += rng.uniform(0, 60, (count, 1, 1))
    images = grey.astype(np.uint8)
    numbers = images.mean(axis=(1, 2)) / 20
    return [Image.fromarray(image) for image in images], sets, numbers


def fit(task: str, folder: Path, held_out: Samples | None = None, **options) -> pd.DataFrame:
    """The history of a short training on pictures, measured on others or on those held out."""
    (images, sets, numbers), (others, other_sets, other_numbers) = pictures(96, 0), pictures(48, 1)
    labels, held = (sets, other_sets) if task == "multi-label" else (numbers, other_numbers)
    network = load("small:cnn", "random", classes=PLACES if task == "multi-label" else ["brightness"])
    recipe = Recipe(task=task, **({"epochs": 24, "batch_size": 16, "learning_rate": 3e-3} | options))
    held_out = held_out or Samples(others, held)
    train(network, Samples(images, labels), recipe, folder=folder, held_out=held_out, progress=False)
    return pd.read_csv(folder / "history.csv")


def test_the_loss_of_sets_is_a_literal_mean_over_items_and_labels():
    outputs, target = 3 * draw(5, 3), (draw(5, 3, seed=1) > 0).double()
    terms = []
    for row, sets in zip(outputs.tolist(), target.tolist(), strict=True):
        for logit, there in zip(row, sets, strict=True):
            probability = 1 / (1 + math.exp(-logit))
            terms.append(-math.log(probability if there else 1 - probability))
    found = task_loss("multi-label", outputs, target).item()
    assert found == pytest.approx(sum(terms) / 15, rel=EXACT)


def test_the_loss_of_numbers_is_their_mean_squared_error():
    outputs, target = draw(7, 1), draw(7, seed=1)
    literal = sum((y - z) ** 2 for (z,), y in zip(outputs.tolist(), target.tolist(), strict=True)) / 7
    assert task_loss("regression", outputs, target).item() == pytest.approx(literal, rel=EXACT)


def test_numbers_are_not_rounded_to_the_precision_of_outputs():
    target, half = torch.tensor([100.25, 7.0]), torch.tensor([[100.0], [7.0]], dtype=torch.bfloat16)
    assert task_loss("regression", half, target).item() == 0.25**2 / 2


def test_average_precision_is_the_mean_over_the_labels_that_occur():
    outputs = (4 * draw(30, 4)).round() / 4  # ties among the scores
    target = (draw(30, 4, seed=1) > 0.5).double()
    target[:, 2] = 0
    found = task_measures("multi-label", outputs, target)
    literal = [literal_average_precision(outputs[:, k].tolist(), target[:, k].tolist()) for k in (0, 1, 3)]
    assert found["average_precision"] == pytest.approx(sum(literal) / 3, rel=EXACT)
    assert found["loss"] == task_loss("multi-label", outputs, target).item()


def test_r2_of_a_fitted_line_is_the_squared_correlation():
    x, y = draw(50).numpy(), draw(50, seed=1).numpy()
    y = y + x
    line = stats.linregress(x, y)
    outputs = torch.from_numpy(line.intercept + line.slope * x)[:, None]
    found = task_measures("regression", outputs, torch.from_numpy(y))
    assert found["r2"] == pytest.approx(line.rvalue**2, abs=EXACT)
    # 1 − R² is the mean squared error over the variance.
    assert 1 - found["r2"] == pytest.approx(found["loss"] / y.var(), rel=EXACT)


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True),
    st.integers(0, 100),
    st.floats(0.1, 10),
    st.floats(-10, 10),
)
def test_r2_knows_no_unit_and_loss_its_square(numbers, seed, unit, zero):
    target, outputs = torch.tensor(numbers, dtype=torch.float64), 100 * draw(len(numbers), 1, seed=seed)
    one = task_measures("regression", outputs, target)
    other = task_measures("regression", unit * outputs + zero, unit * target + zero)
    # Rounding of numbers up to 10⁴, against differences of 1 and more.
    assert 1 - other["r2"] == pytest.approx(1 - one["r2"], rel=1e-8)
    assert other["loss"] == pytest.approx(unit**2 * one["loss"], rel=1e-8)


def test_what_cannot_be_measured_is_nan():
    nothing = task_measures("multi-label", draw(4, 2), torch.zeros(4, 2, dtype=torch.float64))
    diverged = torch.full((4, 2), torch.nan, dtype=torch.float64)
    lost = task_measures("multi-label", diverged, torch.ones(4, 2, dtype=torch.float64))
    assert math.isnan(nothing["average_precision"])
    assert math.isnan(lost["average_precision"])
    equal = task_measures("regression", draw(4, 1), torch.ones(4, dtype=torch.float64))
    assert math.isnan(equal["r2"])
    assert equal["loss"] > 0


@pytest.mark.parametrize(
    ("task", "measure", "enough"),
    [("multi-label", "held_out_average_precision", 0.97), ("regression", "held_out_r2", 0.8)],
)
def test_a_network_learns_what_a_trivial_answer_does_not_know(tmp_path: Path, task, measure, enough):
    history = fit(task, tmp_path)
    assert history.columns.tolist() == ["epoch", "loss", measure, "held_out_loss"]
    last, (images, sets, numbers) = history.iloc[-1], pictures(48, 1)
    # A constant answer has a label's frequency, about a half, as its average precision, and R² of 0.
    assert last[measure] > enough
    spread = numbers.var() if task == "regression" else math.log(2)
    assert last.held_out_loss < spread / 4
    checkpoint = read_checkpoint(tmp_path / "epoch-024.safetensors")
    assert checkpoint.facts["settings"]["task"] == task
    network = load("small:cnn", tmp_path / "epoch-024.safetensors")
    target = torch.from_numpy(sets if task == "multi-label" else numbers).double()
    found = task_measures(task, network.logits(network.preprocess(images)).double(), target)
    for name, value in found.items():
        assert last[f"held_out_{name}"] == pytest.approx(value, rel=FLOAT32, abs=FLOAT32)


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_what_is_minimised_is_the_loss_that_is_measured(tmp_path: Path, task):
    """One step on all samples: its loss is that of the start on the same samples."""
    images, sets, numbers = pictures(96, 0)
    held = Samples(images, sets if task == "multi-label" else numbers)
    history = fit(task, tmp_path, epochs=1, batch_size=96, held_out=held)
    assert history.loss[1] == pytest.approx(history.held_out_loss[0], rel=FLOAT32)
    assert history.held_out_loss[1] < history.held_out_loss[0]


def test_classification_is_as_it_was(tmp_path: Path, dark_and_light):
    network = load("small:cnn", "random", classes=["dark", "light"])
    samples = Samples(*dark_and_light)
    for name, task in (("plain", {}), ("named", {"task": "classification"})):
        recipe = Recipe(epochs=1, **task)
        (*_, last) = train(network, samples, recipe, folder=tmp_path / name, held_out=samples, progress=False)
        assert "task" not in read_checkpoint(last).facts["settings"]
    plain, named = ((tmp_path / name / "history.csv").read_bytes() for name in ("plain", "named"))
    assert plain == named
    assert plain.startswith(b"epoch,loss,held_out_accuracy,held_out_loss\n")


def test_a_series_of_one_task_is_none_of_another(tmp_path: Path):
    images, sets, _ = pictures(96, 0)
    whole = sets[:, 0].astype(float)
    fit("regression", tmp_path, epochs=0, held_out=Samples(images, whole))
    network = load("small:cnn", "random", classes=["brightness"])
    samples, recipe = Samples(images, whole[:, None]), Recipe(epochs=0, task="multi-label")
    with pytest.raises(ValueError, match=r"task \('regression' there, 'multi-label' now\)"):
        train(network, samples, recipe, folder=tmp_path, held_out=samples, progress=False)


@pytest.mark.parametrize(
    ("task", "labels", "classes", "said"),
    [
        ("ranking", [0, 1], ["a", "b"], "no task 'ranking': expected classification, multi-label, regr"),
        ("classification", [0.0, 1.0], ["a", "b"], "expected 2 whole numbers as labels"),
        ("multi-label", [0, 1], ["a", "b"], r"labels of shape \(2, 2\), 0 or 1 .* got int64 \(2,\)"),
        ("multi-label", [[0], [1]], ["a", "b"], r"got int64 \(2, 1\)"),
        ("multi-label", [[0, 2], [1, 0]], ["a", "b"], "0 or 1 for every item and class, but got 2"),
        ("multi-label", [[0, 0.5], [1, 0]], ["a", "b"], "but got 0.5"),
        ("regression", [1.5, 2.0], ["a", "b"], "regression has one output, but the network has 2"),
        ("regression", [1.5], ["a"], r"expected regression labels of shape \(2,\), finite numbers, one an"),
        ("regression", [[1.5], [2.0]], ["a"], r"got float64 \(2, 1\)"),
        ("regression", [1.5, math.nan], ["a"], "finite numbers, one an item, but got nan"),
        ("regression", ["1", "2"], ["a"], "got <U1"),
    ],
)
def test_labels_that_do_not_fit_the_task(task, labels, classes, said):
    with pytest.raises(ValueError, match=said):
        check_target(task, ["one", "two"], np.asarray(labels), classes)


def test_no_items_and_levels_of_classes_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"regression labels of shape \(0,\)"):
        check_target("regression", [], np.zeros(0), ["a"])
    with pytest.raises(ValueError, match="levels and betas are of classes: leave them out for regression"):
        fit("regression", tmp_path, levels=[[0]], betas=[0.5])


def test_a_task_that_is_none_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(ValueError, match="no task 'ranking'"):
        fit("ranking", tmp_path)
    assert not list(tmp_path.iterdir())
