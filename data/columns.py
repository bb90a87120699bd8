"""Which columns of a table are images, sentences and labels, and how label columns become integers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from harsanyi.data.inputs import Labels, Order
from harsanyi.reading import parse_json

ColumnKind = Literal["image", "text", "class", "integer", "list", "other"]

TEXT_NAMES = {"text", "sentence", "question", "prompt"}
LABEL_WORDS = {"label", "labels", "fine", "coarse", "class", "category", "intent", "domain", "target"}
# Labels number the outputs of a network; a larger integer is an id or a count.
MAX_CLASSES = 100_000
# Columns that a message lists.
MAX_LISTED = 30
SMALL_NUMBER = re.compile("0|[1-9][0-9]{0,4}")

# The names of the image, text and label columns; None where a rule chooses them.
Named = tuple[str | None, str | None, Sequence[str] | None]


@dataclass(frozen=True)
class Columns:
    """The column that holds the items, what they are, and the label columns."""

    item: str
    kind: Literal["image", "text"]
    labels: tuple[str, ...]


def choose_columns(
    source: str,
    kinds: Mapping[str, ColumnKind],
    image_column: str | None,
    text_column: str | None,
    label_columns: Sequence[str] | None,
) -> Columns:
    """Choose the columns by their names, and by rule where there is no name.

    Labels: all ClassLabel columns; without any, the integer, text and list columns whose name has the word
    label, fine, coarse, class, category, intent, domain or target in it (words are separated by "_", "-", " "
    or "."). Items: the only image column; without any, the text column called text, sentence, question or
    prompt, else the only text column that is no label.

    Args:
        source: of the table, for messages.
        kinds: what each column holds.
        image_column, text_column, label_columns: the names, if any.

    Returns:
        the column of the items, what it holds, and the label columns.

    Raises:
        ValueError: for a name that is no column or does not hold such items, and where no
            column, or more than one, fits a rule; the message lists the columns. For a label column of lists.
    """
    names = list(kinds)
    listing = ", ".join(names[:MAX_LISTED]) or "(none)"
    listing += f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    if image_column and text_column:
        raise ValueError(f"{source}: the items are in one column, not in {image_column} and {text_column}")
    for name in [image_column, text_column, *(label_columns or ())]:
        if name is not None and name not in kinds:
            raise ValueError(f"{source} has no column {name!r}: its columns are {listing}")
    labels = tuple(dict.fromkeys(label_columns)) if label_columns is not None else label_names(kinds)
    item = image_column or text_column or item_name(kinds, labels)
    if item is None:
        raise ValueError(
            f"{source}: no rule decides which of the columns {listing} holds the inputs: name it "
            "(image_column or text_column), or call it text. The names are the first line of a CSV or TSV "
            "file"
        )
    if several := [name for name in labels if kinds[name] == "list"]:
        raise several_labels(source, several[0])
    if item in labels:
        raise ValueError(f"{source}: column {item!r} cannot hold both the items and the labels")
    if label_columns is None and not labels and len(kinds) > 1:
        raise ValueError(
            f"{source}: no rule decides which of the columns {listing} are labels: name them "
            "(label_columns), or call one label"
        )
    if (image_column and kinds[item] != "image") or (text_column and kinds[item] != "text"):
        raise ValueError(f"{source}: column {item!r} does not hold {'images' if image_column else 'text'}")
    return Columns(item, "image" if kinds[item] == "image" else "text", labels)


def label_names(kinds: Mapping[str, ColumnKind]) -> tuple[str, ...]:
    """The label columns by rule: ClassLabel columns, else columns named as labels are."""
    if declared := tuple(name for name, kind in kinds.items() if kind == "class"):
        return declared

    def is_label(name: str) -> bool:
        words = name.lower()
        for mark in "- .":
            words = words.replace(mark, "_")
        return not LABEL_WORDS.isdisjoint(words.split("_"))

    return tuple(
        name for name, kind in kinds.items() if kind in ("integer", "text", "list") and is_label(name)
    )


def item_name(kinds: Mapping[str, ColumnKind], labels: Sequence[str]) -> str | None:
    """The column of items by rule, or None where none or several qualify."""
    images = [name for name, kind in kinds.items() if kind == "image"]
    texts = [name for name, kind in kinds.items() if kind == "text" and name not in labels]
    named = [name for name in texts if name.lower() in TEXT_NAMES]
    candidates = images or named or texts
    return candidates[0] if len(candidates) == 1 else None


def encode_labels(
    source: str, column: pd.Series[Any], declared: Sequence[str] | None
) -> tuple[Labels, tuple[str, ...], Order]:
    """Number the labels of a column without gaps.

    Declared names are kept; integers are their own labels, classes "0", "1", …, also where they are written
    as strings; False is 0 and True is 1; other strings are numbered in sorted order.

    Args:
        source: of the table, for messages.
        column: integers, strings or booleans, one a row.
        declared: the names of the classes, where the table declares them.

    Returns:
        the labels, int64 `(rows,)`, the names of the classes, and who gave their order (`Inputs.orders`).

    Raises:
        ValueError: for other values, as lists, a gap or a label outside the classes; the message names the
            row.

    >>> encode_labels("pets.csv", pd.Series(["dog", "cat", "dog"], name="label"), None)
    (array([1, 0, 1]), ('cat', 'dog'), 'sorted')
    >>> encode_labels("stars.csv", pd.Series(["1", "0", "2"], name="label"), None)
    (array([1, 0, 2]), ('0', '1', '2'), 'integers')
    """
    refuse_gaps(source, column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    values, name = column.to_numpy(), str(column.name)
    if declared is None and column.dtype.kind == "b":
        return values.astype(np.int64), ("False", "True"), "integers"
    if declared is not None or column.dtype.kind in "iu":
        return _encode_numbers(source, name, values.astype(np.int64), declared)
    if not all(isinstance(value, str | bool | np.bool_) for value in values):
        raise ValueError(f"{source}: label column {name!r} holds neither integers nor strings")
    words = values.astype(str)
    if all(_is_list(word) for word in words):
        raise several_labels(source, name)
    if all(SMALL_NUMBER.fullmatch(word) for word in words):
        return _encode_numbers(source, name, words.astype(np.int64), None)
    classes, labels = np.unique(words, return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist()), "sorted"


def _encode_numbers(
    source: str, name: str, labels: Labels, declared: Sequence[str] | None
) -> tuple[Labels, tuple[str, ...], Order]:
    """Numbers as they are, if there is a class for each."""
    limit = len(declared) if declared is not None else MAX_CLASSES
    if len(outside := np.flatnonzero((labels < 0) | (labels >= limit))):
        raise ValueError(
            f"{source}: row {outside[0]} has label {labels[outside[0]]} in column {name!r}: "
            f"expected 0..{limit - 1}"
        )
    if declared is not None:
        return labels, tuple(declared), "declared"
    return labels, tuple(map(str, range(int(labels.max(initial=-1)) + 1))), "integers"


def _is_list(word: str) -> bool:
    """Whether a cell of text is a list, as tables of text have it: [1, 3] or ['red', 'round']."""
    try:
        return word.startswith("[") and isinstance(parse_json(word.replace("'", '"')), list)
    except ValueError:
        return False


def several_labels(source: str, name: str) -> ValueError:
    """The error for a column with a list of labels in each row."""
    return ValueError(
        f"{source}: label column {name!r} holds lists, several labels in a row, but an input has one label a "
        "level: name columns with one label in label_columns, or none, as label_columns=()"
    )


def refuse_gaps(source: str, column: pd.Series[Any]) -> None:
    """ValueError naming the first row whose cell is missing or blank."""
    blank = column.isna() | (column.astype(str).str.strip() == "")
    if blank.any():
        row = int(np.flatnonzero(blank.to_numpy())[0])
        raise ValueError(
            f"{source}: row {row} (the first row of data is 0) has an empty cell in column {column.name!r}: "
            "fill it or remove the row"
        )
