"""Names of classes in the order of the outputs, from the forms in which people keep them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harsanyi.reading import parse_json, read_text, reading

# The names that transformers gives to classes without names.
PLACEHOLDER = "LABEL_{}"


def ordered_names(value: Any) -> tuple[str, ...] | None:
    """Names of classes in the order of their numbers, from a list, {number: name} or {name: number}.

    Args:
        value: as it is read from JSON or a checkpoint; numbers may be written as strings.

    Returns:
        the names; None where they are not texts, one for each number from 0 on, each different.

    >>> ordered_names({"cat": 1, "ant": 0}), ordered_names({"0": "ant", "1": "cat"}), ordered_names(["ant"])
    (('ant', 'cat'), ('ant', 'cat'), ('ant',))
    >>> ordered_names({"0": "ant", "2": "cat"}) is None
    True
    """
    if isinstance(value, list | tuple):
        names = dict(enumerate(value))
    elif isinstance(value, Mapping):
        pairs = list(value.items())
        by_number = pairs if all(_is_number(key) for key in value) else [(n, name) for name, n in pairs]
        if not all(_is_number(number) for number, _ in by_number):
            return None
        names = {int(number): name for number, name in by_number}
    else:
        return None
    plain = all(isinstance(name, str) for name in names.values())
    if not names or len(names) != len(value) or not plain or sorted(names) != list(range(len(names))):
        return None
    ordered = tuple(names[number] for number in range(len(names)))
    return ordered if len(set(ordered)) == len(ordered) else None


def class_names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the classes in a Hugging Face config.

    Args:
        config: as config.json has it.

    Returns:
        the names in the order of the outputs; None where there are only placeholders.

    >>> class_names({"id2label": {"0": "bad", "1": "good"}}), class_names({"id2label": {0: "LABEL_0"}})
    (('bad', 'good'), None)
    """
    names = ordered_names(config.get("id2label") or {})
    if names is None or all(name == PLACEHOLDER.format(number) for number, name in enumerate(names)):
        return None
    return names


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes in a file, in the order of the outputs.

    Args:
        path: of a text file with a name on each line, or of a .json file with a list of names,
            {number: name}, {name: number}, or a Hugging Face config.

    Returns:
        the names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, or the same name twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of class names {path}")
    with reading(path, "class names", "write it again in UTF-8"):
        text = read_text(path, "utf-8-sig")
        value = parse_json(text) if path.suffix.lower() == ".json" else _lines(text)
    if isinstance(value, Mapping) and "id2label" in value:
        value = value["id2label"]
    names = ordered_names(value)
    if names is None:
        raise ValueError(
            f"{path} holds no class names: expected different names, one on each line in the order of the "
            "outputs, or JSON with a list, {number: name} or {name: number} with numbers from 0 on"
        )
    return names


def numbered(count: int) -> tuple[str, ...]:
    """The names of outputs that have none: "0", "1", …

    Args:
        count: of the outputs.

    Returns:
        the names.
    """
    return tuple(map(str, range(count)))


def _is_number(value: Any) -> bool:
    """Whether a key is a whole number, also where JSON made a string of it."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isascii() and value.isdigit()
    )


def _lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line.strip() for line in text.splitlines() if line.strip()]
