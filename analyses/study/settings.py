"""Settings: one dataclass is the options of a command and the fields of a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from harsanyi.reading import read_text, reading, require_shallow
from harsanyi.writing import write_whole


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A dataclass whose fields are the options of a command and the fields of a TOML file."""

    def settings(self) -> dict[str, Any]:
        """All fields that are set, as TOML values."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}

    def given(self, *names: str) -> list[str]:
        """Those of the fields that are not at their defaults.

        Args:
            names: of fields; those that the settings do not have are none.
        """
        defaults = {each.name: each.default for each in fields(self)}
        return [name for name in names if name in defaults and getattr(self, name) != defaults[name]]

    def refuse_idle(self, names: tuple[str, ...], why: str) -> None:
        """Refuse options that would change nothing beside the others.

        Args:
            names: of fields.
            why: what they are for, and what there is, after "is".

        Raises:
            ValueError: one of them is given.
        """
        for name in self.given(*names):
            raise ValueError(f"{option(name)} is {why}: leave it out")

    def require_once(self, names: tuple[str, ...]) -> None:
        """Refuse lists that name something twice, with a ValueError.

        Args:
            names: of fields; one without a value has no list.
        """
        for name in names:
            values = getattr(self, name) or ()
            if len(set(values)) < len(values):
                raise ValueError(f"{option(name)} is {' '.join(map(str, values))}: expected each once")

    def require_least(self, values: Mapping[str, int]) -> None:
        """Refuse numbers, alone or in a list, below the smallest that is allowed, with a ValueError.

        Args:
            values: the smallest by field; one without a value is not asked.
        """
        for name, least in values.items():
            value = getattr(self, name)
            given = value if isinstance(value, tuple) else () if value is None else (value,)
            if wrong := [number for number in given if number < least]:
                raise ValueError(f"{option(name)} is {wrong[0]}: expected {least} or more")

    def write(self, path: Path) -> None:
        """Write the study file, whole or not at all."""
        write_whole(path, tomli_w.dumps(self.settings()))


def read_study(path: Path, kind: type[Settings]) -> dict[str, Any]:
    """The fields that a study file sets, typed as in `kind`.

    Raises:
        FileNotFoundError, ValueError: for no file, no TOML, and for unknown or mistyped fields.
    """
    values, types = read_toml(path), get_type_hints(kind)
    with reading(path, "a study file"):
        unknown = sorted(set(values) - set(types))
        if unknown:
            raise ValueError(
                f"{path} has fields that {kind.__name__.lower()} does not know: {', '.join(unknown)}"
            )
        return {name: _typed(path, name, value, types[name]) for name, value in values.items()}


def required(kind: type) -> list[str]:
    """The fields of a dataclass that have no default."""
    return [
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    ]


def option(name: str) -> str:
    """A field as the option of the command line.

    >>> option("read_out")
    '--read-out'
    """
    return "--" + name.replace("_", "-")


def plain(annotation: Any) -> Any:
    """A field's type without its None.

    >>> plain(int | None)
    <class 'int'>
    """
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(annotation) else annotation


def expected(kind: Any) -> str:
    """The name of a type in an error message.

    >>> expected(Literal["data", "predicted"])
    'data or predicted'
    """
    if get_origin(kind) is Literal:
        *first, last = get_args(kind)
        return f"{', '.join(first)} or {last}"
    names = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    if get_origin(kind) is tuple:
        lists = {int: "a list of whole numbers", float: "a list of numbers"}
        return lists.get(get_args(kind)[0], "a list of names")
    return names.get(kind, "a name")


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file; a FileNotFoundError or ValueError where there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no study file {path}")
    with reading(path, "TOML", "write it again"):
        text = read_text(path)
        require_shallow(text)
        return tomllib.loads(text)


def _typed(path: Path, name: str, value: Any, annotation: Any) -> Any:
    """A TOML value as the field's type."""
    kind = plain(annotation)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if get_origin(kind) is tuple and isinstance(value, list | str):
        item = get_args(kind)[0]
        value = [value] if isinstance(value, str) else value  # one name stands for a list of it
        if all(type(part) in ({item, int} if item is float else {item}) for part in value):
            return tuple(map(item, value))
    if kind is float and type(value) is int:
        return float(value)
    if value in get_args(kind) if get_origin(kind) is Literal else type(value) is kind:
        return value
    raise ValueError(f"{path}: {name} is {value!r}, expected {expected(kind)}")
