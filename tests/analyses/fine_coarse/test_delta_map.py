"""The map of Δ: paired seeds, resumable cells, groupings against a search by loops, accuracies by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from harsanyi.analyses.fine_coarse.delta_map import delta_cell, delta_map, delta_table, draw_rows
from harsanyi.analyses.fine_coarse.pool import (
    Pool,
    clothes,
    confused_across,
    digits,
    halvings,
    standardised,
    torchvision_pool,
)
from harsanyi.models import StackRecipe, StackSamples, train_stack
from harsanyi.models.training.granular_loss import group_logits

EXACT = 1e-12
RECIPE = StackRecipe(4, rates=(0.1, 0.01), steps=60, check=20)
HALVES = {"halves": (0, 0, 1, 1)}


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Four clouds in the plane."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=300)
    inputs = np.stack([labels % 2, labels // 2], 1) + 0.3 * rng.normal(size=(300, 2))
    return standardised("clouds", inputs[:200], labels[:200], inputs[200:], labels[200:])


def test_a_cell_is_its_networks_one_by_one(pool):
    cell = delta_cell(pool, HALVES, 40, RECIPE, [5, 6], betas=[1.0, 0.0])
    assert cell.training.unique().tolist() == ["fine", "coarse", "beta 1", "beta 0"]
    group = torch.tensor(HALVES["halves"])
    train, held = draw_rows(200, 40, [6])
    for training, labels, outputs in (("fine", pool.labels, 4), ("coarse", group[pool.labels], 2)):
        samples = StackSamples(pool.inputs, labels, train, held)
        logits = train_stack(samples, RECIPE, [6], outputs).stack.logits(pool.test_inputs)[0]
        answers = (group_logits(logits, group) if training == "fine" else logits).argmax(-1)
        right = (answers == group[pool.test_labels]).double().mean().item()
        row = cell[(cell.training == training) & (cell.seed == 6)]
        assert row.accuracy.tolist() == pytest.approx([right], abs=EXACT)
    fine, one = (cell[cell.training == name].accuracy.tolist() for name in ("fine", "beta 1"))
    assert fine == one


def test_cells_are_done_once(pool, tmp_path):
    arguments = (pool, HALVES, [2, 4], [20, 40], [0, 1], RECIPE, tmp_path)
    once = delta_map(*arguments)
    assert len(once) == 2 * 2 * 2 * 2
    assert len(list(tmp_path.glob("clouds-*.csv"))) == 4
    kept, gone = (next(tmp_path.glob(f"*-{cell}.csv")) for cell in ("2-20", "4-40"))
    pd.read_csv(kept).assign(accuracy=7.0).to_csv(kept, index=False)  # read again, not done again
    gone.unlink()
    again = delta_map(*arguments)
    marked = (again.width == 2) & (again["size"] == 20)
    assert (again.accuracy[marked] == 7).all()
    pd.testing.assert_frame_equal(again[~marked], once[~marked])
    delta_map(*arguments[:4], [0, 2], *arguments[5:])  # other seeds are other cells
    assert len(list(tmp_path.glob("clouds-*.csv"))) == 8


def test_delta_is_paired_by_seed():
    rng = np.random.default_rng(0)
    hard = rng.normal(0.7, 0.1, size=30)
    gain = rng.normal(0.02, 0.01, size=30)
    rows = {"data": "d", "seed": np.arange(30)}
    parts = [
        pd.DataFrame({**rows, "training": n, "accuracy": a})
        for n, a in (("fine", hard + gain), ("coarse", hard))
    ]
    table = delta_table(pd.concat(parts).sample(frac=1, random_state=0), by=["data"])
    delta = table[table.quantity == "delta"].iloc[0]
    assert delta.value == pytest.approx(gain.mean(), abs=EXACT)
    half = stats.norm.ppf(0.975) * gain.std() / np.sqrt(30)
    # 2,000 resamples know a percentile to some 4% of a standard deviation; and the normal law is a limit.
    assert [delta.low, delta.high] == pytest.approx([gain.mean() - half, gain.mean() + half], abs=0.15 * half)
    assert delta.games == 30
    assert table[table.quantity == "accuracy"].set_index("training").value["coarse"] == pytest.approx(
        hard.mean()
    )


def test_tables_that_cannot_be_paired():
    cells = pd.DataFrame({"data": "d", "training": ["fine", "coarse"], "seed": [0, 1], "accuracy": 0.5})
    with pytest.raises(ValueError, match="the same seeds of every training"):
        delta_table(cells, by=["data"])
    with pytest.raises(ValueError, match="coarse too"):
        delta_table(cells[:1], by=["data"])
    with pytest.raises(ValueError, match="one accuracy of each training and seed"):
        delta_table(pd.concat([cells, cells]), by=["data"])
    with pytest.raises(ValueError, match=r"columns \['seed'\]"):
        delta_table(cells.drop(columns="seed"), by=["data"])


def test_draws_are_nested_and_disjoint():
    train, held = draw_rows(100, 25, [0, 1])
    assert train.shape == (2, 20)
    assert held.shape == (2, 5)
    for seed in (0, 1):
        assert len({*train[seed].tolist(), *held[seed].tolist()}) == 25
    larger, more_held = draw_rows(100, 50, [0, 1])
    assert set(train[0].tolist()) <= set(larger[0].tolist())
    assert set(held[0].tolist()) <= set(more_held[0].tolist())
    assert train[0].tolist() != train[1].tolist()
    for size in (2, 101):
        with pytest.raises(ValueError, match="3 to 100 samples"):
            draw_rows(100, size, [0])


def test_halvings_by_loops():
    """Six classes along a line in the plane; confusions are those of neighbours."""
    rng = np.random.default_rng(1)
    labels = rng.integers(6, size=600)
    inputs = np.stack([labels + 0.7 * rng.normal(size=600), rng.normal(size=600)], 1)
    line = standardised("line", inputs, labels, inputs, labels)
    probe = LogisticRegression(C=0.01, max_iter=500)
    answers = cross_val_predict(probe, line.inputs.numpy(), labels, cv=5)
    confusions = np.zeros((6, 6), dtype=int)
    np.add.at(confusions, (labels, answers), 1)
    across = {}
    for half in combinations(range(6), 3):
        if 0 in half:
            coarse = tuple(0 if k in half else 1 for k in range(6))
            pairs = [(i, j) for i in range(6) for j in range(6) if (i in half) != (j in half)]
            across[coarse] = sum(confusions[i, j] for i, j in pairs)
            assert confused_across(confusions, coarse) == across[coarse]
    found = halvings(line)
    assert found["together"] == (0, 0, 0, 1, 1, 1)
    assert across[found["together"]] == min(across.values())
    assert across[found["apart"]] == max(across.values())


def test_pools_are_standardised():
    for found, count, test in ((digits(), 1200, 597), (clothes(), 3200, 800)):
        assert (len(found.inputs), len(found.test_labels), found.classes) == (count, test, 10)
        assert found.inputs.mean().item() == pytest.approx(0, abs=1e-4)  # float32
        assert found.inputs.std().item() == pytest.approx(1, abs=1e-4)


def write_idx(path, array):
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def test_a_torchvision_data_set_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = {}
    for split, count in (("train", 12), ("t10k", 5)):
        images[split] = rng.integers(256, size=(count, 28, 28)).astype(np.uint8)
        write_idx(raw / f"{split}-images-idx3-ubyte", images[split])
        write_idx(raw / f"{split}-labels-idx1-ubyte", (np.arange(count) % 3).astype(np.uint8))
    found = torchvision_pool("MNIST", tmp_path)
    assert found.labels.tolist() == [0, 1, 2] * 4
    means = images["train"].reshape(12, 14, 2, 14, 2).mean((2, 4)).reshape(12, 196)
    expected = (means - means.mean()) / means.std()
    assert found.inputs.numpy() == pytest.approx(expected, abs=1e-4)  # float32
    with pytest.raises(ValueError, match="KMNIST is not under .*download=True"):
        torchvision_pool("KMNIST", tmp_path)
    with pytest.raises(ValueError, match="one of MNIST, KMNIST"):
        torchvision_pool("SVHN", tmp_path)


def test_bad_groupings(pool):
    for coarse in ((0, 1), (0, 0, 0, 0), (0, 2, 0, 2)):
        with pytest.raises(ValueError, match="each of 4 classes a coarse label"):
            delta_cell(pool, {"bad": coarse}, 40, RECIPE, [0])
