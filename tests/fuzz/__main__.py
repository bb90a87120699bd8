"""Tries every reader on inputs drawn from a seed: `python -m tests.fuzz --inputs 100000`.

Inputs are read in a process of their own, with bounds on time and memory, so that a crash is a finding as
well. Each finding is left as a file; put it into tests/fuzz/corpus/READER/ with the repair.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Seconds of processor time of one input, and bytes that readers may take beside what is loaded already.
SECONDS, MEMORY = 20, 2**29
# Files that were findings once, by reader.
CORPUS = Path(__file__).parent / "corpus"
# Characters of a message.
MOST = 5000
# Errors that readers document.
DOCUMENTED = (ValueError, OSError, MemoryError)


def finding(read: Callable[[Path], Any], path: Path) -> str:
    """What is wrong with the way in which a reader takes a file; empty where nothing is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except DOCUMENTED as error:
        said = str(error)
        if type(error) is UnicodeDecodeError or not isinstance(error, ValueError | OSError):
            return f"{type(error).__name__}: {said[:300]}"
        names = (path.name, str(path.parent), path.parent.name)
        # Messages on one line, of bounded length, that name the file or its folder.
        return (
            "" if any(name in said for name in names) and len(said) < 5000 else f"no file named: {said[:300]}"
        )
    except Exception:
        return traceback.format_exc(limit=-4)
    return ""


def replayed(path: Path, place: Path) -> str:
    """What is wrong with the way in which a file of the corpus is taken; empty where nothing is.

    Args:
        path: of the file, in a folder with the name of its reader.
        place: a folder to read it in, among the files that lie beside it.
    """
    from tests.fuzz.readers import READERS

    reader = READERS[path.parent.name]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for other, write in reader.beside.items():
        write(place / other)
    file = place / (reader.name or f"input{reader.ending}")
    shutil.copy(path, file)
    return finding(reader.read, file)


def worker(folder: Path, seed: int, numbers: range, only: str | None) -> None:
    """Read the inputs with these numbers, and print what is found."""
    from tests.fuzz.mutations import mutated
    from tests.fuzz.readers import READERS

    names = [only] if only else list(READERS)
    originals = folder / "originals"
    for name in names:
        reader, place = READERS[name], originals / name
        if not place.exists():
            place.mkdir(parents=True)
            file = place / (reader.name or f"input{reader.ending}")
            reader.write(file)
            for other, write in reader.beside.items():
                write(place / other)
            reader.read(file)  # a valid file is read
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, and that is a finding
    if numbers.start == 0:
        for path in sorted(CORPUS.glob("*/*")):
            if path.parent.name in names:
                (folder / "at").write_text(f"-1 {path.parent.name}")
                if said := replayed(path, folder / "now"):
                    print(json.dumps({"file": str(path), "said": said}), flush=True)
    for number in numbers:
        name = names[number % len(names)]
        reader = READERS[name]
        chance = random.Random(f"{seed} {number}")
        place = folder / "now"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(originals / name, place)
        file = place / (reader.name or f"input{reader.ending}")
        mutated(file, chance)
        (folder / "at").write_text(f"{number} {name}")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        said = finding(reader.read, file)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if said:
            print(json.dumps({"number": number, "reader": name, "said": said}), flush=True)
            keep = folder / "findings" / name
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, keep / f"{number}{reader.ending}")
    (folder / "at").write_text("end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--reader", help="try this one alone")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    last = options.first + options.inputs
    if options.worker:
        return worker(options.worker, options.seed, range(options.first, last), options.reader)
    start, first, found = time.time(), options.first, 0
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    while first < last:
        command = [sys.executable, "-m", "tests.fuzz", "--worker", str(folder), "--seed", str(options.seed)]
        command += ["--first", str(first), "--inputs", str(last - first)]
        command += ["--reader", options.reader] if options.reader else []
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found += 1
                print(line, end="", flush=True)
        at = (folder / "at").read_text() if (folder / "at").exists() else ""
        if at == "end":
            break
        if not at:
            sys.exit("the readers could not be started")
        number, _, name = at.partition(" ")
        found += 1
        print(json.dumps({"number": int(number), "reader": name, "said": f"ended with {process.returncode}"}))
        keep = folder / "findings" / name
        keep.mkdir(parents=True, exist_ok=True)
        for file in (folder / "now").iterdir():
            shutil.copy(file, keep / f"{number}-{file.name}")
        first = int(number) + 1
    tried = f"{options.inputs} inputs, seed {options.seed}, {time.time() - start:.0f} s"
    print(f"{tried}: {found} findings" + (f" in {folder / 'findings'}" if found else ""))
    if not found:
        shutil.rmtree(folder)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
