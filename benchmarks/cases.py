"""The command line of benchmarks that keep the rounds of their cases in a file."""

import argparse
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd
import torch

from benchmarks.tables import Rows, keep, show


def parser_of(prog: str, description: str | None, cases: Collection[str]) -> argparse.ArgumentParser:
    """Takes names of cases, --rounds and --table."""

    def known(name: str) -> str:
        if name not in cases:
            raise argparse.ArgumentTypeError(f"no case {name!r}: expected one of {', '.join(cases)}")
        return name

    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = f"all of {', '.join(cases)} by default"
    parser.add_argument("cases", nargs="*", metavar="NAME", type=known, help=what)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true", help="print the table of the file, measure nothing")
    return parser


def measure_and_show(
    asked: argparse.Namespace,
    path: Path,
    key: list[str],
    cases: Collection[str],
    measured: Callable[[str], pd.DataFrame],
    table: Callable[[pd.DataFrame], Rows],
) -> None:
    """Print the table's rows, each when its case is done and its rounds are in the file; or the file's."""
    if asked.table:
        show(table(pd.read_csv(path)))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")

    def rows() -> Rows:
        for name in asked.cases or cases:
            found = measured(name)
            keep(path, found, key, cases)
            yield from table(found)

    show(rows())
