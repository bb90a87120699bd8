"""Whether `auto` takes the cheapest plan: python -m benchmarks.choice [NAME …]

Each network has a process and an empty cache folder of its own. The pieces of its work are measured there in
CPU seconds of one thread: the trial, the trace, the plan, a first and a further table. What 1, 5, 20 and 100
inputs take with 1 and 8 checkpoints is the sum of these pieces and was not measured from end to end. Which
plan `auto` takes for a question is asked of the code that chooses.

The row of a network replaces its former row in benchmarks/choice/choice.csv. --choices asks only what `auto`
takes, and leaves the seconds as they are. --table prints the tables of the file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.choice.networks import CASES
from benchmarks.choice.pieces import CHECKPOINTS, INPUTS, decided, measured
from benchmarks.choice.sums import auto, ways
from benchmarks.plans.rounds import processor
from benchmarks.tables import Rows, show
from harsanyi.models.loading.torchvision_operators import declare_operators

CSV = Path(__file__).parent / "choice.csv"
# What auto may take beyond the best plan: a share of that, and seconds.
SHARE, SECONDS = 0.05, 1.0
QUESTIONS = [(inputs, checkpoints) for checkpoints in CHECKPOINTS for inputs in INPUTS]


def main() -> None:
    parser = parser_of("python -m benchmarks.choice", __doc__, CASES)
    parser.add_argument("--choices", action="store_true", help="ask only what auto takes")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.process:
        declare_operators()
        print(json.dumps((decided if options.choices else measured)(CASES[options.cases[0]])))
        return
    measure_and_show(options, CSV, ["case"], CASES, chosen_anew if options.choices else row_of, regret_table)
    print()
    rows = pd.read_csv(CSV)
    show(pieces_table(rows[rows["case"].isin(options.cases)] if options.cases else rows))


def row_of(name: str) -> pd.DataFrame:
    """The row of a case, measured in a process of its own."""
    row = {"case": name, "n": CASES[name].players.n} | _of_process(name)
    return pd.DataFrame([row | {"torch": torch.__version__, "processor": processor()}])


def chosen_anew(name: str) -> pd.DataFrame:
    """The row of a case in the file, with what auto takes now."""
    rows = pd.read_csv(CSV)
    (row,) = rows[rows["case"] == name].to_dict("records")
    return pd.DataFrame([row | _of_process(name, "--choices")])


def _of_process(name: str, *options: str) -> dict[str, object]:
    """What a process with an empty cache folder measures."""
    with tempfile.TemporaryDirectory() as cache:
        process = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.choice", name, "--process", *options],
            env=os.environ | {"XDG_CACHE_HOME": cache},
            stdout=subprocess.PIPE,
            check=True,
        )
    row: dict[str, object] = json.loads(process.stdout.splitlines()[-1])
    return row


def regret_table(rows: pd.DataFrame) -> Rows:
    """A row for each network: the plan that auto takes, and its seconds over those of the best plan."""
    for row in rows.to_dict("records"):
        n = int(row["n"])
        cells = {
            f"{inputs} × {checkpoints}": _regret(row, n, inputs, checkpoints)
            for inputs, checkpoints in QUESTIONS
        }
        yield {"network": CASES[row["case"]].title, "n": n} | cells


def _regret(row: Mapping[Any, Any], n: int, inputs: int, checkpoints: int) -> str:
    """The plan, and auto over the best plan; with the seconds where it is more than is allowed."""
    plan, seconds = auto(row, n, inputs, checkpoints)
    best = min(ways(row, n, inputs, checkpoints).values())
    cell = f"{plan.replace('dense, as it is', 'as it is')} {seconds / best:.2f}"
    over = seconds - best
    return f"**{cell}** ({over:+.1f} s)" if over > SHARE * best + SECONDS else cell


def pieces_table(rows: pd.DataFrame) -> Rows:
    """A row for each network: the measured pieces."""
    for row in rows.to_dict("records"):
        scale = 2 ** int(row["n"])
        yield (
            {"network": CASES[row["case"]].title, "n": int(row["n"])}
            | {
                "trial, s": f"{row['tried_one']:.2f}",
                "looking, s": f"{row['looking']:.2f}",
                "trace, s": f"{row['dense_made']:.1f}",
                "again, s": f"{row['dense_made_again']:.2f}",
                "a table as it is, s": f"{scale * row['plain']:.1f}",
                "dense, s": f"{scale * row['dense']:.1f}",
            }
            | {
                title: _number(row.get(name))
                for title, name in (
                    ("tables made, s", "tables_made"),
                    ("first table, s", "tables_first"),
                    ("further table, s", "tables"),
                    ("prefix made, s", "prefix_made"),
                    ("further by prefix, s", "prefix"),
                )
            }
        )


def _number(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) and value == value else "–"


if __name__ == "__main__":
    main()
