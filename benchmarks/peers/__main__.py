"""The engine beside shapiq, shap and captum: python -m benchmarks.peers [CASE …] [--rounds 3] [--figure]

shap is not part of the environment: `make bench-peers` installs it beside, or pip install --no-deps --target
DIRECTORY -r benchmarks/peers/peers.txt, and then PYTHONPATH=DIRECTORY.

All packages explain the same score of a network with random weights, on the same image with zeros for masked
pixels, or the same sentence with one token for masked words. They alternate in one process.
benchmarks/peers/ways.py says how each is called. Work of a package before its first forward is not timed.

Forwards run until they have taken --seconds in one answer; after that the package gets zeros. The number of
masked inputs does not depend on their values (a fixed number of coalitions, permutations or evaluations;
Partition's may differ by one). So the seconds of a package are those of its answer, which has all work of its
own, plus those of the forwards left out at the mean of the others. The column `scaled` is the factor on the
forwards' seconds, 1 where all were made. A scaled answer is not compared with harsanyi's, and harsanyi is
never scaled.

Seconds and ratios are medians over the rounds, with smallest and largest. A ratio is to harsanyi's time in
the same round, or to the time of its first input. The largest difference is that of interactions, or else of
the players' values from harsanyi's Shapley values, as a share of the largest. Between exact ways it is the
rounding of float32, that of harsanyi included.

Rows go to benchmarks/peers/peers.csv, where they replace those of the same case. The figure is drawn from
that file.
"""

import argparse
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import pandas as pd
import torch
from torch import Tensor

from benchmarks.peers.figure import FIGURE, figure_of
from benchmarks.peers.question import NETWORKS, question_of, sizes_of
from benchmarks.peers.table import CSV, KEY, table
from benchmarks.peers.ways import FIRST, FURTHER, WAYS, Answer, first_input
from benchmarks.stopwatch import timed
from benchmarks.tables import show, store
from harsanyi.interactions import Interactions, shapley_values
from harsanyi.interactions.plans import estimates

# The cases by default.
DEFAULT = (
    "free:12",
    "resnet18:8",
    "resnet18:12",
    "vgg16:12",
    "resnet50:12",
    "convnext-tiny:10",
    "efficientnet-b0:10",
    "vit-tiny:10",
    "bert-6:12",
    "causal-30:12",
)
ROUNDS, SECONDS = 3, 10.0

# Measuring


@dataclass(frozen=True, eq=False)
class Timing:
    """One timed answer.

    Attributes:
        seconds: of the whole answer, scaled where forwards were left out.
        forwards: masked inputs.
        scaled: the factor on the forwards' seconds.
        values: interactions or players' values.
    """

    seconds: float
    forwards: int
    scaled: float
    values: Tensor


def timed_answer(answer: Answer, n: int, limit: float) -> Timing:
    """Time one answer. A peer's network counts its masked inputs; harsanyi answers for all 2ⁿ.

    Args:
        answer: of a way.
        n: players.
        limit: seconds of forwards.
    """
    if answer.network is None:
        seconds, values = timed(answer.run)
        return Timing(seconds, 2**n, 1.0, values)
    answer.network.begin(limit)
    seconds, values = timed(answer.run)
    return Timing(seconds + answer.network.left_out, answer.network.inputs, answer.network.scaled, values)


