"""Continual training: what a warm start keeps from portion to portion, and what it costs.

    python docs/studies/continual_training/study.py runs/continual_training

trains a small CNN on the bundled Fashion-MNIST, portion by portion, from each start and with each seed, and
writes the tables and the figure beside this file. What is trained and extracted is kept in the folder, and
not done again. A few minutes on one core. README.md has the results; `harsanyi track --portions` does the
same for one seed, with a report.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from harsanyi import data, models
from harsanyi.analyses import Trajectory, compare, correlation_table
from harsanyi.analyses.drawing.marks import share_axis
from harsanyi.analyses.drawing.palette import NETWORK_COLOURS, PAGE, label_axes, legend_above
from harsanyi.analyses.statistics.bootstrap import Interval, mean_interval
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.analyses.training.portions import ALL, portion_amounts
from harsanyi.interactions import Interactions, MaskedModel, Players, SparseAndOr, extract

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "seeds": (0, 1, 2, 3, 4),
    "portions": 3,
    "portion_size": 120,
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 0.001,
    "starts": {"warm": 1.0, "shrunk": 0.6},  # λ
    "noise": 0.01,  # σ of the shrunk start
    "inputs": 16,
    "players": 6,  # cells of a 4 × 4 grid, the same of all images
}
# Stated with their margins before the study ran. accuracy:START is on 800 held-out images after the last
# portion; SHARE:START is from each portion to the next. preserved_share:strangers is what a network from
# scratch has of another seed's network of the portion before. The correlation is over starts, later portions
# and seeds, of differences to scratch.
CLAIMS = (
    "accuracy:warm - accuracy:scratch < 0",
    "accuracy:shrunk - accuracy:scratch < 0",
    "accuracy:shrunk - accuracy:warm > 0",
    "preserved_share:warm - preserved_share:scratch > 0.05",
    "preserved_share:warm - preserved_share:shrunk > 0.05",
    "preserved_share:shrunk - preserved_share:scratch > 0",
    "preserved_share:scratch - preserved_share:strangers > 0",
    "pearson:preserved_share:gap < 0",
)
SCRATCH, STRANGERS = "scratch", "strangers"
SHARES = ("preserved_share", "new_share")
CORRELATION = "pearson:preserved_share:gap"


def train(settings: dict[str, Any], seed: int, out: Path) -> dict[str, list[list[Path]]]:
    """The series of each start, portion by portion."""
    drawn = data.fashion_mnist("train").sample(settings["portions"] * settings["portion_size"], seed, "fine")
    labels, classes = drawn.level("fine")
    portions = models.split_portions(models.Samples(drawn.items, labels), settings["portions"], seed)
    held_out = data.fashion_mnist("test").sample(50, 0, "fine")  # of the curves; all of them test the ends
    network = models.load("small:cnn", "random", classes=classes, seed=seed)
    recipe = models.Recipe(
        seed=seed, **{name: settings[name] for name in ("epochs", "batch_size", "learning_rate")}
    )
    return {
        start: models.train_portions(
            network,
            portions,
            recipe,
            folder=out / f"seed-{seed}" / start,
            held_out=models.Samples(held_out.items, held_out.level("fine")[0]),
            start=SCRATCH if start == SCRATCH else "warm" if shrink == 1 else "shrunk",
            shrink=shrink,
            noise=settings["noise"],
            progress=False,
        )
        for start, shrink in (settings["starts"] | {SCRATCH: 0.0}).items()
    }


def interactions(settings: dict[str, Any], checkpoint: Path) -> Interactions:
    """The interactions of a checkpoint on the explained images, kept beside it."""
    kept = checkpoint.with_name("interactions.h5")
    if not kept.exists():
        inputs = data.fashion_mnist("test").sample(settings["inputs"], 0, "fine")
        network = models.load("small:cnn", checkpoint)
        labels, classes = inputs.level("fine")
        assert tuple(classes) == tuple(network.classes)
        pixels = network.preprocess(inputs.items)
        players = Players.grid(*pixels.shape[-2:], 4, 4).choose(settings["players"], seed=0)
        extract(MaskedModel(network.model, pixels, players, labels=labels), SparseAndOr()).save(kept)
    return Interactions.load(kept)


def measure(settings: dict[str, Any], out: Path) -> pd.DataFrame:
    """A row for each seed, start and portion: accuracies, and shares from the portion before."""
    trained = {seed: train(settings, seed, out) for seed in settings["seeds"]}
    ends = {
        (seed, start): [interactions(settings, paths[-1]) for paths in series]
        for seed, starts in trained.items()
        for start, series in starts.items()
    }
    rows, test = list[dict[str, Any]](), data.fashion_mnist("test")
    for (seed, start), states in ends.items():
        run = Trajectory(start, tuple(range(1, len(states) + 1)), tuple(states))
        amounts = portion_amounts(run)
        for portion, paths in enumerate(trained[seed][start], start=1):
            right = models.performance(models.load("small:cnn", paths[-1]), test.items, test.level("fine")[0])
            loss = pd.read_csv(paths[0].parent / "history.csv").loss.iloc[-1]
            row = {"seed": seed, "start": start, "portion": portion, "accuracy": right.accuracy, "loss": loss}
            rows.append(row | _ratios(amounts.get(str(portion))))
        rows.append({"seed": seed, "start": start, "portion": ALL} | _ratios(amounts[ALL]))
    seeds = settings["seeds"]
    for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
        pairs = zip(ends[other, SCRATCH], ends[seed, SCRATCH][1:], strict=False)
        changes = [compare(before, after) for before, after in pairs]
        sums = [
            sum(float(getattr(each, part).sum()) for each in changes) for part in ("preserved", "all_before")
        ]
        rows.append({"seed": seed, "start": STRANGERS, "portion": ALL, SHARES[0]: sums[0] / sums[1]})
    return pd.DataFrame(rows)


def _ratios(amounts: Any) -> dict[str, float]:
    """The shares of all images together; NaN for the first portion."""
    if amounts is None:
        return dict.fromkeys(SHARES, np.nan)
    return {share: float(amounts[share][0].sum() / amounts[share][1].sum()) for share in SHARES}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of each start and portion, and differences to scratch, with t intervals."""
    rows = []
    for quantity in ("accuracy", *SHARES):
        wide = runs.pivot(index="seed", columns=["start", "portion"], values=quantity)
        for start, portion in wide.columns[wide.notna().all()]:
            values = {"value": wide[start, portion]}
            if (SCRATCH, portion) in wide and start != SCRATCH:
                values["difference"] = wide[start, portion] - wide[SCRATCH, portion]
            row: dict[str, Any] = {
                "quantity": quantity,
                "start": start,
                "portion": portion,
                "seeds": len(wide),
            }
            for name, column in values.items():
                (found,) = mean_interval(column.to_numpy()[:, None])
                bounds = {"value": "value", "low": "low", "high": "high"}
                if name == "difference":
                    bounds = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
                row |= {bounds[bound]: getattr(found, bound) for bound in bounds}
            rows.append(row)
    return pd.DataFrame(rows)


