"""Sets of labels: a class whose name lists its members, as "animal;large"."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harsanyi.data.inputs import Inputs

SEPARATOR = ";"  # of the members of a set


def members_of(name: str) -> set[str]:
    """The members of a set by its name; the empty name and ";" are the empty set.

    >>> sorted(members_of("large; animal")), members_of(";")
    (['animal', 'large'], set())
    """
    return {member for part in name.split(SEPARATOR) if (member := part.strip())}


def label_sets(inputs: Inputs, level: str | None) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Which members each input's set has.

    Args:
        inputs: with the level.
        level: whose classes are sets; by default the only one.

    Returns:
        0 and 1 (items, members), and the members of all sets, sorted.

    Raises:
        ValueError: where no set has a member.

    >>> labels = {"seen": np.array([0, 1])}
    >>> inputs = Inputs(["a", "b"], "text", ("1", "2"), labels, {"seen": ("animal;large", ";")})
    >>> matrix, members = label_sets(inputs, "seen")
    >>> matrix.tolist(), members
    ([[1.0, 1.0], [0.0, 0.0]], ('animal', 'large'))
    """
    labels, names = inputs.level(level)
    sets = [members_of(name) for name in names]
    members = tuple(sorted(set().union(*sets)))
    if not members:
        raise ValueError(
            f"no class of {level or next(iter(inputs.labels))!r} has a member: expected names such as "
            f"'animal{SEPARATOR}large', sets of labels"
        )
    matrix = np.array([[member in of_name for member in members] for of_name in sets], np.float64)
    return matrix[labels], members


def label_by_label(inputs: Inputs, level: str | None) -> Inputs:
    """An input for each label of its set, in place of one with the set.

    Args:
        inputs: with the level.
        level: whose classes are sets; by default the only one.

    Returns:
        inputs in their order, each as often as its set has members, labelled with them in turn; those of an
        empty set are left out.

    Raises:
        ValueError: where no set has a member.

    >>> labels = {"seen": np.array([0, 1])}
    >>> inputs = Inputs(["a", "b"], "text", ("1", "2"), labels, {"seen": ("animal;large", "large")})
    >>> each = label_by_label(inputs, "seen")
    >>> each.names, [each.classes["seen"][k] for k in each.labels["seen"]]
    (('1', '1', '2'), ['animal', 'large', 'large'])
    """
    matrix, members = label_sets(inputs, level)
    rows, labels = np.nonzero(matrix)
    name = level or next(iter(inputs.labels))
    chosen = inputs.select(rows)
    return replace(
        chosen,
        labels={**chosen.labels, name: labels.astype(np.int64)},
        classes={**chosen.classes, name: members},
        orders={**chosen.orders, name: "sorted"},
    )
