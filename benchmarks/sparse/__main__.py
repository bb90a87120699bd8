"""The sparse AND-OR split beside other solvers: python -m benchmarks.sparse [SECTION ...] [--quick]

All runs in one process. Times that are compared alternate; medians and quartiles are over the rounds. The
value tables are those of trained networks, which the commands in `TABLES` make, and of planted games. Tables
of 8 and 10 players are those of 10 and 12 with the first players always present.

The published recipe is timed as it is published, one game at a time with dense 2ⁿ×2ⁿ matrices, over a part of
its 10,000 steps. Its end point is computed with fast transforms in float64, which differ from dense ones by
rounding only. It is the best of four rates for each game; the time is that of one rate.
"""

import argparse

import torch

from benchmarks.sparse.figures import figures
from benchmarks.sparse.networks import joint, ranges, warm
from benchmarks.sparse.optima import every, objectives, patient, sparsity, terms
from benchmarks.sparse.tables import CASES, Size, real
from benchmarks.sparse.times import forwards, ratios, times
from benchmarks.tables import show

SECTIONS = {
    section.__name__: section
    for section in (
        *(objectives, sparsity, patient, times, ratios, forwards),
        *(every, terms, joint, ranges, warm, figures),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = f"by default all but the last: {', '.join(SECTIONS)}"
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=default)
    parser.add_argument("--games", type=int, default=8, help="for slow methods; half as many at n = 12")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 games and rounds, a tenth of descents' steps")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    for case in CASES:
        real(*case)
    size = Size(2, 2, True) if options.quick else Size(options.games, options.rounds, False)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {size}")
    for name in options.sections or list(SECTIONS)[:-1]:
        print(f"\n## {SECTIONS[name].__doc__}\n")
        show(SECTIONS[name](size))


if __name__ == "__main__":
    main()
