"""Draws again the figures of the studies that their committed tables suffice for, without a network.

    python docs/studies/redraw.py

After a change of the drawing code. Other figures need their study: pictures and sentences of single inputs,
and the effects along training of ground_truth.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.accuracy.counterfactual_figures import plot_effect_sizes
from harsanyi.analyses.accuracy.prediction_figures import plot_restricted
from harsanyi.analyses.comparison.figures import plot_shares, plot_strength_by_order
from harsanyi.analyses.drawing.palette import PAGE, figure_of, legend_over
from harsanyi.analyses.fine_coarse.feature_panels import draw_errors, draw_movements, draw_responses
from harsanyi.analyses.fine_coarse.hard_figures import plot_hard_samples
from harsanyi.analyses.fine_coarse.panels import draw_delta_maps, draw_loss_split
from harsanyi.analyses.granularity.figures import plot_granularity, plot_misalignment, plot_sizes
from harsanyi.analyses.granularity.ladder_figures import draw_ladders, plot_ladder_orders
from harsanyi.analyses.granularity.target import ERRORS
from harsanyi.analyses.origins.feature_figures import plot_feature_correlations
from harsanyi.analyses.origins.figures import plot_origins
from harsanyi.analyses.training.figures import (
    plot_orders_over_training,
    plot_reached,
    plot_shares_over_training,
    plot_times_to_reach,
)
from harsanyi.analyses.training.theory_figures import draw_loss_below, plot_succession

HERE = Path(__file__).parent
DPI = 200
NATS = "log-odds, nats"
# The runs of the ladder in words.
RUNGS = {
    "free": "all free",
    "freeze-1": "stem frozen",
    "freeze-2": "stem, layer1 frozen",
    "freeze-3": "stem to layer2 frozen",
    "freeze-all": "all but the head frozen",
    "reset-1": "layer3 reset",
    "reset-2": "layer2, layer3 reset",
    "reset-3": "layer1 to layer3 reset",
    "reset-all": "whole body reset",
    "rate-0-002": "all free, rate 0.002",
    "rate-0-1": "all free, rate 0.1",
    "longer": "all free, 15 epochs",
}


def main() -> None:
    studies = (
        *(granularity, fine_to_coarse, fine_against_coarse, feature_learning, deeper, split, training),
        *(fine_tuning, ladder, gaps, robustness, advice),
    )
    for figures in studies:
        for name, drawn in figures():
            path = HERE / name
            (figure_of(drawn) if isinstance(drawn, Axes) else drawn).savefig(path, dpi=DPI)
            print(path)


def granularity() -> Iterator[tuple[str, Axes | Figure]]:
    folder = "label_granularity"
    for study, size in (("cifar100", 3000), ("trec", 1000)):
        tables = [table(f"{folder}/{study}/{name}") for name in ("summary", "ladder_summary")]
        yield f"{folder}/figures/{study}_ladders.png", draw_ladders(*tables, size)
    orders = plot_ladder_orders(
        table(f"{folder}/cifar100/ladder_summary"), ["wordnet", "columns"], 3000, unit=NATS
    )
    yield f"{folder}/figures/cifar100_orders.png", orders
    clothes = table(f"{folder}/clothes/summary")
    yield f"{folder}/figures/clothes_misalignment.png", plot_misalignment(clothes, 1600)
    yield f"{folder}/figures/clothes_sizes.png", plot_sizes(clothes, "kmeans-unaligned")
    for name, error in (("multi_label", ERRORS["multi-label"]), ("regression", ERRORS["regression"])):
        drawn = plot_granularity(table(f"{folder}/{name}/summary"), 400, error=error)
        yield f"{folder}/figures/{name}.png", drawn


def fine_to_coarse() -> Iterator[tuple[str, Axes | Figure]]:
    """Errors of both networks side by side, short and trained out; pretraining images; knowledge."""
    folder = "fine_to_coarse"
    networks = {"CNN": "cnn", "residual network": "residual"}
    for name, start, sizes in (("errors", "whole_", (200, 2000)), ("errors_short", "", (200, 1000))):
        summaries = {
            words: table(f"{folder}/{start}{network}/summary") for words, network in networks.items()
        }
        yield f"{folder}/figures/{name}.png", draw_networks(summaries, sizes)
    samples = table(f"{folder}/samples/summary")
    yield f"{folder}/figures/samples.png", draw_pretraining_sizes(samples, (200, 2000))
    for network in networks.values():
        tables = [table(f"{folder}/{network}/{name}") for name in ("summary", "ladder_summary")]
        yield f"{folder}/figures/{network}_ladders.png", draw_ladders(*tables, 1000)


def draw_networks(summaries: Mapping[str, pd.DataFrame], sizes: Sequence[int]) -> Figure:
    """Errors against pretraining classes: a row for each size of the target, a column for each network."""
    figure = Figure((PAGE, 2.9 * len(sizes)), layout="constrained")
    panels = figure.subplots(len(sizes), len(summaries), sharex=True, sharey="row", squeeze=False)
    for row, size in zip(panels, sizes, strict=True):
        for ax, (name, summary) in zip(row, summaries.items(), strict=True):
            plot_granularity(summary, size, ax)
            ax.get_legend().remove()
            ax.set_title(f"{name}, {size:,} target images", fontsize="medium")
            ax.label_outer()
    legend_over(figure, columns=3)
    return figure


def draw_pretraining_sizes(summary: pd.DataFrame, sizes: Sequence[int]) -> Figure:
    """Errors against pretraining samples, a line for each number of classes, a panel for each target size."""
    figure = Figure((PAGE, 3.1), layout="constrained")
    panels = figure.subplots(1, len(sizes), squeeze=False)[0]
    for ax, size in zip(panels, sizes, strict=True):
        plot_sizes(summary[summary["size"] == size], "columns", ax, by="pretrain_size")
        ax.get_legend().remove()
        ax.set_title(f"{size:,} target images", fontsize="medium")
    legend_over(figure, columns=5)
    return figure


def fine_against_coarse() -> Iterator[tuple[str, Axes | Figure]]:
    folder, study = "fine_against_coarse", study_of("fine_against_coarse")
    deltas = {name: table(f"{folder}/{name}") for name in ("circles", "digits", "clothes")}
    for name in ("digits", "clothes"):
        yield f"{folder}/figures/{name}.png", draw_delta_maps(deltas[name])
    for name in ("mnist", "fashion_mnist", "cifar10"):
        drawn = draw_delta_maps(table(f"{folder}/whole/{name}/delta"))
        yield f"{folder}/figures/whole_{name}.png", drawn
    yield f"{folder}/figures/loss.png", draw_loss_split(table(f"{folder}/loss"))
    yield f"{folder}/figures/beta.png", study.figure_of_betas(table(f"{folder}/beta"))
    known = study.ring_pool(study.RINGS)[2]
    drawn = study.figure_of_redundancy(pd.concat(deltas.values()), table(f"{folder}/redundancy"), known)
    yield f"{folder}/figures/redundancy.png", drawn


def feature_learning() -> Iterator[tuple[str, Axes | Figure]]:
    folder, study = "feature_learning", study_of("feature_learning")
    yield f"{folder}/figures/alignment.png", study.figure_of_alignment(table(f"{folder}/alignment"))
    sweeps = table(f"{folder}/sweeps")
    errors = {
        by: rows[rows.quantity == "error"].rename(columns={"at": by})
        for by, rows in sweeps.groupby("by", sort=False)
    }
    yield f"{folder}/figures/errors.png", study.figure_of_errors(errors)
    interactions = table(f"{folder}/interactions")
    for name, setting in (("interactions", "as set"), ("interactions_four", "four superclasses")):
        rows = interactions[interactions.setting == setting]
        yield f"{folder}/figures/{name}.png", study.figure_of_interactions(rows)


def deeper() -> Iterator[tuple[str, Axes | Figure]]:
    folder = "feature_learning_deeper"
    for name, draw in (("errors", draw_errors), ("responses", draw_responses), ("movement", draw_movements)):
        yield f"{folder}/figures/{name}.png", draw(table(f"{folder}/summary"))
    yield f"{folder}/figures/optimisers.png", draw_errors(table(f"{folder}/optimisers"))
    yield f"{folder}/figures/hard_clothes.png", plot_hard_samples(table(f"{folder}/hard_clothes"))


def split() -> Iterator[tuple[str, Axes | Figure]]:
    folder, study = "split_objective", study_of("split_objective")
    for name, sweep in study.SWEEPS.items():
        drawn = study.draw(table(f"{folder}/{name}"), several=bool(sweep.depths))
        yield f"{folder}/figures/{name}.png", drawn


def training() -> Iterator[tuple[str, Axes | Figure]]:
    folder = "knowledge_through_training"
    for run in ("resnet20", "minilm"):
        yield f"{folder}/figures/{run}_restricted.png", plot_restricted(table(f"{folder}/{run}/restricted"))
        sizes = plot_effect_sizes(table(f"{folder}/{run}/calibration"), unit=NATS)
        yield f"{folder}/figures/{run}_effect_sizes.png", sizes
    trajectories = table(f"{folder}/resnet20/trajectories")
    phases = draw_phases(trajectories, table(f"{folder}/resnet20/succession"), "scratch")
    yield f"{folder}/figures/resnet20_two_phases.png", phases
    yield f"{folder}/figures/resnet20_kept.png", plot_shares_over_training(trajectories, "finetuned")
    yield f"{folder}/figures/resnet20_reached.png", plot_reached(trajectories)
    times = table(f"{folder}/resnet20/times")
    yield f"{folder}/figures/resnet20_half.png", plot_times_to_reach(times[times.share == 0.5])


def draw_phases(along: pd.DataFrame, succession: pd.DataFrame, series: str) -> Figure:
    """Orders and loss of a run by step, and the order's succession beside that of theory."""
    figure = Figure((PAGE, 4.2), layout="constrained")
    panels = figure.subplot_mosaic([["orders", "steps"], ["loss", "steps"]], height_ratios=(1.5, 1))
    plot_orders_over_training(along, series, panels["orders"])
    plot_succession(succession, series, panels["steps"])
    losses = along[along.quantity.str.startswith("loss ")]
    losses = losses.assign(split=losses.quantity.str.removeprefix("loss "), loss=losses.value)
    steps = sorted(set(losses[losses.series == series].step))
    draw_loss_below(panels["orders"], steps, losses, series, panels["loss"])
    return figure


