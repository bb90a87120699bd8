"""Everything to know of an accelerator in eight minutes: make gpu, or python -m benchmarks.accelerator [--out
FOLDER]

First the tests that need one, then every plan beside float64 on the CPU, what `evaluate` costs over plain
forwards, other packages on the same network and players, and transforms and splits beside the memory's speed.
It writes `accelerator.json` and `accelerator.md`. With --second it runs on the second device of the tests, by
small sizes: so it is known to work before a machine with an accelerator is there. Those times mean nothing.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.accelerator import forwards, peers, transforms
from benchmarks.accelerator.there import FULL, SMALL, There, name_of
from harsanyi.accelerator import CPU, best_device
from tests.device import second

# The tests take as long as they need, up to this many seconds; then each part gets what is left in turn.
TEST_SECONDS = 200
PARTS: dict[str, Callable[[There], list[dict[str, Any]]]] = {
    "Plans, beside float64 on the CPU": forwards.plans,
    "What `evaluate` costs over plain forwards": forwards.overhead,
    "Other packages, the same network and players": peers.packages,
    "Transforms and splits": transforms.tables,
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
    """Every part; one that fails is told and the others go on."""
    there = There(device, SMALL if options.second else FULL)
    measured: dict[str, Any] = {
        "device": name_of(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": " ".join(["python -m benchmarks.accelerator", *sys.argv[1:]]),
    }
    if not options.no_tests:
        measured["tests"] = tests_there(second_device=options.second)
    for title, part in PARTS.items():
        start = time.perf_counter()
        try:
            measured[title] = part(there)
        except Exception as error:  # the others are worth having
            measured[title] = [{"failed": f"{type(error).__name__}: {error}"}]
        print(f"{title}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return measured


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
    lines += [f"Tests: {measured['tests']}.", ""] if "tests" in measured else []
    for title in PARTS:
        rows = measured[title]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        lines += [f"## {title}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        lines += ["| " + " | ".join(_shown(row.get(name, "")) for name in columns) + " |" for row in rows]
        lines += [""]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
