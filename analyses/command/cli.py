"""The command line: arguments to a command, a command to what it prints."""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from harsanyi.analyses.command.commands import COMMANDS, Command
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.command.outcome import Outcome

EXIT_BAD_INPUT, EXIT_INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `harsanyi`: exit code 2 and one sentence for bad input."""
    os.environ.setdefault("MPLBACKEND", "agg")  # a command draws into files, and opens no window
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in ([], ["--help"], ["-h"]):
        print(_overview())
    elif arguments == ["--version"]:
        print(f"harsanyi {version('harsanyi')}")
    else:
        _guarded(arguments)


def _guarded(arguments: list[str]) -> None:
    """Run a command and print its outcome; users' mistakes become one sentence."""
    warnings.showwarning = _said
    try:
        lines = _perform(arguments).lines()
        if lines:
            print("\n".join(lines))
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"harsanyi: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(EXIT_BAD_INPUT) from None
    except KeyboardInterrupt:
        print("harsanyi: stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _said(message: Warning | str, *place: Any, **more: Any) -> None:
    """A warning in one line, without the place in the code where it arose."""
    print(f"harsanyi: WARNING: {' '.join(str(message).split())}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    """An error's message on one line; the system's messages without their number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    notes = getattr(error, "__notes__", [])  # where in a user's file it was raised
    return " ".join(" ".join([str(error) or type(error).__name__, *(f"({note})" for note in notes)]).split())


def _overview() -> str:
    """The text of `harsanyi --help`."""
    lines = [f"  {name:<12}{_first_line(command)}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: harsanyi COMMAND [STUDY.toml] [OPTIONS]",
            "",
            "What a network knows, and what fine-tuning kept, dropped and learned.",
            "",
            *lines,
            "",
            "harsanyi COMMAND --help lists the options of a command, with units and defaults. A study file",
            "holds the same options as TOML; an option on the command line overrides it.",
        ]
    )


def _first_line(command: Command) -> str:
    """What a command does, in one line."""
    return str(command.settings.__doc__).splitlines()[0]


def _perform(arguments: list[str]) -> Outcome:
    """Perform the command that the arguments name; torch and its kin are imported only here."""
    name, *options = arguments
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    if command.demo is not None and "--demo" in options:
        name, command = f"{name} --demo", command.demo
        options = [option for option in options if option != "--demo"]
    settings = parse_options(name, command.settings, options)
    _require_one_process(command)
    # Threads that wait without spinning: many times as fast beside other work on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.stderr.isatty():  # transformers draws a bar for every network it loads
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    module, _, function = command.function.partition(":")
    outcome: Outcome = getattr(import_module(module), function)(settings)
    return outcome


def _require_one_process(command: Command) -> None:
    """Refuse to do the same work several times over."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1" and not command.processes:
        raise ValueError(
            f"{processes} processes were started, but only harsanyi granularity trains in several: "
            "start this command once, without accelerate launch or torchrun"
        )
