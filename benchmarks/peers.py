"""The engine beside shapiq, shap and captum: python -m benchmarks.peers [CASE …] [--rounds 3] [--figure]

shap is not part of the environment: pip install --no-deps --target DIRECTORY -r benchmarks/peers.txt, and
then PYTHONPATH=DIRECTORY.

All are asked about the same image and logit of a network of random weights, with zeros for what is masked,
in one process and in turns. benchmarks/peer_ways.py tells how each is asked. What a package makes before its
first forward is not timed, and nothing is extrapolated.

Seconds and ratios are medians over the rounds, with smallest and largest; a ratio is to harsanyi's time in
the same round, or to that of its one first input. The largest difference is that of interactions, or else of
the players' values from harsanyi's Shapley values, as a share of the largest. Between exact ways it is
float32's rounding, that of harsanyi included.

Rows go to benchmarks/peers.csv in place of those of the same case, and the figure is drawn from that file.
"""

import argparse
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from analyses.figures import whole
from benchmarks.peer_question import GRIDS, NETWORKS, asked
from benchmarks.peer_ways import DIFFERENCES, FIRST, FURTHER, WAYS, Answer, first_input
from benchmarks.peers_figure import FIGURE, SHOWN, plot_peers, shown
from benchmarks.plans import timed
from interactions import Interactions, shapley_values
from interactions.choice import estimates

CSV = Path("benchmarks/peers.csv")
# Rounds of the cases that are measured unless others are named.
DEFAULT = {"free:8": 3, "free:12": 3, "resnet18:8": 3, "vit-tiny:8": 3, "vgg16:8": 1, "resnet18:12": 1}
KEY = ["network", "n", "way"]
HEADS = (
    *("way", "gives", "batch", "s an input", "smallest–largest"),
    *("masked inputs", "masked inputs a second", "s for 1,000"),
    *("times as long as harsanyi: first input", "further input", "largest difference"),
)

# Measuring


@dataclass(frozen=True, eq=False)
class Run:
    """One answer: its seconds, the masked inputs, and what came of it."""

    seconds: float
    forwards: int
    found: Tensor


def run(answer: Answer, n: int) -> Run:
    """A peer's network counts the masked inputs; harsanyi answers for all 2ⁿ."""
    before = answer.network.forwards if answer.network else 0
    seconds, found = timed(answer.run)
    return Run(seconds, answer.network.forwards - before if answer.network else 2**n, found)


def measured(case: str, rounds: int) -> pd.DataFrame:
    """One row a way."""
    network, _, players = case.partition(":")
    question = asked(network, n := int(players))
    # Once, and before all else: what is made for the first input may be kept for as long as the process is.
    first = run(first_input(question), n)
    answers = {way: how.prepare(question) for way, how in WAYS.items() if n <= how.most}
    further = {way: answer for way, answer in answers.items() if way != FIRST}
    runs = [{FIRST: first} | {way: run(answer, n) for way, answer in further.items()} for _ in range(rounds)]
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
            **ratios(seconds[way] / seconds[FIRST], "first"),
            **ratios(seconds[way] / seconds[FURTHER], "further"),
            "difference": difference(last[way].found, last[FURTHER].found),
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


def spread(rounds: pd.Series, middle: str, low: str, high: str) -> dict[str, float]:
    """Over the rounds: the median, the smallest and the largest, by these names."""
    return {middle: rounds.median(), low: rounds.min(), high: rounds.max()}


def ratios(times: pd.Series, name: str) -> dict[str, float]:
    """How many times as long as harsanyi took: the spread of it, by the names in the file."""
    return spread(times, f"over_{name}", f"over_{name}_low", f"over_{name}_high")


def difference(found: Tensor, exact: Tensor) -> float:
    """The largest difference from harsanyi's answer over its largest entry; the empty coalition left out."""
    if len(found) < len(exact):
        exact = shapley_values(Interactions(exact[None], torch.zeros(1, len(exact)), exact[None], "and"))[0]
    else:
        found, exact = found[1:], exact[1:]
    return ((found - exact).abs().max() / exact.abs().max()).item()


# The file and its tables


def keep(table: pd.DataFrame) -> None:
    """Put these rows into the file, in place of their like, in the order of the ways."""
    if CSV.exists():
        old = pd.read_csv(CSV)
        again = old.set_index(KEY).index.isin(table.set_index(KEY).index)
        table = pd.concat([old[~again], table])
    order = {way: place for place, way in enumerate(WAYS)}
    table = table.sort_values(KEY, key=lambda column: column.map(order) if column.name == "way" else column)
    table.to_csv(CSV, index=False, float_format="%.6g")


def show(rows: pd.DataFrame) -> None:
    """One case's table in Markdown."""
    print(f"\n## {rows.network.iloc[0]}, {rows.n.iloc[0]} players, {rows.rounds.max()} rounds\n")
    print(f"| {' | '.join(HEADS)} |")
    print("| --- " * len(HEADS) + "|")
    for row in rows.itertuples():
        cells = (
            *(f"{row.way} ({row.package.split()[-1]})", row.gives, row.batch or "own"),
            *(f"{row.seconds:.3g}", f"{row.low:.3g}–{row.high:.3g}"),
            *(f"{row.forwards:,}", f"{row.forwards / row.seconds:,.0f}"),
            f"{1000 * row.seconds / row.forwards:.3g}",
            f"{row.over_first:.2f} ({row.over_first_low:.2f}–{row.over_first_high:.2f})",
            f"{row.over_further:.2f} ({row.over_further_low:.2f}–{row.over_further_high:.2f})",
            "–" if row.gives == DIFFERENCES else f"{row.difference:.1e}",
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def draw() -> None:
    """The figure, if the file has its case."""
    table = pd.read_csv(CSV)
    if len(shown(table)):
        whole(plot_peers(table)).savefig(FIGURE, dpi=200)
        print(f"\nwritten: {FIGURE}")
    else:
        print(f"\n{CSV} has no {SHOWN[0]}:{SHOWN[1]}, which the figure shows")


# The command line


def command_line() -> argparse.ArgumentParser:
    """What can be asked for; its help is this file's docstring."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        usage="%(prog)s [-h] [--rounds ROUNDS] [--figure] [CASE ...]",
        description=__doc__,
        epilog=f"Unless given, the cases are {' '.join(DEFAULT)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    networks, players = ", ".join(NETWORKS), ", ".join(map(str, GRIDS))
    cases = f"a network ({networks}) and a number of players ({players}), such as resnet18:12"
    made.add_argument("cases", nargs="*", metavar="CASE", help=cases)
    made.add_argument("--rounds", type=int, help="of each case; 1 to 3 by its length unless given")
    made.add_argument("--figure", action="store_true", help="draw from the file, measure nothing")
    return made


def main() -> None:
    line = command_line()
    given = line.parse_args()
    possible = [f"{name}:{n}" for name in NETWORKS for n in GRIDS]
    if unknown := [case for case in given.cases if case not in possible]:
        line.error(f"no case {unknown[0]!r}: expected one of {', '.join(possible)}")
    if given.figure:
        draw()
        return
    if not find_spec("shap"):
        line.error(
            "shap is not installed: pip install --no-deps --target DIRECTORY -r benchmarks/peers.txt, "
            "then set PYTHONPATH=DIRECTORY"
        )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    warm()
    for case in given.cases or DEFAULT:
        rows = measured(case, given.rounds or DEFAULT.get(case, 1))
        keep(rows)
        show(rows)
    draw()


if __name__ == "__main__":
    main()
