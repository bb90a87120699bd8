"""Fine against coarse training: when do networks trained on fine classes answer coarse questions better?

One command: python docs/studies/fine_against_coarse/study.py
Resumable: cells that lie in runs/fine_against_coarse are read. Tables and figures go beside this file.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import PAGE
from harsanyi.analyses.fine_coarse.delta_map import Groupings, delta_map, delta_table, draw_rows
from harsanyi.analyses.fine_coarse.dial import dial_table, loss_split, ring_pool
from harsanyi.analyses.fine_coarse.figures import DATA_COLOURS, plot_beta, plot_redundancy
from harsanyi.analyses.fine_coarse.panels import draw_delta_maps, draw_loss_split
from harsanyi.analyses.fine_coarse.pool import Pool, clothes, digits, halvings
from harsanyi.analyses.fine_coarse.redundancy import boundary_redundancy, isotropic_chords, sample_segments
from harsanyi.analyses.statistics.bootstrap import ratio_interval
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.data import fashion_mnist
from harsanyi.models import StackRecipe, StackSamples, train_stack

HERE = Path(__file__).parent
RUNS = HERE.parents[2] / "runs" / "fine_against_coarse"
SEEDS = range(20)
RECIPE = StackRecipe(1, rates=(0.01, 0.001), momentum=0.9, batch_size=16, steps=6000, check=100, patience=8)
WIDTHS = (2, 4, 8, 16, 64)
SIZES = {"digits": (50, 100, 200, 400, 1200), "clothes": (100, 200, 400, 800, 1600)}
RINGS, RING_CELL = (0.0, 0.2, 0.4, 0.6, 0.8, 14 / 15), {"width": 32, "size": 400}
BETAS, BETA_CELL = (0.0, 0.1, 0.25, 0.5, 0.75, 1.5, 3.0), {"width": 16, "size": 200}
SEGMENTS = 2000
NEAR_CHANCE = 0.6  # accuracy of halves


def groupings_of(pool: Pool) -> dict[str, tuple[int, ...]]:
    """Halves by confusion, and one or two ways in which people would group."""
    found = halvings(pool)
    if pool.name == "digits":
        return {**found, "0–4 | 5–9": (0,) * 5 + (1,) * 5, "even | odd": (0, 1) * 5}
    labels = fashion_mnist("train").labels
    coarse = dict(zip(labels["fine"].tolist(), labels["coarse"].tolist(), strict=True))
    return {**found, "four kinds": tuple(coarse[k] for k in range(10))}


def measured_redundancy(pool: Pool, groupings: Groupings) -> pd.DataFrame:
    """Of one fine network of 64 units trained on the whole pool, along segments between test samples."""
    train, held = draw_rows(len(pool.labels), len(pool.labels), [0])
    samples = StackSamples(pool.inputs, pool.labels, train, held)
    stack = train_stack(samples, replace(RECIPE, width=64), [0], pool.classes).stack
    kinds = {"pairs": sample_segments(pool.test_inputs, SEGMENTS, seed=0)}
    if pool.name == "circles":
        scale = pool.inputs.norm(dim=1).max().item()  # the disc's radius in the pool's units
        kinds["chords"] = isotropic_chords(SEGMENTS, seed=0, radius=scale).float()
    rows = []
    for kind, segments in kinds.items():
        for name, coarse in groupings.items():
            found = boundary_redundancy(
                lambda x: stack.logits(x)[0].argmax(-1), segments, torch.tensor(coarse), points=100
            )
            rows.append(found.assign(data=pool.name, grouping=name, segments=kind))
    return pd.concat(rows, ignore_index=True)


def not_started(cells: pd.DataFrame) -> pd.DataFrame:
    """By size, the share of networks near chance in halves (8 units or more), and mean Δ where none is."""
    chosen = cells[(cells.width >= 8) & (cells.grouping != "four kinds")]
    rows = []
    for size, part in chosen.groupby("size"):
        wide = part.pivot(index="seed", columns=["grouping", "width", "training"], values="accuracy")
        fine, coarse = (wide.xs(name, axis=1, level="training").to_numpy() for name in ("fine", "coarse"))
        ones = np.ones_like(fine).sum(1, keepdims=True)
        there = (fine >= NEAR_CHANCE) & (coarse >= NEAR_CHANCE)
        sums = {
            "fine near chance": ((fine < NEAR_CHANCE).sum(1, keepdims=True), ones),
            "coarse near chance": ((coarse < NEAR_CHANCE).sum(1, keepdims=True), ones),
            "delta": ((fine - coarse).sum(1, keepdims=True), ones),
            "delta of those that started": (
                np.where(there, fine - coarse, 0).sum(1, keepdims=True),
                there.sum(1, keepdims=True),
            ),
        }
        for quantity, (part_sum, whole) in sums.items():
            found = ratio_interval(part_sum.astype(float), whole.astype(float))[0]
            rows.append({"size": size, "quantity": quantity, **vars(found), "games": len(wide)})
    return pd.DataFrame(rows)


def write(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rounded, as a csv beside this file."""
    print(f"{name}: {len(table)} rows", flush=True)
    numbers = ["value", "low", "high"]
    table.assign(**{one: table[one].round(4) for one in numbers}).to_csv(HERE / f"{name}.csv", index=False)
    return table


