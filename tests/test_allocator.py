"""Forwards take the memory that the forward before has freed."""

import platform
import subprocess
import sys

import pytest

# Pages that the system gives to ten forwards of a small network, whose activations take up to 10 MiB.
FORWARDS = """
import resource, sys, torch
from torch import nn
from harsanyi.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 48, 1), nn.ReLU())
images = torch.zeros(4, 3, 112, 112)
with torch.inference_mode():
    for _ in range(3):
        network(images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        network(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", FORWARDS, way], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed blocks back at once")
def test_pages_of_freed_activations_are_not_asked_for_again(monkeypatch):
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    given, kept = pages("given back"), pages("kept")
    # 10 forwards × 10 MiB in pages of 4 KiB are 25,600; a few are Python's own.
    assert kept < given / 10
