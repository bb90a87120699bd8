"""What harsanyi makes of a checkpoint: right answers by the commands and in Python, or its refusal."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harsanyi import data, models
from harsanyi.analyses.command.cli import main


class Harsanyi:
    """Runs the commands as a user does; each call has a folder of its own."""

    def __init__(self, folder: Path, said: Callable[[], Any]):
        self.folder, self.said, self.calls = folder, said, 0

    def right(self, command: str, *options: object) -> dict[str, int]:
        """How many held-out inputs each network answers right, by facts.json."""
        self.calls += 1
        out = self.folder / f"run{self.calls}"
        main([command, *map(str, options), *self.small(options), "--out", str(out)])
        facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
        rows = [row for row in facts["performance"] if row["split"] == "held out"]
        counts = {row["network"]: row["accuracy"] * row["inputs"] for row in rows}
        assert all(abs(count - round(count)) < 1e-6 for count in counts.values())
        return {network: round(count) for network, count in counts.items()}

    def refusal(self, command: str, *options: object) -> str:
        """The sentence of a command that must end with exit code 2."""
        self.said()
        with pytest.raises(SystemExit) as stop:
            main([command, *map(str, options), *self.small(options), "--out", str(self.folder / "refused")])
        assert stop.value.code == 2
        return self.said().err

    def taught(self, command: str, *options: object) -> dict[str, int]:
        """As `right`, with the --classes that a first try is refused with."""
        match = re.search(r"--classes ([\w ]+)$", self.refusal(command, *options).strip())
        assert match is not None
        return self.right(command, *options, "--classes", *match[1].split())

    @staticmethod
    def small(options: tuple[object, ...]) -> list[str]:
        """Few players and inputs, where the options say nothing of them."""
        wanted = {"--inputs": "3", "--players": "grid:2x2", "--method": "and"}
        return [part for name, value in wanted.items() if name not in options for part in (name, value)]


def right_in_python(model: str, checkpoint: object, path: Path, **options: Any) -> int:
    """How many inputs at a path a network answers right, by `models.load` and `models.performance`."""
    network = models.load(model, str(checkpoint), **options)
    inputs = data.load(path)
    level, classes = next(iter(inputs.classes.items()))
    labels, order = inputs.labels[level], inputs.orders[level]
    measured = models.performance(network, inputs.items, network.outputs_of(labels, classes, order))
    return round(measured.accuracy * len(inputs))
