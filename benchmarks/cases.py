"""The command line of benchmarks that store the rounds of their cases in a CSV file."""

import argparse
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd
import torch

from benchmarks.tables import Rows, show, store


def parser_of(prog: str, description: str | None, cases: Collection[str]) -> argparse.ArgumentParser:
    """A parser of case names, --rounds and --table.

    Args:
        prog: the command, for --help.
        description: of the benchmark, for --help.
        cases: their names.
    """

    def known(name: str) -> str:
        if name not in cases:
            raise argparse.ArgumentTypeError(f"no case {name!r}: expected one of {', '.join(cases)}")
        return name

    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = f"all of {', '.join(cases)} by default"
    parser.add_argument("cases", nargs="*", metavar="NAME", type=known, help=default)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true", help="print the table of the file, measure nothing")
    return parser


def measure_and_show(
    options: argparse.Namespace,
    path: Path,
    key: list[str],
    cases: Collection[str],
    measured: Callable[[str], pd.DataFrame],
    table: Callable[[pd.DataFrame], Rows],
) -> None:
    """Measure cases, store their rounds and print the table; with --table print the table of the file.

    Args:
        options: as `parser_of` parses them.
        path: of the file.
        key: columns that identify a case in the file.
        cases: the names of all cases.
        measured: gives the rounds of a case.
        table: gives the printed rows for some rounds.
    """
    if options.table:
        show(table(pd.read_csv(path)))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rounds} rounds")

    def rows() -> Rows:
        for name in options.cases or cases:
            rounds = measured(name)
            store(path, rounds, key, cases)
            yield from table(rounds)

    show(rows())
