"""Names of classes in the forms in which people keep them."""

import json

import pytest

from harsanyi.models.classes.names import class_names, ordered_names, read_class_names


@pytest.mark.parametrize(
    "value",
    [
        ["red", "green", "blue"],
        ("red", "green", "blue"),
        {0: "red", 1: "green", 2: "blue"},
        {"2": "blue", "0": "red", "1": "green"},
        {"blue": 2, "red": 0, "green": 1},
    ],
)
def test_every_form_gives_the_order_of_the_outputs(value):
    assert ordered_names(value) == ("red", "green", "blue")


@pytest.mark.parametrize(
    "value",
    [None, "red", [], {}, ["red", "red"], {"0": "red", "2": "blue"}, {"red": 0, "green": 0}, [1.5], [True],
     {"red": "green"}, {"red": True, "green": False}, [["red"]]],
)  # fmt: skip
def test_what_is_not_a_name_for_each_number(value):
    assert ordered_names(value) is None


def test_placeholders_are_no_names():
    assert class_names({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}) is None
    assert class_names({}) is None
    assert class_names({"id2label": {"0": "LABEL_1", "1": "LABEL_0"}}) == ("LABEL_1", "LABEL_0")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.txt", "red\n\n green \nblue"),
        ("bom.txt", "\ufeffred\ngreen\nblue\n"),
        ("list.json", json.dumps(["red", "green", "blue"])),
        ("indices.json", json.dumps({"blue": 2, "red": 0, "green": 1})),
        ("config.json", json.dumps({"id2label": {"0": "red", "1": "green", "2": "blue"}, "x": 1})),
    ],
)
def test_files(name, content, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_class_names(tmp_path / name) == ("red", "green", "blue")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("twice.txt", b"red\nred\n"),
        ("empty.txt", b""),
        ("no.json", b"{"),
        ("odd.json", b"3"),
        ("x.txt", b"\xff"),
    ],
)
def test_files_without_names(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_class_names(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of class names"):
        read_class_names(tmp_path / "none.txt")
