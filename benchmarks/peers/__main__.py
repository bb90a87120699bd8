"""The engine beside shapiq, shap and captum: python -m benchmarks.peers [CASE …] [--rounds 3] [--figure]

shap is not part of the environment: `make bench-peers` installs it beside, or pip install --no-deps --target
DIRECTORY -r benchmarks/peers/peers.txt, and then PYTHONPATH=DIRECTORY.

All are asked about the same image and logit of a network of random weights, with zeros for what is masked,
in one process and in turns. benchmarks/peers/ways.py tells how each is asked. What a package makes before its
first forward is not timed.

Forwards are made until they have taken --seconds in one answer; a peer that asks for more gets zeros from
then on. A peer asks for as many masked inputs whatever it is told (a fixed number of coalitions, permutations
or evaluations; Partition's may differ by one), so its seconds are those of the answer, in which all work of
its own is done, and those that the forwards left out would have taken at the mean of those made. The column
`scaled` says by how much the forwards' seconds were multiplied: 1 where all were made. A scaled answer is not
compared with harsanyi's, and harsanyi is never scaled.

Seconds and ratios are medians over the rounds, with smallest and largest; a ratio is to harsanyi's time in
the same round, or to that of its one first input. The largest difference is that of interactions, or else of
the players' values from harsanyi's Shapley values, as a share of the largest. Between exact ways it is
float32's rounding, that of harsanyi included.

Rows go to benchmarks/peers/peers.csv in place of those of the same case; the figure is drawn from that file.
"""

import argparse
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import pandas as pd
import torch
from torch import Tensor

from benchmarks.masked_images import GRIDS
from benchmarks.peers.figure import FIGURE, figure_of
from benchmarks.peers.question import NETWORKS, asked
from benchmarks.peers.table import CSV, KEY, table
from benchmarks.peers.ways import FIRST, FURTHER, WAYS, Answer, first_input
from benchmarks.stopwatch import timed
from benchmarks.tables import keep, show
from harsanyi.interactions import Interactions, shapley_values
from harsanyi.interactions.plans.choice import estimates

# Rounds of the cases that are measured unless others are named.
DEFAULT = {"free:12": 3, "resnet18:8": 3, "resnet18:12": 1, "vit-tiny:12": 1, "vgg16:12": 1}
SECONDS = 120.0

# Measuring


@dataclass(frozen=True, eq=False)
class Run:
    """One answer: its seconds, the masked inputs, what the forwards were scaled by, and what came of it."""

    seconds: float
    forwards: int
    scaled: float
    found: Tensor


def run(answer: Answer, n: int, limit: float) -> Run:
    """A peer's network counts the masked inputs; harsanyi answers for all 2ⁿ."""
    if answer.network is None:
        seconds, found = timed(answer.run)
        return Run(seconds, 2**n, 1.0, found)
    answer.network.begin(limit)
    seconds, found = timed(answer.run)
    return Run(seconds + answer.network.left_out, answer.network.asked, answer.network.scaled, found)


