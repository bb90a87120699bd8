"""Checkpoints of timm's own saver, with its moving average and the arguments of its script."""

import argparse

import pytest
import timm
import torch
from timm.data import create_transform
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, ModelEmaV3

from tests.trainers.pictures import TRAINED, right_answers, train
from tests.trainers.readings import right_in_python

pytestmark = pytest.mark.slow

MODEL = "test_convnext"
# What train.py knows from its command line, and uses for its pictures.
ARGUMENTS = {
    "model": MODEL,
    "num_classes": 3,
    "input_size": (3, 32, 32),
    "mean": (0.4, 0.5, 0.6),
    "std": (0.3, 0.2, 0.25),
    "crop_pct": 0.9,
    "interpolation": "bicubic",
    "epochs": 4,
    "opt": "adamw",
    "data_dir": None,
}


def prepared(pictures, split, arguments=ARGUMENTS):
    """Pixels by timm's own transform of these arguments."""
    from PIL import Image

    names = ("input_size", "mean", "std", "crop_pct", "interpolation")
    transform = create_transform(**{name: arguments[name] for name in names}, is_training=False)
    files = pictures.files(split)
    pixels = torch.stack([transform(Image.open(file).convert("RGB")) for file, _ in files])
    return pixels, torch.tensor([label for _, label in files])


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """The saver's folder, and the right answers of each epoch's network and average."""
    folder, right = tmp_path_factory.mktemp("timm"), []
    training, test = prepared(pictures, "train"), prepared(pictures, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(MODEL, num_classes=3)
    average = ModelEmaV3(model, decay=0.7)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.02)
    saver = CheckpointSaver(
        model,
        optimizer,
        args=argparse.Namespace(**ARGUMENTS),
        model_ema=average,
        checkpoint_dir=str(folder),
        recovery_dir=str(folder),
        max_history=10,
    )
    for epoch in range(6):
        train(model, training, optimizer, epochs=1)
        average.update(model)
        answers = [(net.eval()(test[0]).argmax(1) == test[1]).sum().item() for net in (model, average.module)]
        right.append(tuple(answers))
        saver.save_checkpoint(epoch, metric=answers[0])
    assert right[-1] == (right_answers(model, test), right_answers(average.module, test))
    return folder, right


def test_weights_and_average(pictures, harsanyi, trained):
    """Size, mean, std, crop and interpolation are those of the arguments."""
    folder, right = trained
    epoch = max(number for number, (own, average) in enumerate(right) if own != average)
    file = folder / f"checkpoint-{epoch}.pth.tar"
    shared = ("--model", f"timm:{MODEL}", "--data", pictures.test, "--checkpoint", file)
    assert harsanyi.taught("compute", *shared) == {"network": right[epoch][0]}
    assert harsanyi.taught("compute", *shared, "--ema") == {"network": right[epoch][1]}
    for ema in (False, True):
        name = f"timm:{MODEL}"
        assert right_in_python(name, file, pictures.test, classes=TRAINED, ema=ema) == right[epoch][ema]


def test_a_series_and_its_ends(pictures, harsanyi, trained):
    folder, right = trained
    shared = ("--model", f"timm:{MODEL}", "--data", pictures.test, "--classes", *TRAINED)
    tracked = harsanyi.right("track", f"--series=run={folder}", "--at-most", 3, *shared)
    assert tracked == {f"run@{epoch}": right[epoch][0] for epoch in (0, 2, 5)}
    ends = [folder / f"checkpoint-{epoch}.pth.tar" for epoch in (0, 5)]
    compared = harsanyi.right("compare", "--before", ends[0], "--after", ends[1], *shared)
    assert compared == {"before": right[0][0], "after": right[5][0]}
