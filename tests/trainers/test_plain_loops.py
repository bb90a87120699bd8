"""Checkpoints of hand-written loops: wrapped, nested, averaged, halved, with optimisers."""

import contextlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from tests.trainers.pictures import TRAINED, right_answers, train
from tests.trainers.readings import right_in_python


@contextlib.contextmanager
def one_process(folder: Path):
    """A process group of this process alone."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=0, world_size=1
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


WRAPPERS = {
    "alone": lambda model: model,
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled in DataParallel": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}
FORMS = {
    "state dict": lambda model, optimizer: model.state_dict(),
    "with optimizer": lambda model, optimizer: {
        "epoch": 6,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": torch.tensor(0.5),
    },
    "nested": lambda model, optimizer: {
        "network": {"classifier": model.state_dict()},
        "optim": {"main": optimizer.state_dict()},
        "best_accuracy": 0.8,
    },
}


@pytest.mark.filterwarnings("ignore:.*(no CUDA|DistributedDataParallel|barrier)")
@pytest.mark.parametrize(
    ("wrapper", "form"),
    [*((wrapper, "state dict") for wrapper in WRAPPERS), ("alone", "nested"), ("compiled", "with optimizer")],
)
def test_a_loop_with_a_wrapper(pictures, samples, harsanyi, tmp_path, wrapper, form):
    """The trainer numbers the classes its own way; the first try says how to say so."""
    file = tmp_path / "last.pth"
    with one_process(tmp_path):
        model = WRAPPERS[wrapper](pictures.network())
        optimizer = train(model, samples("train"))
        right = right_answers(model, samples("test"))
        torch.save(FORMS[form](model, optimizer), file)
    options = ("--model", pictures.model, "--checkpoint", file, "--data", pictures.test)
    assert harsanyi.taught("compute", *options) == {"network": right}
    assert right_in_python(pictures.model, file, pictures.test, classes=TRAINED) == right


def test_half_precision(pictures, samples, harsanyi, tmp_path):
    """The weights that were rounded to 16 bits are those that answer."""
    for kind in (torch.float16, torch.bfloat16):
        model = pictures.network()
        train(model, samples("train"))
        torch.save(model.to(kind).state_dict(), tmp_path / "half.pth")
        right = right_answers(model.float(), samples("test"))
        options = ("--model", pictures.model, "--checkpoint", tmp_path / "half.pth", "--data", pictures.test)
        assert harsanyi.taught("compute", *options) == {"network": right}


def test_names_in_the_checkpoint_are_enough(pictures, samples, harsanyi, tmp_path):
    model = pictures.network()
    train(model, samples("train"))
    right = right_answers(model, samples("test"))
    for i, names in enumerate(
        ({"classes": list(TRAINED)}, {"class_to_idx": {name: i for i, name in enumerate(TRAINED)}})
    ):
        file = tmp_path / f"{i}.pth"
        torch.save({"model": model.state_dict(), **names}, file)
        options = ("--model", pictures.model, "--checkpoint", file, "--data", pictures.test)
        assert harsanyi.right("compute", *options) == {"network": right}


def test_averaged_weights(pictures, samples, harsanyi, tmp_path):
    """Alone in a file they are the network; beside the trained ones --ema takes them."""
    model = pictures.network()
    averaged, optimizer = AveragedModel(model), None
    for _ in range(4):
        optimizer = train(model, samples("train"), optimizer, epochs=2)
        averaged.update_parameters(model)
    update_bn([samples("train")[0]], averaged)
    right = {"model": right_answers(model, samples("test")), "swa": right_answers(averaged, samples("test"))}
    assert right["model"] != right["swa"]
    alone, both = tmp_path / "swa.pth", tmp_path / "both.pth"
    torch.save(averaged.state_dict(), alone)
    torch.save({"model": model.state_dict(), "swa_model": averaged.state_dict()}, both)
    shared = ("--model", pictures.model, "--data", pictures.test, "--classes", *TRAINED)
    assert harsanyi.right("compute", "--checkpoint", alone, *shared) == {"network": right["swa"]}
    assert harsanyi.right("compute", "--checkpoint", both, *shared) == {"network": right["model"]}
    assert harsanyi.right("compute", "--checkpoint", both, "--ema", *shared) == {"network": right["swa"]}


def test_a_comparison_of_two_epochs(pictures, samples, harsanyi, tmp_path):
    model, right = pictures.network(), {}
    optimizer = None
    for name, epochs in (("before", 6), ("after", 4)):
        optimizer = train(model, samples("train"), optimizer, epochs)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / name)
        right[name] = right_answers(model, samples("test"))
    options = ("--before", tmp_path / "before", "--after", tmp_path / "after", "--model", pictures.model)
    assert harsanyi.taught("compare", *options, "--data", pictures.test) == right
