"""What every test needs."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator

import coverage
import jaxtyping
import pytest
import torch
from hypothesis import settings

from harsanyi.models.loading.torchvision_operators import declare_operators
from tests.device import second

os.environ.setdefault("MPLBACKEND", "agg")  # no window, whatever the screen

# transformers imports torchvision, which needs two operators that the CPU build of torch does not have.
declare_operators()

if second.is_possible() and not torch.accelerator.is_available():
    second.register()

# The examples of each property: few by default, many with --hypothesis-profile=long (`make test-all`).
settings.register_profile("short", max_examples=20, deadline=None)
settings.register_profile("long", max_examples=200, deadline=None)
settings.load_profile("short")


def pytest_configure(config: pytest.Config) -> None:
    """Several processes share the cores, and a cache folder of their own.

    What they inherit holds for their own threads.
    """
    if processes := config.getoption("tx", None):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // len(processes))))
    if not hasattr(config, "workerinput"):  # workers share the cache folder of the process that starts them
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["XDG_CACHE_HOME"] = folder.name


def pytest_collection_finish() -> None:
    """Torch and thousands of tests stay to the end: the collector of garbage need not look at them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def _closes_figures() -> Iterator[None]:
    """No test leaves its plots to pyplot."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Coverage is that of the wing's own tests: counting lines would double the time of all others."""
    counter = None if "interactions" in item.path.parts else coverage.Coverage.current()
    if counter:
        counter.stop()
    result = yield
    if counter:
        counter.start()
    return result


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the shape checks that run under pytest only: for arguments that a user may get wrong."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
