"""Options of a command: parsed by tyro, in groups; a mistake is one plain sentence."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import docstring_parser
import tyro

from harsanyi.analyses.command.groups import GROUPS
from harsanyi.analyses.study.settings import Settings, expected, option, plain, read_study, required
from harsanyi.reading import require_utf8

HELP, HELP_ALL = ("-h", "--help"), "--help-all"
# A field of a dataclass: its name, its type, and its default.
Part = tuple[str, Any, Any]
# The name of each type on a help page.
METAVARS = {str: "NAME", int: "INT", float: "NUMBER", Path: "PATH"}


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How a command talks; every command has these options."""

    quiet: bool = False
    """Say only how it ended, and warnings."""
    debug: bool = False
    """Show the traceback of an error."""
    help_all: bool = False
    """Show all options."""


def parse_options(name: str, kind: type, arguments: Sequence[str], more: str = "") -> tuple[Any, Talk]:
    """Parse the options of a command; a study file as first argument sets their defaults.

    Args:
        name: of the command, for messages.
        kind: its dataclass.
        arguments: after the command's name.
        more: a sentence below what the command does, on its help page.

    Returns:
        an object of the dataclass, and how the command is to talk.

    Raises:
        ValueError, FileNotFoundError: for a mistake, in one sentence.
        SystemExit: after a help page.
    """
    rest = list(arguments)
    from_file: dict[str, Any] = {}
    if issubclass(kind, Settings) and rest and rest[0].endswith(".toml"):
        from_file = read_study(Path(rest.pop(0)), kind)
    if whole := _asked_help(rest):
        tyro.cli(
            shape(kind, from_file, whole=whole == "all"),
            prog=f"harsanyi {name}{' [STUDY.toml]' if issubclass(kind, Settings) else ''}",
            description=f"{_description(kind, whole == 'all')}\n\n{more}".strip(),
            args=["--help"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    try:
        with redirect_stderr(io.StringIO()):  # tyro's own words fill a box of many lines
            parsed: Any = tyro.cli(shape(kind, from_file), prog=f"harsanyi {name}", args=rest)
    except SystemExit as stop:
        if not stop.code:  # shell completion
            raise
        problem = _problem(kind, rest, set(from_file)) or f"{' '.join(rest)} cannot be understood"
        raise ValueError(f"{problem}; see harsanyi {name} --help") from None
    values = _flat(parsed)
    for each, value in values.items():
        require_utf8(str(value), f"the path or name of {option(each)},")  # study files and pages hold it
    settings, talk = (of(**{each.name: values[each.name] for each in fields(of)}) for of in (kind, Talk))
    return settings, talk


def shape(kind: type, from_file: Mapping[str, Any] | None = None, *, whole: bool = True) -> type:
    """The options of a command as tyro takes them: a dataclass with one of each group inside.

    Args:
        kind: dataclass of the command.
        from_file: values in place of the defaults.
        whole: whether help shows all options with all that there is to say of them, or the most used ones
            with a sentence each.

    Returns:
        a dataclass of dataclasses; its options have the names of the fields of `kind` and `Talk`.
    """
    of_study = issubclass(kind, Settings)
    parts = _parts(kind, dict(from_file or {}), whole or not of_study)
    if not of_study:  # few options need no groups
        return make_dataclass(kind.__name__, parts.values(), kw_only=True)
    groups = []
    for group in GROUPS:
        shown = set(parts) if whole else set(group.common)
        members = [
            part if name in shown else _hidden(part)
            for name in (*group.common, *group.rare)
            if (part := parts.get(name))
        ]
        if members:
            inner = make_dataclass(group.name, members, kw_only=True)
            inner.__doc__ = ""
            groups.append((group.name, inner))
    return make_dataclass(kind.__name__, groups, kw_only=True)


def _asked_help(arguments: Sequence[str]) -> Literal["", "common", "all"]:
    """The help page that is asked for, if any."""
    if HELP_ALL in arguments:
        return "all"
    return "common" if set(HELP) & set(arguments) else ""


def _parts(kind: type, from_file: Mapping[str, Any], whole: bool) -> dict[str, Part]:
    """The options of a command: those of its own, and those of all commands."""
    parts = {}
    for of in (kind, Talk):
        texts, hints = _helps(of), get_type_hints(of, include_extras=True)
        for each in fields(of):
            default = from_file.get(each.name, each.default)
            text = texts[each.name] if whole else _first_sentence(texts[each.name])
            parts[each.name] = _part(each.name, hints[each.name], default, text, whole)
    return parts


def _part(name: str, hint: Any, default: Any, text: str, whole: bool) -> Part:
    """An option as a field of a dataclass that tyro takes."""
    marks = list(get_args(hint)[1:]) if get_origin(hint) is Annotated else []
    bare = get_args(hint)[0] if marks else hint
    kind = plain(bare)
    settings: dict[str, Any] = {"help": text, "prefix_name": False}
    if marks:
        settings["metavar"] = next(mark.metavar for mark in marks if hasattr(mark, "metavar"))
    elif get_origin(kind) is tuple:
        settings["metavar"] = f"{METAVARS[get_args(kind)[0]]}…"
    elif kind in METAVARS:
        settings["metavar"] = METAVARS[kind]
    elif get_origin(kind) is Literal and not whole:
        settings["metavar"] = METAVARS[str]
    if default is None or default is False or default == ():
        settings["help_behavior_hint"] = ""  # what then holds stands in the text
    marks = [mark for mark in marks if mark is tyro.conf.Positional]
    value = field() if default is MISSING else field(default=default)
    return name, Annotated[bare, *marks, tyro.conf.arg(**settings)], value


def _hidden(part: Part) -> Part:
    """An option that can be given, but is not shown."""
    name, hint, value = part
    return name, Annotated[hint, tyro.conf.Suppress], value


def _helps(kind: type) -> dict[str, str]:
    """What is said of each field of a dataclass, and of those it inherits."""
    return {
        part.arg_name: " ".join((part.description or "").split())
        for base in reversed(kind.__mro__[:-1])
        for part in docstring_parser.parse_from_object(base).params
    }


def _first_sentence(text: str) -> str:
    """The first sentence of a text.

    >>> _first_sentence("Number of inputs. By default 50.")
    'Number of inputs.'
    """
    return text.partition(". ")[0].removesuffix(".") + "."


def _description(kind: type, whole: bool) -> str:
    """What stands above the options."""
    text = cleandoc(kind.__doc__ or "")
    return text if whole else text.partition("\n")[0]


def _flat(parsed: Any) -> dict[str, Any]:
    """The values of all options, by name."""
    values: dict[str, Any] = {}
    for each in fields(parsed):
        value = getattr(parsed, each.name)
        values |= vars(value) if is_dataclass(value) else {each.name: value}
    return values


def _problem(kind: type, arguments: list[str], from_file: set[str]) -> str | None:
    """The first mistake in the arguments of a command; `from_file` are the fields that a study file sets."""
    types = get_type_hints(kind) | get_type_hints(Talk)  # without tyro's marks
    marked = get_type_hints(kind, include_extras=True)
    positional = [name for name in types if _is_positional(marked.get(name))]
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
        name.upper() if name in positional else option(name) for name in required(kind) if name not in named
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
