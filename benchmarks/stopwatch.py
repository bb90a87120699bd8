"""Seconds of a call, and which of several batches takes fewest."""

import time
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


def timed(
    function: Callable[Given, Result], *given: Given.args, **options: Given.kwargs
) -> tuple[float, Result]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = function(*given, **options)
    return time.perf_counter() - start, result


def fastest(ways: Mapping[int, Callable[[], object]]) -> int:
    """The batch that is done soonest, the best of two times each."""
    return min(ways, key=lambda batch: min(timed(ways[batch])[0] for _ in range(2)))
