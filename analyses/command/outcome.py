"""What a command says when it has finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """The result of a command, as it is printed.

    Attributes:
        summary: a sentence or a row of a table on each line.
        files: where the results are, by what they are called.
        next_step: one more line: what can be done with the results.
        whole: whether nothing is missing or damaged; else the exit code says so.
    """

    summary: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    next_step: str = ""
    whole: bool = True

    def lines(self) -> list[str]:
        """The lines to print; a blank line sets the summary and the files apart.

        >>> Outcome(["Much is new."], {"Report": Path("a.html"), "table": Path("b.csv")}).lines()
        ['', 'Much is new.', '', 'Report: a.html   table: b.csv']
        """
        lines = list(self.summary)
        if self.files:
            lines = ["", *lines, "", "   ".join(f"{name}: {path}" for name, path in self.files.items())]
        return [*lines, self.next_step] if self.next_step else lines
