"""The memory for tables is a cap: what a process takes for them, measured, stays below it."""

import subprocess
import sys

import pytest

from tests.places import ROOT

# MiB of the process, not of the plan: code of kernels, stacks of threads, pages of small objects.
BESIDE = 24
SCRIPT = """
import sys, threading, time
import psutil, torch
from torch import nn
from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.regions.tables import tables_plan

torch.set_num_threads(2)

def game(side, width):
    torch.manual_seed(0)
    body = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(3):
        body += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))
    players = Players.grid(side, side, 3, 4)
    return MaskedModel(net, torch.randn(2, 3, side, side), players, labels=[0, 1])

evaluate(game(12, 4), plan="tables", progress=False)  # libraries are loaded, kernels made
large = game(24, 224)
traced_game(large)
process, peak = psutil.Process(), 0

def watch():
    global peak
    while True:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.001)

start = process.memory_info().rss
threading.Thread(target=watch, daemon=True).start()
memory = int(sys.argv[1]) * 2**20
print(tables_plan(large, memory=memory).plan(0).n)
evaluate(large, plan="tables", memory=memory, progress=False)
print((peak - start) / 2**20)
"""


def measured(mebibytes: int) -> tuple[int, float]:
    """Players that are not fixed, and the most MiB in use above those before planning."""
    command = [sys.executable, "-c", SCRIPT, str(mebibytes)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return int(said[0]), float(said[1])


@pytest.mark.slow
def test_no_more_is_taken_than_was_asked_for():
    free, most = measured(1024)
    assert free == 12
    cap = 130
    assert most > cap + BESIDE  # so that the cap matters
    fixed, taken = measured(cap)
    assert fixed < 12
    assert taken < cap + BESIDE
