"""Options of a command: parsed by tyro; a mistake is one plain sentence."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from harsanyi.analyses.study.settings import Settings, expected, option, plain, read_study


def parse_options(name: str, kind: type, arguments: Sequence[str]) -> Any:
    """Parse the options of a command; a study file as first argument sets their defaults.

    Args:
        name: of the command, for messages.
        kind: its dataclass.
        arguments: after the command's name.

    Returns:
        an object of the dataclass.

    Raises:
        ValueError, FileNotFoundError: for a mistake, in one sentence.
    """
    rest, default = list(arguments), None
    from_file: dict[str, Any] = {}
    if issubclass(kind, Settings) and rest and rest[0].endswith(".toml"):
        from_file = read_study(Path(rest.pop(0)), kind)
        default = kind(**(dict.fromkeys(_required(kind), tyro.MISSING) | from_file))
    try:
        with redirect_stderr(io.StringIO()):  # tyro's own words fill a box of many lines
            return tyro.cli(kind, prog=f"harsanyi {name}", args=rest, default=default)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        problem = _problem(kind, rest, set(from_file)) or f"{' '.join(rest)} cannot be understood"
        raise ValueError(f"{problem}; see harsanyi {name} --help") from None


def _required(kind: type) -> list[str]:
    """The fields without a default."""
    return [
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    ]


def _problem(kind: type, arguments: list[str], from_file: set[str]) -> str | None:
    """The first mistake in the arguments of a command; `from_file` are the fields that a study file sets."""
    types = get_type_hints(kind)  # without tyro's marks
    marked = get_type_hints(kind, include_extras=True)
    positional = [name for name in types if _is_positional(marked[name])]
    many = any(get_origin(types[name]) is tuple for name in positional)
    known = {option(name): name for name in types if name not in positional}
    loose, values = _split(arguments)
    for name in values:
        if name.replace("--no-", "--", 1) not in known:
            near = get_close_matches(name, known, 1)
            return f"there is no option {name}" + (f", did you mean {near[0]}?" if near else "")
    if len(loose) > len(positional) and not many:
        study = ": a study file ends in .toml and comes first" if issubclass(kind, Settings) else ""
        return f"{loose[len(positional)]!r} was not expected{study}"
    named = from_file | {known[name] for name in values if name in known} | set(positional[: len(loose)])
    missing = [
        name.upper() if name in positional else option(name) for name in _required(kind) if name not in named
    ]
    if missing:
        *first, last = missing
        return f"{', '.join(first)}{' and ' if first else ''}{last} must be given"
    checks = (_value_problem(name, plain(types[known[name]]), values[name]) for name in values & known.keys())
    return next((problem for problem in checks if problem), None)


def _is_positional(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and tyro.conf.Positional in annotation.__metadata__


def _split(arguments: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The arguments before all options, and the values of each option."""
    loose: list[str] = []
    values: dict[str, list[str]] = {}
    current = loose
    for argument in arguments:
        if argument.startswith("-") and not argument[1:2].isdigit():
            name, equals, value = argument.partition("=")
            current = values.setdefault(name.replace("_", "-"), [])
            argument = value if equals else ""
        if argument:
            current.append(argument)
    return loose, values


def _value_problem(name: str, kind: Any, values: list[str]) -> str | None:
    """The mistake in the values of an option of this type."""
    if get_origin(kind) is tuple:
        return None
    if kind is bool:
        return f"{name} takes no value, not {values[0]!r}" if values else None
    if not values:
        return f"{name} needs a value, {expected(kind)}"
    if len(values) > 1:
        return f"{name} takes one value, not {' '.join(values)}"
    try:
        fits = values[0] in get_args(kind) if get_origin(kind) is Literal else kind(values[0]) is not None
    except ValueError:
        fits = False
    return None if fits else f"{name} is {values[0]!r}, expected {expected(kind)}"
