"""Results kept as JSON: what is written comes back, and any other file reads as absent."""

import json

import pytest

from harsanyi.analyses.study.facts import (
    Classes,
    Corruption,
    Facts,
    LeftOut,
    NetworkPerformance,
    PlanTaken,
    PrecisionLoss,
    ReadOutAccuracy,
)
from harsanyi.analyses.study.kept import from_json, read_kept, write_kept

FACTS = Facts(
    left_out=LeftOut(short=1, sentences=7, unreadable=("bag/2.png",)),
    corruption=Corruption("blur", 3.0),
    read_outs={"before": ReadOutAccuracy(120, 0.1 + 0.2, 1.0)},
    classes=Classes(("bag", "shoe"), {"before": (0, 1), "after": (1, 0)}),
    performance=(NetworkPerformance("after", "held out", "data", 500, 0.75, 1 / 3),),
    precision_losses={"after": PrecisionLoss("bf16", 2, (0.0, 1e-3), 2.5)},
    plans={"after": PlanTaken("tables", "0 of 4 steps by rows")},
)


@pytest.mark.parametrize("facts", [Facts(), FACTS])
def test_facts_come_back(facts, tmp_path):
    path = tmp_path / "new" / "facts.json"
    write_kept(path, facts, "key")
    assert read_kept(path, Facts, "key") == read_kept(path, Facts) == facts
    assert read_kept(path, Facts, "another key") is None
    assert [file.name for file in path.parent.iterdir()] == ["facts.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 3},
        {"performance": {}},
        {"performance": [{"network": "after"}]},
        {"left_out": None},
        {"classes": {"names": ["bag"], "outputs": {"after": ["0"]}}},
        {"plans": {"after": {"name": "tables", "reason": "short", "more": 1}}},
        {"more": 1},
        {"of": None},
    ],
)
def test_another_form_reads_as_absent(change, tmp_path):
    path = tmp_path / "facts.json"
    write_kept(path, FACTS, "key")
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | change), encoding="utf-8")
    assert read_kept(path, Facts, "key") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '{"of": "key"}', "[" * 100_000, "\xe4".encode("latin-1")],
)
def test_a_damaged_file_reads_as_absent(text, tmp_path):
    path = tmp_path / "facts.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_kept(path, Facts) is None
    assert read_kept(tmp_path / "none.json", Facts) is None


def test_whole_numbers_serve_as_fractions():
    corruption = from_json({"name": "blur", "severity": 3}, Corruption)
    assert (corruption, type(corruption.severity)) == (Corruption("blur", 3.0), float)
    with pytest.raises(ValueError, match="expected <class 'int'>, got True"):
        from_json(True, int)
