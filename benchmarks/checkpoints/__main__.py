"""What further checkpoints of one architecture cost: python -m benchmarks.checkpoints [NAME …]

Choosing a plan: what a checkpoint takes beside its forwards until its first scores. That is its trial, the
trace, planning, folded and packed weights, and indices. It is counted in CPU seconds of one thread: those of
all that, less those of the same forwards once more, when nothing else is left to do. Two checkpoints run in a
process without any cache, and one in a second process that finds the cache of the first. Each round has
processes and an empty cache of its own. Of ResNet-152 the trace, folded weights and the plan alone are timed,
since its forwards take minutes.

Equal beginnings: the seconds of a second checkpoint of which some parts differ, over those of the first; both
take turns on the games after the first. Its scores must be the bits of the checkpoint alone. Counted: the
second's work, in the multiply-adds by which plans are chosen, over the first's.

The rounds of a case replace its former rounds in benchmarks/checkpoints/*.csv, and the tables are made from
them. --table prints the tables of all cases in the files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.checkpoints.games import CASES, PARTS, tuned
from benchmarks.checkpoints.work import first_own_step, traced_of, work
from benchmarks.plans.rounds import processor
from benchmarks.tables import Rows
from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.game.masked_model import TRIAL
from harsanyi.interactions.game.trial import Trial
from harsanyi.interactions.machine.memory import plan_memory
from harsanyi.interactions.plans.choice import Choice, choose, together
from harsanyi.interactions.plans.graph.beginnings import common_steps
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.plan import Plan, require_agreement
from harsanyi.interactions.plans.regions.cuts import RegionPlan
from harsanyi.interactions.plans.regions.tables import RegionTables

FOLDER = Path(__file__).parent
# Coalitions of the first game: what a plan takes beside them does not depend on their number. How often the
# forwards are repeated.
COALITIONS, REPEATS = 16, 2
KEY = ["case"]
Result = TypeVar("Result")


def main() -> None:
    parser = parser_of("python -m benchmarks.checkpoints", __doc__, CASES)
    parser.add_argument("--only", choices=("choosing", "alike"), help="one of the two tables")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.process:
        print(json.dumps([overhead(options.cases[0], seed) for seed in range(options.rounds)]))
        return
    if options.only != "alike":
        measure_and_show(
            options,
            FOLDER / "choosing.csv",
            KEY,
            CASES,
            lambda name: choosing(name, options.rounds),
            choosing_table,
        )
        print()
    options.cases = [name for name in options.cases or PARTS if name in PARTS]
    if options.only != "choosing" and (options.cases or options.table):  # else no named case has parts
        measure_and_show(
            options, FOLDER / "alike.csv", KEY, PARTS, lambda name: alike(name, options.rounds), alike_table
        )


def overhead(name: str, seed: int) -> dict[str, object]:
    """The CPU seconds that a checkpoint costs beside its forwards, and those of the forwards."""
    case = CASES[name]
    game = case.game(case.network(seed))
    if case.planning:
        game.choices[TRIAL] = Trial(inputs=1)  # found to be repeatable, without a forward
        seconds, _ = cpu_seconds(lambda: planned(game))
        return {"plan": case.plan, "seconds": seconds, "forwards": float("nan")}
    trial, of_trial = trial_seconds(game)
    chosen = coalition_masks(game.n)[:: (1 << game.n) // COALITIONS]
    first = torch.zeros(COALITIONS, dtype=torch.int64)

    def scores(plan: Plan | None) -> Tensor:
        assert plan is not None
        return plan.scores(first, chosen)

    seconds, choice = cpu_seconds(lambda: choose(game, case.plan))
    seconds += cpu_seconds(lambda: scores(choice.plan))[0]
    again = statistics.median(cpu_seconds(lambda: scores(tried_again(choice)))[0] for _ in range(REPEATS))
    return {"plan": choice.name, "seconds": trial - of_trial + seconds - again, "forwards": of_trial + again}


def planned(game: MaskedModel) -> RegionPlan:
    """The cuts of a game's tables, from its trace with the weights folded in; no forward is made."""
    _, traced = traced_game(game)
    shape = tuple(game.elements.values.shape[1:])
    return RegionTables(game, traced, shape, plan_memory(game.device)).plan(0)


def trial_seconds(game: MaskedModel) -> tuple[float, float]:
    """The CPU seconds of a game's trial, and of the forwards in it."""
    assert isinstance(game.model, nn.Module)
    starts, forwards = list[float](), list[float]()
    hooks = (
        game.model.register_forward_pre_hook(lambda *_: starts.append(time.process_time())),
        game.model.register_forward_hook(lambda *_: forwards.append(time.process_time() - starts[-1])),
    )
    seconds, trial = cpu_seconds(lambda: game.trial)
    assert trial.batch is None
    for hook in hooks:
        hook.remove()
    return seconds, sum(forwards)


