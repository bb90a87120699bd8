"""Options are refused before anything is loaded, fitted or evaluated."""

from dataclasses import replace
from pathlib import Path

import pytest

from harsanyi import data
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Compute


@pytest.fixture
def study(tmp_path: Path, monkeypatch) -> Compute:
    def loaded(*parts):
        raise AssertionError("a network was loaded before the options were read")

    monkeypatch.setattr("harsanyi.analyses.study.prepare.load_networks", loaded)
    return Compute(model="small:cnn", data=data.fashion_mnist_path("test"), out=tmp_path, checkpoint="random")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"players": "grid:4"}, "does not say how to lay players on image inputs"),
        ({"players": "words:x"}, "does not say how to lay players on text inputs"),
        ({"players": "letters:4"}, "does not say how to lay players"),
        ({"baseline": "grey"}, "--baseline grey is no baseline of images; .* For sentences"),
        ({"score": "luck"}, "no score is called 'luck'"),
        ({"corruption": "rain:3"}, "there is no corruption 'rain' of image inputs"),
        ({"corruption": "blur:9"}, "the severity of blur is 9"),
        ({"corruption": "case:9"}, "the severity of case is 9"),
        ({"memory": 0.0}, "--memory is 0.0"),
    ],
)
def test_options_that_nothing_could_follow(study, option, said):
    with pytest.raises(ValueError, match=said):
        prepare(replace(study, **option))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"players": "masks:3:/nowhere"}, "there is no folder /nowhere"),
        ({"train_data": Path("/nowhere.parquet")}, "--train-data /nowhere.parquet does not exist"),
        ({"preprocessing": Path("/nowhere.toml")}, "--preprocessing /nowhere.toml does not exist"),
    ],
)
def test_files_that_are_not_there(study, option, said):
    with pytest.raises(FileNotFoundError, match=said):
        prepare(replace(study, **option))


def test_what_may_be_right_goes_on_to_the_networks(study):
    for option in ({}, {"players": "words:3"}, {"corruption": "case:2"}, {"baseline": "mask_token"}):
        with pytest.raises(AssertionError, match="a network was loaded"):
            prepare(replace(study, **option))
