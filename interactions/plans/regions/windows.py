"""The windows of convolutions and pools: which places before each place after sees."""

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from harsanyi.interactions.plans.regions.regions import OUTSIDE

# Windows that stay in memory: the layers of a network have few different ones.
MAX_WINDOWS = 16


@lru_cache(MAX_WINDOWS)
def window_places(
    before: tuple[int, ...],
    after: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> np.ndarray:
    """The places before that each place after sees; not to be written to, as others get it too.

    Args:
        before, after: (height, width) of the places.
        kernel, stride, padding, dilation: of the window, along each axis.

    Returns:
        `(places after, kernel)`, numbers of places; OUTSIDE beyond the edge.

    >>> window_places((1, 3), (1, 2), (1, 2), (1, 2), (0, 1), (1, 1)).tolist()
    [[-1, 0], [1, 2]]
    """
    along = []
    for axis in range(len(before)):
        starts = np.arange(after[axis]) * stride[axis] - padding[axis]
        along.append(starts[:, None] + np.arange(kernel[axis]) * dilation[axis])
    row, column = along[0][:, None, :, None], along[1][None, :, None, :]
    inside = (row >= 0) & (row < before[0]) & (column >= 0) & (column < before[1])
    places = np.where(inside, row * before[1] + column, OUTSIDE)
    places.flags.writeable = False
    return places.reshape(prod(after), prod(kernel))


def pair(value: Any) -> tuple[int, ...]:
    """A window's option for both axes, from one number or two."""
    if isinstance(value, int):
        return (value, value)
    return (*value,) * 2 if len(value) == 1 else tuple(value)
