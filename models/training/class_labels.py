"""Labels that are numbers of classes: checked before anything is fitted or measured by them."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_labels(
    items: Sequence[Any], labels: Sequence[int] | np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Refuse labels that are not one for each item, or not the number of a class.

    Args:
        items: PIL images or sentences.
        labels: whole numbers (items,).
        classes: names of the classes.

    Returns:
        the labels, int64 (items,).

    Raises:
        ValueError: for no labels, labels of another shape or type, or outside the classes.
    """
    target = np.asarray(labels)
    if target.shape != (len(items),) or not np.issubdtype(target.dtype, np.integer):
        raise ValueError(
            f"expected {len(items)} whole numbers as labels, one an item, "
            f"but got {target.dtype} {target.shape}"
        )
    if len(target) == 0 or target.min() < 0 or target.max() >= len(classes):
        labels_range = f"{target.min()} to {target.max()}" if len(target) else "none"
        raise ValueError(
            f"expected labels from 0 to {len(classes) - 1} for {len(classes)} classes, but got {labels_range}"
        )
    return target.astype(np.int64)
