"""The split objective L_top + Σ β_k L_k on a CNN, a ResNet and a transformer, and on three levels.

    python docs/studies/split_objective/study.py ../shared/data runs/split_objective [NAME …]

trains each network with each choice of β, every run in a folder under runs/split_objective (a run already
done is not run again), and writes NAME.csv and figures/NAME.png beside this file. The names are cnn, resnet8,
minilm and levels; without names all four are run: about 5 minutes for cnn and half an hour for each of the
others, on one core; minilm keeps 5 GB of checkpoints. README.md has the results.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from harsanyi import data, models
from harsanyi.analyses.drawing.palette import PAGE
from harsanyi.analyses.fine_coarse.objective_figures import plot_objective_rows, plot_objectives
from harsanyi.analyses.fine_coarse.objective_sweep import objective_summary, objective_sweep
from harsanyi.analyses.granularity.labels import renumber_labels
from harsanyi.analyses.granularity.runs import TransferData
from harsanyi.data.hierarchies import LabelHierarchy
from harsanyi.data.wordnet import WordNet, wordnet_hierarchy

HERE = Path(__file__).parent
BETAS: tuple[float, ...] = (0, 0.1, 0.3, 1, 3)
# Of the 23 classes and of the 100.
PAIRS: tuple[tuple[float, float], ...] = ((0, 0), (1, 0), (1, 0.3), (1, 1), (0.3, 1))
CIFAR = ("cifar100-subset/train.parquet", "cifar100-subset/test.parquet")
RESNET8 = models.Recipe(
    epochs=16,
    optimiser="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    batch_size=128,
    flip=True,
    crop_padding=4,
)


@dataclass(frozen=True)
class Sweep:
    """One network on one data set.

    Attributes:
        model: by name; `start` is a checkpoint, "random", or None for the published weights.
        files: training and test samples under the shared data, the bundled clothes without them.
        levels: label columns from fine to coarse; of one column, WordNet's cuts at `depths` above it.
        evenly_over: the column over whose classes training samples are drawn.
    """

    model: str
    start: str | None
    files: tuple[str, ...]
    levels: tuple[str, ...]
    evenly_over: str
    size: int
    recipe: models.Recipe
    seeds: Sequence[int]
    betas: Sequence[float | tuple[float, ...]] = BETAS
    depths: tuple[int, ...] = ()

    def data(self, shared: Path) -> TransferData:
        if self.files:
            train, test = (data.load(shared / file) for file in self.files)
        else:
            train, test = data.fashion_mnist("train"), data.fashion_mnist("test")
        return TransferData(train, renumber_labels(test, train))

    def hierarchy(self, samples: TransferData) -> LabelHierarchy:
        if not self.depths:
            return LabelHierarchy.from_columns(samples.train, self.levels)
        (finest,) = self.levels
        classes = samples.train.classes[finest]
        return wordnet_hierarchy(classes, WordNet(), depths=self.depths, finest=finest)

    def network(self) -> Callable[[int], models.Network]:
        return lambda seed: models.load(self.model, self.start, seed=seed)


CIFAR_LEVELS = ("fine_label", "coarse_label")
SWEEPS = {
    "cnn": Sweep(
        "small:cnn", "random", (), ("fine", "coarse"), "fine", 2000, models.Recipe(epochs=15), range(5)
    ),
    "resnet8": Sweep("small:resnet8", "random", CIFAR, CIFAR_LEVELS, "fine_label", 3000, RESNET8, range(3)),
    # An even draw over the fine classes would give most samples to the coarse ones that hold many of them.
    "minilm": Sweep(
        "package:minilm-l6",
        None,
        ("trec/train.txt", "trec/test.txt"),
        ("fine", "coarse"),
        "coarse",
        1000,
        models.Recipe(epochs=3, learning_rate=5e-5, batch_size=32),
        range(3),
    ),
    "levels": Sweep(
        "small:resnet8",
        "random",
        CIFAR,
        ("fine_label",),
        "fine_label",
        3000,
        RESNET8,
        range(3),
        PAIRS,
        (6, 4),
    ),
}


def run(sweep: Sweep, shared: Path, out: Path) -> pd.DataFrame:
    """The summary of a sweep whose runs lie in a folder."""
    samples = sweep.data(shared)
    runs = objective_sweep(
        sweep.network(),
        samples,
        sweep.hierarchy(samples),
        sweep.betas,
        sweep.seeds,
        out,
        sweep.recipe,
        size=sweep.size,
        evenly_over=sweep.evenly_over,
    )
    return objective_summary(runs)


def draw(summary: pd.DataFrame, *, several: bool) -> Figure:
    """Accuracy on the coarsest classes, and its paired difference to β = 0."""
    figure = Figure((PAGE, 2.3), layout="constrained")
    plot = plot_objective_rows if several else plot_objectives
    for ax, quantity in zip(figure.subplots(1, 2), ("accuracy", "accuracy_difference"), strict=True):
        plot(summary, ax, quantity=quantity)
    return figure


def main(shared: Path, out: Path, names: Sequence[str] = (), place: Path = HERE) -> None:
    if unknown := [name for name in names if name not in SWEEPS]:
        raise SystemExit(f"expected names out of {', '.join(SWEEPS)}; got {', '.join(unknown)}")
    torch.set_num_threads(1)
    for name in names or SWEEPS:
        summary = run(SWEEPS[name], shared, out / name)
        numbers = {one: summary[one].round(4) + 0.0 for one in ("value", "low", "high")}
        summary.assign(**numbers).to_csv(place / f"{name}.csv", index=False)
        figure = draw(summary, several=bool(SWEEPS[name].depths))
        figure.savefig(place / "figures" / f"{name}.png", dpi=150)
        print(f"{name}: {len(summary)} rows", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
