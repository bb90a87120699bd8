"""Bars: a line a minute in a log, none where all is quiet; lines beside them."""

import io
import re
import sys

import pytest

from harsanyi import progress
from harsanyi.progress import progress_bar, quietly, say


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time that a bar reads, in a list of one."""
    now = [1000.0]
    real = progress.plain_tqdm.__init__

    def start(self, *arguments, **options):
        real(self, *arguments, **options)
        self._time = lambda: now[0]
        if hasattr(self, "start_t"):
            self.start_t = self.last_print_t = now[0]

    monkeypatch.setattr(progress.plain_tqdm, "__init__", start)
    return now


def test_a_log_gets_a_line_each_minute(clock, capsys):
    with progress_bar(4000, "value tables", "forward") as bar:
        for _ in range(40):
            clock[0] += 5
            bar.update(100)
    said = capsys.readouterr().err
    lines = said.splitlines()
    assert len(lines) == 3  # 200 seconds
    pattern = r"value tables: \d+%, \d,\d{3} of 4,000 forwards, \d\d:\d\d so far, \d\d:\d\d left"
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert "\r" not in said
    assert lines[0].startswith(("value tables: 32%, 1,300", "value tables: 30%, 1,200"))


def test_a_minute_without_a_step_is_said_in_whole_numbers(clock, capsys):
    with progress_bar(1536, "value tables", "forward") as bar:
        clock[0] += 61
        bar.refresh()
    assert capsys.readouterr().err == "value tables: 0%, 0 of 1,536 forwards, 01:01 so far, ? left\n"


def test_short_work_leaves_no_line(clock, capsys):
    with progress_bar(10, "networks", "network") as bar:
        clock[0] += 59
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_what_is_said_beside_a_short_bar_leaves_no_line(clock, capsys):
    with progress_bar(1536, "value tables", "forward"):
        clock[0] += 2
        say("by plan tables")
    assert capsys.readouterr() == ("by plan tables\n", "")


def test_where_all_is_quiet_there_are_warnings_alone(clock, capsys):
    with quietly():
        with progress_bar(10, "networks", "network") as bar:
            clock[0] += 600
            bar.update(10)
        say("a line", "WARNING: look")
    assert capsys.readouterr() == ("WARNING: look\n", "")
    say("a line")
    assert capsys.readouterr().out == "a line\n"


def test_a_terminal_gets_a_bar_with_its_title(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(3, "networks", "network") as bar:
        bar.update(3)
    assert "\rnetworks: 100%" in stream.getvalue()
    assert "| 3 of 3 networks [" in stream.getvalue()