def measured(case: str, rounds: int, limit: float) -> pd.DataFrame:
    """One row a way."""
    network, _, players = case.partition(":")
    question = asked(network, n := int(players))
    # Once, and before all else: what is made for the first input may be kept for as long as the process is.
    first = run(first_input(question), n, limit)
    answers = {way: how.prepare(question) for way, how in WAYS.items() if n <= how.most}
    further = {way: answer for way, answer in answers.items() if way != FIRST}
    runs = [
        {FIRST: first} | {way: run(answer, n, limit) for way, answer in further.items()}
        for _ in range(rounds)
    ]
    seconds = pd.DataFrame([{way: each.seconds for way, each in turn.items()} for turn in runs])
    last = runs[-1]
    return pd.DataFrame(
        {
            **{"network": network, "n": n, "way": way},
            "package": f"{WAYS[way].package} {version(WAYS[way].package)}",
            "gives": WAYS[way].gives,
            "batch": answers[way].batch or 0,
            **spread(seconds[way], "seconds", "low", "high"),
            "rounds": 1 if way == FIRST else rounds,
            "forwards": last[way].forwards,
            "scaled": max(turn[way].scaled for turn in runs),
            **ratios(seconds[way] / seconds[FIRST], "first"),
            **ratios(seconds[way] / seconds[FURTHER], "further"),
            "difference": difference(last[way], last[FURTHER].found),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        for way in answers
    )


def warm() -> None:
    """All imports and compilations done, so that none is timed."""
    question = asked("free", 4)
    estimates(question.game())
    for way in WAYS.values():
        way.prepare(question).run()


def spread(rounds: "pd.Series[float]", middle: str, low: str, high: str) -> dict[str, float]:
    """Over the rounds: the median, the smallest and the largest, by these names."""
    return {middle: rounds.median(), low: rounds.min(), high: rounds.max()}


def ratios(times: "pd.Series[float]", name: str) -> dict[str, float]:
    """How many times as long as harsanyi took: the spread of it, by the names in the file."""
    return spread(times, f"over_{name}", f"over_{name}_low", f"over_{name}_high")


def difference(run: Run, exact: Tensor) -> float:
    """The largest difference from harsanyi's answer over its largest entry; the empty coalition left out.

    NaN of a scaled answer, which is not one.
    """
    if run.scaled > 1:
        return float("nan")
    if len(run.found) < len(exact):
        effects = exact[None]
        exact = shapley_values(Interactions(effects, torch.zeros_like(effects), effects, "and"))[0]
        found = run.found
    else:
        found, exact = run.found[1:], exact[1:]
    return ((found - exact).abs().max() / exact.abs().max()).item()


# The command line


def command_line() -> argparse.ArgumentParser:
    """What can be asked for; its help is this file's docstring."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        usage="%(prog)s [-h] [--rounds ROUNDS] [--seconds LIMIT] [--figure] [CASE ...]",
        description=__doc__,
        epilog=f"Unless given, the cases are {' '.join(DEFAULT)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    networks, players = ", ".join(NETWORKS), ", ".join(map(str, GRIDS))
    cases = f"a network ({networks}) and a number of players ({players}), such as resnet18:12"
    made.add_argument("cases", nargs="*", metavar="CASE", help=cases)
    made.add_argument("--rounds", type=int, help="of each case; 1 to 3 by its length unless given")
    made.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="LIMIT",
        help="of forwards in one answer of a peer, what is more is scaled; %(default)g unless given",
    )
    made.add_argument("--figure", action="store_true", help="draw from the file, measure nothing")
    return made


def draw() -> None:
    figure_of(pd.read_csv(CSV)).savefig(FIGURE, dpi=200)
    print(f"\nwritten: {FIGURE}")


def main() -> None:
    line = command_line()
    given = line.parse_args()
    possible = [f"{name}:{n}" for name in NETWORKS for n in GRIDS]
    if unknown := [case for case in given.cases if case not in possible]:
        line.error(f"no case {unknown[0]!r}: expected one of {', '.join(possible)}")
    if given.seconds <= 0:
        line.error(f"--seconds is {given.seconds:g}: expected more than 0, some forwards have to be timed")
    if given.figure:
        draw()
        return
    if not find_spec("shap"):
        line.error(
            "shap is not installed: run `make bench-peers`, or pip install --no-deps --target DIRECTORY "
            "-r benchmarks/peers/peers.txt and set PYTHONPATH=DIRECTORY"
        )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    warm()
    for case in given.cases or DEFAULT:
        rows = measured(case, given.rounds or DEFAULT.get(case, 1), given.seconds)
        keep(CSV, rows, KEY, WAYS)
        print(f"\n## {case}, {rows['rounds'].max()} rounds\n")
        show(table(rows))
    draw()


if __name__ == "__main__":
    main()
