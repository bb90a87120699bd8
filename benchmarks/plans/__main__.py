"""Whole value tables by a plan, beside plain forwards: python -m benchmarks.plans [NAME …]

Three ways alternate in one process, on one game with all 2^n coalitions: the plain forward (networks fused,
channels last, the fastest batch of 4 to 32, a single-threaded worker a core), this project's dense plan, and
the plan. The first two are timed on 128 coalitions and scaled, since a forward costs the same on each. The
plan is timed on the whole table. The work done once for an architecture and its players (trace, regions,
indices) is timed separately, and so is the rest of it that another checkpoint of the same architecture still
needs. Weights are random.

The rounds of a case replace its former rounds in benchmarks/plans/plans.csv, and the table is made from them.
--table prints the table of all cases in the file.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.plans.games import CASES, PlainForward
from benchmarks.plans.rounds import CSV, KEY, processor, table
from benchmarks.stopwatch import fastest, timed
from harsanyi.interactions import coalition_masks, evaluate
from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.plans import choose

# Coalitions that the plain forward and the dense plan are timed on.
TIMED_COALITIONS = 128
BATCHES = (4, 8, 16, 32)


def main() -> None:
    parser = parser_of("python -m benchmarks.plans", __doc__, CASES)
    parser.add_argument(
        "--compile", action="store_true", help="the plain forward by torch.compile, all cores"
    )
    options = parser.parse_args()
    measure_and_show(
        options, CSV, KEY, CASES, lambda name: measured(name, options.rounds, options.compile), table
    )


def measured(name: str, rounds: int, compiled: bool) -> pd.DataFrame:
    """The rounds of a case, a row each; see `rounds`.

    Args:
        name: of the case.
        rounds: how many.
        compiled: whether the plain forward is by torch.compile.
    """
    case = CASES[name]
    game = case.game()
    evaluated = partial(evaluate, game, progress=False)
    plain = case.plain(game, partial(torch.compile, dynamic=False) if compiled else lambda network: network)
    choosing, choice = timed(choose, game, case.plan)
    first, _ = timed(evaluated, plan=case.plan)  # computes the indices, too
    another, _ = timed(lambda: choose(case.game(), case.plan))
    share = 2**game.n // TIMED_COALITIONS
    chosen = coalition_masks(game.n)[::share]
    evaluated(chosen[:1], plan="dense")  # traced before it is timed
    run = batched(plain, chosen[:64], workers=not compiled)
    rows = []
    for number in range(1, rounds + 1):
        plainly, _ = timed(run, chosen)
        densely, part = timed(evaluated, chosen, plan="dense")
        planned, whole = timed(evaluated, plan=case.plan)
        rows.append(
            {"compiled": compiled, "case": name, "plan": case.plan, "n": game.n, "round": number}
            | {"plain": plainly * share, "dense": densely * share, "planned": planned}
            | {"first": choosing + first, "another": another, "counted": choice.share}
            | {"difference": ((whole[:, ::share] - part).abs().max() / part.abs().max()).item()}
            | {"torch": torch.__version__, "processor": processor(), "threads": torch.get_num_threads()}
        )
    return pd.DataFrame(rows)


def batched(plain: PlainForward, trial: Tensor, *, workers: bool) -> Callable[[Tensor], list[Tensor]]:
    """The plain forward in batches of the fastest size.

    Args:
        plain: the forward.
        trial: coalitions to find the size on.
        workers: whether each core has a batch of its own; else all cores share one.
    """

    def work(coalitions: Tensor) -> Tensor:
        with torch.inference_mode():
            return plain(coalitions)

    def run(coalitions: Tensor, batch: int) -> list[Tensor]:
        batches = coalitions.split(batch)
        return in_workers(work, batches, torch.device("cpu")) if workers else [work(part) for part in batches]

    batch = fastest({size: partial(run, trial, size) for size in BATCHES})
    return lambda coalitions: run(coalitions, batch)


if __name__ == "__main__":
    main()
