"""What runs survive: python -m benchmarks.chaos FOLDER [--kills 100] [--only "compare, killed" …]

Each command is run once undisturbed. Then it is ended at random moments, by SIGKILL or SIGTERM, and started
again until it finishes; every file of the end is compared with that of the undisturbed run, byte for byte.
Two writers, a full disk, a read-only folder, one that is deleted, damaged bytes and a power cut follow. What
needs a file system of its own is for root, and left out for others. FOLDER keeps the tries in tries.csv: the
same command goes on from there.
"""

import argparse
import csv
import fcntl
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

os.environ["OMP_NUM_THREADS"] = "1"

import h5py
import pandas as pd

from benchmarks.tables import Row, show
from harsanyi import data, models
from harsanyi.analyses.command.cli import main as harsanyi
from harsanyi.interactions import Store

COMMANDS = ("compare", "track", "granularity", "compare on ray")
OTHERS = ("two writers", "full disk", "read-only folder", "deleted folder", "damaged bytes", "power cut")
FAULTS = (*(f"{command}, killed" for command in COMMANDS), *OTHERS)
COLUMNS = ("fault", "disturbed", "survived", "lost")
RUN = "run"
# A run is killed so often at most, and then left to finish: many runs show more than one.
KILLS_OF_A_RUN = 10
# The ioctl by which ext4 ends as at a power cut, and its flag: what is not on the disk is lost.
SHUTDOWN, NO_FLUSH = 0x8004587D, struct.pack("I", 2)
IMAGE_BYTES = 2**27
# The byte of an HDF5 file that says whether it was open when it was last written. A power cut leaves it set.
FLAG = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--kills", type=int, default=100, help="of each command, those of earlier calls counted"
    )
    parser.add_argument("--tries", type=int, default=5, help="of every other fault")
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=FAULTS)
    parser.add_argument("--page", type=Path, help="a page whose table of faults is written anew")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    prepare(folder)
    tries = Tries(folder / "tries.csv")
    chance = random.Random(f"{options.seed} {tries.count()}")
    for command in COMMANDS:
        while f"{command}, killed" in options.only and tries.count(f"{command}, killed") < options.kills:
            left = options.kills - tries.count(f"{command}, killed")
            killed(folder, command, min(left, KILLS_OF_A_RUN), chance, tries)
    attempts: list[Callable[[Path, random.Random], bool]] = [
        two_writers,
        full_disk,
        read_only_folder,
        deleted_folder,
        damaged_bytes,
        power_cut,
    ]
    for fault, attempt in zip(OTHERS, attempts, strict=True):
        if attempt in (read_only_folder, power_cut) and os.geteuid():
            print(f"{fault}: left out, since it takes the right to mount", file=sys.stderr)
            continue
        while fault in options.only and tries.count(fault) < options.tries:
            tries.add(fault, 1, survives(attempt, folder, chance))
    show(tries.rows())
    if options.page is not None:
        write_table(options.page, tries.rows())


def write_table(page: Path, rows: Iterator[Row]) -> None:
    """Put the table of all tries in the place of the one of faults in a page.

    Args:
        page: in Markdown, with a table whose first column is called fault.
        rows: of `Tries.rows`.
    """
    found = {str(row["fault"]): row for row in rows}
    table = ["| fault | times | runs | survived | lost | again by |", "| --- | --- | --- | --- | --- | --- |"]
    for fault in FAULTS:
        row = found.get(fault, {"disturbed": "not measured", "runs": "", "survived": "", "lost": ""})
        numbers = [str(row[name]) for name in ("disturbed", "runs", "survived", "lost")]
        table.append(f"| {fault} | {' | '.join(numbers)} | `make chaos ARGS='--only \"{fault}\"'` |")
    lines = page.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| fault |"))
    last = next(n for n in range(first, len(lines) + 1) if n == len(lines) or not lines[n].startswith("|"))
    page.write_text("\n".join([*lines[:first], *table, *lines[last:]]) + "\n", encoding="utf-8")


def survives(attempt: Callable[[Path, random.Random], bool], folder: Path, chance: random.Random) -> bool:
    """Whether nothing was lost in a try; an error in it is a loss, and is shown."""
    try:
        return attempt(folder, chance)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return False


