"""The page of claims: its commands are there, its numbers are in the tables, its verdicts follow by rule."""

import re
from dataclasses import dataclass, fields

import pandas as pd
import pytest

from harsanyi.analyses.command.commands import COMMANDS
from harsanyi.analyses.statistics.bootstrap import Interval
from harsanyi.analyses.statistics.verdict import Claim
from harsanyi.analyses.study.settings import option
from tests.places import ROOT
from tests.test_pages import LINK, STUDIES
from tests.test_studies import CITED, missing, read

PAGE = ROOT / "docs" / "claims.md"
COLUMNS = ["command", "study", "rule", "measured", "over", "verdict"]
# What stands where there is nothing.
NO_COMMAND, NO_STUDY, NOTHING = "no command yet", "no study yet", "—"
NOT_TOLD = ("not measured", "no interval in a table")


@dataclass(frozen=True)
class Line:
    """A line of one of the tables."""

    claim: str
    command: str
    study: str
    rule: str
    measured: str
    over: str
    verdict: str

    @property
    def intervals(self) -> list[Interval]:
        """What is measured, 1 for a whole: two values where the table has no difference of them."""
        whole = 100.0 if re.search(r"% |\] points", self.measured) else 1.0
        cited = CITED.finditer(self.measured)
        return [Interval(*(read(text)[0] / whole for text in found.groups())) for found in cited]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def lines_of(text: str) -> list[Line]:
    """The lines of all tables that end with a verdict; the first column is the claim or the question."""
    found: list[Line] = []
    names: list[str] = []
    for row in text.splitlines():
        if not row.startswith("|"):
            names = []
        elif not names:
            names = cells(row)
        elif names[-1] == "verdict" and not row.startswith("| --- "):
            line = dict(zip(names, cells(row), strict=True))
            found.append(Line(line[names[0]], *(line[name] for name in COLUMNS)))
    return found


LINES = lines_of(PAGE.read_text(encoding="utf-8"))


def wrong_command(line: Line) -> str:
    """What is wrong with the command of a line; nothing, or "no command yet", is not."""
    commands = re.findall(r"`harsanyi ([\w-]+)([^`]*)`", line.command)
    if not commands:
        return "" if line.command == NO_COMMAND else f"{line.command!r} names no command"
    for name, arguments in commands:
        if name not in COMMANDS:
            return f"harsanyi {name} is not there"
        known = {option(field.name) for field in fields(COMMANDS[name].settings)}
        known |= {"--demo"} if COMMANDS[name].demo else set()
        if unknown := set(re.findall(r"--[\w-]+", arguments)) - known:
            return f"harsanyi {name} has no {', '.join(sorted(unknown))}"
    return ""


def wrong_verdict(line: Line) -> str:
    """What is wrong with the verdict of a line: it follows from what is measured, or there is none."""
    if not line.intervals:
        told = line.measured in NOT_TOLD and line.verdict == NOTHING
        return "" if told else f"{line.measured!r} cannot be {line.verdict!r}"
    first, *others = line.intervals
    claim = Claim.of(line.rule.strip("`"))
    if others:
        (other,) = others
        if not claim.other:
            return f"{line.rule} is about one value"
        first = Interval(first.value - other.value, first.low - other.high, first.high - other.low)
    return "" if claim.told(first) == line.verdict else f"{line.rule} is {claim.told(first)} by {first}"


def named(line: Line) -> str:
    return f"{line.claim[:40]} {line.study[:16]}"


def test_the_page_has_a_table_for_each_work_and_one_for_the_questions():
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^\|.*\| verdict \|$", text, re.MULTILINE)) == 4
    assert len(LINES) == len(re.findall(r"^\|.*\| (?:holds|fails|cannot be told|—) \|$", text, re.MULTILINE))


@pytest.mark.parametrize("line", LINES, ids=named)
def test_a_line_names_a_command_that_is_there(line):
    assert wrong_command(line) == ""


@pytest.mark.parametrize("line", LINES, ids=named)
def test_a_line_names_a_study_and_its_table_or_neither(line):
    links = LINK.findall(line.study)
    if not links:
        assert (line.study, line.measured, line.over) == (NO_STUDY, "not measured", NOTHING)
        return
    page, table = (PAGE.parent / link for link in links)
    assert page.name == "README.md"
    assert page.parent in STUDIES
    assert page.parent in table.parents
    assert table.is_file()
    assert line.over != NOTHING


@pytest.mark.parametrize("line", LINES, ids=named)
def test_a_verdict_follows_by_rule_or_there_is_none(line):
    assert wrong_verdict(line) == ""


@pytest.mark.parametrize("line", [line for line in LINES if line.intervals], ids=named)
def test_what_is_measured_is_in_the_table(line):
    table = pd.read_csv(PAGE.parent / LINK.findall(line.study)[1])
    assert missing(line.measured, [table]) == []
    assert len(line.intervals) == line.measured.count("[")


def line_with(**changed: str) -> Line:
    given = {
        "claim": "Much is new.",
        "command": "`harsanyi compare … --scratch scratch.pth`",
        "study": "[one](studies/one/README.md), [table](studies/one/change.csv)",
        "rule": "`new_share > 0.5`",
        "measured": "60% [55, 65]",
        "over": "9 images",
        "verdict": "holds",
    }
    return Line(**{**given, **changed})


def test_wrong_commands_are_seen():
    assert wrong_command(line_with()) == wrong_command(line_with(command=NO_COMMAND)) == ""
    assert "is not there" in wrong_command(line_with(command="`harsanyi comparing`"))
    assert "has no --no-such" in wrong_command(line_with(command="`harsanyi compare … --no-such 1`"))
    assert "names no command" in wrong_command(line_with(command="soon"))
    assert wrong_command(line_with(command="`harsanyi granularity --demo`")) == ""
    assert "has no --demo" in wrong_command(line_with(command="`harsanyi compare --demo`"))


def test_verdicts_that_do_not_follow_are_seen():
    against = "60% [55, 65] against 50% [40, 54]"
    assert wrong_verdict(line_with()) == ""
    assert wrong_verdict(line_with(rule="`new:a - new:b > 0`", measured=against)) == ""
    assert wrong_verdict(line_with(measured="not measured", verdict=NOTHING)) == ""
    assert wrong_verdict(line_with(verdict="fails"))
    assert wrong_verdict(line_with(measured="52% [45, 59]"))
    assert wrong_verdict(line_with(rule="`delta > 0.1`", measured="+9.5 [5.0, 14.0] points"))
    assert wrong_verdict(line_with(rule="`new:a - new:b > 0.02`", measured=against))  # 55 − 54 < 2
    assert wrong_verdict(line_with(measured=against))
    for nothing in NOT_TOLD:
        assert wrong_verdict(line_with(measured=nothing))
