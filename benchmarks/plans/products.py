"""What share of the machine's peak the products of rows reach: python -m benchmarks.plans.products [NAME:N …]

The peak is the fastest of large float32 products of matrices, by torch's library and by oneDNN, on one
thread, and on as many threads at once as there are cores. Then whole tables of a game with N players are
made on one thread, by the processor's time: by the plan "tables", once with oneDNN's linear layers and once
without, in turns. Products are those of rows and weights; all of their multiply-adds count.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.masked_images import NETWORKS, TITLES, players_of
from benchmarks.plans.games import image_game
from benchmarks.plans.rounds import processor
from benchmarks.stopwatch import one_thread
from benchmarks.tables import Rows, show
from harsanyi.interactions import evaluate
from harsanyi.interactions.machine import onednn
from harsanyi.interactions.plans.regions import convolutions

GAMES = ("resnet18:8", "resnet50:6", "vgg16:6")
ROWS, WIDTHS, CALLS = 4096, (256, 512), 9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans.products", description=__doc__)
    parser.add_argument("games", nargs="*", default=GAMES, help="network:players")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {processor()}, {torch.get_num_threads()} threads")
    with one_thread(), torch.inference_mode():
        top = peak(1)
        print(f"peak of a thread: {top:.0f} GFLOP/s; of two at once: {peak(2):.0f} each")
    with one_thread():
        show([row for game in options.games for row in rows_of(game, options.rounds, top)])


def peak(threads: int) -> float:
    """GFLOP/s of the fastest product, by each thread's processor time; the slowest of the threads."""

    def fastest(_: int) -> float:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return max(max(speeds(width)) for width in WIDTHS)

    with ThreadPoolExecutor(threads) as pool:
        return min(pool.map(fastest, range(threads)))


def speeds(width: int) -> list[float]:
    """GFLOP/s of torch's product and of oneDNN's: medians of some calls."""
    rows, weight = torch.randn(ROWS, width), torch.randn(width, width)
    ways: list[Callable[[], Tensor]] = [
        partial(torch.mm, rows, weight.T),
        partial(onednn.PackedLinear(weight), rows),
    ]
    return [2e-9 * ROWS * width**2 / median(seconds(way) for _ in range(CALLS)) for way in ways]


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, for a call."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


class Products:
    """The seconds and operations of products while it is entered."""

    def __init__(self) -> None:
        self.seconds = self.operations = 0.0

    def counted(self, multiply: Callable[..., Any], weight: Callable[..., Tensor]) -> Callable[..., Any]:
        """A function that multiplies, with its time and its operations added up."""

        def call(*args: Any) -> Any:
            start = time.thread_time()
            result = multiply(*args)
            self.seconds += time.thread_time() - start
            rows = next(part for part in args if isinstance(part, Tensor))
            self.operations += 2 * rows.shape[:-1].numel() * weight(*args).numel()
            return result

        return call


def rows_of(game: str, rounds: int, top: float) -> Rows:
    """The row of a game."""
    name, _, n = game.partition(":")
    asked = image_game(NETWORKS[name], players_of(name, int(n)))
    table = partial(evaluate, asked, plan="tables", progress=False)
    table()
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for ours, taken in times.items():
            with mock.patch.object(onednn, "multiplies_faster", lambda ours=ours: ours):
                taken.append(seconds(table))
    products = Products()
    by_places = products.counted(convolutions._multiply_rows, lambda rows, weight, *_: weight)
    alone = products.counted(onednn.PackedLinear.__call__, lambda kernel, *_: kernel.weight)
    with (
        mock.patch.object(convolutions, "_multiply_rows", by_places),
        mock.patch.object(onednn.PackedLinear, "__call__", lambda *args: alone(*args)),
    ):
        whole = seconds(table)
    ratios = [ours / torchs for ours, torchs in zip(times[True], times[False], strict=True)]
    speed = products.operations / products.seconds / 1e9
    yield {
        "network": TITLES[name],
        "n": n,
        "s a game": f"{median(times[True]):.2f}",
        "oneDNN's / torch's products": f"{median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})",
        "products, share of the time": f"{products.seconds / whole:.0%}",
        "GFLOP/s": f"{speed:.0f}",
        "share of the peak": f"{speed / top:.0%}",
    }


if __name__ == "__main__":
    main()
