"""The theory of label granularity, run: what networks on patch data learn from coarse and from fine labels.

    python docs/studies/feature_learning/study.py runs/feature_learning

trains a two-layer network for every setting, level of labels and seed, keeps its states in the folder, and
writes the tables and figures/ beside this file (minutes on one core; what is in the folder is not trained
again). README.md reads them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors import safe_open
from safetensors.torch import save_file

from harsanyi.analyses.drawing.palette import FONT, PAGE
from harsanyi.analyses.fine_coarse.feature_figures import plot_alignment, plot_errors, plot_patch_effects
from harsanyi.analyses.fine_coarse.feature_learning import FeatureRun, learn_features
from harsanyi.analyses.fine_coarse.feature_tables import alignment_table, error_table, interaction_table
from harsanyi.analyses.statistics.bootstrap import ratio_interval
from harsanyi.data.patches import LEVELS, PatchTask
from harsanyi.models.training.patch_network import PatchNetwork

HERE = Path(__file__).parent
STEPS = (0, 5, 10, 20, 30, 50, 80, 120, 200, 300, 450, 700, 1000)
SEEDS = range(6)
TASK = PatchTask(dimension=64, superclasses=2, subclasses=4, patches=8)
NEURONS = 32
SUBCLASSES, DIMENSIONS, WIDTHS = (2, 4, 8, 16), (16, 64, 256), (8, 16, 32, 64)
DISTRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
HARD_SHARES = (0.0, 0.01, 0.03, 0.1)
# Hard samples whose common patches are replaced by noise and nothing else.
PLAIN = {"distraction": (0.0, 0.0)}


@dataclass(frozen=True)
class Setting:
    """What is trained; its name is that of its files."""

    name: str
    task: PatchTask = TASK
    neurons: int = NEURONS
    options: tuple[tuple[str, float], ...] = ()


BASE = Setting("base")
SWEEPS = {
    "subclasses": {
        k: BASE if k == TASK.subclasses else Setting(f"subclasses-{k}", replace(TASK, subclasses=k))
        for k in SUBCLASSES
    },
    "dimension": {
        d: BASE if d == TASK.dimension else Setting(f"dimension-{d}", replace(TASK, dimension=d))
        for d in DIMENSIONS
    },
    "neurons": {m: BASE if m == NEURONS else Setting(f"neurons-{m}", neurons=m) for m in WIDTHS},
    "hard_share": {p: Setting(f"hard-{p:g}", options=(("hard", p),)) if p else BASE for p in HARD_SHARES},
}
OTHERS = {
    "as set": BASE,
    "falling bias": Setting("falling-bias", options=(("bias_rate", 0.2),)),
    "four superclasses": Setting("superclasses-4", replace(TASK, superclasses=4)),
}
WORDS = {
    "neurons": "neurons a class",
    "hard_share": "share of hard samples in training",
    "distraction": "α of the distracting feature",
    "steps": "step of training",
}


def runs_of(setting: Setting, folder: Path) -> list[FeatureRun]:
    """The runs of both levels and all seeds, trained or read."""
    return [run_of(setting, level, seed, folder) for level in LEVELS for seed in SEEDS]


def run_of(setting: Setting, level: str, seed: int, folder: Path) -> FeatureRun:
    path = folder / f"{setting.name}-{level}-{seed}.safetensors"
    if path.is_file():
        return FeatureRun(setting.task, level, seed, read_states(path, setting))
    options: dict[str, Any] = dict(setting.options)
    run = learn_features(setting.task, level, seed=seed, steps=STEPS, neurons=setting.neurons, **options)
    write_states(run, path, setting)
    return run


def write_states(run: FeatureRun, path: Path, setting: Setting) -> None:
    """All states in one file, which is there whole or not at all."""
    tensors = {f"{step}.{name}": t for step, s in run.states.items() for name, t in s.state_dict().items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"setting": repr((setting, STEPS))})
    partial.replace(path)


def read_states(path: Path, setting: Setting) -> dict[int, PatchNetwork]:
    with safe_open(path, "pt") as file:
        trained = file.metadata()["setting"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  the file is no mapping
    if trained != repr((setting, STEPS)):
        raise ValueError(
            f"{path} was trained as {trained}, not as {setting}: delete it or give another folder"
        )
    states = {}
    for step in sorted(int(name.split(".")[0]) for name in tensors if name.endswith("weight")):
        network = PatchNetwork(*tensors[f"{step}.weight"].shape, seed=0)
        network.load_state_dict({name: tensors[f"{step}.{name}"] for name in ("weight", "bias")})
        states[step] = network
    return states


def sweep_table(by: str, folder: Path) -> pd.DataFrame:
    """Errors and final alignments of every setting of a sweep."""
    tables = []
    for value, setting in SWEEPS[by].items():
        runs = runs_of(setting, folder)
        tables.append(errors_both_ways(runs).assign(**{by: value}))
        print(by, value, flush=True)
    return pd.concat(tables, ignore_index=True)


def errors_both_ways(runs: Sequence[FeatureRun]) -> pd.DataFrame:
    """Errors with and without another superclass's feature in hard samples, final alignments, their ratio."""
    plain = error_table([run.on(replace(run.task, **PLAIN)) for run in runs])
    plain = plain[plain.samples == "hard"].assign(samples="hard, noise alone")
    ends = [replace(run, states={max(run.states): run.final}) for run in runs]
    aligned = alignment_table(ends).drop(columns="step")
    errors = pd.concat([error_table(runs), plain]).assign(quantity="error")
    return pd.concat([errors, aligned, response_ratios(ends)], ignore_index=True)


