"""Small checkpoints, pictures and sentences for studies that take seconds."""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from harsanyi import data, models
from harsanyi.analyses import Compare
from harsanyi.analyses.command.cli import main
from harsanyi.data import images
from harsanyi.interactions import MaskedModel
from tests import text_networks

COARSE = ("top", "trouser-dress", "shoe", "bag")
SAVE = Figure.savefig


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Iterator[None]:
    """Read-outs are kept in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def decoded_once() -> Iterator[None]:
    """The bundled clothes are read by nearly every study here."""
    decode = images.decode
    of_bytes = functools.cache(decode)

    def decoded(source: bytes | Path, bits: int | None = None) -> Image.Image:
        return of_bytes(source, bits).copy() if isinstance(source, bytes) else decode(source, bits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "decode", decoded)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_pixels() -> Iterator[None]:
    """Figures are laid out in full, but saved in few pixels: those are most of the time of a report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *arguments, **more: SAVE(*arguments, **more | {"dpi": 50}))
        yield


@pytest.fixture
def no_pixels(monkeypatch) -> None:
    """Figures are made and saved as one white pixel: for tests of what stands beside them."""

    def save(figure: Figure, file: Any, **options: Any) -> None:
        if options.get("format") == "svg":
            file.write('<svg width="1pt" viewBox="0 0 1 1"></svg>')
        else:
            Image.new("RGB", (1, 1), "white").save(file, format="png")

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture
def all_pixels(monkeypatch) -> None:
    """Figures are saved as users have them."""
    monkeypatch.setattr(Figure, "savefig", SAVE)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Path:
    """A folder with before, after, scratch (coarse classes), fine (ten classes), nan and corrupt."""
    folder = tmp_path_factory.mktemp("checkpoints")
    fine = data.fashion_mnist("test").classes["fine"]
    for seed, name in enumerate(("before", "after", "scratch", "fine", "nan")):
        classes = fine if name == "fine" else COARSE
        network = models.load("small:cnn", "random", classes=classes, seed=seed)
        if name == "nan":
            torch.nn.init.constant_(network.model.get_submodule("linear").bias, torch.nan)
        models.save_checkpoint(folder / f"{name}.safetensors", network.model, classes=classes)
    (folder / "corrupt.safetensors").write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="session")
def comparison(checkpoints) -> Callable[..., Compare]:
    """Makes a small comparison of images; it is to be given its `out`, and whatever differs."""
    common = {
        "model": "small:cnn",
        "before": str(checkpoints / "before.safetensors"),
        "after": str(checkpoints / "after.safetensors"),
        "data": data.fashion_mnist_path("test"),
        "level": "coarse",
        "inputs": 3,
        "players": "grid:2x2",
    }
    return lambda out, **more: Compare(**common | more, out=out)


@pytest.fixture(scope="session")
def berts(tmp_path_factory) -> Path:
    """A folder with the networks `before` and `after`, and the sentences they are asked about."""
    folder = tmp_path_factory.mktemp("berts")
    tokenizer = text_networks.tokenizer(folder / "vocabulary", text_networks.MASKED_WORDS)
    for seed, name in enumerate(("before", "after")):
        text_networks.save_bert(folder / name, tokenizer, seed=seed, words=text_networks.MASKED_WORDS)
    rows = ["question,note,verdict"]
    for verdict in text_networks.CLASSES:
        rows += [
            f"the cat sat {verdict} the dog ran,x,{verdict}",
            f"good dog the {verdict} cat sat,y,{verdict}",
        ]
    (folder / "questions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "short.csv").write_text("\n".join([*rows, "the cat,z,good"]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """`flat` without labels, `classes` in two class folders, `broken` with an unreadable picture in one."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for place in ("flat", "classes/bag", "classes/shoe", "broken/bag", "broken/shoe"):
        (folder / place).mkdir(parents=True)
        for number in range(4):
            noise = generator.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(noise).save(folder / place / f"{number}.png")
    (folder / "broken/bag/2.png").write_bytes(b"no picture")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def options(checkpoints, tmp_path) -> list[str]:
    """Of a small comparison of images, without --out."""
    named = [f"--{name}={checkpoints / name}.safetensors" for name in ("before", "after")]
    bundled = f"--data={data.fashion_mnist_path('test')}"
    return ["--model=small:cnn", *named, bundled, "--level=coarse", "--inputs=3", "--players=grid:2x2"]


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """Runs the command, which must fail with exit code 2 and one sentence; returns the sentence."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert stop.value.code == 2
        # Nothing is said before the error but how the networks were read.
        assert all(
            re.match(r"[\w@]+( \(\d+ checkpoints\))?: .*output|WARNING: |all networks: |    ", line)
            for line in said.out.splitlines()
        )
        assert said.err.startswith("harsanyi: ")
        assert said.err.count("\n") == 1, said.err
        assert len(said.err) < 700, said.err
        return said.err

    return run


@pytest.fixture
def forwards(monkeypatch) -> list[int]:
    """How many masked inputs each forward held, from here on."""
    counts: list[int] = []
    forward = MaskedModel.forward

    def counted(self, games, coalitions):
        counts.append(len(games))
        return forward(self, games, coalitions)

    monkeypatch.setattr(MaskedModel, "forward", counted)
    return counts
