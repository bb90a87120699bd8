"""What the halves of the study have in common: samples by name, a training, and a comparison at its end."""

from pathlib import Path

from harsanyi import data, models
from harsanyi.analyses import Compare, run_comparison
from harsanyi.models import Recipe, Samples


def samples(table: Path, level: str) -> tuple[Samples, tuple[str, ...]]:
    """Samples of a table and the names of their classes."""
    inputs = data.load(table)
    labels, classes = inputs.level(level)
    return Samples(inputs.items, labels), classes


def trained(start: models.Network, recipe: Recipe, folder: Path, train: Samples, test: Samples) -> Path:
    """The last checkpoint of a training."""
    return models.train(start, train, recipe, folder=folder, held_out=test, progress=False)[-1]


def compared(study: Compare) -> Path:
    """The folder of a comparison, which is computed where that was not done."""
    if not (study.out / "report.html").is_file():
        run_comparison(study)
    return study.out