def response_ratios(ends: Sequence[FeatureRun]) -> pd.DataFrame:
    """The response to fine features over that to common ones, by level, of runs with one state."""
    rows = []
    for level in LEVELS:
        tables = [alignment_table([run]) for run in ends if run.level == level]
        fine, common = (
            np.array(
                [[one[(one.quantity == "response") & (one.feature == f)].value.item()] for one in tables]
            )
            for f in ("fine", "common")
        )
        found = vars(ratio_interval(fine, common)[0])
        rows.append({"level": level, "quantity": "fine / common response", **found, "games": len(tables)})
    return pd.DataFrame(rows)


def distraction_table(runs: Sequence[FeatureRun]) -> pd.DataFrame:
    """The error on hard samples by the strength of the other superclass's feature, one for all."""
    tables = []
    for alpha in DISTRACTIONS:
        table = error_table([run.on(replace(run.task, distraction=(alpha, alpha))) for run in runs])
        tables.append(table.assign(distraction=alpha, quantity="error"))
    found = pd.concat(tables, ignore_index=True)
    return found[found.samples == "hard"]


def steps_table(runs: Sequence[FeatureRun]) -> pd.DataFrame:
    """Errors along training."""
    tables = []
    for step in STEPS[1:]:
        table = errors_both_ways([replace(run, states={step: run.states[step]}) for run in runs])
        tables.append(table.assign(steps=step))
    return pd.concat(tables, ignore_index=True)


def write(table: pd.DataFrame, name: str) -> None:
    table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4g")


def figure_of_alignment(table: pd.DataFrame) -> Figure:
    figure = Figure((PAGE, 2.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, level in zip(axes, LEVELS, strict=True):
        plot_alignment(table, level, ax=ax)
    axes[1].set_ylabel("")
    return figure


def figure_of_errors(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """One panel for each setting that is varied, one legend for all."""
    figure = Figure((PAGE, 4.4), layout="constrained")
    axes = figure.subplots(2, 3, sharey=True)
    for ax, (by, table) in zip(axes.flat, tables.items(), strict=True):
        plot_errors(table, by, ax=ax)
        ax.get_legend().remove()
        ax.set_xlabel(WORDS.get(by, by))
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=FONT)
    return figure


def figure_of_interactions(table: pd.DataFrame) -> Figure:
    """Columns for easy and hard samples, rows for effect and strength; only the first has a legend."""
    figure = Figure((PAGE, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex="row")
    for axes, quantity in zip(grid, ("effect", "strength"), strict=True):
        for ax, samples in zip(axes, ("easy", "hard"), strict=True):
            plot_patch_effects(table, samples, quantity, ax=ax)
    for ax in grid.flat[1:]:
        ax.get_legend().remove()
    return figure


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    base = runs_of(BASE, folder)
    alignment = alignment_table(base)
    write(alignment, "alignment")
    interactions = {
        name: interaction_table(runs_of(OTHERS[name], folder)) for name in ("as set", "four superclasses")
    }
    write(joined(interactions, "setting"), "interactions")
    others = {name: errors_both_ways(runs_of(setting, folder)) for name, setting in OTHERS.items()}
    others["largest fine output"] = error_table(base, reading="max").assign(quantity="error")
    write(joined(others, "setting"), "others")
    sweeps = {by: sweep_table(by, folder) for by in SWEEPS}
    sweeps |= {"distraction": distraction_table(base), "steps": steps_table(base)}
    write(pd.concat(t.assign(by=by).rename(columns={by: "at"}) for by, t in sweeps.items()), "sweeps")
    errors = {by: table[table.quantity == "error"] for by, table in sweeps.items()}
    figures = {
        "alignment": figure_of_alignment(alignment),
        "errors": figure_of_errors(errors),
        "interactions": figure_of_interactions(interactions["as set"]),
        "interactions_four": figure_of_interactions(interactions["four superclasses"]),
    }
    for name, figure in figures.items():
        figure.savefig(HERE / "figures" / f"{name}.png", dpi=200)


def joined(tables: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
    """One below the other, with what each is called."""
    return pd.concat([table.assign(**{name: called}) for called, table in tables.items()])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/feature_learning"))
