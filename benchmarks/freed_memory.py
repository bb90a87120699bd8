"""What forwards gain where they take freed memory again: python -m benchmarks.freed_memory [NAME …]

Each round of a network is a process of its own. It times forwards of one batch, of the size that the engine
takes: first as glibc does by itself, then after `harsanyi.allocator.keep_freed_memory`. That cannot be
undone, so this is always the order. One thread; the median of some forwards, then of the rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.choice.networks import CASES
from benchmarks.masked_images import in_layout
from benchmarks.stopwatch import one_thread, timed
from benchmarks.tables import Row, Rows, show
from harsanyi.allocator import keep_freed_memory
from harsanyi.interactions.game import first_forwards

FORWARDS, SECONDS = 25, 4.0


@torch.inference_mode()
def median(network: nn.Module, batch: Tensor) -> float:
    """The median seconds of some forwards, of fewer where they take long."""
    network(batch)
    taken = list[float]()
    while len(taken) < 5 or (len(taken) < FORWARDS and sum(taken) < SECONDS):
        taken.append(timed(network, batch)[0])
    return statistics.median(taken)


def measured(name: str) -> dict[str, float]:
    """Seconds of a forward of one batch, given back and kept, in this process."""
    setattr(first_forwards, "keep_freed_memory", lambda: None)  # noqa: B010
    case = CASES[name]
    network = case.network(0)
    game = case.game(network, 1)
    size = game.batch_size()
    batch = case.inputs(1).expand(size, *case.inputs(1).shape[1:]).contiguous()
    if game.images_last:
        network, batch = in_layout(network), batch.to(memory_format=torch.channels_last)
    given = median(network, batch)
    keep_freed_memory()
    return {"n": game.n, "size": size, "given": given, "kept": median(network, batch)}


def row(name: str, rounds: int) -> Row:
    """Measure one network."""
    found = list[dict[str, float]]()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "seconds.json")
            subprocess.run([sys.executable, "-m", "benchmarks.freed_memory", name, "--to", file], check=True)
            found.append(json.loads(file.read_text()))
    ratios = [each["kept"] / each["given"] for each in found]
    size = found[0]["size"]
    return {
        "network": CASES[name].title,
        "batch": int(size),
        "given back, ms an input": f"{1e3 * statistics.median(each['given'] for each in found) / size:.3g}",
        "kept, ms an input": f"{1e3 * statistics.median(each['kept'] for each in found) / size:.3g}",
        "kept / given back": f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
    }


def rows(names: list[str], rounds: int) -> Rows:
    """A row for each network."""
    for name in names:
        yield row(name, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with one_thread():
        if options.to is not None:
            options.to.write_text(json.dumps(measured(options.names[0])))
        else:
            show(rows(options.names or [*CASES], options.rounds))