def save(figure: Figure, name: str) -> None:
    figure.savefig(HERE / "figures" / f"{name}.png", dpi=150)


def main() -> None:
    torch.set_num_threads(1)
    deltas, shares = [], []
    circle_pool, circle_groupings, known = ring_pool(RINGS)
    digit_pool, cloth_pool = digits(), clothes()
    groupings = {pool.name: groupings_of(pool) for pool in (digit_pool, cloth_pool)}
    cells = delta_map(
        circle_pool, circle_groupings, [RING_CELL["width"]], [RING_CELL["size"]], SEEDS, RECIPE, RUNS
    )
    deltas.append(write(delta_table(cells), "circles"))
    shares.append(measured_redundancy(circle_pool, circle_groupings))
    for pool in (digit_pool, cloth_pool):
        shares.append(measured_redundancy(pool, groupings[pool.name]))
    redundancy = write(pd.concat(shares, ignore_index=True), "redundancy")
    halves = {name: groupings["digits"][name] for name in ("together", "apart")}
    swept = delta_map(
        digit_pool, halves, [BETA_CELL["width"]], [BETA_CELL["size"]], SEEDS, RECIPE, RUNS, BETAS
    )
    betas = write(with_corrected(delta_table(swept)), "beta")  # over all β, not only the cells of each
    objectives = {"fine, β = 1": 1.0, "coarse, β = 0": 0.0}
    whole = replace(RECIPE, width=BETA_CELL["width"], patience=10**6, steps=3000)
    losses = loss_split(digit_pool, halves["together"], objectives, BETA_CELL["size"], SEEDS, whole, RUNS)
    save(draw_loss_split(write(losses, "loss")), "loss")
    save(figure_of_betas(betas), "beta")
    for pool in (digit_pool, cloth_pool):
        cells = delta_map(pool, groupings[pool.name], WIDTHS, SIZES[pool.name], SEEDS, RECIPE, RUNS)
        deltas.append(write(delta_table(cells), pool.name))
        write(not_started(cells), f"{pool.name}_not_started")
        save(draw_delta_maps(deltas[-1]), pool.name)
    save(figure_of_redundancy(pd.concat(deltas), redundancy, known), "redundancy")


def figure_of_betas(betas: pd.DataFrame) -> Figure:
    figure = Figure((PAGE, 2.7), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, (name, rows) in zip(panels, betas.groupby("grouping", sort=False), strict=True):
        plot_beta(rows, ax)
        ax.set_xlabel(f"β ({name})", fontsize=8)
    return figure


def figure_of_redundancy(deltas: pd.DataFrame, redundancy: pd.DataFrame, known: dict[str, float]) -> Figure:
    """Rings against known redundancy, digits and clothes (16 units, 200 samples) against a measured one."""
    figure = Figure((PAGE, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, width_ratios=[2, 3])
    delta = deltas[(deltas.quantity == "delta") & (deltas.training == "fine")]
    colours = dict(zip(("circles", "digits", "clothes"), DATA_COLOURS, strict=True))
    plot_redundancy(dial_table(deltas, known), panels[0], colours=colours)
    cell = delta[(delta.data != "circles") & (delta.width == 16) & (delta["size"] == 200)]
    measured = redundancy[redundancy.segments == "pairs"].rename(
        columns={"value": "redundancy", "low": "redundancy_low", "high": "redundancy_high"}
    )
    columns = ["data", "grouping", "redundancy", "redundancy_low", "redundancy_high"]
    plot_redundancy(cell.merge(measured[columns], on=["data", "grouping"]), panels[1], colours=colours)
    return figure


if __name__ == "__main__":
    main()
