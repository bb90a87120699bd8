"""The page of advice: every line has an answer, a study, and numbers that stand in the table it links."""

import re

import pandas as pd
import pytest

from tests.places import ROOT
from tests.test_page_of_claims import cells
from tests.test_pages import LINK, STUDIES
from tests.test_studies import CITED, missing

PAGE = ROOT / "docs" / "advice.md"
ANSWERS = ("**do**", "**don't**", "**nothing usable**")


def lines_of(text: str) -> list[list[str]]:
    """The lines of all tables, without their heads."""
    rows = [cells(row) for row in text.splitlines() if row.startswith("| ")]
    return [row for row in rows if row[0] != "decision" and not row[0].startswith("---")]


LINES = lines_of(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_lines():
    assert len(LINES) >= 15
    assert all(len(line) == 4 for line in LINES)
    assert all(line[1].startswith(ANSWERS) for line in LINES)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0][:40])
def test_the_evidence_stands_in_the_table_of_a_study(line):
    page, table = (PAGE.parent / link for link in LINK.findall(line[2]))
    assert page.parent in STUDIES
    assert page.parent in table.parents
    assert len(CITED.findall(line[2])) >= 1
    assert missing(line[2], [pd.read_csv(table)]) == []
    assert re.search(r"\d", line[3])


def test_changed_evidence_is_seen():
    table = pd.DataFrame([{"value": 0.102, "low": 0.092, "high": 0.111}])
    assert missing("10.2% [9.2, 11.1]", [table]) == []
    assert missing("12.2% [9.2, 11.1]", [table]) == ["12.2% [9.2, 11.1]"]
