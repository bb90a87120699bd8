"""Advice of tracked runs, over seeds: does a choice by knowledge change accuracy?

    python docs/studies/advice/study.py runs/advice

pretrains a small CNN on ten kinds of clothes, fine-tunes it to four coarse kinds with layers frozen and at
other rates, tracks all runs of a seed, and asks for advice as `harsanyi advise` does. Tables go beside this
file. What is trained and evaluated is kept in the folder, and not done again. About ten minutes on one core.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harsanyi import data, models
from harsanyi.analyses import Track
from harsanyi.analyses.advice.candidates import candidates_of, trainings_of
from harsanyi.analyses.advice.choices import (
    BY_LOSS,
    END,
    FREE,
    FREEZE,
    RATES,
    STOP,
    advice_table,
    candidates_table,
    choices_of,
)
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import FAINT, NETWORK_COLOURS, PAGE, label_axes, legend_above
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval, mean_interval
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.analyses.study.prepare import prepare

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "seeds": (0, 1, 2, 3, 4),
    "pretrain_size": 1600,
    "pretrain_epochs": 15,
    "size": 400,  # images that it is fine-tuned on
    "epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.001,
    "at_most": 8,  # checkpoints of each run
    "inputs": 40,
    "players": "grid:4x4:8",
    "settled": 0.8,
    "margin": 0.01,
}
# Each run differs from the free one in this alone.
RUNS: dict[str, dict[str, Any]] = {
    "free": {},
    "conv1": {"frozen": ("conv1",)},
    "convs": {"frozen": ("conv1", "conv2")},
    "probe": {"frozen": ("conv1", "conv2", "hidden")},
    "slow": {"learning_rate": 0.0001},
    "fast": {"learning_rate": 0.01},
}
# Stated with their margins before the study ran. QUESTION:MEASURE:AGAINST is accuracy by the choice of the
# measure less that of the other choice, on held-out images that chose nothing; of stopping the mean over all
# runs. saved:stop is the share of steps saved.
CLAIMS = (
    "stop:settled:loss > -0.01",
    "stop:settled:end > -0.01",
    "saved:stop > 0.1",
    "freeze:preserved_share:loss > 0",
    "freeze:preserved_share:free > 0",
    "freeze:evidence:loss > 0",
    "freeze:evidence:free > 0",
    "rate:preserved_share:loss > 0",
    "rate:evidence:loss > 0",
)
# The questions and the choices in words, as in the figure.
QUESTIONS = {STOP: "stop", FREEZE: "freeze", RATES: "rate"}
CHOICES = {
    "settled": "by settled knowledge",
    "preserved_share": "by preserved share",
    "evidence": "by preserved evidence",
    BY_LOSS: "by validation loss",
    END: "at the end",
    FREE: "nothing frozen",
}
ALL_RUNS = "all runs"
RUN_WORDS = {
    "free": "all free",
    "conv1": "first convolution frozen",
    "convs": "both convolutions frozen",
    "probe": "all but the head frozen",
    "slow": "all free, rate 0.0001",
    "fast": "all free, rate 0.01",
    ALL_RUNS: ALL_RUNS,
}
AGAINST = {BY_LOSS: "loss", END: "end", FREE: "free"}


def train(settings: dict[str, Any], seed: int, out: Path) -> tuple[Path, dict[str, Path]]:
    """The pretrained checkpoint, and the folder of each run."""
    drawn = data.fashion_mnist("train").sample(settings["pretrain_size"] + settings["size"], seed, "fine")
    order = np.random.default_rng(seed).permutation(len(drawn))
    parts = [drawn.select(np.sort(rows)) for rows in np.split(order, [settings["pretrain_size"]])]
    test = data.fashion_mnist("test").sample(200, 0, "fine")  # of the curves alone
    (fine, coarse), (held_fine, held_coarse) = (
        [
            models.Samples(part.items, part.level(level)[0])
            for part, level in zip(both, ("fine", "coarse"), strict=True)
        ]
        for both in (parts, [test, test])
    )
    common: dict[str, Any] = {"batch_size": settings["batch_size"], "seed": seed}
    network = models.load("small:cnn", "random", classes=drawn.classes["fine"], seed=seed)
    recipe = models.Recipe(epochs=settings["pretrain_epochs"], **common)
    pretrained = models.train(
        network, fine, recipe, folder=out / "pretrained", held_out=held_fine, progress=False
    )[-1]
    begin = models.load("small:cnn", pretrained).with_new_head(drawn.classes["coarse"], seed=seed)
    common |= {"epochs": settings["epochs"], "learning_rate": settings["learning_rate"]}
    for name, more in RUNS.items():
        recipe = models.Recipe(**common | more)
        models.train(begin, coarse, recipe, folder=out / name, held_out=held_coarse, progress=False)
    return pretrained, {name: out / name for name in RUNS}


def advise(settings: dict[str, Any], seed: int, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of advice of one seed, and what was chosen among."""
    pretrained, folders = train(settings, seed, out)
    study = Track(
        model="small:cnn",
        pretrained=str(pretrained),
        series=tuple(f"{name}={folder}" for name, folder in folders.items()),
        data=data.fashion_mnist_path("test"),
        train_data=data.fashion_mnist_path("train"),
        level="coarse",
        read_out=("auto",),
        out=out / "track",
        seed=seed,
        device="cpu",
        **{name: settings[name] for name in ("at_most", "inputs", "players")},
    )
    run = compute(study, progress=False, announce=False)
    games = prepare(study)
    candidates, trainings = candidates_of(run, games), trainings_of(run, games)
    choices = choices_of(candidates, trainings, settings["settled"])
    return advice_table(choices, settings["margin"]), candidates_table(candidates, trainings)


