"""Held-out samples on which a network in training failed, kept beside the checkpoints of its series."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harsanyi.reading import reading
from harsanyi.writing import whole

FAILED = "failed.csv"


@dataclass(frozen=True)
class Failed:
    """A sample that a network in training does not answer.

    Attributes:
        epoch: after which it was asked.
        part: "held_out" or "validation".
        sample: its number.
        reason: in words.
    """

    epoch: int
    part: str
    sample: int
    reason: str


def save_failed(path: Path, failed: Sequence[Failed]) -> None:
    """Write the samples that failed; without any there is no file."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    with whole(path) as partial:
        pd.DataFrame(map(asdict, failed)).to_csv(partial, index=False)


def read_failed(path: Path, *, before: int | None = None) -> list[Failed]:
    """Read the samples that failed; none where there is no file.

    Args:
        path: of the file.
        before: an epoch; later ones are left out, as a series that goes on measures them again.

    Raises:
        ValueError: the file is damaged, or something else.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / FAILED
    >>> save_failed(path, [Failed(0, "held_out", 7, "too white"), Failed(1, "held_out", 7, "too white")])
    >>> read_failed(path, before=1)
    [Failed(epoch=0, part='held_out', sample=7, reason='too white')]
    """
    if not path.is_file():
        return []
    with reading(path, "a list of failed samples", "delete it"):
        rows: Any = pd.read_csv(path, keep_default_na=False).itertuples(index=False)
        failed = [Failed(int(row.epoch), str(row.part), int(row.sample), str(row.reason)) for row in rows]
    return [each for each in failed if before is None or each.epoch < before]
