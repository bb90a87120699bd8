"""A stopwatch: the seconds of a call, the fastest of several batch sizes, and torch with one thread."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

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


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
