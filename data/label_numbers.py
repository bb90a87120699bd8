"""Numbers as labels: classes whose names are numbers, as "3" and "-0.25"."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def label_numbers(names: Iterable[str], column: str) -> npt.NDArray[np.float64]:
    """The numbers that names of classes are.

    Args:
        names: of classes.
        column: of the labels, for messages.

    Returns:
        float64 (names,).

    Raises:
        ValueError: for a name that is no finite number.

    >>> label_numbers(["3", "-0.25", "1e2"], "size").tolist()
    [3.0, -0.25, 100.0]
    """
    return np.array([_number(name, column) for name in names], dtype=np.float64)


def _number(name: str, column: str) -> float:
    try:
        number = float(name)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(
            f"{name!r} in column {column!r} is no number: a regression expects finite ones such as '3' and "
            "'-0.25'"
        )
    return number
