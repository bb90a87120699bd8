"""The command line: arguments to a command, a command to what it prints."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, Union

import tyro

from harsanyi.analyses.command.commands import COMMANDS, Command
from harsanyi.analyses.command.options import HELP, Talk, parse_options, shape
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.reading import visible
from harsanyi.stopping import Stopped, stoppable

EXIT_BAD_INPUT, EXIT_INCOMPLETE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED = 2, 3, 130, 141, 143
# What each option of completion is given.
COMPLETION = {"--tyro-print-completion": ("SHELL",), "--tyro-write-completion": ("SHELL", "FILE")}
SHELLS = ("bash", "zsh", "fish", "tcsh")
FIRST_STEPS = """\
What a network knows, and what fine-tuning kept, dropped and learned, from saved checkpoints.

See it first, on networks that are trained for it (two minutes, nothing to download):

  harsanyi demo

Then with your own. How many forwards it takes, by which plan, and about how long:

  harsanyi plan --model timm:resnet50 --before pre.pth --after ft.pth --data photos/test

And what was kept, dropped and learned, as a report:

  harsanyi compare --model timm:resnet50 --before pre.pth --after ft.pth --data photos/test --out run/

harsanyi --help lists all commands, harsanyi COMMAND --help the options of one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `harsanyi`: exit code 2 and one sentence for bad input."""
    os.environ.setdefault("MPLBACKEND", "agg")  # a command draws into files, and opens no window
    try:
        try:
            _answer(_help_first(list(sys.argv[1:] if arguments is None else arguments)))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `head` and its kin have read what they want
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE) from None


def _answer(arguments: list[str]) -> None:
    """Print what the arguments ask for."""
    if not arguments:
        print(FIRST_STEPS)
    elif arguments[0] in HELP:
        print(_overview())
    elif arguments == ["--version"]:
        print(f"harsanyi {version('harsanyi')}")
    elif arguments[0] in COMPLETION:
        _complete(arguments)
    else:
        _guarded(arguments)


def _help_first(arguments: list[str]) -> list[str]:
    """The arguments, with `help COMMAND` as COMMAND --help, and `help` alone as --help."""
    if arguments[:1] != ["help"]:
        return arguments
    return [*arguments[1:], "--help"]


def _complete(arguments: list[str]) -> None:
    """Print or write the script by which a shell completes commands and options."""
    option, *given = arguments
    if len(given) != len(COMPLETION[option]) or given[0] not in SHELLS:
        expected = f"{option} {' '.join(COMPLETION[option])}, with one of {', '.join(SHELLS)} as SHELL"
        _refuse(ValueError(f"expected {expected}; got {' '.join(given) or 'nothing'}"), debug=False)
    commands = [
        Annotated[shape(command.settings), tyro.conf.subcommand(name, description=_first_line(command))]
        for name, command in COMMANDS.items()
    ]
    try:
        for file in map(Path, given[1:]):  # of a script that is written; no shell has the folder at first
            file.parent.mkdir(parents=True, exist_ok=True)
        tyro.cli(Union[tuple(commands)], prog="harsanyi", args=arguments)  # type: ignore[call-overload]  # noqa: UP007
    except OSError as error:
        _refuse(error, debug=False)


def _guarded(arguments: list[str]) -> None:
    """Run a command and print its outcome; users' mistakes become one sentence."""
    warnings.showwarning = _said
    try:
        _run(arguments)
    except KeyboardInterrupt as stop:
        print("harsanyi: stopped; the same command goes on from here", file=sys.stderr)
        by_system = isinstance(stop, Stopped) and stop.number == signal.SIGTERM
        raise SystemExit(EXIT_TERMINATED if by_system else EXIT_INTERRUPTED) from None


def _run(arguments: list[str]) -> None:
    """Run a command and print its outcome."""
    try:
        with stoppable():
            command, settings, talk = _read(arguments)
    except (ValueError, OSError) as error:
        _refuse(error, debug="--debug" in arguments)
    try:
        with stoppable():
            outcome = _perform(command, settings, talk)
        # A blank line sets the result apart from what was said before it; where all is quiet, nothing was.
        if text := "\n".join(outcome.lines()).lstrip("\n" if talk.quiet else ""):
            print(visible(text))
    except Exception as error:
        if not isinstance(error, ValueError | OSError | ImportError | MemoryError) and not _own_place(error):
            raise  # a fault of ours
        _refuse(error, talk.debug)
    if not outcome.whole:
        raise SystemExit(EXIT_INCOMPLETE)


