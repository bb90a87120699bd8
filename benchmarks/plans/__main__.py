"""Whole value tables by a plan, beside the same forwards asked plainly: python -m benchmarks.plans [NAME …]

All ways take turns in one process, on one game in all 2^n coalitions: the plain forward (networks fused,
channels last, the fastest batch of 4 to 32, a single-threaded worker a core), this project's dense plan, and
the plan. The first two are timed on 128 coalitions and scaled, since a forward costs the same on each; the
plan on the whole table. What is made once for an architecture and its players (trace, regions, indices)
is timed by itself, and so is what another checkpoint of the same architecture still needs. Random weights.

The rounds of a case go to benchmarks/plans/plans.csv, in place of those it had, and the table is made from
them; --table prints that of all cases in the file.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.plans.games import CASES, Asked
from benchmarks.plans.rounds import CSV, KEY, processor, table
from benchmarks.stopwatch import fastest, timed
from harsanyi.interactions import coalition_masks, evaluate
from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.plans.choice import choose

# Coalitions that the plain forward and the dense plan are timed on.
TIMED = 128
BATCHES = (4, 8, 16, 32)


def main() -> None:
    parser = parser_of("python -m benchmarks.plans", __doc__, CASES)
    parser.add_argument(
        "--compile", action="store_true", help="the plain forward by torch.compile, all cores"
    )
    asked = parser.parse_args()
    measure_and_show(asked, CSV, KEY, CASES, lambda name: measured(name, asked.rounds, asked.compile), table)


def measured(name: str, rounds: int, compiled: bool) -> pd.DataFrame:
    """One row a round; see `rounds`."""
    case = CASES[name]
    game = case.game()
    evaluated = partial(evaluate, game, progress=False)
    plain = case.plain(game, partial(torch.compile, dynamic=False) if compiled else lambda network: network)
    choosing, taken = timed(choose, game, case.plan)
    first, _ = timed(evaluated, plan=case.plan)  # finds the indices, too
    another, _ = timed(lambda: choose(case.game(), case.plan))
    share = 2**game.n // TIMED
    chosen = coalition_masks(game.n)[::share]
    evaluated(chosen[:1], plan="dense")  # traced before it is timed
    run = batched(plain, chosen[:64], workers=not compiled)
    rows = []
    for number in range(1, rounds + 1):
        plainly, _ = timed(run, chosen)
        densely, some = timed(evaluated, chosen, plan="dense")
        planned, whole = timed(evaluated, plan=case.plan)
        rows.append(
            {"compiled": compiled, "case": name, "plan": case.plan, "n": game.n, "round": number}
            | {"plain": plainly * share, "dense": densely * share, "planned": planned}
            | {"first": choosing + first, "another": another, "counted": taken.share}
            | {"difference": ((whole[:, ::share] - some).abs().max() / some.abs().max()).item()}
            | {"torch": torch.__version__, "processor": processor(), "threads": torch.get_num_threads()}
        )
    return pd.DataFrame(rows)


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


if __name__ == "__main__":
    main()
