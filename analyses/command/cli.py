"""The command line: every command as a dataclass, and what it does."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from harsanyi.analyses.command.options import parsed
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.study.study import Compare, Compute, Reliability, Track

BAD_INPUT, INTERRUPTED = 2, 130


@dataclass(frozen=True, kw_only=True)
class Show:
    """Draw something of a finished run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compute or compare wrote."""
    what: Literal["top", "change", "matching", "sparsity", "orders", "ranges"] = "top"
    """top: the strongest interactions on the input; change: those preserved, discarded and new; matching:
    outputs against salient interactions; sparsity: sorted strengths; orders: strength by order; ranges: how
    far the strongest effects can vary (for runs with --ranges)."""
    input: int = 0
    """Number of the input (game) in the run."""
    network: str | None = None
    """before, after or scratch of a comparison; after by default."""
    top: int = 7
    """How many interactions."""
    save: Path | None = None
    """Picture to write (.png, .pdf, .svg); RUN/figures/WHAT-NETWORK-INPUT.png by default."""


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Set finished runs side by side: what different pretraining, or training, keeps and learns."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME=RUN…")]
    """Two or more folders that compare wrote, on the same inputs, players, score and method; NAME=RUN:SERIES
    of a tracked run goes from its pretrained network to the last checkpoint of the series."""
    out: Path
    """Folder for tables, figures and report."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Relate what a finished run kept and learned to how well the network answers."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compare or track wrote with --keep-outputs. Results go to RUN/accuracy."""
    series: str | None = None
    """Of tracked runs: the one whose last checkpoint is looked at; the first by default."""
    scratch: str | None = None
    """Of tracked runs: the one that was trained from scratch, if there is one."""
    strongest: int = 3
    """How many interactions of each part and input have their players masked in another way."""
    controls: int = 3
    """How many random coalitions of the same size stand beside each."""


@dataclass(frozen=True, kw_only=True)
class Plan(Compute):
    """Say what value tables would cost by each plan, and which plan compute would take."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Pretrain, fine-tune and train from scratch on bundled images, then run the whole comparison on them."""

    out: Path = Path("runs/demo")
    """Folder for checkpoints, tables, figures and report."""


@dataclass(frozen=True, kw_only=True)
class GranularityDemo:
    """Small studies of fine and coarse labels on bundled data: Δ by width, size and redundancy, a ladder."""

    out: Path = Path("runs/granularity_demo")
    """Folder for checkpoints, tables, figures and report. An unfinished demo there goes on."""


COMMANDS: dict[str, type] = {
    "compute": Compute,
    "plan": Plan,
    "compare": Compare,
    "track": Track,
    "accuracy": Accuracy,
    "origins": Origins,
    "reliability": Reliability,
    "granularity": Granularity,
    "show": Show,
    "demo": Demo,
}

# Commands that have a demo of their own, with --demo instead of their options.
DEMOS: dict[str, type] = {"granularity": GranularityDemo}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `harsanyi`: exit code 2 and one sentence for bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in ([], ["--help"], ["-h"]):
        print(_overview())
    elif arguments == ["--version"]:
        print(f"harsanyi {version('harsanyi')}")
    else:
        _guarded(arguments)


