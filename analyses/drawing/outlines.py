"""Outlines of regions of pixels."""

import numpy as np


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed lines along pixel edges around a boolean map; a hole has a line of its own.

    Returns:
        the corners of each line, `(corners, 2)`, as (x, y). Pixel centres are whole numbers, as in `imshow`.

    >>> outlines(np.array([[True, True]]))[0].tolist()
    [[-0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-0.5, 0.5]]
    """
    # The sides of a pixel, clockwise: the neighbour (row, column) behind a side, its first corner, its step.
    sides = (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    )
    inside = np.pad(mask, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (down, right), (x0, y0), (dx, dy) in sides:
        bare = inside & ~np.roll(inside, (-down, -right), axis=(0, 1))
        for y, x in np.argwhere(bare[1:-1, 1:-1]).tolist():
            steps.setdefault((x + x0, y + y0), []).append((x + x0 + dx, y + y0 + dy))
    return [_corners(loop) - 0.5 for loop in _loops(steps)]


def _loops(steps: dict[tuple[int, int], list[tuple[int, int]]]) -> list[np.ndarray]:
    """Steps joined into closed walks: as many lead to a point as from it, so a walk ends at its start."""
    loops = []
    while steps:
        loop = [min(steps)]
        while loop[-1] in steps:
            point = loop[-1]
            loop.append(steps[point].pop())
            if not steps[point]:
                del steps[point]
        loops.append(np.array(loop[:-1]))
    return loops


def _corners(loop: np.ndarray) -> np.ndarray:
    """The points of a closed walk at which it turns."""
    arriving, leaving = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    return loop[(arriving != leaving).any(1)]
