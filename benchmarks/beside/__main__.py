"""What a user waits for beside the forwards: python -m benchmarks.beside [NAME …] --rounds 1

Each command runs in a process of its own, and a thread notes which part of it is running (`parts.py`). The
pictures are the bundled ones, the networks a ResNet-20 at 32², trained here for 15 epochs with its
checkpoints, and a ResNet-50 of random weights at 224²; 12 players in a 4×4 grid. Where all forwards would
take an hour, those of a few games are made and split, and their seconds scaled to all (`scaled.py`).

The file has one row for each part of each command in each round:
    case, inputs, networks, games: the question; games are those really evaluated of each network.
    part, seconds: where the time went; those of forwards and splits scaled. First tables are made while plans
        are tried, and kept: forwards, too.
    round, torch, processor, threads: versions and machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from benchmarks.beside.networks import checkpoints
from benchmarks.beside.parts import FIRST_TABLES, IMPORTS, OTHER, PARTS
from benchmarks.cases import measure_and_show, parser_of
from benchmarks.plans.rounds import processor
from benchmarks.tables import Rows
from harsanyi import data

CSV = Path("benchmarks/beside/beside.csv")
RUNS = Path("runs/beside")
MODELS = {"resnet20": "small:resnet20", "resnet50": "torchvision:resnet50"}
KEY = ["case"]
FORWARDS, SPLITS = "forwards", "splits"
SCALED = (FORWARDS, SPLITS)


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        title: in the table.
        command: its name.
        network: as `networks.checkpoints` has it.
        inputs: how many.
        games: really evaluated of each network; 0 for all.
        tables: the case whose store gives all tables.
        again: whether the command has run before in the same folder.
    """

    title: str
    command: str
    network: str
    inputs: int
    games: int = 0
    tables: str | None = None
    again: bool = False


CASES = {
    "small": Case("compare, ResNet-20, 32²", "compare", "resnet20", 20),
    "stored": Case("the same again", "compare", "resnet20", 20, again=True),
    "small-200": Case("compare, ResNet-20, 32²", "compare", "resnet20", 200, 5),
    "track": Case("track, 16 × ResNet-20, 32²", "track", "resnet20", 20, 1),
    "track-200": Case("track, 16 × ResNet-20, 32²", "track", "resnet20", 200, 1),
    "large": Case("compare, ResNet-50, 224²", "compare", "resnet50", 20, 1, "small"),
    "large-200": Case("compare, ResNet-50, 224²", "compare", "resnet50", 200, 1, "small"),
}


def measured(name: str, rounds: int) -> pd.DataFrame:
    """The rounds of a case."""
    case, rows = CASES[name], []
    facts = {"torch": torch.__version__, "processor": processor(), "threads": torch.get_num_threads()}
    for number in range(rounds):
        seconds, networks = _seconds(name, case)
        wanted = case.games or case.inputs
        for part, value in seconds.items():
            scale = case.inputs / wanted if part in SCALED and not case.again else 1.0
            rows.append(
                {
                    "case": name,
                    "inputs": case.inputs,
                    "networks": networks,
                    "games": wanted,
                    "part": part,
                    "seconds": value * scale,
                    "round": number,
                    **facts,
                }
            )
    return pd.DataFrame(rows)


def _seconds(name: str, case: Case) -> tuple[dict[str, float], int]:
    """Seconds of a command by part, and its number of networks."""
    folder = RUNS / ("small" if case.again else name)
    if not case.again:
        shutil.rmtree(folder, ignore_errors=True)
    found = checkpoints(case.network, RUNS / "checkpoints")
    if case.command == "track":
        networks = [f"--series=run={found[0].parent}", f"--pretrained={found[0]}", "--at-most=16"]
    else:
        networks = [f"--before={found[0]}", f"--after={found[-1]}"]
    arguments = [
        *(case.command, "--model", MODELS[case.network], *networks),
        *("--data", str(data.fashion_mnist_path("test")), "--level=coarse", f"--inputs={case.inputs}"),
        *("--players=grid:4x4:12", f"--out={folder}"),
    ]
    file = RUNS / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    tables = None if case.tables is None else str(RUNS / case.tables / "values.h5")
    file.write_text(json.dumps({"games": case.games, "tables": tables}))
    command = [sys.executable, "-m", "benchmarks.beside.process", str(file), *arguments]
    subprocess.run(command, check=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    return json.loads(file.read_text()), len(found) + 1 if case.command == "track" else 2


def table(rounds: pd.DataFrame) -> Rows:
    """Seconds by part, medians of the rounds, and the share beside forwards."""
    for name, rows in rounds.groupby("case", sort=False):
        case = CASES[str(name)]
        by_part = rows.pivot_table(index="round", columns="part", values="seconds", aggfunc="sum").median()
        # What is scaled from a few games to all has the first of them, too.
        first = float(by_part.pop(FIRST_TABLES)) if FIRST_TABLES in by_part else 0.0
        beside = float(by_part.sum() - by_part.get(FORWARDS, 0.0))
        forwards = float(by_part.get(FORWARDS, 0.0)) + (first if rows.games.iloc[0] == case.inputs else 0.0)
        scaled = "" if rows.games.iloc[0] == case.inputs else f" ({rows.games.iloc[0]} games, scaled)"
        yield {
            "command": case.title,
            "inputs": case.inputs,
            FORWARDS + ", s": f"{forwards:.1f}{scaled}" if forwards else "0",
            **{
                part: f"{by_part.get(part, 0.0):.1f}"
                for part in (IMPORTS, *PARTS, OTHER)
                if part not in (FORWARDS, FIRST_TABLES)
            },
            "beside, s": f"{beside:.1f}",
            "beside / forwards": f"{beside / forwards:.1%}" if forwards else "–",
        }


def main() -> None:
    description = __doc__
    parser = parser_of("benchmarks.beside", description, CASES)
    parser.set_defaults(rounds=1)
    options: argparse.Namespace = parser.parse_args()
    measure_and_show(options, CSV, KEY, CASES, lambda name: measured(name, options.rounds), table)


if __name__ == "__main__":
    main()
