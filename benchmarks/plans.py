"""Whole value tables by a plan, beside the same forwards asked plainly: python -m benchmarks.plans [NAME …]

All ways take turns in one process, on one game in all 2^n coalitions: the plain forward (networks fused,
channels last, the fastest batch of 4 to 32, a single-threaded worker a core), this project's dense plan, and
the plan. The first two are timed on 128 coalitions and scaled, since a forward costs the same on each; the
plan on the whole table. What is made once for an architecture and its players (trace, regions, indices)
is timed by itself, and so is what another checkpoint of the same architecture still needs. Random weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.plan_cases import CASES, Asked, Case
from interactions import coalition_masks, evaluate
from interactions.batching import in_workers
from interactions.choice import choose

Result = TypeVar("Result")

# Coalitions that the plain forward and the dense plan are timed on.
TIMED = 128
BATCHES = (4, 8, 16, 32)
HEAD = (
    "| game | n | plan | plan / plain | asked for | plan / dense | dense / plain | counted | "
    "plain, s a game | made once, s | another checkpoint, s | largest relative difference |"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--compile", action="store_true", help="the plain forward by torch.compile, all cores"
    )
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")
    print(HEAD)
    print("| --- " * (HEAD.count("|") - 1) + "|")
    for name in asked.cases:
        row(name, CASES[name], asked.rounds, asked.compile)


def row(name: str, case: Case, rounds: int, compiled: bool) -> None:
    """Measure one game and print it."""
    game = case.game()
    plain = case.plain(game, partial(torch.compile, dynamic=False) if compiled else lambda network: network)
    spent, taken = timed(lambda: choose(game, case.plan))
    first, whole = timed(lambda: evaluate(game, plan=case.plan, progress=False))  # finds the indices, too
    again, _ = timed(lambda: choose(case.game(), case.plan))
    share = 2**game.n // TIMED
    chosen = coalition_masks(game.n)[::share]
    evaluate(game, chosen[:1], plan="dense", progress=False)  # traced before it is timed
    run = batched(plain, chosen[:64], workers=not compiled)
    times: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        plainly, _ = timed(lambda: run(chosen))
        densely, some = timed(lambda: evaluate(game, chosen, plan="dense", progress=False))
        planned, whole = timed(lambda: evaluate(game, plan=case.plan, progress=False))
        times.append((plainly * share, densely * share, planned))
    difference = ((whole[:, ::share] - some).abs().max() / some.abs().max()).item()
    plains, denses, plans = zip(*times, strict=True)
    cells = [
        f"{name}{', compiled' if compiled else ''}",
        str(game.n),
        case.plan,
        spread(plans, plains),
        f"{case.least:.3f}",
        spread(plans, denses),
        spread(denses, plains),
        f"{taken.share:.3f}",
        f"{statistics.median(plains):.1f}",
        f"{spent + first - statistics.median(plans):.1f}",
        f"{again:.1f}",
        f"{difference:.0e}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def batched(plain: Asked, some: Tensor, *, workers: bool) -> Callable[[Tensor], list[Tensor]]:
    """In batches that some coalitions are done fastest in; a worker a core, or all cores on each batch."""

    def work(coalitions: Tensor) -> Tensor:
        with torch.inference_mode():
            return plain(coalitions)

    def run(coalitions: Tensor, batch: int) -> list[Tensor]:
        batches = coalitions.split(batch)
        return in_workers(work, batches, torch.device("cpu")) if workers else [work(one) for one in batches]

    batch = fastest({size: partial(run, some, size) for size in BATCHES})
    return lambda coalitions: run(coalitions, batch)


def fastest(ways: Mapping[int, Callable[[], object]]) -> int:
    """The batch that is done soonest, the best of two times each."""
    return min(ways, key=lambda batch: min(timed(ways[batch])[0] for _ in range(2)))


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def spread(times: tuple[float, ...], others: tuple[float, ...]) -> str:
    """The median of the ratios round by round, the smallest and the largest."""
    ratios = [one / other for one, other in zip(times, others, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})"


if __name__ == "__main__":
    main()
