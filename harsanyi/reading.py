"""The boundary to files of strangers: whoever reads one gets a checked value, or a documented error."""

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Bytes that a text file of settings or names may have.
MAX_TEXT = 2**26
# Containers of JSON within each other; Python's own limit depends on who calls.
MAX_NESTING = 100
# Characters of a message, and of a library's reason in it.
MAX_MESSAGE, MAX_REASON = 2000, 300
# What the system says of a path before anything of the file is read.
OF_THE_SYSTEM = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@contextmanager
def reading(
    path: str | os.PathLike[str], what: str, advice: str = "save or download it again"
) -> Iterator[None]:
    """A context that reads a file of which nothing is known.

    Libraries fail on damaged bytes in whatever way the bytes suggest. Here every failure becomes one that is
    documented. A `ValueError` that names the file passes as it is; all checks of our own raise such.

    Args:
        path: of the file.
        what: it is expected to be, as in "an HDF5 file".
        advice: what to do about it.

    Returns:
        the context, which gives nothing.

    Raises:
        ValueError: naming the file, for whatever else went wrong.
        FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError: of the system.
        MemoryError: naming the file.

    >>> with reading("a.json", "JSON"):
    ...     {}["missing"]
    Traceback (most recent call last):
    ValueError: a.json cannot be read as JSON (KeyError: 'missing'): save or download it again
    """
    name = os.fspath(path)
    try:
        yield
    except OF_THE_SYSTEM as error:
        if error.filename is None and name not in str(error):
            raise type(error)(f"{name}: {reason_of(error)}") from error
        raise
    except MemoryError as error:
        if name in str(error):
            raise
        raise MemoryError(f"{name} takes more memory than there is: {reason_of(error)}") from error
    except Exception as error:
        said = str(error)
        if type(error) is ValueError and (name in said or Path(name).name in said):
            if len(said) <= MAX_MESSAGE:
                raise
            raise ValueError(f"{said[:MAX_MESSAGE]}…") from error
        raise ValueError(f"{name} cannot be read as {what} ({reason_of(error)}): {advice}") from error


def reason_of(error: BaseException) -> str:
    """An error in one line of bounded length, with its kind where that says more.

    >>> reason_of(KeyError("v")), reason_of(ValueError("two\\nlines"))
    ("KeyError: 'v'", 'two lines')
    """
    said = " ".join(str(error).split())
    if not isinstance(error, ValueError | OSError) or not said:
        said = f"{type(error).__name__}: {said}".removesuffix(": ")
    return said if len(said) <= MAX_REASON else f"{said[:MAX_REASON]}…"


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind where it says nothing.

    >>> first_line(RuntimeError("it failed\\nhere")), first_line(MemoryError())
    ('it failed', 'MemoryError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text in a file of bounded size, to be called in a context of `reading`.

    Raises:
        ValueError: it is too large, or not in this encoding.
    """
    with path.open("rb") as file:
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise ValueError(f"{path} has more than {MAX_TEXT:,} bytes: expected a text of settings or names")
    return data.decode(encoding)


def parse_json(text: str) -> Any:
    """The value of JSON whose containers lie at most `MAX_NESTING` deep.

    Raises:
        ValueError: it is no JSON, or nested deeper.

    >>> parse_json("[1, {}]")
    [1, {}]
    """
    require_shallow(text)
    return json.loads(text)


def require_shallow(text: str) -> None:
    """Refuse a text with more than `MAX_NESTING` brackets open at once, outside quotes, with a ValueError.

    >>> require_shallow("[" * 101)
    Traceback (most recent call last):
    ValueError: its brackets are nested more than 100 deep
    """
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_NESTING:
            raise ValueError(f"its brackets are nested more than {MAX_NESTING} deep")


def visible(text: str) -> str:
    """A text with its control characters, and marks that turn the direction of text, written as escapes.

    Line ends and tabs stay. Bytes of a name that are not UTF-8 are written as such.

    >>> visible("a\\x1b[31m"), visible("caf\\udce9"), visible("é\\n")
    ('a\\\\x1b[31m', 'caf\\\\xe9', 'é\\n')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter in "\n\t":
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as Python keeps it
        return f"\\x{code - 0xDC00:02x}"
    # Controls, surrogates, and of the marks of format those that reorder text; joiners of emoji stay.
    if unicodedata.category(letter) in ("Cc", "Cs") or unicodedata.bidirectional(letter) in REORDER:
        return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
    return letter


REORDER = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def require_utf8(name: str, what: str) -> None:
    """Refuse a name that is not UTF-8: no table, page or study file can hold it.

    Args:
        name: of a file, a folder or a class.
        what: it is.

    Raises:
        ValueError: naming it, in escapes.

    >>> require_utf8("caf\\udce9", "the file")
    Traceback (most recent call last):
    ValueError: the file caf\\xe9 has a name that is not UTF-8: rename it
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} {visible(name)} has a name that is not UTF-8: rename it") from None
