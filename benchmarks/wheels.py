"""Gathers the wheels that `make gpu` needs on a machine without a registry: python -m benchmarks.wheels
FOLDER 3.12

Such a machine has torch, torchvision and transformers with all that they need. The rest, with what it needs
in turn, is downloaded for that version of Python in the versions installed here, and listed in `needed.txt`.
"""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
THERE = ("torch", "torchvision", "transformers")
# What the tests of a device and the benchmark need beside the project's own dependencies.
TOOLS = ("pytest", "pytest-xdist", "pytest-cov", "hypothesis", "beartype", "shapiq")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")


def main(folder: Path, python: str) -> None:
    """Download the wheels into a folder.

    Args:
        folder: of the wheels.
        python: version of Python there, such as 3.12.
    """
    needed = pins()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needed.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
    platforms = [f"--platform={name}" for name in PLATFORMS]
    options = [
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={python}",
        f"--dest={folder}",
        "--quiet",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, *platforms, *needed]
    subprocess.run(command, check=True)
    print(f"{len(needed)} wheels for Python {python} in {folder}")


def pins() -> list[str]:
    """Every package that is needed and not there, with its version."""
    there = _with_needs(THERE)
    roots = [Requirement(line).name for line in requires("harsanyi") or () if "extra ==" not in line]
    own = {f"{name}=={version(name)}" for name in _with_needs([*roots, *TOOLS]) - there}
    peers = (ROOT / "benchmarks/peers/peers.txt").read_text(encoding="utf-8").splitlines()
    return sorted(own | {line for line in peers if line and not line.startswith("#")})


def _with_needs(names: "list[str] | tuple[str, ...]") -> set[str]:
    """Installed packages with all that they need, by their normalised names."""
    found: set[str] = set()
    waiting = [_normalised(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed
        found.add(name)
        needed = [Requirement(line) for line in lines]
        waiting += [
            _normalised(each.name)
            for each in needed
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
