"""The split objective's sweep on a few real images: against plain training, literal sums and loops."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from harsanyi import data, models
from harsanyi.analyses.fine_coarse.objective_sweep import betas_of, objective_summary, objective_sweep
from harsanyi.analyses.granularity.runs import TransferData
from harsanyi.data.hierarchies import LabelHierarchy

EXACT = 1e-12
# Steps of SGD are linear in the gradient, so that rounding in float32 stays rounding; Adam's would not be.
RECIPE = models.Recipe(epochs=2, optimiser="sgd", learning_rate=0.1, batch_size=16)
SEEDS = (0, 1)
HALVES = {"top": "body", "trouser-dress": "body", "shoe": "other", "bag": "other"}
THREE = ((0, 0), (1, 0.3), (0, 1))


def start(seed: int) -> models.Network:
    return models.load("small:cnn", "random", seed=seed)


@pytest.fixture(scope="module")
def clothes() -> TransferData:
    parts = {"train": 60, "test": 40}
    return TransferData(*(data.fashion_mnist(split).sample(k, 0, "fine") for split, k in parts.items()))


@pytest.fixture(scope="module")
def two(clothes) -> LabelHierarchy:
    return LabelHierarchy.from_columns(clothes.train, ["fine", "coarse"])


@pytest.fixture(scope="module")
def three(clothes) -> LabelHierarchy:
    halved = clothes.train.relabel("coarse", HALVES, "half")
    return LabelHierarchy.from_columns(halved, ["fine", "coarse", "half"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(clothes, two, folder) -> pd.DataFrame:
    return objective_sweep(start, clothes, two, [0, 0.3, 1], SEEDS, folder, RECIPE, size=50, progress=False)


def weights(path: Path) -> dict:
    return models.read_checkpoint(path).state


def close(one: dict, other: dict) -> bool:
    return all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_beta_one_is_plain_cross_entropy(clothes, swept, folder, tmp_path):
    for seed in SEEDS:
        sample = clothes.train.sample(50, seed, "fine")
        network = start(seed).with_new_head(sample.classes["fine"], seed)
        held_out = models.Samples(clothes.test.items, clothes.test.labels["fine"])
        plain = models.train(
            network,
            models.Samples(sample.items, sample.labels["fine"]),
            replace(RECIPE, seed=seed),
            folder=tmp_path / str(seed),
            held_out=held_out,
            progress=False,
        )
        of = {beta: folder / f"beta-{beta}/{seed}" for beta in ("0", "0.3", "1")}
        name = plain[-1].name
        assert close(weights(plain[-1]), weights(of["1"] / name))
        assert not close(weights(plain[-1]), weights(of["0.3"] / name))
        for place in of.values():
            first, own = weights(plain[0]), weights(place / plain[0].name)
            assert all(torch.equal(first[part], own[part]) for part in first)
        row = swept[(swept.betas == "1") & (swept.level == "fine") & (swept.seed == seed)].iloc[0]
        found = models.performance(models.load("small:cnn", plain[-1]), held_out.items, held_out.labels)
        # Weights agree to 1e-5: losses to a few times that, answers unless two logits tie to rounding.
        assert row.accuracy == pytest.approx(found.accuracy, abs=EXACT)
        assert row.loss == pytest.approx(found.loss, abs=1e-4)


def test_at_beta_zero_fine_labels_say_nothing(clothes, two, tmp_path):
    """Other fine labels in the same groups give the same network; at β = 0.3 they do not."""
    labels, groups = clothes.train.labels["fine"], two.groups("coarse")
    drawn = np.random.default_rng(0)
    other = np.array([drawn.choice(np.flatnonzero(groups == groups[label])) for label in labels])
    assert (other != labels).any()
    moved = replace(clothes.train, labels={**clothes.train.labels, "fine": other})
    for place, train in (("true", clothes.train), ("moved", moved)):
        samples = TransferData(train, clothes.test)
        objective_sweep(start, samples, two, [0, 0.3], [0], tmp_path / place, RECIPE, progress=False)
    for beta, same in (("0", True), ("0.3", False)):
        one, another = (
            weights(tmp_path / place / f"beta-{beta}/0/epoch-002.safetensors") for place in ("true", "moved")
        )
        assert close(one, another) == same


def test_the_table_by_literal_sums(clothes, three, tmp_path):
    table = objective_sweep(start, clothes, three, THREE, [1], tmp_path, RECIPE, size=50, progress=False)
    assert " ".join(table.columns) == "betas level classes trained seed accuracy loss"
    assert len(table) == 9
    expected = [("0 0", [0, 0, 1]), ("1 0.3", [1, 1, 1]), ("0 1", [0, 0, 1])]
    for (words, trained), betas in zip(expected, THREE, strict=True):
        rows = table[table.betas == words]
        assert betas_of(words) == betas
        assert rows.level.tolist() == ["fine", "coarse", "half"]
        assert rows.classes.tolist() == [10, 4, 2]
        assert rows.trained.tolist() == [bool(one) for one in trained]
        place = tmp_path / f"beta-{words.replace(' ', '-')}/1"
        network = models.load("small:cnn", place / "epoch-002.safetensors")
        p = network.logits(network.preprocess(clothes.test.items)).double().softmax(1).tolist()
        for row in rows.itertuples():
            group, right, loss = three.groups(row.level).tolist(), 0, 0.0
            for sample, label in zip(p, clothes.test.labels["fine"].tolist(), strict=True):
                sums = [sum(sample[k] for k in range(10) if group[k] == c) for c in range(row.classes)]
                right += sums.index(max(sums)) == group[label]
                loss -= np.log(sums[group[label]])
            assert row.accuracy == pytest.approx(right / 40, abs=EXACT)
            assert row.loss == pytest.approx(loss / 40, abs=1e-6)  # float32 logits of other batches
        history = pd.read_csv(place / "history.csv").iloc[-1]
        assert history.held_out_accuracy == pytest.approx(rows.accuracy.iloc[0], abs=EXACT)
        assert history.held_out_coarse_accuracy == pytest.approx(rows.accuracy.iloc[-1], abs=EXACT)


def test_what_is_done_is_read(clothes, two, swept, folder):
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = objective_sweep(start, clothes, two, [0, 0.3, 1], SEEDS, folder, RECIPE, size=50, progress=False)
    pd.testing.assert_frame_equal(again, swept)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == written
    with pytest.raises(ValueError, match="holds a series of other settings"):
        objective_sweep(start, clothes, two, [0], [0], folder, RECIPE, size=40, progress=False)


def test_differences_are_to_beta_zero_of_the_same_seed():
    rng = np.random.default_rng(0)
    keys = list(product(("0 0", "1 0.3", "0 1"), (("fine", 10), ("coarse", 4), ("half", 2)), range(4)))
    runs = pd.DataFrame(
        [{"betas": b, "level": level, "classes": k, "seed": seed} for b, (level, k), seed in keys]
    )
    runs = runs.assign(accuracy=rng.random(len(runs)), loss=rng.random(len(runs)))
    runs = runs.assign(trained=(runs.level == "half") | (runs.betas == "1 0.3"))
    table = objective_summary(runs.sample(frac=1, random_state=0))
    assert " ".join(table.columns) == "betas level classes quantity value low high seeds p p_corrected"
    by = runs.set_index(["betas", "level", "seed"])
    for measure in ("accuracy", "loss"):
        for betas in ("1 0.3", "0 1"):
            pairs = [by[measure][betas, "half", s] - by[measure]["0 0", "half", s] for s in range(4)]
            chosen = (table.betas == betas) & (table.quantity == f"{measure}_difference")
            (found,) = table[chosen].itertuples()
            assert found.value == pytest.approx(np.mean(pairs), abs=EXACT)
            expected = stats.ttest_1samp(pairs, 0.0).confidence_interval(0.95)
            assert (found.low, found.high) == pytest.approx(tuple(expected), abs=EXACT)
            assert (found.level, found.seeds) == ("half", 4)
        means = table[table.quantity == measure].set_index(["betas", "level"]).value
        assert len(means) == 5  # three on halves, and the two finer levels of β (1, 0.3)
        for betas, level in means.index:
            literal = np.mean([by[measure][betas, level, s] for s in range(4)])
            assert means[betas, level] == pytest.approx(literal, abs=EXACT)
    assert len(table) == 2 * (5 + 2)
    without = objective_summary(runs[(runs.betas != "0 0") | (runs.seed < 3)])
    assert set(without[without.quantity == "accuracy_difference"].seeds) == {3}
    none = objective_summary(runs[runs.betas != "0 0"])
    assert set(none.quantity) == {"accuracy", "loss"}


def test_one_seed_has_no_interval(swept):
    table = objective_summary(swept[swept.seed == 0])
    assert table[["low", "high"]].isna().all(axis=None)
    assert set(table.seeds) == {1}


def test_bad_sweeps(clothes, two, three, tmp_path):
    def sweep(betas, hierarchy=two, samples=clothes, seeds=(0,)):
        objective_sweep(start, samples, hierarchy, betas, seeds, tmp_path, RECIPE, progress=False)

    for betas, hierarchy in (([(0, 1)], two), ([1], three), ([0, (1, 1)], two)):
        with pytest.raises(ValueError, match="a β for each below the coarsest"):
            sweep(betas, hierarchy)
    with pytest.raises(ValueError, match="expected two levels or more"):
        sweep([()], LabelHierarchy(two.levels[:1], ()))
    for beta in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="β of 0 or more"):
            sweep([beta])
    for betas, seeds in (([], (0,)), ([0], ()), ([0, 0.0], (0,)), ([0], (1, 1))):
        with pytest.raises(ValueError, match="each once"):
            sweep(betas, seeds=seeds)
    renamed = replace(clothes.test, classes={**clothes.test.classes, "fine": tuple("abcdefghij")})
    with pytest.raises(ValueError, match="test samples whose column 'fine' has the hierarchy's 10 classes"):
        sweep([0], samples=TransferData(clothes.train, renamed))
    swapped = LabelHierarchy.from_maps(sorted(HALVES), {"half": HALVES}, "coarse")
    with pytest.raises(ValueError, match="training samples whose column 'coarse'"):
        sweep([0], hierarchy=swapped)
    assert not list(tmp_path.iterdir())  # nothing was trained


def test_levels_that_do_not_nest(clothes):
    crossed = replace(
        clothes.train,
        labels={**clothes.train.labels, "coarse": np.arange(60) % 4},
    )
    with pytest.raises(ValueError, match="of 'fine' has two parents"):
        LabelHierarchy.from_columns(crossed, ["fine", "coarse"])


def test_bad_tables(swept):
    with pytest.raises(ValueError, match="one row of each β, level and seed"):
        objective_summary(pd.concat([swept, swept]))
    with pytest.raises(ValueError, match=r"columns \['trained'\]"):
        objective_summary(swept.drop(columns="trained"))