def quantities(settings: dict[str, Any], advice: pd.DataFrame) -> dict[str, Quantity]:
    """What each choice changes in accuracy, by seed."""
    seeds = tuple(settings["seeds"])

    def by_seed(rows: pd.DataFrame, column: str) -> Quantity:
        return Quantity(
            "seeds", seeds, (rows.groupby("seed")[column].mean().loc[list(seeds)].to_numpy(float),)
        )

    found = {
        f"{question}:{measure}:{AGAINST[str(against)]}": by_seed(rows, "difference")
        for (question, measure, against), rows in advice.groupby(
            ["question", "measure", "against"], sort=False
        )
    }
    stops = advice[(advice.question == STOP) & (advice.against == END)]
    return found | {"saved:stop": by_seed(stops, "saved")}


def summary(found: dict[str, Quantity]) -> pd.DataFrame:
    """The mean of each quantity over seeds, with a t interval."""
    return pd.DataFrame(
        {"quantity": name, **vars(quantity.interval()), "seeds": len(quantity.units)}
        for name, quantity in found.items()
    )


def accuracies(advice: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by each choice, the mean over seeds with a t interval; of stopping the mean over all runs."""
    chosen = advice.assign(choice=advice.measure)[["question", "choice", "seed", "among", "value"]]
    other = advice.assign(choice=advice.against, value=advice.other_value)[chosen.columns]
    both = pd.concat([chosen, other]).drop_duplicates(["question", "choice", "seed", "among"])
    rows = []
    for (question, choice), group in both.groupby(["question", "choice"], sort=False):
        values = group.groupby("seed").value.mean()
        (found,) = mean_interval(values.to_numpy()[:, None])
        rows.append({"question": question, "choice": choice, **vars(found), "seeds": len(values)})
    return pd.DataFrame(rows)


def savings(advice: pd.DataFrame) -> pd.DataFrame:
    """The share of steps that stopping at settled knowledge saves, by run, over seeds."""
    stops = advice[advice.question == STOP]
    rows = []
    for against, group in stops.groupby("against", sort=False):
        wide = group.pivot(index="seed", columns="among", values="saved")[list(RUNS)]
        for name, values in (wide.assign(**{ALL_RUNS: wide.mean(axis=1)})).items():
            (found,) = mean_interval(values.to_numpy()[:, None])
            rows.append({"against": against, "run": name, **vars(found), "seeds": len(values)})
    return pd.DataFrame(rows)


def fixed_stops(candidates: pd.DataFrame) -> pd.DataFrame:
    """What stopping every run at the same epoch changes in accuracy beside its end: no measure is asked."""
    wide = candidates.pivot(index=["seed", "series"], columns="step", values="value")
    last = int(wide.columns.max())
    rows = []
    for step in wide.columns.drop(last):
        less = (wide[step] - wide[last]).groupby("seed").mean()
        (found,) = mean_difference_interval(less.to_numpy()[:, None])
        bounds = {bound: getattr(found, bound) for bound in ("value", "low", "high")}
        rows.append({"epoch": step, "saved": 1 - int(str(step)) / last, **bounds, "seeds": len(less)})
    return pd.DataFrame(rows)


def draw(accuracy: pd.DataFrame, saved: pd.DataFrame) -> Figure:
    """Accuracy by each choice, and the share of steps saved by run."""
    figure = Figure((PAGE, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    places, names, place = [], [], 0.0
    shown: set[str] = set()
    for question, word in QUESTIONS.items():
        rows = accuracy[accuracy.question == question].set_index("choice")
        rows = rows.loc[[choice for choice in CHOICES if choice in rows.index]]
        for choice, row in rows.iterrows():
            colour, label = (
                (NETWORK_COLOURS[0], "without") if choice in AGAINST else (NETWORK_COLOURS[1], "by knowledge")
            )
            label = "" if label in shown else label
            shown.add(label)
            dots_with_bars(left, np.array([place]), row.to_frame().T, colour, label, horizontal=True)
            places.append(place)
            names.append(f"{word}: {CHOICES[str(choice)]}")
            place += 1
        place += 0.6
    left.set_yticks(places, names)
    left.set_ylim(place - 1, -0.6)
    left.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    label_axes(left, "accuracy on 380 held-out images", "")
    legend_above(left)
    rows = saved[saved.against == END]
    dots_with_bars(right, np.arange(len(rows)), rows, NETWORK_COLOURS[1], horizontal=True)
    right.axvline(0, color=FAINT, linewidth=0.8)
    right.axhline(len(rows) - 1.5, color=FAINT, linewidth=0.6)
    right.set_yticks(range(len(rows)), [RUN_WORDS[name] for name in rows.run])
    right.set_ylim(len(rows) - 0.5, -0.5)
    right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    label_axes(right, "steps saved by stopping\nat settled knowledge", "")
    return figure


def main(out: Path, place: Path = HERE) -> None:
    settings = SETTINGS
    torch.set_num_threads(1)
    parts = {seed: advise(settings, seed, out / f"seed-{seed}") for seed in settings["seeds"]}
    advice, candidates = (
        pd.concat([part[place].assign(seed=seed) for seed, part in parts.items()], ignore_index=True)
        for place in range(2)
    )
    # Of each seed for itself; over seeds the claims are told.
    advice = advice.drop(columns="p_corrected")
    found = quantities(settings, advice)
    tables = {"advice": advice, "candidates": candidates, "summary": summary(found)}
    tables |= {"accuracies": accuracies(advice), "saved": savings(advice), "fixed": fixed_stops(candidates)}
    tables["claims"] = claims_table(found, CLAIMS)
    tables = {name: table.round(5) for name, table in tables.items()}
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv", index=False)
    (place / "figures").mkdir(exist_ok=True)
    draw(tables["accuracies"], tables["saved"]).savefig(place / "figures/choices.png", dpi=200)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