def fine_tuning() -> Iterator[tuple[str, Axes | Figure]]:
    change = table("resnet20_cifar100/change")
    yield "resnet20_cifar100/figures/shares_by_order.png", plot_shares(change)
    yield "resnet20_cifar100/figures/strength_by_order.png", plot_strength_by_order(change, unit=NATS)


def ladder() -> Iterator[tuple[str, Axes | Figure]]:
    """Shares to a tenth of a percent, by the rungs' names of the study's page."""
    shares = table("resnet20_ladder/shares")
    shares = shares.assign(origin=shares.origin.replace(RUNGS))
    yield "resnet20_ladder/figures/shares.png", plot_origins(shares)


def gaps() -> Iterator[tuple[str, Axes | Figure]]:
    """What is kept, features and gain of each target beside each other; what says how much of the gain."""
    folder, beside = "gaps", study_of("gaps", "beside")
    settings = {"cifar100": beside.PICTURES, "cifar10": beside.PICTURES, "sentences": beside.SENTENCES}
    for setting, words in settings.items():
        drawn = beside.draw_beside(table(f"{folder}/{setting}/means"), words)
        yield f"{folder}/figures/{setting}.png", drawn
        drawn = plot_feature_correlations(table(f"{folder}/{setting}/correlations"))
        yield f"{folder}/figures/{setting}_gain.png", drawn


def robustness() -> Iterator[tuple[str, Axes | Figure]]:
    drawn = study_of("robustness").draw(table("robustness/accuracies"))
    yield "robustness/figures/accuracy.png", drawn


def advice() -> Iterator[tuple[str, Axes | Figure]]:
    drawn = study_of("advice").draw(table("advice/accuracies"), table("advice/saved"))
    yield "advice/figures/choices.png", drawn


def table(name: str) -> pd.DataFrame:
    """A committed table; orders, groupings and layers are text, as in the tables of a run."""
    texts = ("order", "grouping", "betas", "layers")
    return pd.read_csv(HERE / f"{name}.csv", dtype=dict.fromkeys(texts, str))


def study_of(folder: str, script: str = "study") -> ModuleType:
    """The script in a folder, whose figures are drawn by it."""
    spec = importlib.util.spec_from_file_location(folder, HERE / folder / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