class Tries:
    """The tries so far, in a file: a line for each that has come to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def add(self, fault: str, disturbed: int, survived: bool) -> None:
        """Keep a try: how often it was disturbed, and whether nothing was lost."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([fault, disturbed, int(survived), int(not survived)])
        print(f"{fault}: disturbed {disturbed} times, {'survived' if survived else 'LOST'}", file=sys.stderr)

    def count(self, fault: str | None = None) -> int:
        """How often a fault, or any, has disturbed a run."""
        table = pd.read_csv(self.path)
        return int((table if fault is None else table[table.fault == fault]).disturbed.sum())

    def rows(self) -> Iterator[Row]:
        """The table of all tries, by fault."""
        table = pd.read_csv(self.path)
        for fault in FAULTS:
            rows = table[table.fault == fault]
            if len(rows):
                sums = rows[["disturbed", "survived", "lost"]].sum()
                yield {
                    "fault": fault,
                    "disturbed": int(sums.disturbed),
                    "runs": len(rows),
                    "survived": int(sums.survived),
                    "lost": int(sums.lost),
                }


def prepare(folder: Path) -> None:
    """Networks and samples that all commands take, made once."""
    if (folder / "ready").exists():
        return
    train = data.load(data.fashion_mnist_path("train")).sample(60, 0, "coarse")
    samples = models.Samples(train.items, train.level("coarse")[0])
    network = models.load("small:cnn", "random", classes=train.classes["coarse"], seed=0)
    recipe = models.Recipe(epochs=2)
    models.train(network, samples, recipe, folder=folder / "series", held_out=samples, progress=False)
    splits: tuple[tuple[Literal["train", "test"], int], ...] = (("train", 20), ("test", 10))
    for split, step in splits:
        table = pd.read_parquet(data.fashion_mnist_path(split))
        table.iloc[::step].reset_index(drop=True).to_parquet(folder / f"{split}.parquet")
    (folder / "ready").touch()


def arguments_of(folder: Path, command: str) -> list[str]:
    """A command that takes seconds, in the folder `run` where it is started."""
    test = data.fashion_mnist_path("test")
    first, last = (folder / "series" / f"epoch-00{epoch}.safetensors" for epoch in (0, 2))
    common = ["--model=small:cnn", f"--out={RUN}", "--quiet"]
    games = [f"--data={test}", "--level=coarse", "--inputs=6", "--players=grid:4x4:8", "--batch-size=64"]
    networks = {
        "compare": [f"--before={first}", f"--after={last}", *games],
        "track": ["--series", f"finetuned={folder / 'series'}", f"--pretrained={first}", *games],
        "granularity": [
            *("--target=coarse", "--columns=fine", "--sizes=60", "--seeds=0"),
            *(f"--data={folder / 'train.parquet'}", f"--test-data={folder / 'test.parquet'}"),
            *("--pretrain-epochs=2", "--finetune-epochs=2", "--inputs=4", "--players=grid:4x4:4"),
        ],
    }
    name, _, place = command.partition(" on ")
    return [name, *common, *networks[name], *([f"--on={place}"] if place else [])]


