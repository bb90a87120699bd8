"""What a plan takes of the memory that it may: python -m benchmarks.beside.memory [GIB …]

A ResNet-18 of random weights at 224², noise, 12 players of a 4×4 grid: planned, tried and evaluated on one
game, in a process of its own for each cap. The most memory in use is looked up every 3 ms, the code of
libraries apart, and counted from what is in use before planning, the traced network included.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable

import psutil
import torch

from benchmarks.tables import Rows, show
from harsanyi import models
from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.regions.tables import RegionTables

CAPS = ("2", "0.5")
SIZE, PLAYERS = 224, 12
SECONDS = 0.003


def own_bytes() -> int:
    """Bytes in use, the code of libraries apart, which the system reads in and drops."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes in use during some work, above those before it."""
    ended = threading.Event()
    start = peak = own_bytes()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(SECONDS):
            peak = max(peak, own_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        ended.set()
        thread.join()
    return peak - start


def measured(gibibytes: float) -> dict[str, object]:
    """The row of a cap."""
    players = Players.grid(SIZE, SIZE, 4, 4).choose(PLAYERS, seed=0)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    model = models.load("torchvision:resnet18", "random").model
    game, memory = MaskedModel(model, image, players, labels=[0]), int(gibibytes * 2**30)
    traced_game(game)

    def work() -> None:
        evaluate(game, plan="tables", memory=memory, progress=False)

    taken = peak_of(work)
    tables = choose(game, "tables", memory=memory).plan
    assert isinstance(tables, RegionTables)
    plan = tables.plan(0)
    return {
        "asked for, MiB": round(memory / 2**20),
        "players fixed": PLAYERS - plan.n,
        "counted, MiB": round(plan.bytes / 2**20),
        "taken, MiB": round(taken / 2**20),
    }


def rows(caps: list[str]) -> Rows:
    """A row for each cap, measured in a process of its own."""
    for cap in caps:
        command = [sys.executable, "-m", "benchmarks.beside.memory", "--row", cap]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        yield json.loads(said.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--row"]:
        print(json.dumps(measured(float(sys.argv[2]))))
    else:
        show(rows(sys.argv[1:] or list(CAPS)))


if __name__ == "__main__":
    main()
