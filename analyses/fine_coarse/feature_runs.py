"""What every network of a study of features has learned, kept run by run, and means over seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from harsanyi.analyses.fine_coarse.csv_cache import read_or_make
from harsanyi.analyses.fine_coarse.feature_learning import DeepDesign, FeatureRun, learn_deep_features
from harsanyi.analyses.fine_coarse.feature_settings import Features
from harsanyi.analyses.fine_coarse.feature_tables import (
    WITH_NOISE,
    alignment_of,
    grouped_effects,
    own_features,
    patch_interactions,
    superclass_error,
)
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval, within
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.data.patches import LEVELS, PatchTask
from harsanyi.models.digest import digest
from harsanyi.models.training.deep_patch_network import DeepPatchNetwork
from harsanyi.models.training.tangent_kernel import movement

# Shares of hard and of mirror samples in each kind of samples; in the "noise" ones nothing distracts.
SAMPLES = {
    "easy": (0.0, 0.0),
    "hard": (1.0, 0.0),
    "hard-noise": (1.0, 0.0),
    "mirror": (0.0, 1.0),
    "mirror-noise": (0.0, 1.0),
}
TESTED, TEST_SEED = 2000, 10**9
MOVED = 16  # samples on which features and kernel are compared
MOVEMENTS = ("weights", "features", "kernel", "kernel_turn")
NETWORK = ["layers", "scale", "optimiser"]
# Gains of fine over coarse labels that a table has, with p.
COMPARED = ("error", "response")
# What no value can be below and above.
BOUNDS = {"error": (0.0, 1.0), "loss": (0.0, np.inf)} | dict.fromkeys(MOVEMENTS, (0.0, np.inf))


@dataclass(frozen=True)
class Kind:
    """A kind of network in a study: its name, as "4-residual:10:adamw", and how it is trained."""

    design: DeepDesign

    @property
    def layers(self) -> str:
        """The number of layers, and whether they are residual."""
        return f"{self.design.layers}{'-residual' if self.design.residual else ''}"

    @property
    def name(self) -> str:
        """LAYERS:SCALE:OPTIMISER."""
        return f"{self.layers}:{self.design.scale:g}:{self.design.optimiser}"


def kinds_of(study: Features) -> list[Kind]:
    """Every kind of network of a study.

    >>> study = Features(out=Path("out"), layers=(2, 3), residual=True, scales=(10.0,))
    >>> [kind.name for kind in kinds_of(study)]
    ['2:10:plain-sgd', '3:10:plain-sgd', '3-residual:10:plain-sgd']
    """
    shapes = [(layers, False) for layers in study.layers]
    shapes += [(layers, True) for layers in study.layers if study.residual and layers > 2]
    return [
        Kind(
            DeepDesign(
                layers=layers,
                residual=residual,
                scale=scale,
                optimiser=optimiser,
                learning_rate=rate,
                neurons=study.neurons,
                weight_decay=study.weight_decay,
            )
        )
        for optimiser, rate in study.rates.items()
        for scale in study.scales
        for layers, residual in shapes
    ]


def task_of(study: Features) -> PatchTask:
    """The patch data of a study; a ValueError where they do not fit."""
    return PatchTask(study.dimension, study.superclasses, study.subclasses, study.patches)


def feature_runs(study: Features, folder: Path) -> Iterator[pd.DataFrame]:
    """`measured_run` of every kind, level and seed; each is a csv, which is read where it exists.

    Args:
        study: its networks, levels and seeds.
        folder: for the csv files, named by a fingerprint of the settings.

    Yields:
        layers, scale, optimiser, level, seed and the columns of `measured_run`, for one kind after the other.
    """
    task = task_of(study)
    training = {"steps": study.steps, "batch": study.batch_size, "hard": study.hard_share}
    for kind in kinds_of(study):
        tables = []
        for level in LEVELS:
            for seed in study.seeds:
                settings = [repr(task), repr(kind.design), training, study.inputs, level, seed]
                path = folder / f"{kind.name.replace(':', '-')}-{level}-{seed}-{digest(settings)[:8]}.csv"
                make = partial(_trained_and_measured, study, task, kind.design, level, seed)
                name: dict[str, Any] = {"layers": kind.layers, "scale": kind.design.scale}
                name |= {"optimiser": kind.design.optimiser, "level": level, "seed": seed}
                tables.append(read_or_make(path, make).assign(**name))
        yield pd.concat(tables, ignore_index=True)


def measured_run(run: FeatureRun, inputs: int) -> pd.DataFrame:
    """What one network has learned, a number a row.

    Args:
        run: with the states before the first and after the last step, `DeepPatchNetwork`.
        inputs: samples of each kind whose interactions are computed; 0 for none.

    Returns:
        quantity, of and value. Quantities: error (share of wrong superclasses; of kinds of samples, see
        `SAMPLES`), loss (nats a new easy sample, on the labels of training), alignment and response (of
        "common" and "fine" features), the four of `movement`, and effect and strength (nats a sample; of
        "SAMPLES: PATCHES, ORDER", players with noise left out).

    >>> from harsanyi.analyses.fine_coarse.feature_learning import DeepDesign, learn_deep_features
    >>> design, task = DeepDesign(neurons=8), PatchTask(8, 2, 2, 5)
    >>> run = learn_deep_features(task, "fine", design, seed=0, steps=(0, 3), batch=4)
    >>> list(measured_run(run, inputs=0).quantity).count("error")
    5
    """
    rows: list[tuple[str, str, float]] = []
    for name, samples_task in _tasks(run.task).items():
        samples = samples_task.sample(TESTED, TEST_SEED, *SAMPLES[name])
        rows.append(("error", name, superclass_error(run, samples)))
    easy = run.task.sample(TESTED, TEST_SEED)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(run.final(easy.inputs), easy.labels(run.level))
    rows.append(("loss", run.level, loss.item()))
    for feature, (classes, vectors) in own_features(run).items():
        learned = alignment_of(run.final, classes, vectors)
        rows += [(quantity, feature, value) for quantity, value in learned.items()]
    start, end = run.states[min(run.states)], run.final
    assert isinstance(start, DeepPatchNetwork)
    assert isinstance(end, DeepPatchNetwork)
    moved = movement(start, end, easy.inputs[:MOVED])
    rows += [(quantity, "all", value) for quantity, value in moved.items()]
    for name in ("easy", "hard", "mirror") if inputs else ():
        samples = run.task.sample(inputs, TEST_SEED, *SAMPLES[name])
        parts = grouped_effects(patch_interactions(run, samples), samples.role)
        rows += [
            (quantity, f"{name}: {patches}, {order}", value)
            for (quantity, patches, order), value in parts.items()
            if quantity != "salient" and patches != WITH_NOISE
        ]
    return pd.DataFrame(rows, columns=["quantity", "of", "value"])


def feature_summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds with intervals, and what coarse labels have more of than fine ones, seed by seed.

    Args:
        runs: of `feature_runs`.

    Returns:
        layers, scale, optimiser, level ("coarse", "fine", "coarse less fine"), quantity, of, value, low,
        high, games (seeds), p and p_corrected of differences (`with_corrected`, for each quantity). A kind of
        interaction that some seeds have none of has no row.
    """
    keys = [*NETWORK, "quantity", "of"]
    wide = runs.pivot(index="seed", columns=[*keys, "level"], values="value").dropna(axis=1)
    present = set(wide.columns)
    rows = []
    for key in dict.fromkeys(column[:-1] for column in wide.columns):
        columns = {level: wide[*key, level].to_numpy() for level in LEVELS if (*key, level) in present}
        if len(columns) == len(LEVELS) and key[-2] in COMPARED:
            columns["coarse less fine"] = columns["coarse"] - columns["fine"]
        found = mean_difference_interval(np.stack(list(columns.values()), 1))
        least, most = BOUNDS.get(key[-2], (-np.inf, np.inf))
        for level, interval in zip(columns, found, strict=True):
            bounded = within(interval, least if level in LEVELS else -np.inf, most)
            row = {**dict(zip(keys, key, strict=True)), "level": level, **vars(bounded), "games": len(wide)}
            rows.append(row | {"p": interval.p if level not in LEVELS else np.nan})
    table = with_corrected(pd.DataFrame(rows), by=["quantity"])
    return table[[*NETWORK, "level", "quantity", "of", "value", "low", "high", "games", "p", "p_corrected"]]


def _tasks(task: PatchTask) -> dict[str, PatchTask]:
    """The task of each kind of samples: nothing distracts where noise alone is left."""
    silent = replace(task, distraction=(0.0, 0.0))
    return {name: silent if name.endswith("noise") else task for name in SAMPLES}


def _trained_and_measured(
    study: Features, task: PatchTask, design: DeepDesign, level: str, seed: int
) -> pd.DataFrame:
    run = learn_deep_features(
        task,
        level,
        design,
        seed=seed,
        steps=(0, study.steps),
        batch=study.batch_size,
        hard=study.hard_share,
    )
    return measured_run(run, study.inputs)
