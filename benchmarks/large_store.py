"""Memory and time of a large study behind its forwards: python -m benchmarks.large_store FOLDER

    [--games 1000] [--players 14] [--checkpoints 10]

Synthetic value tables go into a store; interactions are extracted from it and put into words, the first and
the last checkpoint are compared, and the run is tracked, by the functions that `compare` and `track` call.
For each part the table has wall and processor seconds, and the largest memory so far: `anonymous` is what a
process cannot do without, `resident` has the pages of mapped files too, which the system takes back when it
needs them.
"""

import argparse
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables import Row, show
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.interaction_tables import games_table
from harsanyi.analyses.run.extraction import interactions_path, load_or_extract
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.tables import knowledge_tables
from harsanyi.analyses.training.trajectory import Trajectory
from harsanyi.interactions import SALIENT_THRESHOLD, About, AndOr, Store
from harsanyi.progress import progress_bar

SAMPLED_EVERY = 0.02
BLOCK = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--players", type=int, default=14)
    parser.add_argument("--checkpoints", type=int, default=10)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    shutil.rmtree(options.folder / "run", ignore_errors=True)
    measured = Measured()
    names = [f"run@{step}" for step in range(options.checkpoints)]
    with measured.part("write the store"):
        store = written(options.folder / "run" / "values.h5", names, options.games, options.players)
    with measured.part("read the store"):
        for name in names:
            store.v(name)
    with measured.part("extract interactions"):
        paths = {name: interactions_path(store.path.parent, name) for name in names}
        about = dict.fromkeys(names, About())
        with progress_bar(len(names), "interactions", "network", shown=False) as bar:
            found = load_or_extract(store, paths, AndOr(), torch.device("cpu"), bar, about)
    bootstrap = Bootstrap(seed=0)
    with measured.part("compare"):
        compare(found[names[0]], found[names[-1]]).table(bootstrap=bootstrap)
    with measured.part("track"):
        steps = tuple(range(len(names)))
        run = Trajectory("run", steps, tuple(found.values()))
        knowledge_tables([run], found[names[0]], SALIENT_THRESHOLD, bootstrap)
    with measured.part("tables of games and of the strongest interactions"):
        games_table(found, [str(game) for game in range(options.games)])
        for network in found.values():
            network.table()
    show(measured.rows)


def written(path: Path, names: list[str], games: int, players: int) -> Store:
    """A store of tables in which a fixed set of games' numbers moves from checkpoint to checkpoint."""
    store = Store.create(path, settings={"synthetic": True}, networks=names, games=games, n=players)
    drawn = np.random.default_rng(0)
    with store.written():
        for start in range(0, games, BLOCK):
            rows = range(start, min(start + BLOCK, games))
            base = drawn.normal(size=(len(rows), 2**players))
            for number, name in enumerate(names):
                store.write(name, rows, {"v": base * (1 + number) / len(names)})
    return store


class Measured:
    """The parts of the work, each with its time and the largest memory until then."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.largest = {"anonymous": 0, "resident": 0}
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what happens in this context."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self._look()
        self.rows.append(
            {
                "part": name,
                "wall s": f"{time.perf_counter() - wall:.1f}",
                "processor s": f"{time.process_time() - processor:.1f}",
                **{f"{kind} GiB": f"{size / 2**20:.2f}" for kind, size in self.largest.items()},
            }
        )

    def _watch(self) -> None:
        while True:
            self._look()
            time.sleep(SAMPLED_EVERY)

    def _look(self) -> None:
        status = Path("/proc/self/status").read_text()
        for kind, field in (("anonymous", "RssAnon"), ("resident", "VmRSS")):
            found = re.search(rf"{field}:\s+(\d+) kB", status)
            assert found is not None
            self.largest[kind] = max(self.largest[kind], int(found[1]))


if __name__ == "__main__":
    main()