def correlations(runs: pd.DataFrame) -> pd.DataFrame:
    """Whether starts that preserve more than scratch are less accurate than it; a seed is a cluster."""
    later = runs[runs.portion.isin([portion for portion in runs.portion if portion not in (1, ALL)])]
    wide = later.pivot(index=["seed", "portion"], columns="start", values=["accuracy", *SHARES])
    points = []
    for start in wide["accuracy"].columns.drop(SCRATCH):
        less = {name: wide[name, start] - wide[name, SCRATCH] for name in ("accuracy", *SHARES)}
        points.append(pd.DataFrame(less).assign(start=start).reset_index())
    gaps = pd.concat(points, ignore_index=True).rename(columns={"accuracy": "gap"})
    return correlation_table(gaps, [(share, "gap") for share in SHARES], clusters="seed")


def told(settings: dict[str, Any], runs: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """The claims of the study file with their verdicts."""
    seeds = tuple(settings["seeds"])
    quantities = {}
    for start, rows in runs.groupby("start"):
        for quantity in ("accuracy", *SHARES):
            portion = settings["portions"] if quantity == "accuracy" else ALL
            values = rows[rows.portion == portion].set_index("seed")[quantity].reindex(seeds).to_numpy(float)
            if not np.isnan(values).any():
                quantities[f"{quantity}:{start}"] = Quantity("seeds", seeds, (values,))
    (row,) = found[(found.x == SHARES[0]) & (found.coefficient == "pearson")].itertuples()
    quantities[CORRELATION] = Quantity("seeds", seeds, shown=Interval(row.value, row.low, row.high))
    return claims_table(quantities, CLAIMS)


def draw(table: pd.DataFrame) -> Figure:
    """Accuracy and preserved share by portion, a line a start."""
    figure = Figure((PAGE, 2.4), layout="constrained")
    for ax, quantity, label in zip(
        figure.subplots(1, 2),
        ("accuracy", SHARES[0]),
        ("held-out accuracy", "preserved of the portion before"),
        strict=True,
    ):
        rows = table[(table.quantity == quantity) & (table.portion != ALL)]
        for place, (start, one) in enumerate(rows.groupby("start", sort=False)):
            x = one.portion.astype(int) + 0.04 * (place - 1.5)
            errors = [one.value - one.low, one.high - one.value]
            colour = NETWORK_COLOURS[1 + place]
            ax.errorbar(
                x, one.value, errors, marker="o", markersize=3, linewidth=1, color=colour, label=start
            )
        ax.set_xticks(sorted(set(rows.portion.astype(int))))
        share_axis(ax)
        if quantity == "accuracy":
            ax.set_ylim(*_around(rows))
        label_axes(ax, "portion", label)
        legend_above(ax)
    return figure


def _around(rows: pd.DataFrame) -> tuple[float, float]:
    """A range of accuracies with the intervals of all starts."""
    return float(np.floor(20 * rows.low.min()) / 20), float(np.ceil(20 * rows.high.max()) / 20)


def main(out: Path, place: Path = HERE) -> None:
    settings = SETTINGS
    torch.set_num_threads(1)
    runs = measure(settings, out)
    found = correlations(runs)
    tables = {
        "runs": runs,
        "summary": summary(runs),
        "correlation": found,
        "claims": told(settings, runs, found),
    }
    for name, table in tables.items():
        table.round(5).to_csv(place / f"{name}.csv", index=False)
    (place / "figures").mkdir(exist_ok=True)
    draw(tables["summary"]).savefig(place / "figures" / "portions.png", dpi=200)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
