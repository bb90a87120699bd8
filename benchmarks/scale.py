"""What a study takes on more workers: python -m benchmarks.scale FOLDER [--rate 2000] [--ray]

The parts of a study that no worker shares are measured here, a block or a table at a time, in processor
seconds and, since a disk is waited for, in wall seconds: what is written of a block, and what follows from
the tables. With the forwards a second of one GPU (`--rate`, which is assumed) they say what the study of 20
checkpoints, 1,000 inputs and 2¹² masked versions takes on 1, 8 and 64 GPUs.

With `--ray` a study of about a minute runs on one worker of one core, then on two, and the speed-up is shown,
with what a task takes beside its block. That needs a free machine: the load is shown with it.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.tables import show
from harsanyi import data, models
from harsanyi.analyses import Compare
from harsanyi.analyses.run import cluster
from harsanyi.analyses.run.compute import fill_tables
from harsanyi.interactions import AndOr, Store

CHECKPOINTS, INPUTS, PLAYERS = 20, 1000, 12
WORKERS = (1, 8, 64)
ROUNDS = 7
# With 24 inputs a study of about a minute on one core, by small:resnet20; a block is a game.
MINUTE: dict[str, Any] = {"players": "grid:4x4:11", "batch_size": 2048}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=2000, help="forwards a second of one GPU: assumed")
    parser.add_argument(
        "--split", type=float, default=0.103, help="seconds of a sparse split, of docs/sparse.md"
    )
    parser.add_argument("--ray", action="store_true", help="measure one and two workers")
    parser.add_argument("--inputs", type=int, default=24, help="of the study on workers, two blocks each")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.ray:
        show([on_workers(options.folder, count, options.inputs) for count in (1, 2)])
        return
    costs = measured_costs(options.folder)
    show(
        {"part": part, "processor s": f"{cpu:.2g}", "wall s": f"{wall:.2g}"}
        for part, (cpu, wall) in costs.items()
    )
    show(forecast(workers, costs, options.rate, options.split) for workers in WORKERS)


def measured_costs(folder: Path) -> dict[str, tuple[float, float]]:
    """Median seconds of what one process does for each block and each table, processor and wall."""
    drawn = np.random.default_rng(0)
    shutil.rmtree(folder / "store", ignore_errors=True)
    path = folder / "store" / "values.h5"
    store = Store.create(path, settings={}, networks=["net"], games=ROUNDS, n=PLAYERS)
    tables = drawn.normal(size=(ROUNDS, 2**PLAYERS))
    with store.written():
        written = [
            seconds(partial(store.write, "net", range(game, game + 1), {"v": tables[game : game + 1]}))
            for game in range(ROUNDS)
        ]
    game = torch.from_numpy(tables[:1])
    return {
        "write a block": _median(written),
        "read a table": _median([seconds(lambda: store.v("net", [0])) for _ in range(ROUNDS)]),
        "AND and OR, even": _median([seconds(lambda: AndOr()(game)) for _ in range(ROUNDS)]),
    }


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds of some work."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _median(times: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(cpu for cpu, _ in times), statistics.median(wall for _, wall in times)


def forecast(
    workers: int, costs: dict[str, tuple[float, float]], rate: float, split: float
) -> dict[str, object]:
    """The hours of a study on some workers: forwards are shared, writing is beside them, the rest follows.

    Args:
        workers: GPUs.
        costs: of `measured_costs`.
        rate: forwards a second of one GPU.
        split: seconds of a sparse split of one table.
    """
    tables = CHECKPOINTS * INPUTS
    forwards = tables * 2**PLAYERS / rate / workers
    processor, wall = (tables * seconds for seconds in costs["write a block"])
    after = {"even": tables * costs["AND and OR, even"][0], "sparse": tables * split}
    return {
        "GPUs": workers,
        "forwards h": f"{forwards / 3600:.2f}",
        "writing, processor h": f"{processor / 3600:.2f}",
        "writing, wall h": f"{wall / 3600:.2f}",
        **{
            f"together, {name} split h": f"{(max(forwards, processor) + rest) / 3600:.2f}"
            for name, rest in after.items()
        },
    }


def on_workers(folder: Path, workers: int, inputs: int) -> dict[str, object]:
    """The wall seconds of the value tables of a study on workers of one core, and what a task costs there.

    A task costs what passes between the end of a worker's block and the begin of its next one: its tables are
    sent, and the next block is given out.

    Args:
        folder: of the study's files.
        workers: how many.
        inputs: of the study.
    """
    import ray

    folder = folder.resolve()
    for seed, name in enumerate(("before", "after")):
        network = models.load("small:resnet20", "random", classes=["a", "b", "c", "d"], seed=seed)
        models.save_checkpoint(folder / f"{name}.safetensors", network.model, classes=network.classes)
    out = folder / f"on-{workers}"
    shutil.rmtree(out, ignore_errors=True)
    for path in folder.glob(f"{out.name}.*.times"):
        path.unlink()
    study = Compare(
        model="small:resnet20",
        before=str(folder / "before.safetensors"),
        after=str(folder / "after.safetensors"),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        label="predicted",
        plan="dense",
        on="ray",
        inputs=inputs,
        out=out,
        **MINUTE,
    )
    cluster.Worker = TimedWorker  # type: ignore[misc]
    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        begin = time.perf_counter()
        fill_tables(study, progress=False)
        wall = time.perf_counter() - begin
    finally:
        ray.shutdown()
    blocks, between = block_times(out)
    return {
        "workers": workers,
        "wall s": f"{wall:.1f}",
        "blocks": len(blocks),
        "a block s": f"{statistics.median(blocks):.2f}",
        "a task beside it s": f"{statistics.median(between):.4f}",
        "of the block": f"{statistics.median(between) / statistics.median(blocks):.2%}",
        "of all": f"{sum(between) / sum(blocks):.2%}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


class TimedWorker(cluster.Worker):
    """A worker that notes when its blocks begin and end."""

    def tables(self, networks: tuple[str, ...], start: int, stop: int) -> dict[str, dict[str, np.ndarray]]:
        """The tables of a block."""
        begin = time.time()
        found = super().tables(networks, start, stop)
        path = self.study.out.with_name(f"{self.study.out.name}.{os.getpid()}.times")
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{begin} {time.time()}\n")
        return found


def block_times(out: Path) -> tuple[list[float], list[float]]:
    """Seconds of all blocks of a study, and between one and the next of the same worker."""
    blocks, between = [], []
    for path in out.parent.glob(f"{out.name}.*.times"):
        times = [tuple(map(float, line.split())) for line in path.read_text(encoding="utf-8").splitlines()]
        blocks += [end - begin for begin, end in times]
        between += [after[0] - before[1] for before, after in pairwise(times)]
    return blocks, between


if __name__ == "__main__":
    main()