def measured(case: str, rounds: int, limit: float) -> pd.DataFrame:
    """The rows of a case, one a way.

    Args:
        case: network:players.
        rounds: how many.
        limit: seconds of forwards in one answer.
    """
    network, _, players = case.partition(":")
    question = question_of(network, n := int(players))
    # Once and first: the process may keep the work done for the first input.
    first = timed_answer(first_input(question), n, limit)
    answers = {way: how.prepare(question) for way, how in WAYS.items() if how.serves(question)}
    further = {way: answer for way, answer in answers.items() if way != FIRST}
    turns = [
        {FIRST: first} | {way: timed_answer(answer, n, limit) for way, answer in further.items()}
        for _ in range(rounds)
    ]
    seconds = pd.DataFrame([{way: each.seconds for way, each in turn.items()} for turn in turns])
    last = turns[-1]
    return pd.DataFrame(
        {
            **{"network": network, "n": n, "way": way},
            "package": f"{WAYS[way].package} {version(WAYS[way].package)}",
            "gives": WAYS[way].gives,
            "batch": answers[way].batch or 0,
            **spread(seconds[way], "seconds", "low", "high"),
            "rounds": 1 if way == FIRST else rounds,
            "forwards": last[way].forwards,
            "scaled": max(turn[way].scaled for turn in turns),
            **ratios(seconds[way] / seconds[FIRST], "first"),
            **ratios(seconds[way] / seconds[FURTHER], "further"),
            "difference": difference(last[way], last[FURTHER].values),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        for way in answers
    )


def warm() -> None:
    """Do all imports and compilations, so that none is timed."""
    question = question_of("free", 4)
    estimates(question.game())
    for way in WAYS.values():
        way.prepare(question).run()


def spread(rounds: "pd.Series[float]", middle: str, low: str, high: str) -> dict[str, float]:
    """The median, the smallest and the largest over the rounds, under three names."""
    return {middle: rounds.median(), low: rounds.min(), high: rounds.max()}


def ratios(times: "pd.Series[float]", name: str) -> dict[str, float]:
    """The spread of times over harsanyi's, under the names in the file."""
    return spread(times, f"over_{name}", f"over_{name}_low", f"over_{name}_high")


def difference(timing: Timing, exact: Tensor) -> float:
    """The largest difference from harsanyi's answer over its largest entry, without the empty coalition.

    NaN for a scaled answer, which has zeros in it.

    Args:
        timing: of a way.
        exact: harsanyi's interactions.
    """
    if timing.scaled > 1:
        return float("nan")
    if len(timing.values) < len(exact):
        effects = exact[None]
        exact = shapley_values(Interactions(effects, torch.zeros_like(effects), effects, "and"))[0]
        values = timing.values
    else:
        values, exact = timing.values[1:], exact[1:]
    return ((values - exact).abs().max() / exact.abs().max()).item()


# The command line


def command_line() -> argparse.ArgumentParser:
    """The parser; its help is this file's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        usage="%(prog)s [-h] [--rounds ROUNDS] [--seconds LIMIT] [--figure] [CASE ...]",
        description=__doc__,
        epilog=f"By default the cases are {' '.join(DEFAULT)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cases = f"a network ({', '.join(NETWORKS)}) and a number of players, such as resnet18:12"
    parser.add_argument("cases", nargs="*", metavar="CASE", help=cases)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each case; by default %(default)d")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="LIMIT",
        help="of forwards in one answer of a peer, the rest is scaled; by default %(default)g",
    )
    parser.add_argument("--figure", action="store_true", help="draw from the file, measure nothing")
    return parser


def draw() -> None:
    """Draw the figure from the file."""
    figure_of(pd.read_csv(CSV)).savefig(FIGURE, dpi=200)
    print(f"\nwritten: {FIGURE}")


def main() -> None:
    parser = command_line()
    options = parser.parse_args()
    possible = [f"{name}:{n}" for name in NETWORKS for n in sizes_of(name)]
    if unknown := [case for case in options.cases if case not in possible]:
        parser.error(f"no case {unknown[0]!r}: expected one of {', '.join(possible)}")
    if options.seconds <= 0:
        parser.error(
            f"--seconds is {options.seconds:g}: expected more than 0, some forwards have to be timed"
        )
    if options.figure:
        draw()
        return
    if not find_spec("shap"):
        parser.error(
            "shap is not installed: run `make bench-peers`, or pip install --no-deps --target DIRECTORY "
            "-r benchmarks/peers/peers.txt and set PYTHONPATH=DIRECTORY"
        )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    warm()
    for case in options.cases or DEFAULT:
        rows = measured(case, options.rounds, options.seconds)
        store(CSV, rows, KEY, WAYS)
        print(f"\n## {case}, {rows['rounds'].max()} rounds\n")
        show(table(rows))
    draw()


if __name__ == "__main__":
    main()