def start(arguments: list[str], place: Path, largest_file: int | None = None) -> int:
    """A command in a process of its own, which has imported everything already.

    Args:
        arguments: of `harsanyi`.
        place: the folder that it runs in.
        largest_file: bytes that a file may have.

    Returns:
        the number of the process.
    """
    place.mkdir(parents=True, exist_ok=True)
    if process := os.fork():
        return process
    code = 70
    try:
        os.chdir(place)
        with Path("said.txt").open("a", encoding="utf-8") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            try:
                harsanyi(arguments)
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def end_of(process: int) -> int:
    """The exit code of a process that is waited for."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def undisturbed(folder: Path, command: str) -> tuple[Path, float]:
    """The folder of an undisturbed run, made once, and the seconds that it took."""
    place = folder / command / "undisturbed"
    if not (place / "seconds.json").exists():
        shutil.rmtree(place, ignore_errors=True)
        begin = time.monotonic()
        code = end_of(start(arguments_of(folder, command), place))
        if code:
            raise RuntimeError(f"{place / 'said.txt'}: the undisturbed run ended with code {code}")
        (place / "seconds.json").write_text(json.dumps(time.monotonic() - begin))
    return place / RUN, float(json.loads((place / "seconds.json").read_text()))


def killed(folder: Path, command: str, most: int, chance: random.Random, tries: Tries) -> None:
    """One run that is ended at random moments, at most `most` times, until it finishes by itself."""
    expected, seconds = undisturbed(folder, command)
    place = folder / command / f"killed-{time.time_ns()}"
    kills, lost, finished = 0, False, 0
    while True:
        process = start(arguments_of(folder, command), place)
        moment = chance.uniform(0, seconds)
        deadline = time.monotonic() + moment
        ended = None
        while ended is None and (kills >= most or time.monotonic() < deadline):
            number, status = os.waitpid(process, os.WNOHANG)
            ended = os.waitstatus_to_exitcode(status) if number else None
            time.sleep(0.005)
        if ended is not None:
            break
        how = chance.choice((signal.SIGKILL, signal.SIGTERM))
        os.kill(process, how)
        code = end_of(process)
        kills += 1
        now = finished_games(place / RUN)
        lost |= now < finished or code not in (0, -signal.SIGKILL, 143, -signal.SIGTERM)
        finished = now
    survived = ended == 0 and not lost and same(expected, place / RUN)
    tries.add(f"{command}, killed", kills, survived)
    if survived:
        shutil.rmtree(place)


def finished_games(run: Path) -> int:
    """The finished games of a run, all of whose checksums must be right."""
    count = 0
    for path in sorted(run.rglob("values.h5")):
        store = Store(path)
        for name in store.networks:
            if store.damaged(name):
                raise RuntimeError(f"{path}: a game that counts as finished is damaged")
            count += int(store.done(name).sum())
    return count


def two_writers(folder: Path, chance: random.Random) -> bool:
    """The same command twice at once: one finishes, the other is refused, the files are those of one."""
    expected, _ = undisturbed(folder, "compare")
    place = folder / "compare" / f"two-{time.time_ns()}"
    first = start(arguments_of(folder, "compare"), place)
    time.sleep(chance.uniform(0, 0.5))
    second = start(arguments_of(folder, "compare"), place)
    codes = sorted((end_of(first), end_of(second)))
    return codes in ([0, 2], [0, 0]) and same(expected, place / RUN)


def full_disk(folder: Path, chance: random.Random) -> bool:
    """No room for the files: the command says so, and goes on once there is room.

    With the right to mount, the run lies in a file system that is full; else no file may be larger than a
    limit.
    """
    expected, _ = undisturbed(folder, "compare")
    place = folder / "compare" / f"full-{time.time_ns()}"
    place.mkdir(parents=True)
    needed = sum(path.stat().st_size for path in expected.rglob("*") if path.is_file())
    room = int(needed * chance.uniform(0.05, 0.95))
    tmpfs = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(tmpfs, stderr=subprocess.DEVNULL).returncode == 0
    try:
        largest = max(path.stat().st_size for path in expected.rglob("*") if path.is_file())
        limit = None if mounted else int(largest * chance.uniform(0.05, 0.95))
        refused = end_of(start(arguments_of(folder, "compare"), place, limit))
        if mounted:
            subprocess.run(["mount", "-o", f"remount,size={10 * needed}", str(place)], check=True)
        code = end_of(start(arguments_of(folder, "compare"), place))
        return refused == 2 and code == 0 and same(expected, place / RUN)
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def read_only_folder(folder: Path, chance: random.Random) -> bool:
    """A finished run on a read-only file system can be read, and what would write into it is refused."""
    expected, _ = undisturbed(folder, "compare")
    place = folder / "compare" / f"read-only-{time.time_ns()}"
    place.mkdir(parents=True)
    shutil.copytree(expected, place / RUN)
    mount(str(place / RUN), str(place / RUN), "bind")
    try:
        mount(str(place / RUN), str(place / RUN), "remount,ro,bind")
        picture = f"--save={place / 'input.png'}"
        asked = (["status", RUN], ["check", RUN], ["show", RUN, picture])
        read = [end_of(start(list(arguments), place)) for arguments in asked]
        written = end_of(start(arguments_of(folder, "compare"), place))
        return read == [0, 0, 0] and written in (0, 2) and same(expected, place / RUN)
    finally:
        subprocess.run(["umount", str(place / RUN)], check=True)


def deleted_folder(folder: Path, chance: random.Random) -> bool:
    """The folder of a run goes away: the command says so or makes another, and the next one has all files."""
    expected, seconds = undisturbed(folder, "compare")
    place = folder / "compare" / f"deleted-{time.time_ns()}"
    process = start(arguments_of(folder, "compare"), place)
    time.sleep(chance.uniform(0, seconds))
    shutil.rmtree(place / RUN, ignore_errors=True)
    code = end_of(process)
    again = end_of(start(arguments_of(folder, "compare"), place))
    return code in (0, 2) and again == 0 and same(expected, place / RUN)


def power_cut(folder: Path, chance: random.Random) -> bool:
    """The file system ends as at a power cut; what counts as finished is whole, and the run goes on."""
    expected, seconds = undisturbed(folder, "compare")
    place = folder / "compare" / f"power-{time.time_ns()}"
    place.mkdir(parents=True)
    image = place.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mount(str(image), str(place), "loop")
    try:
        process = start(arguments_of(folder, "compare"), place)
        time.sleep(chance.uniform(0, seconds))
        root = os.open(place, os.O_RDONLY)
        fcntl.ioctl(root, SHUTDOWN, NO_FLUSH)
        os.close(root)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        end_of(process)
        subprocess.run(["umount", str(place)], check=True)
        mount(str(image), str(place), "loop")
        finished_games(place / RUN)
        code = end_of(start(arguments_of(folder, "compare"), place))
        return code == 0 and same(expected, place / RUN)
    finally:
        subprocess.run(["umount", str(place)], check=True)
        image.unlink()


def mount(what: str, where: str, options: str) -> None:
    """Mount a file system; an error where the system does not let us."""
    subprocess.run(["mount", "-o", options, what, where], check=True)


def damaged_bytes(folder: Path, chance: random.Random) -> bool:
    """One bit of a value table flips: it is found, refused, computed again, and all is as before."""
    expected, _ = undisturbed(folder, "compare")
    place = folder / "compare" / f"damaged-{time.time_ns()}"
    shutil.copytree(expected, place / RUN)
    with h5py.File(place / RUN / "values.h5", "r") as file:
        table = file[f"v/{chance.choice(sorted(file['v']))}"]
        where = table.id.get_offset() + chance.randrange(table.id.get_storage_size())
    with (place / RUN / "values.h5").open("r+b") as raw:
        raw.seek(where)
        byte = raw.read(1)[0]
        raw.seek(where)
        raw.write(bytes([byte ^ (1 << chance.randrange(8))]))
    found = end_of(start(["check", RUN], place))
    refused = end_of(start(["show", RUN], place))
    repaired = end_of(start(["check", RUN, "--repair"], place))
    again = end_of(start(arguments_of(folder, "compare"), place))
    return (found, refused, repaired, again) == (3, 2, 3, 0) and same(expected, place / RUN)


def same(expected: Path, found: Path) -> bool:
    """Whether two folders hold the same files, byte for byte.

    The header of safetensors files is a mapping that its library writes in any order: it is compared as one.
    Of HDF5 files one flag is left out, which says whether the file was open when it was last written.
    """
    files = [
        sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file())
        for run in (expected, found)
    ]
    if files[0] != files[1]:
        print(f"{found}: other files: {sorted(map(str, set(files[0]) ^ set(files[1])))}", file=sys.stderr)
        return False
    differ = [str(name) for name in files[0] if content(expected / name) != content(found / name)]
    if differ:
        print(f"{found}: other bytes in {', '.join(differ)}", file=sys.stderr)
    return not differ


def content(path: Path) -> object:
    """What is compared of a file."""
    written = path.read_bytes()
    if path.suffix == ".h5":
        return written[:FLAG], written[FLAG + 1 :]
    if path.suffix != ".safetensors":
        return written
    size = 8 + int.from_bytes(written[:8], "little")
    return json.loads(written[8:size]), written[size:]


if __name__ == "__main__":
    main()
