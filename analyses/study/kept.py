"""Results kept as JSON in a study's folder, each file with a fingerprint of everything that it depends on."""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from harsanyi.reading import parse_json, read_text, reading
from harsanyi.writing import write_whole

Result = TypeVar("Result")
# The field of a file that holds its fingerprint.
FINGERPRINT = "of"


def write_kept(path: Path, result: Any, fingerprint: str, *, indent: int | None = None) -> None:
    """Write a dataclass as JSON, whole or not at all.

    Args:
        path: of the file; its folder is made if it is missing.
        result: a dataclass of JSON values.
        fingerprint: of everything that the result depends on.
        indent: spaces before each nested line; None writes one line.
    """
    write_whole(path, json.dumps({FINGERPRINT: fingerprint, **asdict(result)}, indent=indent))


def read_kept(path: Path, kind: type[Result], fingerprint: str | None = None) -> Result | None:
    """Read a dataclass that `write_kept` wrote.

    Args:
        path: of the file.
        kind: the dataclass.
        fingerprint: that the file must have; None accepts any.

    Returns:
        the result; None where there is no file, where it is damaged or of another form, or where it has
        another fingerprint.
    """
    try:
        with reading(path, "a kept result"):
            values = parse_json(read_text(path))
            key = values.pop(FINGERPRINT)
            result = from_json(values, kind)
    except (OSError, ValueError):
        return None
    return result if fingerprint in (None, key) else None


def from_json(value: Any, kind: Any) -> Any:
    """A JSON value as the type that it is expected to have.

    Args:
        value: as `json.loads` gives it.
        kind: a dataclass, `dict[str, kind]`, `tuple[kind, ...]`, a type or None, a `Literal`,
            `Any`, or a type of JSON.

    Raises:
        ValueError: for a value that is not of this type.

    >>> from_json({"net": [1, 2]}, dict[str, tuple[int, ...]])
    {'net': (1, 2)}
    """
    origin, parts = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        types = get_type_hints(kind)
        if set(value) == {field.name for field in fields(kind)}:
            return kind(**{name: from_json(part, types[name]) for name, part in value.items()})
    elif origin is dict and isinstance(value, dict):
        return {name: from_json(part, parts[1]) for name, part in value.items()}
    elif origin is tuple and isinstance(value, list):
        return tuple(from_json(part, parts[0]) for part in value)
    elif origin is UnionType and NoneType in parts:
        (kind_of_value,) = (part for part in parts if part is not NoneType)
        return None if value is None else from_json(value, kind_of_value)
    elif kind is Any or (origin is Literal and value in parts) or type(value) is kind:
        return value
    elif kind is float and type(value) is int:
        return float(value)
    raise ValueError(f"expected {kind}, got {value!r}")
