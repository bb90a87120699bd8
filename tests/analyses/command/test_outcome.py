"""Commands as a table, and what they print."""

from importlib import import_module
from pathlib import Path

import pytest

from harsanyi.analyses.command.commands import COMMANDS, GranularityDemo
from harsanyi.analyses.command.outcome import Outcome

ALL = [*COMMANDS.values(), *(command.demo for command in COMMANDS.values() if command.demo)]


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.settings.__name__)
def test_every_command_has_its_function_and_says_what_it_does(command):
    module, _, name = command.function.partition(":")
    assert callable(getattr(import_module(module), name))
    assert command.settings.__doc__.splitlines()[0].endswith(".")


def test_the_demo_of_a_command():
    demo = COMMANDS["granularity"].demo
    assert demo is not None
    assert demo.settings is GranularityDemo
    assert [name for name, command in COMMANDS.items() if command.processes] == ["granularity"]
    assert not demo.processes


def test_outcomes_in_lines():
    files = {"Report": Path("a.html"), "table": Path("b.csv")}
    assert Outcome().lines() == []
    assert Outcome(["one", "two"]).lines() == ["one", "two"]
    assert Outcome(next_step="next").lines() == ["next"]
    assert Outcome(["one"], files, "next").lines() == ["", "one", "", "Report: a.html   table: b.csv", "next"]
