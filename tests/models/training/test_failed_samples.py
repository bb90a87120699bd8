"""A sample on which a network fails is no answer: it is left out of the measures, with its reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from harsanyi.models import Network, Recipe, Samples, load, performance, read_checkpoint, train
from harsanyi.models.training.failed_samples import FAILED, Failed, read_failed
from harsanyi.models.training.performance import label_performance, measure
from harsanyi.models.training.samples import input_batches
from harsanyi.models.training.tasks import task_measures

WHITE, REASONS = 3, {"nan": "its outputs are NaN or infinite", "inf": "its outputs are NaN or infinite"}
REASONS |= {"raises": "too white", "memory": "out of memory: too white"}


def greys(count: int, white: int | None = None) -> list[Image.Image]:
    shades = [255 if number == white else 20 * number for number in range(count)]
    return [Image.new("L", (28, 28), shade) for shade in shades]


def is_white(model: nn.Module, pictures: Tensor) -> Tensor:
    return pictures.flatten(1).amin(1) == model.whitest


def picky(network: Network, how: str) -> Network:
    """The network, which from now on fails on white pictures and on no others."""
    network.model.whitest = float(network.preprocess(greys(1, 0)).max())

    def refuse(model: nn.Module, args: tuple[Tensor, ...]) -> None:
        if is_white(model, args[0]).any():
            error = torch.OutOfMemoryError if how == "memory" else RuntimeError
            raise error(REASONS[how])

    def spoil(model: nn.Module, args: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        return torch.where(is_white(model, args[0])[:, None], float(how), outputs)

    if how in ("nan", "inf"):
        network.model.register_forward_hook(spoil)
    else:
        network.model.register_forward_pre_hook(refuse)
    return network


def literal(network: Network, pictures: list[Image.Image]) -> Tensor:
    """The logits of each picture alone."""
    return torch.cat([network.logits(network.preprocess([picture])) for picture in pictures]).double()


def without_white(items):
    return [item for number, item in enumerate(items) if number != WHITE]


@pytest.mark.parametrize("how", REASONS)
def test_training_measures_itself_on_what_it_answers(how, network, tmp_path: Path):
    trained, tested, labels = greys(8), greys(10, WHITE), [0] * 5 + [1] * 5
    training = Samples(trained, [0] * 4 + [1] * 4)
    held_out = Samples(tested, labels)
    recipe = Recipe(epochs=2, batch_size=4, patience=2)
    paths = train(
        picky(network, how),
        training,
        recipe,
        folder=tmp_path,
        held_out=held_out,
        validation=held_out,
        progress=False,
    )
    history = pd.read_csv(tmp_path / "history.csv")
    for path, row in zip(paths, history.itertuples(), strict=True):
        logits = literal(load("small:cnn", path), without_white(tested))
        right = torch.tensor(without_white(labels))
        assert row.held_out_accuracy == row.validation_accuracy == (logits.argmax(1) == right).double().mean()
        loss = float(nn.functional.cross_entropy(logits, right))
        assert row.held_out_loss == pytest.approx(loss, rel=1e-5)  # float32 batches of other sizes
        assert read_checkpoint(path).facts["held_out_loss"] == row.held_out_loss
    assert read_failed(tmp_path / FAILED) == [
        Failed(epoch, part, WHITE, REASONS[how]) for epoch in range(3) for part in ("held_out", "validation")
    ]


def test_where_nothing_fails_no_list_is_left(network, tmp_path: Path):
    (tmp_path / FAILED).write_text("epoch,part,sample,reason\n0,held_out,1,of an earlier training\n")
    samples = Samples(greys(4), [0, 0, 1, 1])
    train(network, samples, Recipe(epochs=1), folder=tmp_path, held_out=samples, progress=False)
    assert not (tmp_path / FAILED).exists()


def test_a_network_that_diverged_has_no_accuracy(network, tmp_path: Path):
    samples, tested = Samples(greys(4), [0, 0, 1, 1]), Samples(greys(1, 0) * 9, [0] * 9)
    train(picky(network, "nan"), samples, Recipe(epochs=1), folder=tmp_path, held_out=tested, progress=False)
    assert pd.read_csv(tmp_path / "history.csv").held_out_accuracy.isna().all()
    assert [each.sample for each in read_failed(tmp_path / FAILED)] == [*range(9), *range(9)]


def test_a_network_that_raises_on_all_is_at_fault_itself(network, tmp_path: Path):
    samples = Samples(greys(4), [0, 0, 1, 1])
    for count in (1, 9):
        tested = Samples(greys(1, 0) * count, [0] * count)
        with pytest.raises(RuntimeError, match="too white"):
            train(
                picky(network, "raises"),
                samples,
                Recipe(epochs=1),
                folder=tmp_path / str(count),
                held_out=tested,
                progress=False,
            )


@pytest.mark.parametrize("how", REASONS)
def test_performance_is_of_what_is_answered(how, network):
    pictures, labels = greys(9, WHITE), np.arange(9) % 2
    measured = performance(picky(network, how), pictures, labels, batch_size=4)
    logits = literal(network, without_white(pictures))
    assert measured.answers.tolist() == logits.argmax(1).tolist()
    assert measured.accuracy == np.mean(measured.answers == without_white(labels))
    assert measured.failed == {WHITE: REASONS[how]}
    sets = np.stack([labels, 1 - labels], axis=1).astype(float)
    found = label_performance(network, pictures, sets, np.arange(2), batch_size=4)
    right = ((logits > 0).numpy() == (np.delete(sets, WHITE, 0) > 0)).mean()
    assert (found.accuracy, found.failed) == (right, measured.failed)


@pytest.mark.parametrize("how", ["nan", "raises"])
def test_what_answers_nothing_has_no_performance(how, network):
    asked = picky(network, how), greys(1, 0) * 3
    with pytest.raises((ValueError, RuntimeError), match="answers none of 3 samples|too white"):
        performance(*asked, [0, 1, 0])
    with pytest.raises((ValueError, RuntimeError), match="answers none of 3 samples|too white"):
        label_performance(*asked, np.ones((3, 2)), np.arange(2))


@pytest.mark.parametrize("how", ["nan", "raises"])
@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_so_it_is_for_sets_and_numbers(task, how, network):
    outputs = 2 if task == "multi-label" else 1
    network = picky(network.with_new_head([str(number) for number in range(outputs)], 0), how)
    pictures = greys(9, WHITE)
    target = torch.from_numpy(np.stack([np.arange(9) % 2, np.arange(9) % 3 > 0], 1).astype(float))
    target = target if task == "multi-label" else torch.arange(9.0, dtype=torch.float64)
    found, reasons = measure(network, input_batches(network, pictures), target, 4, task=task)
    kept = [number for number in range(9) if number != WHITE]
    expected = task_measures(task, literal(network, without_white(pictures)), target[kept])
    assert found == pytest.approx(expected, rel=1e-5)  # float32 batches of other sizes
    assert list(reasons) == [WHITE]
    if how == "nan":  # on one sample, which it does not answer
        alone, _ = measure(network, input_batches(network, greys(1, 0)), target[:1], 4, task=task)
        assert alone.keys() == expected.keys()
        assert np.isnan(list(alone.values())).all()
