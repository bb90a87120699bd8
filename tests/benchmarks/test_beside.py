"""The parts of a command: functions that exist, and the part that a frame is in."""

import importlib
import sys
from functools import reduce

import numpy as np
import pytest

from benchmarks.beside.parts import OTHER, PARTS, part_of
from harsanyi.analyses.statistics.bootstrap import Bootstrap, bootstrap_intervals


@pytest.mark.parametrize("function", [name for names in PARTS.values() for name in names])
def test_every_function_is_there(function):
    module, _, name = function.partition(":")
    parts = name.partition(".<locals>")[0].split(".")
    assert callable(reduce(getattr, parts, importlib.import_module(module)))


def test_the_innermost_listed_function_says_the_part():
    def statistic(values, axis):
        seen.append(part_of(sys._getframe()))
        return values.mean(axis)

    seen = [part_of(sys._getframe())]
    bootstrap_intervals((np.ones((3, 1)),), statistic, Bootstrap(resamples=2))
    assert set(seen[1:]) == {"bootstrap"}
    assert seen[0] == OTHER
