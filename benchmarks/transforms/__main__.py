"""Transforms beside a plain loop in C: python -m benchmarks.transforms [NAME …]

`butterfly_` and a plain butterfly in C (butterfly.c, compiled by the system's cc for this processor) take
turns on the same tables in one process. First all ways must give the same bits. Batches have 64 MiB, more
than the caches hold; alone is one table, in the cache. One core: seconds of the processor's time, which the
work of others on a shared machine lengthens less than seconds of the wall. All cores: seconds of the wall;
the C loop has its share of the tables on each core.

The file has one row a round of a case:
    case, n, games, calls, round: the question; a call transforms all games.
    c, harsanyi: seconds of a call on one core, in place.
    passes: the same, each player's pass over all games before the next player's, as under autograd.
    interactions: seconds of `and_interactions` on one core, which leaves the table as it is.
    c_cores, harsanyi_cores: seconds of a call on all cores; empty for a table alone.
    torch, processor, threads: versions and machine.
The rounds of a case replace its former rounds in the file, and the table is made from them. --table prints
the table of all cases in the file.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.plans.rounds import processor, spread
from benchmarks.stopwatch import one_thread, timed
from benchmarks.tables import Rows
from benchmarks.transforms.plain import plain_butterfly
from harsanyi.interactions import and_interactions
from harsanyi.interactions.effects.butterfly import butterfly_

CSV = Path("benchmarks/transforms/transforms.csv")
KEY = ["case"]
# Entries of a batch, and calls for a table alone.
BATCH, CALLS = 2**23, 1000


@dataclass(frozen=True)
class Case:
    """Tables of n players: a batch, or one alone."""

    n: int
    games: int
    calls: int

    @property
    def alone(self) -> bool:
        """Whether there is one table in the cache, and nothing to share among cores."""
        return self.games << self.n < BATCH


CASES = {str(n): Case(n, BATCH >> n, 1) for n in (8, 10, 12, 14, 16, 18, 20, 22)} | {
    f"{n}-alone": Case(n, 1, CALLS) for n in (4, 6, 8, 10, 12, 14)
}

Tables = Float64[Tensor, "games coalitions"]
Way = Callable[[Tables], object]


def main() -> None:
    options = parser_of("python -m benchmarks.transforms", __doc__, CASES).parse_args()
    measure_and_show(options, CSV, KEY, CASES, lambda name: measured(name, options.rounds), table)


def measured(name: str, rounds: int) -> pd.DataFrame:
    """The rounds of a case, a row each, as in the file."""
    case, threads = CASES[name], torch.get_num_threads()
    check(torch.randn(case.games, 2**case.n, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    tables = torch.zeros(case.games, 2**case.n, dtype=torch.float64)
    one: dict[str, Way] = {
        "c": plain_butterfly(),
        "harsanyi": in_place,
        "passes": passes,
        "interactions": and_interactions,
    }
    every: dict[str, Way] = {"c_cores": shared, "harsanyi_cores": in_place}
    for way in (*one.values(), *every.values()):
        way(tables)  # memory that is new to the process
    rows = [
        {"case": name, "n": case.n, "games": case.games, "calls": case.calls, "round": number}
        | {way: seconds_on_one_core(run, tables, case.calls) for way, run in one.items()}
        | {way: math.nan if case.alone else timed(run, tables)[0] for way, run in every.items()}
        | {"torch": torch.__version__, "processor": processor(), "threads": threads}
        for number in range(1, rounds + 1)
    ]
    return pd.DataFrame(rows)


def check(tables: Tables) -> None:
    """Raise a ValueError unless all ways give the same bits."""
    expected = tables.clone()
    plain_butterfly()(expected)
    for way in (in_place, passes, shared):
        found = tables.clone()
        way(found)
        if not torch.equal(found, expected):
            raise ValueError(
                f"{way.__name__} and the loop in C give other bits: mend that before it is timed"
            )


def in_place(tables: Tables) -> None:
    """This project's transform."""
    butterfly_(tables, sign=-1)


def passes(tables: Tables) -> None:
    """Each player's pass over all tables before the next player's."""
    for player in range(tables.shape[1].bit_length() - 1):
        halves = tables.view(-1, 2, 2**player)
        halves[:, 1].sub_(halves[:, 0])


def shared(tables: Tables) -> None:
    """The loop in C, with its share of the tables on each core."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(plain_butterfly(), tables.chunk(threads)))


def seconds_on_one_core(way: Way, tables: Tables, calls: int) -> float:
    """Seconds of the processor's time for a call."""
    with one_thread():
        start = time.thread_time()
        for _ in range(calls):
            way(tables)
        return (time.thread_time() - start) / calls


def table(rounds: pd.DataFrame) -> Rows:
    """One row a case: medians, smallest and largest in brackets."""
    for _, rows in rounds.groupby(KEY, sort=False):
        first = rows.iloc[0]
        cores = rows["harsanyi_cores"] / rows["c_cores"]
        yield {
            "n": first["n"],
            "games": first["games"],
            "C, µs a table": microseconds(rows["c"] / first["games"]),
            "harsanyi / C": spread(rows["harsanyi"] / rows["c"]),
            "on all cores": "–" if cores.isna().any() else spread(cores),
            "pass by pass / C": spread(rows["passes"] / rows["c"]),
            "`and_interactions`, µs a table": microseconds(rows["interactions"] / first["games"]),
        }


def microseconds(seconds: "pd.Series[float]") -> str:
    """The median in µs, to three digits."""
    return f"{1e6 * seconds.median():,.3g}" if seconds.median() < 1e-3 else f"{1e6 * seconds.median():,.0f}"


if __name__ == "__main__":
    main()
