"""The dial against circumferences, the loss in parts against loops over samples; words and figures."""

import math

import numpy as np
import pandas as pd
import pytest

from harsanyi.analyses.fine_coarse.delta_map import delta_map, delta_table, draw_rows
from harsanyi.analyses.fine_coarse.dial import dial_table, loss_split, ring_pool
from harsanyi.analyses.fine_coarse.panels import draw_delta_maps, draw_loss_split
from harsanyi.analyses.fine_coarse.pool import Pool, standardised
from harsanyi.analyses.fine_coarse.report import (
    delta_words,
    describe_deltas,
    describe_dial,
    describe_losses,
    dial_words,
    loss_words,
)
from harsanyi.models import StackRecipe
from harsanyi.models.training.stack import initial_stack

RECIPE = StackRecipe(4, rates=(0.1, 0.01), steps=60, check=20)
FLOAT32 = 1e-5  # losses near 1 of float32 logits
COARSE = (0, 0, 1, 1)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Four clouds in the plane."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=300)
    inputs = np.stack([labels % 2, labels // 2], 1) + 0.3 * rng.normal(size=(300, 2))
    return standardised("clouds", inputs[:200], labels[:200], inputs[200:], labels[200:])


@pytest.fixture(scope="module")
def losses(pool, tmp_path_factory) -> pd.DataFrame:
    objectives = {"fine": 1.0, "coarse": 0.0}
    return loss_split(pool, COARSE, objectives, 40, [3, 4, 5], RECIPE, tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def deltas(pool, tmp_path_factory) -> pd.DataFrame:
    groupings, folder = {"halves": COARSE, "across": (0, 1, 1, 0)}, tmp_path_factory.mktemp("cells")
    return delta_table(delta_map(pool, groupings, [2, 4], [20, 40], range(3), RECIPE, folder))


def test_redundancy_is_the_share_of_circumferences():
    pool, groupings, known = ring_pool([0.0, 0.2, 0.6, 14 / 15])
    assert list(groupings) == list(known) == ["0.00", "0.20", "0.60", "0.93"]
    for name, coarse in groupings.items():
        around = [2 * math.pi * k / 6 for k in range(1, 6)]
        redundant = sum(length for k, length in enumerate(around) if coarse[k] == coarse[k + 1])
        assert known[name] == pytest.approx(redundant / sum(around), abs=1e-12)
    assert (len(pool.inputs), len(pool.test_inputs), pool.classes) == (4000, 2000, 6)
    # Rings do not overlap: a larger number lies farther from the centre.
    radii = pool.inputs.norm(dim=1)
    for k in range(5):
        assert radii[pool.labels == k].max() < radii[pool.labels == k + 1].min() + 0.05
    with pytest.raises(ValueError, match="one redundancy or more"):
        ring_pool([])
    with pytest.raises(ValueError, match="redundancy from 0 to 1"):
        ring_pool([1.5])


def test_the_first_losses_by_loops(pool, losses):
    """Before training, sample by sample: −log of the group's probability, and of the class within it."""
    train, held = draw_rows(200, 40, [3, 4, 5])
    stack = initial_stack([3, 4, 5], 2, 4, 4)
    for split, rows in (("train", train), ("held out", held)):
        coarse, intra = [], []
        for network in range(3):
            found = stack.logits(pool.inputs[rows[network]])[network].double().softmax(-1).tolist()
            for p, label in zip(found, pool.labels[rows[network]].tolist(), strict=True):
                group = sum(p[k] for k in range(4) if COARSE[k] == COARSE[label])
                coarse.append(-math.log(group))
                intra.append(-math.log(p[label] / group))
        for part, values in (("coarse", coarse), ("intra", intra)):
            first = losses[(losses.part == part) & (losses.split == split) & (losses.step == 0)]
            assert first.value.tolist() == pytest.approx([np.mean(values)] * 2, abs=FLOAT32)
            assert first.games.tolist() == [3, 3]


def test_only_the_fine_objective_lowers_the_loss_within(losses):
    ends = losses[(losses.split == "train") & (losses.step.isin([0, losses.step.max()]))]
    wide = ends.pivot(index=["objective", "part"], columns="step", values="value")
    fallen = wide.iloc[:, 1] < wide.iloc[:, 0]
    assert fallen["fine", "coarse"]
    assert fallen["fine", "intra"]
    assert fallen["coarse", "coarse"]
    assert wide.iloc[:, 1]["fine", "intra"] < wide.iloc[:, 1]["coarse", "intra"]


def test_losses_are_kept(pool, tmp_path):
    arguments = (pool, COARSE, {"fine": 1.0}, 40, [0, 1])
    once = loss_split(*arguments, RECIPE, tmp_path)
    (kept,) = tmp_path.glob("clouds-loss-*.csv")
    once.assign(value=7.0).to_csv(kept, index=False)  # read again, not done again
    assert (loss_split(*arguments, RECIPE, tmp_path).value == 7).all()
    loss_split(*arguments, StackRecipe(5, rates=(0.1, 0.01), steps=60, check=20), tmp_path)
    assert len(list(tmp_path.glob("clouds-loss-*.csv"))) == 2


def test_the_dial_is_sorted_and_of_fine_training(deltas):
    table = dial_table(deltas, {"halves": 0.9, "across": 0.1})
    assert len(table) == 8
    assert table.redundancy.is_monotonic_increasing
    gains = deltas[(deltas.quantity == "delta") & (deltas.grouping == "across")]
    assert table.value[:4].tolist() == gains.value.tolist()
    assert len(dial_table(deltas, {"halves": 0.9})) == 4
    with pytest.raises(ValueError, match="training"):
        dial_table(deltas.drop(columns="training"), {})


def test_words_hold_the_numbers(deltas, losses):
    fine = deltas[(deltas.quantity == "delta") & (deltas.training == "fine")]
    for sentence, (_, rows) in zip(
        describe_deltas(deltas), fine.groupby("grouping", sort=False), strict=True
    ):
        counts = (rows.low > 0).sum(), (rows.high < 0).sum()
        assert f"above 0 in {counts[0]} of 4 cells and below 0 in {counts[1]}" in sentence
        for extreme in (rows.value.min(), rows.value.max()):
            assert f"{100 * extreme:+.1f}".replace("-", "−") in sentence
    words = delta_words(deltas)
    assert words.columns.tolist() == ["20 samples", "40 samples"]
    cell = fine[(fine.grouping == "across") & (fine.width == 4) & (fine["size"] == 40)].iloc[0]
    written = [f"{100 * x:+.1f}".replace("-", "−") for x in (cell.value, cell.low, cell.high)]
    assert words.loc["across, 4 units", "40 samples"] == "{} [{}, {}]".format(*written)
    one = deltas[(deltas.width == 4) & (deltas["size"] == 40)]
    assert dial_words(one).columns.tolist() == ["fine", "coarse", "Δ, points: fine"]
    dial = dial_table(one, {"halves": 0.9, "across": 0.1})
    assert describe_dial(dial).endswith(" with 90%.")
    for objective, sentence in zip(("fine", "coarse"), describe_losses(losses), strict=True):
        held = losses[(losses.split == "held out") & (losses.objective == objective)]
        rows = held[held.part == "coarse"].sort_values("step")
        assert (
            f"after {rows.step.max():,} steps L_coarse of held-out samples is {rows.value.iloc[-1]:.3f}"
            in (sentence)
        )
        assert f"at its lowest {rows.value.min():.3f}" in sentence
    assert loss_words(losses).shape == (2, 4)


def test_figures_have_a_panel_for_each(deltas, losses):
    figure = draw_delta_maps(deltas)
    titles = [ax.get_title("left") for ax in figure.axes if ax.images]
    assert titles == ["halves", "across"]
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert len(limits) == 1
    panels = draw_loss_split(losses).axes
    assert [ax.get_xlabel() for ax in panels] == ["step (fine)", "step (coarse)"]
    assert [ax.get_legend() for ax in panels] == [None, None]
    (legend,) = draw_loss_split(losses).legends
    assert len(legend.get_texts()) == 4
    assert {len(ax.lines) for ax in panels} == {4}
    assert panels[0].get_ylim() == panels[1].get_ylim()
    for draw in (draw_delta_maps, draw_loss_split):
        with pytest.raises(ValueError, match="columns"):
            draw(pd.DataFrame({"value": [1.0]}))
