"""Inputs that a network fails on: which errors are theirs, and which inputs of several it answers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from traceback import walk_tb
from typing import TypeVar

import torch
from torch import Tensor

from harsanyi.stopping import asked_to_stop

Result = TypeVar("Result")

# What a network raises on an input that it cannot answer, whoever's code it passes through.
FAILURES = (RuntimeError, IndexError, TypeError, AttributeError)
# A network that answers none of so many inputs is at fault itself.
FIRST_GAMES = 8
# Our own packages, whose other errors are refusals and broken invariants. Networks of a user lie elsewhere.
_OURS = [(Path(__file__).parent / name).resolve() for name in ("interactions", "models", "data", "analyses")]


class NotFiniteError(ValueError):
    """A network gave NaN or an infinite number."""


def is_failure(error: Exception) -> bool:
    """Whether a network that raised this may answer other inputs.

    It may not where a device has failed, nor where our own code refuses what it is given: that is a
    ValueError, an AssertionError or whatever else is none of `FAILURES` and comes from a file of ours. Nor
    where the process is asked to end, which a library may turn into an error of its own.
    """
    if asked_to_stop():
        return False
    out_of_memory = isinstance(error, RuntimeError) and is_out_of_memory(error)
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error):
        return out_of_memory
    return isinstance(error, (*FAILURES, NotFiniteError)) or not _is_raised_by_us(error)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a RuntimeError of torch's means that an allocation failed, on GPU or CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def answers_of(
    rows: Sequence[int], ask: Callable[[list[int]], Result]
) -> tuple[list[tuple[list[int], Result]], dict[int, Exception]]:
    """Ask for several inputs at once; where that fails, for each half of them, down to a single one.

    Args:
        rows: numbers of inputs.
        ask: takes some of them and gives an answer, or raises.

    Returns:
        the inputs that were answered together and their answer, part after part; and why others were not.

    Raises:
        Exception: what `ask` raises, where that is no failure on an input.

    >>> answers_of(range(4), lambda rows: [1 // (row - 2) for row in rows])
    ([([0, 1], [-1, -1]), ([3], [1])], {2: ZeroDivisionError('integer division or modulo by zero')})
    """
    try:
        return [(list(rows), ask(list(rows)))], {}
    except Exception as error:
        if not is_failure(error):
            raise
        if len(rows) < 2:
            return [], dict.fromkeys(rows, error)
    half = len(rows) // 2
    first, second = answers_of(rows[:half], ask), answers_of(rows[half:], ask)
    return first[0] + second[0], first[1] | second[1]


def first_answered(count: int, ask: Callable[[int], Result]) -> tuple[int, Result]:
    """The first input that a network answers, and its answer.

    Args:
        count: how many inputs there are; the first `FIRST_GAMES` are asked for.
        ask: takes the number of an input and gives the answer to it, or raises.

    Returns:
        the number and the answer.

    Raises:
        Exception: what `ask` raises on the first input, where it raises on all.

    >>> first_answered(9, lambda number: 6 // number)
    (1, 6)
    """
    return next(_answered(min(FIRST_GAMES, count), ask))


def last_answered(count: int, ask: Callable[[int], Result]) -> tuple[int, Result]:
    """Ask for all inputs; the last one that a network answers, and its answer.

    Args:
        count, ask: as for `first_answered`.

    Returns, Raises:
        as `first_answered`.

    >>> last_answered(9, lambda number: 6 // (number - 8))
    (7, -6)
    """
    *_, last = _answered(count, ask)
    return last


def _answered(count: int, ask: Callable[[int], Result]) -> Iterator[tuple[int, Result]]:
    """The inputs that are answered, with their answers; raises the first error where none is."""
    raised: Exception | None = None
    there = False
    for number in range(count):
        try:
            answer = ask(number)
        except Exception as error:
            if not is_failure(error):
                raise
            raised = raised or error
            continue
        there = True
        yield number, answer
    if raised is not None and not there:
        raise raised


def has_nan(answer: object) -> bool:
    """Whether a tensor holds NaN; anything else does not."""
    return isinstance(answer, Tensor) and answer.is_floating_point() and bool(torch.isnan(answer).any())


def _is_raised_by_us(error: Exception) -> bool:
    """Whether the innermost frame of an error is in a file of ours."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and any(package in Path(frames[-1]).resolve().parents for package in _OURS)
