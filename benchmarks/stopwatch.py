"""A stopwatch: the seconds of a call, and the fastest of several batch sizes."""

import time
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def timed(
    function: Callable[Arguments, Result], *args: Arguments.args, **options: Arguments.kwargs
) -> tuple[float, Result]:
    """Seconds of a call, and its result."""
    start = time.perf_counter()
    result = function(*args, **options)
    return time.perf_counter() - start, result


def fastest(ways: Mapping[int, Callable[[], object]]) -> int:
    """The batch size whose work takes the fewest seconds, by the better of two times each.

    Args:
        ways: the work, by batch size.
    """
    return min(ways, key=lambda batch: min(timed(ways[batch])[0] for _ in range(2)))