def _read(arguments: list[str]) -> tuple[Command, Any, Talk]:
    """The command that the arguments name, its settings, and how it is to talk."""
    name, *options = arguments
    if name not in COMMANDS:
        raise ValueError(_no_command(name, options))
    command = COMMANDS[name]
    if command.demo is not None and "--demo" in options:
        name, command = f"{name} --demo", command.demo
        options = [option for option in options if option != "--demo"]
    demo = f"--demo alone: {_first_line(command.demo)}" if command.demo else ""
    settings, talk = parse_options(name, command.settings, options, demo)
    _require_one_process(command, settings)
    return command, settings, talk


def _no_command(name: str, options: list[str]) -> str:
    """That there is no such command, and which may be meant."""
    said = f"there is no command {name!r}"
    if name.strip("-") == "help":
        asked = next((f"{option} " for option in options if option in COMMANDS), "")
        return f"{said}, did you mean harsanyi {asked}--help?"
    if name.startswith("-") or name.endswith(".toml"):
        return f"a command comes first, as in harsanyi compare {name}: {', '.join(COMMANDS)}"
    near = get_close_matches(name, COMMANDS, 1)
    return f"{said}, did you mean {near[0]}?" if near else f"{said}; there are {', '.join(COMMANDS)}"


def _perform(command: Command, settings: Any, talk: Talk) -> Outcome:
    """Perform a command; torch and its kin are imported only here."""
    # Threads that wait without spinning: many times as fast beside other work on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if talk.quiet or not sys.stderr.isatty():  # transformers draws a bar for every network it loads
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from harsanyi.progress import quietly

    module, _, function = command.function.partition(":")
    with quietly(talk.quiet):
        outcome: Outcome = getattr(import_module(module), function)(settings)
    return outcome


def _require_one_process(command: Command, settings: Any) -> None:
    """Refuse to do the same work several times over."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1" and not command.processes and getattr(settings, "share", None) is None:
        raise ValueError(
            f"{processes} processes were started, but only harsanyi granularity trains in several, and "
            "only --share auto gives each its games: start this command once, without accelerate launch or "
            "torchrun"
        )


def _refuse(error: Exception, debug: bool) -> NoReturn:
    """Say what is wrong in one sentence, with the way to it where that is asked for; exit."""
    if isinstance(error, BrokenPipeError):
        raise error
    if debug:
        traceback.print_exception(error)
    print(f"harsanyi: {visible(_sentence(error))}", file=sys.stderr)
    raise SystemExit(EXIT_BAD_INPUT) from None


def _said(message: Warning | str, *place: Any, **more: Any) -> None:
    """A warning in one line, without the place in the code where it arose."""
    print(f"harsanyi: WARNING: {visible(' '.join(str(message).split()))}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    """An error on one line, with the place in the user's own code; the system's without their number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    message = str(error) or type(error).__name__
    if not isinstance(error, ValueError | OSError | ImportError | MemoryError):
        message = f"{type(error).__name__}: {message}"
    place = _own_place(error)
    said = [message, *(f"({note})" for note in getattr(error, "__notes__", []))]
    if place and place.partition(": ")[0] not in " ".join(said):
        said.append(f"({place})")
    return " ".join(" ".join(said).split())


def _own_place(error: BaseException) -> str | None:
    """Where in the user's own code an error was raised, if there: none runs before its loader is imported."""
    loader = sys.modules.get("harsanyi.models.loading.own_modules")
    return loader.place_in_own_code(error) if loader else None


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
            "harsanyi COMMAND --help shows the most used options of a command, --help-all all of them, with",
            "units and defaults. A study file holds the same options as TOML; an option on the command line",
            "overrides it. All commands take --quiet, and --debug, which shows where an error was raised.",
        ]
    )


def _first_line(command: Command) -> str:
    """What a command does, in one line."""
    return str(command.settings.__doc__).splitlines()[0]
