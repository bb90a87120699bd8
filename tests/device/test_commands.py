"""The commands on an accelerator: `auto` takes it, and the tables are those of the CPU."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses import Run
from harsanyi.analyses.command.cli import main
from tests.device import second

CLOTHES = (
    f"--data={data.fashion_mnist_path('test')}",
    "--level=coarse",
    "--players=grid:2x2",
    "--method=and-or",
)
# Log-odds of float32 outputs from sums in another order; tables hold sums of 2**4 of them.
FLOAT32 = 1e-4


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """A short training on the CPU, and one from another start."""
    folder = tmp_path_factory.mktemp("checkpoints")
    clothes = data.load(data.fashion_mnist_path("train")).sample(60, 0, "coarse")
    samples = models.Samples(clothes.items, clothes.level("coarse")[0])
    for seed, name in enumerate(("finetuned", "scratch")):
        network = models.load("small:cnn", "random", classes=clothes.classes["coarse"], seed=seed)
        train(network, samples, folder / name)
    return folder


def train(network, samples, folder, **recipe):
    recipe = models.Recipe(epochs=2, **recipe)
    models.train(network, samples, recipe, folder=folder, held_out=samples, progress=False)


def networks(checkpoints):
    places = {"before": "finetuned/epoch-000", "after": "finetuned/epoch-002", "scratch": "scratch/epoch-002"}
    return [f"--{name}={checkpoints / place}.safetensors" for name, place in places.items()]


def require_same_tables(found: Path, expected: Path) -> None:
    """Every table of two folders, to rounding; ends of intervals to 1% of their size.

    Some resamples of two inputs divide by the difference of nearly equal numbers, which amplifies rounding.
    """
    names = sorted(path.name for path in expected.glob("*.csv"))
    assert names == sorted(path.name for path in found.glob("*.csv"))
    for name in names:
        one, other = (pd.read_csv(folder / name) for folder in (found, expected))
        ends = [column for column in one if column in ("low", "high")]
        pd.testing.assert_frame_equal(
            one.drop(columns=ends), other.drop(columns=ends), rtol=10 * FLOAT32, atol=FLOAT32
        )
        pd.testing.assert_frame_equal(one[ends], other[ends], rtol=1e-2, atol=FLOAT32)


def test_compare_and_accuracy(device, checkpoints, tmp_path):
    """The shared folder holds the run of the accelerator and that of the CPU."""
    for name in ("auto", "cpu"):
        main(
            [
                *("compare", "--model=small:cnn", *networks(checkpoints)[:2], *CLOTHES, "--inputs=2"),
                *("--keep-outputs", f"--device={name}", f"--out={tmp_path / name}"),
            ]
        )
        main(["accuracy", str(tmp_path / name)])
    there, here = (Run.open(tmp_path / name) for name in ("auto", "cpu"))
    for network in ("before", "after"):
        torch.testing.assert_close(
            there.store.outputs(network), here.store.outputs(network), rtol=0, atol=FLOAT32
        )
    require_same_tables(tmp_path / "auto/accuracy", tmp_path / "cpu/accuracy")


def test_auto_computes_there(checkpoints, tmp_path):
    if torch.accelerator.is_available() or not second.is_possible():
        pytest.skip("needs a torch that takes a device in Python, and no other accelerator")
    with second.present(), second.counted() as counted:
        main(
            [
                *("compare", "--model=small:cnn", *networks(checkpoints)[:2], *CLOTHES, "--inputs=2"),
                f"--out={tmp_path / 'run'}",
            ]
        )
    assert counted.launches > 1000


@pytest.mark.slow
def test_track(device, checkpoints, tmp_path):
    for name in ("auto", "cpu"):
        main(
            [
                *("track", "--model=small:cnn", "--series"),
                *(f"{run}={checkpoints / run}" for run in ("finetuned", "scratch")),
                *(f"--pretrained={checkpoints / 'finetuned/epoch-000.safetensors'}", *CLOTHES, "--inputs=4"),
                *(f"--device={name}", f"--out={tmp_path / name}"),
            ]
        )
    require_same_tables(tmp_path / "auto", tmp_path / "cpu")


@pytest.mark.slow
def test_granularity_trains_there(device, tmp_path):
    main(
        [
            *(
                "granularity",
                "--model=small:cnn",
                "--target=coarse",
                f"--data={data.fashion_mnist_path('train')}",
            ),
            *(f"--test-data={data.fashion_mnist_path('test')}", "--kinds", "columns", "random"),
            *("--columns", "fine", "--counts", "8", "--sizes", "60", "--seeds", "0", "--pretrain-epochs=1"),
            *("--finetune-epochs=1", "--players=grid:4x4:4", "--method=and-or", "--inputs=2"),
            f"--out={tmp_path / 'study'}",
        ]
    )
    assert (tmp_path / "study/report.html").exists()


@pytest.mark.parametrize("recipe", [{}, {"levels": ((0, 0, 1, 1),), "betas": (0.5,)}])
def test_training_gives_the_weights_of_the_cpu(device, tmp_path, recipe):
    clothes = data.load(data.fashion_mnist_path("train")).sample(40, 0, "coarse")
    samples = models.Samples(clothes.items, clothes.level("coarse")[0])
    weights = []
    for place in (torch.device("cpu"), device):
        network = models.load("small:cnn", "random", classes=clothes.classes["coarse"], seed=0).to(place)
        train(network, samples, tmp_path / place.type, **recipe)
        weights.append(torch.cat([weight.detach().cpu().flatten() for weight in network.model.parameters()]))
    # A few steps, whose sums may be in another order.
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-4)
