"""Protocols of the engine can be checked at run time, as the types of arguments are."""

import pkgutil
from importlib import import_module
from typing import Protocol

import pytest

from harsanyi import interactions

FOUND = pkgutil.walk_packages(interactions.__path__, "harsanyi.interactions.")
# Without those of a GPU, whose library is not everywhere.
MODULES = [found.name for found in FOUND if "triton" not in found.name]
PROTOCOLS = {
    value
    for name in MODULES
    for value in vars(import_module(name)).values()
    if isinstance(value, type) and value.__module__ == name and Protocol in value.__bases__
}


def test_there_are_protocols():
    assert {protocol.__name__ for protocol in PROTOCOLS} >= {"Game", "Method", "Replacement"}


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS, key=lambda found: found.__name__))
def test_protocols_can_be_checked_at_run_time(protocol: type):
    assert not isinstance(None, protocol)
