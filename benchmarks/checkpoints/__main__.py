"""What further checkpoints of one architecture cost: python -m benchmarks.checkpoints [NAME …]

Choosing a plan: the work beside a game's own, which is that of choosing and of the first game less that of a
further one. It is counted in CPU seconds of one thread, for two checkpoints in a process without any cache
and for one in a second process that finds the cache of the first. The trial of a game, thirty forwards, is
not in it. Each round has processes and an empty cache of its own.

Equal beginnings: the seconds of a second checkpoint of which some parts differ, over those of the first; both
take turns on the games after the first. Its scores must be the bits of the checkpoint alone.

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
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.checkpoints.games import CASES, GAMES, PARTS, tuned
from benchmarks.plans.rounds import processor
from benchmarks.tables import Rows
from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.plans.choice import choose, together

FOLDER = Path(__file__).parent
# Coalitions of each game: what a plan takes beside them does not depend on their number.
COALITIONS = 16
KEY = ["case"]
Result = TypeVar("Result")


def main() -> None:
    parser = parser_of("python -m benchmarks.checkpoints", __doc__, CASES)
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.process:
        print(json.dumps([overhead(options.cases[0], seed) for seed in range(options.rounds)]))
        return
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
    if not (options.cases or options.table):
        return  # none of the named cases has parts
    measure_and_show(
        options, FOLDER / "alike.csv", KEY, PARTS, lambda name: alike(name, options.rounds), alike_table
    )


def overhead(name: str, seed: int) -> dict[str, object]:
    """The CPU seconds that a checkpoint costs beside its games."""
    case = CASES[name]
    game = case.game(case.network(seed))
    assert game.trial.batch is None
    seconds, choice = cpu_seconds(lambda: choose(game, case.plan))
    assert choice.plan is not None
    chosen = coalition_masks(game.n)[:: (1 << game.n) // COALITIONS]
    numbers = [torch.full((COALITIONS,), number) for number in range(GAMES)]
    of_game = [cpu_seconds(partial(choice.plan.scores, which, chosen))[0] for which in numbers]
    return {"plan": choice.name, "seconds": seconds + of_game[0] - statistics.median(of_game[1:])}


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
                    | {"first": taken[0][0], "second": taken[1][0]}
                    | {"torch": torch.__version__, "processor": processor()}
                )
    return pd.DataFrame(rows)


def scores(game: MaskedModel, plan: str, number: int) -> torch.Tensor:
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
        )


def alike_table(rounds: pd.DataFrame) -> Rows:
    """A row for each case and its parts."""
    for (name, parts), group in rounds.groupby(["case", "parts"], sort=False):
        yield (
            {"network": CASES[str(name)].title, "n": int(group.n.iloc[0]), "plan": group.plan.iloc[0]}
            | {"differs": parts, "first, s a game": f"{group['first'].median():.2f}"}
            | {"second / first": spread(group["second"] / group["first"], digits=3)}
        )


def spread(values: "pd.Series[float]", digits: int = 2) -> str:
    """The median, and the smallest and the largest in brackets."""
    return f"{values.median():.{digits}f} ({values.min():.{digits}f}–{values.max():.{digits}f})"


if __name__ == "__main__":
    main()
