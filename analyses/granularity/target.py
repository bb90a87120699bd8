"""The target of a granularity study: classes, or sets of labels or numbers in the names of classes."""

from dataclasses import replace

import numpy as np

from harsanyi.data import Inputs
from harsanyi.data.label_numbers import label_numbers
from harsanyi.data.label_sets import label_sets

# The name of the error in tables, by task; every error is a share, 0 at best.
ERRORS = {
    "classification": "error",
    "multi-label": "error (1 − mean average precision)",
    "regression": "error (1 − R²)",
}
# The error of a run is 1 less this column of its last epoch's history.
MEASURES_OF = {
    "classification": "held_out_accuracy",
    "multi-label": "held_out_average_precision",
    "regression": "held_out_r2",
}
# The meaning of the class names in the target's column.
NAMES = {"classification": "classes", "multi-label": "distinct sets", "regression": "distinct numbers"}


def target_values(
    inputs: Inputs, column: str, task: str = "classification"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The target of each item in a label column, and the names of the network's outputs.

    Args:
        inputs: with the column.
        column: of the target. multi-label: a class name is a set, its members separated by ";"; the empty
            name and ";" are the empty set (cells of tables must not be empty). regression: a name is a
            number.
        task: "classification", "multi-label" or "regression".

    Returns:
        int64 (items,) and the classes; 0 and 1 in float64 (items, members) and the members of all names,
        sorted; or float64 (items,), in the unit of the names, and the column's name.

    Raises:
        ValueError: for a column that is not there, names without any member, and a name that is no finite
            number.

    >>> def of(*names):
    ...     labels = {"seen": np.arange(len(names))}
    ...     return Inputs([""] * len(names), "text", ("",) * len(names), labels, {"seen": names})
    >>> values, outputs = target_values(of("animal;large", ";", "animal"), "seen", "multi-label")
    >>> values.tolist(), outputs
    ([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], ('animal', 'large'))
    >>> values, outputs = target_values(of("3", "-0.25", "1e2"), "seen", "regression")
    >>> values.tolist(), outputs
    ([3.0, -0.25, 100.0], ('seen',))
    """
    labels, names = inputs.level(column)
    if task == "classification":
        return labels, names
    if task == "regression":
        return label_numbers(names, column)[labels], (column,)
    try:
        return label_sets(inputs, column)
    except ValueError as error:
        raise ValueError(f"--task multi-label: {error}") from error


def with_names_of(train: Inputs, test: Inputs, column: str, task: str) -> Inputs:
    """Add the target's names in the test inputs to those of the training inputs.

    A number or a set that only test inputs have is no unknown class: numbers are on one scale, sets share
    members.

    Args:
        train, test: the inputs.
        column: of the target.
        task: as in `target_values`.

    Returns:
        the training inputs with all names, their own first. They stay as they are for
        classification, and where the test inputs do not have the column.

    Raises:
        ValueError: for a member that no training name has, and as `target_values`.

    >>> def of(*names):
    ...     labels = {"size": np.arange(len(names))}
    ...     return Inputs([""] * len(names), "text", ("",) * len(names), labels, {"size": names})
    >>> with_names_of(of("1", "2"), of("2", "2.5"), "size", "regression").classes["size"]
    ('1', '2', '2.5')
    """
    if task == "classification" or column not in test.classes:
        return train
    (_, members), (_, test_members) = (target_values(inputs, column, task) for inputs in (train, test))
    if unknown := [member for member in test_members if member not in members]:
        raise ValueError(
            f"test samples have members in {column!r} that training samples do not have: {unknown[:3]}"
        )
    names = tuple(dict.fromkeys((*train.classes[column], *test.classes[column])))
    return replace(train, classes={**train.classes, column: names})


def target_in_words(inputs: Inputs, column: str, task: str) -> str:
    """Describe the target, for a report.

    Args:
        inputs, column, task: as in `target_values`.

    Returns:
        the kind of target, and its size or range, in words.

    Raises:
        ValueError: as `target_values`.

    >>> inputs = Inputs(["x", "y"], "text", ("a", "b"), {"size": np.array([0, 1])}, {"size": ("1", "5")})
    >>> [target_in_words(inputs, "size", task) for task in ("classification", "multi-label", "regression")]
    ['size, 2 classes', 'size, multi-label: sets of 2 labels', 'size, regression: numbers from 1 to 5']
    """
    values, outputs = target_values(inputs, column, task)
    if task == "classification":
        return f"{column}, {len(outputs)} classes"
    if task == "multi-label":
        return f"{column}, multi-label: sets of {len(outputs)} labels"
    return f"{column}, regression: numbers from {values.min():g} to {values.max():g}"


def notes_on_task(task: str) -> list[str]:
    """What a reader of the report must know of tasks other than classification."""
    samples = f"Training samples are drawn evenly over the {NAMES[task]}; the test has all samples."
    if task == "multi-label":
        return [
            "Error is 1 less the mean average precision: scikit-learn's of each label, over the test "
            "samples, and its mean over the labels that occur there. The precision of a guess is about the "
            "label's frequency.",
            samples,
        ]
    if task == "regression":
        return [
            "Error is 1 − R², the residual over the total sum of squares of the test samples: above 100% it "
            "is worse than the answer of their mean.",
            samples,
        ]
    return []
