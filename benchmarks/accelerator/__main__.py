"""Everything to know of an accelerator in eight minutes: make gpu, or python -m benchmarks.accelerator [--out
FOLDER]

First the tests that need one, then every plan beside float64 on the CPU, what `evaluate` costs over plain
forwards, the two memory layouts of images, recorded work, transforms and splits beside the memory's speed,
and other packages on the same network and players. It writes `accelerator.json` and `accelerator.md`. With
--second it runs on the second device of the tests, by small sizes: so it is known to work before a machine
with an accelerator is there. Those times mean nothing, and the page says so.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.accelerator import forwards, peers, transforms, ways
from benchmarks.accelerator.there import FULL, SMALL, There, name_of
from harsanyi.accelerator import CPU, best_device
from tests.device import second

# For everything, and for the tests. A part begins no row after its time; what it leaves is for others.
SECONDS, TEST_SECONDS = 480, 200
NO_ACCELERATOR = (
    "**This was no accelerator** but the second device of the tests: a CPU behind a device that is "
    "written in Python. Its times and ratios of times mean nothing; errors, equal bits and what was "
    "refused do."
)


@dataclass(frozen=True)
class Part:
    """One table.

    Attributes:
        rows: measures it, row by row.
        share: of the time, in comparison with the other parts.
        words: what its columns are.
    """

    rows: Callable[[There], Iterator[dict[str, Any]]]
    share: int
    words: str


PARTS = {
    "Plans, beside float64 on the CPU": Part(
        forwards.plans,
        6,
        "One value table of each network, random weights, by each plan. *Made once*: the choice of the "
        "plan with its trace. *Plain forwards*: the network on as many ready inputs, without masking. "
        "*Error*: the largest difference of 16 scores from float64 on the CPU, over the largest score.",
    ),
    "What `evaluate` costs over plain forwards": Part(
        forwards.overhead,
        1,
        "The network as it is, without a plan, beside forwards of ready batches of the same size; "
        "ratios of rounds in turns: median, least, largest. 1 would be nothing.",
    ),
    "Images in memory, channels last or first": Part(
        ways.layouts,
        2,
        "Forwards of a ready batch in both layouts, in turns; below 1 channels last is faster. "
        "*Difference*: of the outputs, over the largest one. *Taken*: what the rule in "
        "`likes_channels_last` takes here; where the ratio says otherwise, the rule should change.",
    ),
    "Recorded work": Part(
        ways.recordings,
        2,
        "The dense plan on up to 1,024 coalitions, recorded or launched operation by operation, in "
        "turns; below 1 recording is faster. *Refused*: the device could not record it, and both ways "
        "are one.",
    ),
    "Transforms and splits": Part(
        transforms.tables,
        2,
        "Value tables in float64. A *copy* reads and writes the same memory once, as a transform does "
        "at best. *Gap*: the certified relative duality gap of four of the splits.",
    ),
    "Other packages, the same network and players": Part(
        peers.packages,
        3,
        "Each package asks for masked inputs in its own way, by one function that masks on the device; "
        "compared is how many of them it gets a second.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the tables")
    parser.add_argument("--second", action="store_true", help="on the second device of the tests")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    options = parser.parse_args()
    with second.present() if options.second else nullcontext():
        device = second.DEVICE if options.second else best_device()
        if device == CPU:
            parser.error("there is no accelerator here; --second takes the device of the tests")
        measured = measure(device, options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "accelerator.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    (options.out / "accelerator.md").write_text(page(measured), encoding="utf-8")
    print(page(measured))


def measure(device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Every part, in its share of the time."""
    there = There(device, SMALL if options.second else FULL)
    end = time.perf_counter() + SECONDS
    measured: dict[str, Any] = {
        "device": name_of(device),
        "accelerator": not options.second,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": " ".join(["python -m benchmarks.accelerator", *sys.argv[1:]]),
    }
    if not options.no_tests:
        measured["tests"] = tests_there(second_device=options.second)
    shares = sum(part.share for part in PARTS.values())
    for title, part in PARTS.items():
        start = time.perf_counter()
        measured[title] = rows_of(part, there, start + (end - start) * part.share / shares)
        shares -= part.share
        print(f"{title}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return measured


def rows_of(part: Part, there: There, end: float) -> list[dict[str, Any]]:
    """The rows of a part until its time is over, or until one fails: the other parts are worth having."""
    rows = []
    try:
        for row in part.rows(there):
            rows.append(row)
            if time.perf_counter() > end:
                rows.append({"why not": "further rows: the time was over"})
                break
    except Exception as error:
        rows.append({"why not": f"{type(error).__name__}: {error}"})
    return rows


def tests_there(*, second_device: bool) -> str:
    """The last line of the tests of the device, and the names of those that failed."""
    marks = "not gpu and not slow" if second_device else "gpu"
    command = [sys.executable, "-m", "pytest", "tests/device", "-q", "-m", marks, "-p", "no:cacheprovider"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {TEST_SECONDS} s"
    lines = run.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "; ".join([lines[-1] if lines else run.stderr[-200:], *failed])


def page(measured: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = [f"# {measured['device']}", ""]
    lines += [f"`{measured['command']}`, torch {measured['torch']}, Python {measured['python']}.", ""]
    lines += [] if measured["accelerator"] else [NO_ACCELERATOR, ""]
    lines += [f"Tests: {measured['tests']}.", ""] if "tests" in measured else []
    for title, part in PARTS.items():
        rows = measured[title]
        columns = sorted(dict.fromkeys(name for row in rows for name in row), key="why not".__eq__)
        lines += [f"## {title}", "", part.words, ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        lines += ["| " + " | ".join(_shown(row.get(name, "")) for name in columns) + " |" for row in rows]
        lines += [""]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else f"{value}"


if __name__ == "__main__":
    main()
