"""The checkpoints of a run are found by their names, in the order of their numbers."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from harsanyi.models import NumberedCheckpoint, Recipe, Samples, load, read_checkpoint, series, thinned, train


def touch(folder: Path, *names: str) -> Path:
    """Empty files, and folders with an empty model.safetensors where a name ends in a slash."""
    for name in names:
        file = folder / name / "model.safetensors" if name.endswith("/") else folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def found(where: str | Path) -> list[tuple[int, str]]:
    return [(checkpoint.step, checkpoint.path.name) for checkpoint in series(where)]


def steps(checkpoints: Iterable[NumberedCheckpoint]) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints]


def numbered(count: int) -> list[NumberedCheckpoint]:
    return [NumberedCheckpoint(step, Path(f"checkpoint-{step}")) for step in range(count)]


def test_our_own_training(dark_and_light, tmp_path: Path):
    network = load("small:cnn", "random", classes=["dark", "light"])
    samples = Samples(*dark_and_light)
    paths = train(network, samples, Recipe(epochs=2), folder=tmp_path, held_out=samples, progress=False)
    checkpoints = series(tmp_path)
    assert checkpoints == [NumberedCheckpoint(epoch, path) for epoch, path in enumerate(paths)]
    assert [read_checkpoint(each.path).epoch for each in checkpoints] == [0, 1, 2]


def test_numbers_count_not_letters(tmp_path: Path):
    touch(tmp_path, "epoch-10.safetensors", "epoch-9.safetensors", "epoch-1000.safetensors", "history.csv")
    assert steps(series(tmp_path)) == [9, 10, 1000]
    assert steps(series(str(tmp_path))) == [9, 10, 1000]


def test_hugging_face(tmp_path: Path):
    touch(tmp_path, "checkpoint-1000/", "checkpoint-500/", "model.safetensors", "trainer_state.json", "runs/")
    touch(tmp_path / "checkpoint-1500", "model-00001-of-00002.safetensors", "model.safetensors.index.json")
    touch(tmp_path / "checkpoint-2000", "pytorch_model.bin")
    assert found(tmp_path) == [(step, f"checkpoint-{step}") for step in (500, 1000, 1500, 2000)]


def test_timm_saver_itself(tmp_path: Path):
    from timm.utils import CheckpointSaver

    model = nn.Linear(1, 1)
    saver = CheckpointSaver(
        model, torch.optim.SGD(model.parameters()), checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path)
    )
    for epoch in range(11):
        saver.save_checkpoint(epoch, metric=float(epoch))
    saver.save_recovery(10, 3)
    touch(tmp_path, "milestone-10.pth.tar", "args.yaml", "summary.csv")
    assert {"last.pth.tar", "model_best.pth.tar"} <= {path.name for path in tmp_path.iterdir()}
    # It keeps the ten best.
    assert found(tmp_path) == [(epoch, f"checkpoint-{epoch}.pth.tar") for epoch in range(1, 11)]
    assert read_checkpoint(series(tmp_path)[-1].path).epoch == 10


@pytest.mark.parametrize("inner", [".", "checkpoints"])
def test_lightning(tmp_path: Path, inner: str):
    names = "epoch=3-step=400.ckpt", "epoch=9-step=1000.ckpt", "epoch=10-step=1100-v1.ckpt"
    touch(tmp_path / "lightning_logs" / "version_0" / inner, *names, "last.ckpt", "last-v1.ckpt")
    touch(tmp_path / "lightning_logs" / "version_0", "hparams.yaml", "metrics.csv")
    expected = list(zip((400, 1000, 1100), names, strict=True))
    assert found(tmp_path / "lightning_logs" / "version_0") == expected


def test_lightning_names_with_epochs_and_a_loss(tmp_path: Path):
    names = "cnn-epoch=09-val_loss=0.75.ckpt", "cnn-epoch=10-val_loss=0.25.ckpt"
    touch(tmp_path, *names)
    expected = list(zip((9, 10), names, strict=True))
    assert found(tmp_path) == found(tmp_path / "*.ckpt") == expected


def test_lightning_step_before_epoch(tmp_path: Path):
    touch(tmp_path, "step=400-epoch=9.ckpt", "step=1000-epoch=3.ckpt")
    assert steps(series(tmp_path)) == [400, 1000]


@pytest.mark.parametrize(
    ("names", "pattern", "expected"),
    [
        (["epoch-9.safetensors", "epoch-10.safetensors", "history.csv"], "*.safetensors", [9, 10]),
        (["resnet18_ep9.pth", "resnet18_ep10.pth"], "resnet18_*", [9, 10]),
        (["checkpoint-1000/", "checkpoint-500/", "model.safetensors"], "checkpoint-*", [500, 1000]),
        (["global_step64/", "global_step128/"], "global_step*", [64, 128]),
        (["milestone-10.pth.tar", "milestone-5.pth.tar", "checkpoint-9.pth.tar"], "mile*", [5, 10]),
        (
            ["epoch=3-step=400.ckpt", "epoch=3-step=400-v1.ckpt", "epoch=4-step=500-v1.ckpt"],
            "*-v1*",
            [400, 500],
        ),
    ],
)
def test_globs(tmp_path: Path, names: list[str], pattern: str, expected: list[int]):
    touch(tmp_path, *names)
    assert steps(series(f"{tmp_path}/{pattern}")) == expected


def test_a_folder_whose_name_looks_like_a_glob(tmp_path: Path):
    folder = touch(tmp_path / "run[1]", "epoch-000.safetensors", "epoch-001.safetensors")
    assert steps(series(folder)) == [0, 1]


def test_nothing_is_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*/none: expected a folder .*checkpoint-500/"):
        series(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"nothing fits the glob .*/\*\.pt: expected a folder"):
        series(tmp_path / "*.pt")
    with pytest.raises(FileNotFoundError, match="holds nothing, and no checkpoints named as epoch-012"):
        series(tmp_path)


def test_a_folder_of_no_known_layout(tmp_path: Path):
    touch(tmp_path, "last.pth.tar", "model_best.pth.tar", "net-1.pth", "net-2.pth", "checkpoint-5")
    with pytest.raises(FileNotFoundError, match="holds checkpoint-5, last.pth.tar, .* and 1 more") as refused:
        series(tmp_path)
    for part in (
        "epoch-012.safetensors (harsanyi)",
        "checkpoint-17.pth.tar (timm, without last, model_best,",
        "epoch=3-step=400.ckpt (Lightning by step, without last.ckpt)",
        f"a glob such as '{tmp_path}/*.pth'",
    ):
        assert part in str(refused.value)


@pytest.mark.parametrize("single", ["epoch-001.safetensors", "model.pt", "checkpoint-500/"])
def test_one_checkpoint_is_no_series(tmp_path: Path, single: str):
    touch(tmp_path, single)
    message = rf"{re.escape(str(tmp_path / single))} is one checkpoint and no series: expected a folder"
    with pytest.raises(ValueError, match=message):
        series(tmp_path / single)


def test_a_folder_with_one_checkpoint_is_no_series(tmp_path: Path):
    touch(tmp_path, "epoch-000.safetensors")
    for where in (tmp_path, tmp_path / "*"):
        with pytest.raises(ValueError, match="holds one checkpoint, epoch-000.safetensors, and no series"):
            series(where)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["epoch-000.safetensors", "epoch-001.safetensors", "checkpoint-500/"],
            r"mixes epoch-000.safetensors \(harsanyi\) and checkpoint-500 \(Hugging Face\): .* give a glob",
        ),
        (["checkpoint-5.pth.tar", "epoch=3.ckpt"], r"\(timm\) and epoch=3.ckpt \(Lightning by epoch\)"),
        (["epoch=3.ckpt", "checkpoints/epoch=4-step=9.ckpt"], r"\(Lightning by step\) and .* by epoch\)"),
    ],
)
def test_mixed_layouts(tmp_path: Path, names: list[str], message: str):
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        series(tmp_path)


def test_mixed_layouts_in_a_glob(tmp_path: Path):
    touch(tmp_path, "checkpoint-5.pth.tar", "checkpoint-6/")
    with pytest.raises(ValueError, match=r"mixes checkpoint-6 \(Hugging Face\) and checkpoint-5.pth.tar"):
        series(tmp_path / "checkpoint-*")


def test_copies_in_a_glob(tmp_path: Path):
    touch(tmp_path, "epoch=3-val_loss=0.75.ckpt", "epoch=4-val_loss=0.25.ckpt", "last-v1.ckpt")
    with pytest.raises(ValueError, match=r"last-v1.ckpt is not named as epoch=3-val_loss=0.75.ckpt, which"):
        series(tmp_path / "*.ckpt")
    assert steps(series(tmp_path / "epoch*.ckpt")) == [3, 4]


@pytest.mark.parametrize(
    ("names", "pattern", "step"),
    [
        (["epoch-1.safetensors", "epoch-001.safetensors", "epoch-2.safetensors"], "", 1),
        (["epoch=3-step=400.ckpt", "epoch=3-step=400-v1.ckpt"], "", 400),
        (["a-7.pt", "b-7.pt"], "*.pt", 7),
    ],
)
def test_two_checkpoints_of_one_step(tmp_path: Path, names: list[str], pattern: str, step: int):
    touch(tmp_path, *names)
    one, other = sorted(names[:2])
    with pytest.raises(ValueError, match=rf"{one} and .*{other} are both of step {step}: .* move the other"):
        series(tmp_path / pattern)


def test_a_name_without_a_number(tmp_path: Path):
    touch(tmp_path, "net-1.pt", "net-2.pt", "net-best.pt")
    with pytest.raises(ValueError, match=r"net-best.pt fits the glob .*/net-\*.pt but has no number"):
        series(tmp_path / "net-*.pt")


def test_folders_without_weights(tmp_path: Path):
    touch(tmp_path, "checkpoint-500/", "checkpoint-1000/adapter_model.safetensors")
    for where in (tmp_path, tmp_path / "checkpoint-*"):
        with pytest.raises(
            FileNotFoundError, match="no weights in checkpoint-1000: expected one of model.safe"
        ):
            series(where)


def test_nothing_is_read(tmp_path: Path):
    """Empty files are no checkpoints, as reading them shows."""
    first, _ = series(touch(tmp_path, "epoch-000.safetensors", "epoch-001.safetensors"))
    with pytest.raises(ValueError, match="empty"):
        read_checkpoint(first.path)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(2, [0, 10]), (3, [0, 5, 10]), (4, [0, 3, 7, 10]), (11, list(range(11))), (99, list(range(11)))],
)
def test_thinned(count: int, expected: list[int]):
    assert steps(thinned(numbered(11), count)) == expected


def test_thinned_keeps_both_ends_and_no_checkpoint_twice():
    for length in range(2, 40):
        for count in range(2, 45):
            kept = steps(thinned(numbered(length), count))
            gaps = {after - before for before, after in pairwise(kept)}
            assert (kept[0], kept[-1], len(kept)) == (0, length - 1, min(length, count))
            assert min(gaps) >= 1
            assert max(gaps) - min(gaps) <= 1


def test_thinned_to_fewer_than_two():
    with pytest.raises(ValueError, match="at least 2, for the first and the last, but got 1"):
        thinned(numbered(5), 1)
