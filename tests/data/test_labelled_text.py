"""TREC's and SST's lines and CLINC150's pairs, as published and as they go wrong."""

import json
from pathlib import Path

import pytest

from harsanyi.data import load
from tests.places import SHARED

published = pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not at ../shared/data")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    splits = {"train": [["pay, please", "pay"], ["what's up", "greet"]], "val": [["hello", "greet"]]}
    (tmp_path / "data.json").write_text(json.dumps(splits), encoding="utf-8")
    return tmp_path / "data.json"


def test_a_label_and_a_sentence_a_line(tmp_path: Path):
    path = tmp_path / "sst.txt"
    path.write_bytes("3 It 's a  lovely film .\r\n0 Grüße: none\n\n".encode())
    inputs = load(path)
    assert list(inputs.items) == ["It 's a  lovely film .", "Grüße: none"]
    assert inputs.classes == {"label": ("0", "1", "2", "3")}
    assert inputs.orders == {"label": "integers"}
    assert inputs.labels["label"].tolist() == [3, 0]
    assert inputs.names == ("sst.txt:0", "sst.txt:1")


def test_coarse_and_fine_labels(tmp_path: Path):
    path = tmp_path / "trec.txt"
    path.write_text("NUM:other How many ?\nENTY:other What is it ?\nNUM:date When ?\n", encoding="utf-8")
    inputs = load(path)
    assert inputs.classes == {"coarse": ("ENTY", "NUM"), "fine": ("ENTY:other", "NUM:date", "NUM:other")}
    assert inputs.labels["fine"].tolist() == [2, 0, 1]
    assert inputs.orders == {"coarse": "sorted", "fine": "sorted"}


@pytest.mark.parametrize("line", ["alone", " no label", "label  "])
def test_a_line_without_label_or_sentence_is_named(line, tmp_path: Path):
    (tmp_path / "lines.txt").write_text(f"a fine line\n{line}\nb another\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: expected a label, a space and a sentence"):
        load(tmp_path / "lines.txt")


def test_other_encodings_and_column_names_are_refused(tmp_path: Path):
    (tmp_path / "lines.txt").write_bytes("a Grüße\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        load(tmp_path / "lines.txt")
    with pytest.raises(ValueError, match="no columns to name"):
        load(tmp_path / "lines.txt", text_column="sentence")


def test_pairs_with_domains_beside_them(pairs: Path):
    assert load(pairs / "train").classes == {"intent": ("greet", "pay")}
    domains = {"bank": ["pay"], "talk": ["greet", "jokes"]}
    (pairs.parent / "domains.json").write_text(json.dumps(domains), encoding="utf-8")
    inputs = load(pairs / "train")
    assert list(inputs.items) == ["pay, please", "what's up"]
    assert inputs.classes["domain"] == ("bank", "talk")
    assert inputs.labels["domain"].tolist() == [0, 1]
    assert inputs.names[1] == "data.json/train:1"
    assert inputs.orders == {"intent": "sorted", "domain": "sorted"}


def test_a_json_file_without_its_split_names_the_splits(pairs: Path):
    for path in (pairs, pairs / "test"):
        with pytest.raises(ValueError, match="its splits are train, val"):
            load(path)


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ({"bank": ["pay"]}, "no domain for 'greet'"),
        ({"bank": ["pay", "greet"], "talk": ["greet"]}, "'greet' in 'bank' and in 'talk'"),
        (["pay"], "no map of lists"),
    ],
)
def test_domains_that_do_not_fit(domains, said, pairs: Path):
    (pairs.parent / "domains.json").write_text(json.dumps(domains), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        load(pairs / "train")


@pytest.mark.parametrize("text", ["{", '{"train": [["one"]]}', '{"train": {"a": "b"}}', "[]"])
def test_other_json_is_refused(text, tmp_path: Path):
    (tmp_path / "data.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot be read as JSON|pairs|no split") as error:
        load(tmp_path / "data.json" / "train")
    assert str(error.value).count("cannot be read") <= 1


@published
def test_the_published_files():
    trec, test = (load(SHARED / "trec" / f"{split}.txt") for split in ("train", "test"))
    assert (len(trec), len(test)) == (5452, 500)
    assert [len(trec.classes[level]) for level in ("coarse", "fine")] == [6, 50]
    clinc = load(SHARED / "clinc150" / "data_full.json" / "train")
    assert len(clinc) == 15000
    assert [len(clinc.classes[level]) for level in ("domain", "intent")] == [10, 150]
    assert len(load(SHARED / "sst" / "sst5-train.txt").classes["label"]) == 5
