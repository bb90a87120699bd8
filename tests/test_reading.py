"""Whatever goes wrong while a file is read is an error that is documented and names the file."""

import json
from pathlib import Path

import pytest

from harsanyi.reading import MAX_MESSAGE, parse_json, read_text, reading, require_utf8, visible

ERRORS = (KeyError, IndexError, TypeError, RuntimeError, RecursionError, AssertionError, OSError)


@pytest.mark.parametrize("error", [kind("v") for kind in ERRORS])
def test_every_error_names_the_file(error: Exception):
    message = r"^folder/a\.h5 cannot be read as a table \(.+\): save or download"
    with pytest.raises(ValueError, match=message), reading("folder/a.h5", "a table"):
        raise error


@pytest.mark.parametrize("error", [ValueError("a.h5 is no table"), FileNotFoundError("no a.h5")])
def test_errors_that_say_so_pass(error: Exception):
    with pytest.raises(type(error)) as raised, reading("folder/a.h5", "a table"):
        raise error
    assert raised.value is error or "folder/a.h5" in str(raised.value)


def test_the_system_and_memory(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="none"), reading(tmp_path / "none", "a table"):
        (tmp_path / "none").read_text()
    with pytest.raises(MemoryError, match=r"a\.h5 takes more memory"), reading("a.h5", "a table"):
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), reading("a.h5", "a table"):
        raise KeyboardInterrupt


def test_messages_are_bounded():
    with pytest.raises(ValueError) as raised, reading("a.h5", "a table"):
        raise ValueError("a.h5" + "x" * 10**6)
    assert len(str(raised.value)) == MAX_MESSAGE + 1


@pytest.mark.parametrize("text", ["[" * 101, '{"a":' * 5000, "[" * 10**5])
def test_deep_json(text: str):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(text)


@pytest.mark.parametrize("value", ["[" * 500, {'"': ["\\", '"[[']}, [[]] * 500, '\\"' * 300 + "[" * 300])
def test_brackets_in_texts_count_for_nothing(value):
    assert parse_json(json.dumps(value)) == value


def test_texts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("harsanyi.reading.MAX_TEXT", 10)
    (tmp_path / "a").write_text("a" * 11)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_text(tmp_path / "a")


def test_control_characters_are_visible():
    assert visible("a\x1b[2Jb\x07\x9b") == r"a\x1b[2Jb\x07\x9b"
    assert visible("x\u202egnp.exe") == r"x\u202egnp.exe"  # else shown as exe.png
    assert visible("naïve 日本 👩‍🔬\n\t") == "naïve 日本 👩‍🔬\n\t"
    with pytest.raises(ValueError, match=r"caf\\xe9 has a name that is not UTF-8"):
        require_utf8("caf\udce9", "it")