def tried_again(choice: Choice) -> Plan:
    """The plan of a choice after the forwards of its trial, which leaves tables to the first game."""
    plan = choice.plan
    assert plan is not None
    with torch.inference_mode(), plan.game.prepared():
        require_agreement(replace(plan, on_trial=True) if isinstance(plan, RegionTables) else plan)
    return plan


def choosing(name: str, rounds: int) -> pd.DataFrame:
    """The rounds of a case, a row each."""
    rows = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "benchmarks.checkpoints", name, "--process", "--rounds"]
            first, second = (
                json.loads(
                    subprocess.run(
                        [*command, checkpoints],
                        env=os.environ | {"XDG_CACHE_HOME": cache},
                        stdout=subprocess.PIPE,
                        check=True,
                    ).stdout.splitlines()[-1]
                )
                for checkpoints in ("2", "1")
            )
        rows.append(
            {"case": name, "round": number, "plan": first[0]["plan"], "n": CASES[name].players.n}
            | {"first": first[0]["seconds"], "second": first[1]["seconds"], "again": second[0]["seconds"]}
            | {"forwards": first[1]["forwards"]}
            | {"torch": torch.__version__, "processor": processor()}
        )
    return pd.DataFrame(rows)


def alike(name: str, rounds: int) -> pd.DataFrame:
    """The seconds of two checkpoints that differ in some parts, a row for each round."""
    case, rows = CASES[name], []
    base = case.network(0)
    for parts in PARTS[name]:
        games = [case.game(network) for network in (base, tuned(base, parts))]
        plan = choose(games[0], case.plan).name
        alone = scores(games[1], plan, 1)
        counted = counted_work(games, plan)
        with together(games, plan) as groups:
            assert groups == [[0, 1]]
            for game in games:
                scores(game, plan, 0)
            for number in range(1, rounds + 1):
                taken = [cpu_seconds(partial(scores, game, plan, 1 + number % 2)) for game in games]
                if number % 2 == 0:
                    assert torch.equal(taken[1][1], alone)
                rows.append(
                    {"case": name, "parts": " ".join(parts), "plan": plan, "n": games[0].n, "round": number}
                    | {"first": taken[0][0], "second": taken[1][0], "counted": counted}
                    | {"torch": torch.__version__, "processor": processor()}
                )
    return pd.DataFrame(rows)


def counted_work(games: list[MaskedModel], plan: str) -> float:
    """The work of the second checkpoint over that of the first."""
    chosen = choose(games[1], plan).plan
    assert chosen is not None
    costs, traced = work(chosen), traced_of(chosen)
    start = first_own_step(chosen, common_steps(traced_game(games[0])[1], traced))
    return sum(costs[step] for step in traced.steps[start:]) / sum(costs.values())


def scores(game: MaskedModel, plan: str, number: int) -> Tensor:
    """The value table of one game by a plan."""
    return evaluate(game, games=[number], plan=plan, progress=False)


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """The CPU seconds of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def choosing_table(rounds: pd.DataFrame) -> Rows:
    """A row for each case: medians, the smallest and the largest in brackets."""
    for name, group in rounds.groupby("case", sort=False):
        yield (
            {"network": CASES[str(name)].title, "n": int(group.n.iloc[0]), "plan": group.plan.iloc[0]}
            | {"first checkpoint, s": spread(group["first"]), "second, s": spread(group["second"])}
            | {"first of a second run, s": spread(group["again"])}
            | {
                "forwards on trial, s": "–"
                if CASES[str(name)].planning
                else f"{group['forwards'].median():.2f}"
            }
        )


def alike_table(rounds: pd.DataFrame) -> Rows:
    """A row for each case and its parts."""
    for (name, parts), group in rounds.groupby(["case", "parts"], sort=False):
        yield (
            {"network": CASES[str(name)].title, "n": int(group.n.iloc[0]), "plan": group.plan.iloc[0]}
            | {"differs": parts, "first, s a game": f"{group['first'].median():.2f}"}
            | {"second / first": spread(group["second"] / group["first"], digits=3)}
            | {"counted": "–" if group["counted"].isna().all() else f"{group['counted'].median():.3f}"}
        )


def spread(values: "pd.Series[float]", digits: int = 2) -> str:
    """The median, and the smallest and the largest in brackets."""
    return f"{values.median():.{digits}f} ({values.min():.{digits}f}–{values.max():.{digits}f})"


if __name__ == "__main__":
    main()
