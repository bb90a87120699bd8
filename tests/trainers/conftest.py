"""Labelled data for trainers, and harsanyi as a user runs it."""

import functools
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.trainers.pictures import Pictures, draw_pictures
from tests.trainers.readings import Harsanyi
from tests.trainers.sentences import Sentences, write_sentences


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Read-outs are kept in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def no_pixels(monkeypatch) -> None:
    """Figures are made and saved as one white pixel: what they show is tested elsewhere."""

    def save(figure: Figure, file, **options) -> None:
        if options.get("format") == "svg":
            file.write('<svg width="1pt" viewBox="0 0 1 1"></svg>')
        else:
            Image.new("RGB", (1, 1), "white").save(file, format="png")

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Pictures:
    """Pictures of squares, circles and crosses, and net.py."""
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def samples(pictures):
    """The split of that name as normalised tensors."""
    return functools.cache(pictures.tensors)


@pytest.fixture(scope="session")
def sentences(tmp_path_factory) -> Sentences:
    """Sentences of warm, cold and mild days, with a tokenizer."""
    return write_sentences(tmp_path_factory.mktemp("sentences"))


@pytest.fixture
def harsanyi(tmp_path: Path, capsys) -> Harsanyi:
    """The command line."""
    return Harsanyi(tmp_path, capsys.readouterr)