def _guarded(arguments: list[str]) -> None:
    """Run a command; users' mistakes become one sentence."""
    try:
        _perform(_command(arguments))
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"harsanyi: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    except KeyboardInterrupt:
        print("harsanyi: stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _sentence(error: Exception) -> str:
    """What an error says, in one line; what the system says without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    notes = getattr(error, "__notes__", [])  # where in a user's file it was raised
    return " ".join(" ".join([str(error) or type(error).__name__, *(f"({note})" for note in notes)]).split())


def _overview() -> str:
    """What `harsanyi --help` says."""
    lines = [f"  {name:<12}{str(kind.__doc__).splitlines()[0]}" for name, kind in COMMANDS.items()]
    return "\n".join(
        [
            "usage: harsanyi COMMAND [STUDY.toml] [OPTIONS]",
            "",
            "What a network knows, and what fine-tuning kept, dropped and learned.",
            "",
            *lines,
            "",
            "harsanyi COMMAND --help lists the options of a command, with units and defaults. A study file",
            "holds the same options as TOML; options given beside it come before it.",
        ]
    )


def _command(arguments: list[str]) -> Any:
    """The command that the arguments name, as its dataclass."""
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    if name in DEMOS and "--demo" in rest:
        return parsed(f"{name} --demo", DEMOS[name], [one for one in rest if one != "--demo"])
    return parsed(name, COMMANDS[name], rest)


def _perform(command: Any) -> None:
    """Do what a command asks; torch and its kin are imported only now."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1" and not isinstance(command, Granularity):
        raise ValueError(
            f"{processes} processes were started, but only harsanyi granularity trains in several: "
            "start this command once, without accelerate launch or torchrun"
        )
    # Threads that wait without spinning: many times as fast beside other work on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.stderr.isatty():  # transformers draws a bar for every network it loads
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if isinstance(command, Reliability):
        from harsanyi.analyses.reliability.reliability import SHARES, run_reliability

        print("\n" + "\n".join(run_reliability(command)))
        print(f"\nReport: {command.out / 'report.html'}   table: {command.out / SHARES}.csv")
    elif isinstance(command, Compare):
        from harsanyi.analyses.comparison.comparison import run_comparison

        _print_summary(run_comparison(command), command.out)
    elif isinstance(command, Track):
        from harsanyi.analyses.training.track import TRAJECTORIES, track

        print("\n" + "\n".join(track(command)))
        print(f"\nReport: {command.out / 'report.html'}   table: {command.out / TRAJECTORIES}.csv")
    elif isinstance(command, Plan):
        from harsanyi.analyses.command.costs import describe_plans

        print("\n".join(describe_plans(command)))
    elif isinstance(command, Compute):
        from harsanyi.analyses.run.compute import compute
        from harsanyi.analyses.run.notes import approximations

        for said in approximations(compute(command)):
            print(said)
        print(f"Value tables and interactions are in {command.out}; draw them: harsanyi show {command.out}")
    elif isinstance(command, Origins):
        from harsanyi.analyses.origins.report import ORIGINS, run_origins

        print("\n" + "\n".join(run_origins(command.runs, command.out)))
        print(f"\nReport: {command.out / 'report.html'}   table: {command.out / ORIGINS}.csv")
    elif isinstance(command, Accuracy):
        from harsanyi.analyses.accuracy.relate import FOLDER, relate

        summary = relate(
            command.run, command.series, command.scratch, k=command.strongest, controls=command.controls
        )
        print("\n" + "\n".join(summary))
        print(f"\nReport: {command.run / FOLDER / 'report.html'}")
    elif isinstance(command, Granularity):
        from harsanyi.analyses.granularity.report import run_granularity
        from harsanyi.analyses.granularity.tables import SUMMARY

        found = run_granularity(command)  # nothing from processes that are not the main one
        if found:
            print("\n" + "\n".join(found))
        if found and not command.only_plan:
            print(f"\nReport: {command.out / 'report.html'}   table: {command.out / SUMMARY}.csv")
    elif isinstance(command, GranularityDemo):
        from harsanyi.analyses.fine_coarse.demo import granularity_demo

        print("\n" + "\n".join(granularity_demo(command.out)))
        print(f"\nReport: {command.out / 'report.html'}   the ladder's: {command.out / 'ladder/report.html'}")
    elif isinstance(command, Show):
        from harsanyi.analyses.command.show import show

        print(show(command.run, command.what, command.input, command.network, command.top, command.save))
    else:
        from harsanyi.analyses.command.demo import demo

        _print_summary(demo(command.out), command.out / "comparison")


def _print_summary(summary: list[str], out: Path) -> None:
    """What was found, in words, and where it is."""
    print("\n" + "\n".join(summary))
    print(f"\nReport: {out / 'report.html'}   table: {out / 'change.csv'}   figures: {out / 'figures'}")
    print(f"Look at one input: harsanyi show {out} --what change --input 0")
