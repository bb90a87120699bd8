"""Whole value tables by a plan, against the dense plan: python -m benchmarks.plans [NAME …] [--rounds 3]

Both run in one process, in turns, one game in all 2^n coalitions. The dense time is that of a share of the
coalitions, scaled, since a forward costs the same on each; the plan's is that of the whole table. What is
made once for an architecture and its players (trace, regions, indices) is timed by itself. Random weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

import models
from interactions import MaskedModel, Players, coalition_masks, evaluate
from interactions.choice import choose

Result = TypeVar("Result")

SIZE = 224
# The share of the coalitions that the dense plan is timed on: one in so many.
DENSE_SHARE = 32


def grid(rows: int, columns: int) -> Players:
    """Cells as equal as whole pixels can be."""
    row = torch.arange(SIZE)[:, None] * rows // SIZE
    column = torch.arange(SIZE)[None, :] * columns // SIZE
    return Players.from_mask((row * columns + column)[None])


def irregular(count: int) -> Players:
    """Regions of the pixels nearest to points drawn at random."""
    points = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * SIZE
    pixels = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE)).double()
    return Players.from_mask(torch.cdist(pixels, points.double()).argmin(1).view(1, SIZE, SIZE))


@dataclass(frozen=True)
class Case:
    """A network and its players."""

    model: str
    players: Callable[[], Players]


CASES = {
    "vgg16": Case("torchvision:vgg16", lambda: grid(3, 4)),
    "resnet18": Case("torchvision:resnet18", lambda: grid(3, 4)),
    "resnet50": Case("torchvision:resnet50", lambda: grid(3, 4)),
    "resnet18-irregular": Case("torchvision:resnet18", lambda: irregular(10)),
    "vit-tiny": Case("timm:vit_tiny_patch16_224", lambda: grid(3, 4)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plan", default="tables")
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")
    print(
        "| network | n | plan / dense, median | smallest, largest | counted | dense, s a game | "
        "made once, s | largest difference |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.cases:
        row(name, CASES[name], asked.plan, asked.rounds)


def row(name: str, case: Case, plan: str, rounds: int) -> None:
    """Measure one network and print it."""
    network = models.load(case.model, "random", seed=0)
    inputs = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    game = MaskedModel(network.model, inputs, case.players(), labels=[0])
    made, taken = timed(lambda: choose(game, plan))
    chosen = coalition_masks(game.n)[::DENSE_SHARE]
    first, whole = timed(lambda: evaluate(game, plan=plan, progress=False))  # finds the indices, too
    times = []
    for _ in range(rounds):
        dense, some = timed(lambda: evaluate(game, chosen, plan="dense", progress=False))
        spent, whole = timed(lambda: evaluate(game, plan=plan, progress=False))
        times.append((spent, dense * DENSE_SHARE))
    ratios = [spent / dense for spent, dense in times]
    difference = (whole[:, ::DENSE_SHARE] - some).abs().max().item()
    once = made + first - statistics.median(spent for spent, _ in times)
    each = statistics.median(dense for _, dense in times)
    print(
        f"| {name} | {game.n} | {statistics.median(ratios):.3f} | {min(ratios):.3f}, {max(ratios):.3f} | "
        f"{taken.share:.3f} | {each:.1f} | {once:.1f} | {difference:.1e} |",
        flush=True,
    )


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
