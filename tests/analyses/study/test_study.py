"""Studies and their files: what is written comes back, and what cannot be meant is refused."""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harsanyi.analyses import Compare, Compute, read_study, study_in
from harsanyi.analyses.study.settings import plain
from harsanyi.interactions import And, AndOr, SparseAndOr

NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
PATHS = st.from_regex(r"[a-zäλ0-9 ./'\"-]{1,20}", fullmatch=True).map(Path)
VALUES = {
    str: NAMES,
    Path: PATHS,
    int: st.integers(0, 2**62),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    tuple[float, ...]: st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
    tuple[str, ...]: st.lists(NAMES, max_size=3).map(tuple),
}


def studies(kind):
    """Studies with any values in all their fields."""
    strategies = {}
    for name, annotation in get_type_hints(kind).items():
        of_type = plain(annotation)
        strategy = VALUES[of_type] if of_type in VALUES else st.sampled_from(of_type.__args__)
        strategies[name] = strategy if of_type is annotation else st.none() | strategy
    return st.builds(kind, **strategies)


@pytest.mark.parametrize("kind", [Compute, Compare])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_a_study_comes_back_from_its_file(kind, drawn, tmp_path):
    study = drawn.draw(studies(kind))
    study.write(tmp_path / "study.toml")
    assert kind(**read_study(tmp_path / "study.toml", kind)) == study
    assert study_in(tmp_path / "study.toml") == study
    found = study_in(tmp_path / "study.toml")
    assert all(type(getattr(found, f.name)) is type(getattr(study, f.name)) for f in fields(kind))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs = ", "cannot be read as TOML"),
        ("colour = 1", "fields that compare does not know: colour"),
        ("inputs = 1.5", "inputs is 1.5, expected a whole number"),
        ("inputs = true", "inputs is True, expected a whole number"),
        ("noise = 'much'", "noise is 'much', expected a number"),
        ("ema = 1", "ema is 1, expected true or false"),
        ("model = 3", "model is 3, expected a name"),
        ("data = 3", "data is 3, expected a path"),
        ("method = 'best'", "method is 'best', expected sparse, joint, and-or or and"),
        ("stop_words = [1]", "expected a list of names"),
        ("level = ['a']", r"level is \['a'\], expected a name"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text, message, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_study(path, Compare)


def test_a_missing_file_and_an_incomplete_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no study file"):
        read_study(tmp_path / "none.toml", Compare)
    (tmp_path / "half.toml").write_text("before = 'a'", encoding="utf-8")
    with pytest.raises(ValueError, match="no whole study"):
        study_in(tmp_path / "half.toml")
    (tmp_path / "latin.toml").write_bytes(b"before = '\xe4'")
    with pytest.raises(ValueError, match="cannot be read as TOML"):
        read_study(tmp_path / "latin.toml", Compare)


def test_whole_numbers_serve_as_shares(tmp_path):
    (tmp_path / "study.toml").write_text("noise = 0", encoding="utf-8")
    found = read_study(tmp_path / "study.toml", Compute)
    assert isinstance(found["noise"], float)


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": 0},
        {"batch_size": 0},
        {"image_size": -1},
        {"read_out_inputs": 0},
        {"seed": -1},
        {"noise": -0.1},
        {"noise": float("nan")},
        {"threshold": 1.0},
    ],
)
def test_numbers_that_mean_nothing_are_named(wrong):
    study = Compute(model="small:cnn", data=Path("a"), out=Path("b"), **wrong)
    (name,) = wrong
    with pytest.raises(ValueError, match="--" + name.replace("_", "-")):
        study.require_sense()


def test_methods_by_name():
    given = {"model": "m", "data": Path("a"), "out": Path("b")}
    assert Compute(**given, noise=0.1).extraction() == SparseAndOr(noise=0.1)
    assert Compute(**given, method="and").extraction() == And()
    assert Compute(**given, method="and-or").extraction() == AndOr()


def test_networks_of_a_study():
    given = {"model": "m", "data": Path("a"), "out": Path("b")}
    assert Compute(**given).checkpoints == {"network": "published"}
    assert Compare(**given, before="x", after="y").checkpoints == {"before": "x", "after": "y"}
    assert list(Compare(**given, before="x", after="y", scratch="z").checkpoints) == [
        "before",
        "after",
        "scratch",
    ]
