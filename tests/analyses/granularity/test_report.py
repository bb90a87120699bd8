"""The settings of a granularity study, its plan, and the pretraining labels of every kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.cluster import KMeans

from harsanyi import data, models
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.granularity import labels as labels_module
from harsanyi.analyses.granularity.labels import (
    cached_features,
    features_of,
    labels_of_classes,
    levels_of,
    pretraining_labels,
    renumber_labels,
)
from harsanyi.analyses.granularity.ladder import like_with_like
from harsanyi.analyses.granularity.report import run_granularity
from harsanyi.analyses.granularity.runs import TransferData, TransferRun, plan_runs
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.words import _knowledge, describe_granularity
from harsanyi.models.classes.matching import ClassMismatchError, match_classes

ALL_KINDS = ("columns", "kmeans-aligned", "kmeans-unaligned", "random", "per-sample")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Granularity:
    paths = {"data": data.fashion_mnist_path("train"), "test_data": data.fashion_mnist_path("test")}
    out = tmp_path_factory.mktemp("granularity")
    return Granularity(model="small:cnn", target="coarse", out=out, kinds=ALL_KINDS, counts=(8,), **paths)


@pytest.fixture(scope="module")
def sample() -> data.Inputs:
    return data.fashion_mnist("train").sample(48, 0, "coarse")


@pytest.fixture(scope="module")
def network() -> models.Network:
    return models.load("small:cnn", "random", seed=3)


def labels_of(study, kind: str, count: int, sample, network, **options) -> np.ndarray:
    labels, classes = pretraining_labels(study, kind, "fine", count, sample, network, 3, **options)
    assert len(classes) == count
    assert len(labels) == len(sample)
    return labels


def test_the_settings_are_a_file_and_the_options(study, tmp_path: Path):
    whole = replace(study, sizes=(60, 120), misalignment=(0.0, 0.5), columns=("fine",), seeds=(4,), flip=True)
    whole.write(tmp_path / "study.toml")
    assert parse_options("granularity", Granularity, [str(tmp_path / "study.toml")])[0] == whole
    given = ["--sizes", "60", "120", "--misalignment", "0", "0.5", "--columns=fine", "--seeds", "4", "--flip"]
    path = tmp_path / "short.toml"
    study.write(path)
    assert parse_options("granularity", Granularity, [str(path), *given])[0] == whole


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("counts = [2.5]", "counts is [2.5], expected a list of whole numbers"),
        ("misalignment = ['x']", "expected a list of numbers"),
        ("layouts = []", "fields that granularity does not know: layouts"),
    ],
)
def test_files_that_cannot_be_understood(line, said, tmp_path: Path, refused):
    (tmp_path / "study.toml").write_text(line, encoding="utf-8")
    assert said in refused("granularity", tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"kinds": ("columns", "sorted")}, "--kinds has sorted: expected some of columns, wordnet"),
        ({"kinds": ()}, "--kinds is empty"),
        ({"seeds": ()}, "--seeds is empty"),
        ({"seeds": (1, 1)}, "--seeds is 1 1: expected each once"),
        ({"columns": ("fine", "fine")}, "--columns is fine fine: expected each once"),
        ({"kinds": ("wordnet",), "hops": ()}, "wordnet needs levels: give --hops 1 4 or --depths 2 4"),
        ({"depths": (-1,)}, "--depths is -1: expected 0 or more"),
        ({"counts": ()}, "kmeans-aligned, kmeans-unaligned, random need numbers of pretraining classes"),
        ({"counts": (1,)}, "--counts is 1: expected 2 or more"),
        ({"finetune_epochs": 0}, "--finetune-epochs is 0: expected 1 or more"),
        ({"baseline_epochs": 0}, "--baseline-epochs is 0"),
        ({"misalignment": (0.0, 1.5)}, "--misalignment is 1.5: expected a share from 0 to 1"),
        ({"rare": -0.1}, "--rare is -0.1"),
        ({"pretrain_rate": 0.0}, "--pretrain-rate is 0.0: expected a number above 0"),
        ({"pretrain_rate": float("nan")}, "--pretrain-rate is nan"),
    ],
)
def test_settings_that_mean_nothing(study, option, said):
    study.require_sense()
    with pytest.raises(ValueError, match=said):
        replace(study, **option).require_sense()


def test_out_must_not_be_a_file(study, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file: expected a folder"):
        replace(study, out=tmp_path / "file").require_sense()


def test_a_plan_has_every_kind_size_and_seed_and_a_baseline_of_each(study):
    small = replace(study, sizes=(60, 120), seeds=(0, 7), misalignment=(0.0, 0.5))
    found = plan_runs(small, TransferData.of(small))
    assert len({run.folder for run in found}) == len(found)
    levels = [("baseline", 4), ("columns", 10), ("columns", 4), ("random", 8)]
    levels += [("kmeans-aligned", 8), ("kmeans-unaligned", 8)]
    expected = {(kind, k, size, seed, 0.0) for kind, k in levels for size in (60, 120) for seed in (0, 7)}
    expected |= {("per-sample", size, size, seed, 0.0) for size in (60, 120) for seed in (0, 7)}
    moved = {row for row in expected if row[0] in ("columns", "kmeans-aligned", "kmeans-unaligned")}
    expected |= {(*row[:-1], 0.5) for row in moved}
    assert {(run.kind, run.classes, run.size, run.seed, run.misalignment) for run in found} == expected
    assert [run.kind for run in found[:4]] == ["baseline"] * 4


def test_folders():
    run = TransferRun("random", "8", 8, 60, 2)
    assert run.folder == Path("random-8/60/2")
    assert replace(run, misalignment=0.25).folder == Path("random-8-0.25/60/2")
    assert replace(run, kind="baseline").folder == Path("baseline/60/2")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"sizes": (5000,)}, "--sizes has 5000: .* holds 3200 samples"),
        ({"counts": (10,)}, "kmeans-aligned makes equally many clusters in each of the 4 classes of coarse"),
        ({"counts": (80,), "sizes": (60,)}, "--counts has 80: there are 60 training samples"),
        ({"columns": ("finest",)}, "there is no level 'finest'"),
        ({"target": "coarser"}, "there is no level 'coarser'"),
        ({"kinds": ("wordnet",), "wordnet": Path("/nowhere")}, "/nowhere/index.noun does not exist"),
    ],
)
def test_plans_that_cannot_be(study, option, said):
    wrong = replace(study, **option)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        plan_runs(wrong, TransferData.of(wrong))


def test_two_levels_of_as_many_classes_would_share_a_folder(study):
    found = TransferData.of(study)
    twin = found.train.relabel("fine", {name: f"a {name}" for name in found.train.classes["fine"]}, "twin")
    with pytest.raises(ValueError, match="columns has 3 levels, more than one with 10 classes: name one"):
        plan_runs(study, replace(found, others=twin))


def test_labels_of_columns(study, sample, network):
    assert levels_of(study, sample, "columns", 48) == {"fine": 10, "coarse": 4}
    labels = labels_of(study, "columns", 10, sample, network)
    assert labels.tolist() == sample.labels["fine"].tolist()
    assert labels_of_classes(study, "columns", "coarse", sample)[1] == sample.classes["coarse"]


def test_labels_of_hypernyms(study, tmp_path: Path):
    """A database of five nouns: cat and dog are pets, pets and cars are things."""
    above = {"thing": None, "pet": "thing", "cat": "pet", "dog": "pet", "car": "thing"}
    numbers = {name: f"{i + 1:08d}" for i, name in enumerate(above)}
    entries = [
        f"{numbers[name]} 03 n 01 {name} 0 " + (f"001 @ {numbers[up]} n 0000" if up else "000") + " | a gloss"
        for name, up in above.items()
    ]
    (tmp_path / "data.noun").write_text("\n".join(entries), encoding="utf-8")
    index = "\n".join(f"{name} n 1 1 @ 1 0 {number}" for name, number in sorted(numbers.items()))
    (tmp_path / "index.noun").write_text(index, encoding="utf-8")
    labels, classes = np.array([2, 0, 1, 2]), {"animal": ("car", "cat", "dog"), "coarse": ("one",)}
    columns = {"animal": labels, "coarse": np.zeros(4, np.int64)}
    inputs = data.Inputs(["x"] * 4, "text", tuple("abcd"), columns, classes)
    asked = replace(study, kinds=("wordnet",), wordnet=tmp_path, hops=(2, 1))
    assert levels_of(asked, inputs, "wordnet", 4) == {"wordnet 1 hop": 2, "wordnet 2 hops": 1}
    found, names = labels_of_classes(asked, "wordnet", "wordnet 1 hop", inputs)
    assert [names[label] for label in found] == ["pet.n.01", "thing.n.01", "pet.n.01", "pet.n.01"]
    both = replace(asked, hops=(2,), depths=(0, 1))
    expected = {"wordnet 2 hops": 1, "wordnet depth 1": 2, "wordnet depth 0": 1}
    assert levels_of(both, inputs, "wordnet", 4) == expected
    found, names = labels_of_classes(both, "wordnet", "wordnet depth 1", inputs)
    assert [names[label] for label in found] == ["pet.n.01", "car.n.01", "pet.n.01", "pet.n.01"]


def test_labels_by_lot_and_of_single_samples(study, sample, network):
    drawn = labels_of(study, "random", 8, sample, network)
    assert np.bincount(drawn).tolist() == [6] * 8
    assert labels_of(study, "per-sample", 48, sample, network).tolist() == list(range(48))


def test_clusters_are_of_the_networks_features(study, sample, network):
    """Over all samples they are scikit-learn's; within classes each lies in one class."""
    features = features_of(network, sample)
    for i in (0, 47):  # one by one instead of in batches: float32 sums in another order
        alone = network.features(network.preprocess([sample.items[i]]))[0].double().numpy()
        assert features[i] == pytest.approx(alone, rel=1e-4, abs=1e-6)
    expected = KMeans(8, n_init=1, random_state=3).fit(features).labels_
    assert labels_of(study, "kmeans-unaligned", 8, sample, network).tolist() == expected.tolist()
    aligned = labels_of(study, "kmeans-aligned", 8, sample, network)
    target = sample.labels["coarse"]
    assert all(len(set(target[aligned == k])) == 1 for k in range(8))


def test_clusters_within_classes_are_as_many_in_each(study, sample):
    """Other numbers of clusters, which the other kinds can have, are left out."""
    asked = replace(study, counts=(2, 8, 10))
    assert levels_of(asked, sample, "kmeans-aligned", 48) == {"8": 8}
    assert levels_of(asked, sample, "kmeans-unaligned", 48) == {"2": 2, "8": 8, "10": 10}


def test_features_are_made_once_for_the_same_network_and_samples(
    sample, network, tmp_path: Path, monkeypatch
):
    made = []
    monkeypatch.setattr(
        labels_module, "features_of", lambda *given: made.append(given) or features_of(*given)
    )
    first, again = (cached_features(tmp_path, network, sample) for _ in range(2))
    assert len(made) == 1
    assert np.array_equal(first, again)
    assert np.array_equal(first, features_of(network, sample))
    cached_features(tmp_path, models.load("small:cnn", "random", seed=4), sample)
    cached_features(tmp_path, network, sample.select(range(47)))
    assert len(made) == 3


def test_moved_labels(study, sample, network):
    whole = labels_of(study, "columns", 10, sample, network)
    moved = labels_of(study, "columns", 10, sample, network, misalignment=0.5)
    assert (whole != moved).sum() == 24
    assert np.bincount(whole).tolist() == np.bincount(moved).tolist()


def test_test_labels_take_the_numbers_of_training():
    def inputs(labels: list[int], classes: tuple[str, ...], level: str = "animal") -> data.Inputs:
        names = tuple(map(str, range(len(labels))))
        return data.Inputs(["x"] * len(labels), "text", names, {level: np.array(labels)}, {level: classes})

    train = inputs([0, 1, 2], ("cat", "dog", "ox"))
    found = renumber_labels(inputs([0, 1, 1], ("ox", "cat")), train)
    assert found.level("animal")[0].tolist() == [2, 0, 0]
    assert found.level("animal")[1] == ("cat", "dog", "ox")
    with pytest.raises(ValueError, match=r"classes of 'animal' that training samples do not have: \['elk'\]"):
        renumber_labels(inputs([0], ("elk",)), train)
    with pytest.raises(ValueError, match="no label column in common"):
        renumber_labels(inputs([0], ("elk",), "other"), train)


def test_only_the_plan(study, tmp_path: Path, capsys):
    replace(study, out=tmp_path / "out", sizes=(60,), seeds=(0, 1)).write(tmp_path / "study.toml")
    main(["granularity", str(tmp_path / "study.toml"), "--only-plan"])
    said = capsys.readouterr().out
    assert "14 runs: 0 done, 14 to do" in said
    assert "  10 classes of fine: sizes 60; seeds 0 1" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["random", "kmeans-aligned", "kmeans-unaligned"])
def test_classes_by_lot_are_not_taken_for_the_target_s(kind, study, sample, network):
    """A network of four such classes answers none of a target's four: it needs a read-out."""
    _, target = sample.level("coarse")
    _, classes = pretraining_labels(study, kind, "", len(target), sample, network, 3)
    with pytest.raises(ClassMismatchError):
        match_classes(network.with_new_head(classes).classes, target)


def test_own_heads_and_read_outs_are_not_set_beside_each_other():
    row = {"kind": "columns", "size": 9, "misalignment": 0.0, "pretrain_size": 0}
    row |= {"quantity": "preserved_share", "order": "all"}
    levels = [("coarse", 4, 0.8, False), ("half", 10, 0.05, True), ("fine", 100, 0.2, True)]
    ladder = pd.DataFrame(
        [
            row | {"level": level, "classes": k, "value": x, "low": x, "high": x, "read_out": through}
            for level, k, x, through in levels
        ]
    )
    own, others = _knowledge(ladder)
    assert own.startswith(
        "The transfer preserves 80% [80%, 80%] of what the 4 classes of coarse taught, which "
    )
    assert own.endswith("answers with its own head and not through a read-out.")
    assert "5% [5%, 5%] of what the 10 classes of half taught and 20%" in others
    assert like_with_like(ladder).classes.tolist() == [10, 100]
    alone = ladder[~ladder.read_out]
    assert like_with_like(alone).equals(alone)
    assert like_with_like(ladder.drop(columns="read_out")).classes.tolist() == [4, 10, 100]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"inputs": 8, "players": "grid:4x4:20"}, "20"),
        ({"inputs": 8, "players": "grid:400x400:4"}, "400"),
        ({"inputs": 8, "players": "grid"}, "does not say how to lay players"),
        ({"inputs": 9000}, "9000"),
        ({"embedding": "small:none"}, "small:none"),
    ],
)
def test_what_is_needed_later_is_looked_at_first(study, option, said, monkeypatch, tmp_path):
    def trained(*parts, **more):
        raise AssertionError("a network was trained before the options were read")

    monkeypatch.setattr(models, "train", trained)
    monkeypatch.setattr("harsanyi.analyses.granularity.report.training_seconds", lambda *parts: 0.0)
    small = replace(study, out=tmp_path / "out", sizes=(60,), seeds=(0,), **option)
    with pytest.raises(ValueError, match=said):
        run_granularity(small, progress=False)
    with pytest.raises(AssertionError, match="a network was trained"):
        run_granularity(replace(study, out=tmp_path / "out", sizes=(60,)), progress=False)


def test_columns_that_only_training_samples_have(study, tmp_path):
    table = pq.read_table(study.test_data)
    pq.write_table(table.drop_columns(["fine"]), tmp_path / "test.parquet")
    with pytest.raises(ValueError, match="--columns has fine, on which pretraining is to be tested"):
        run_granularity(replace(study, test_data=tmp_path / "test.parquet", only_plan=True))


def errors_of(**errors: float) -> pd.DataFrame:
    """A summary of errors beside a baseline of 20%, with their differences to it."""
    row = {"level": "", "size": 60, "pretrain_size": 0, "misalignment": 0.0, "seeds": 3}
    row |= {"p": np.nan, "p_corrected": np.nan}
    rows = []
    for kind, value in {"baseline": 0.2, **errors}.items():
        for quantity, one in (("error", value), ("error_difference", value - 0.2)):
            if (kind, quantity) != ("baseline", "error_difference"):
                bounds = {"value": one, "low": one - 0.05, "high": one + 0.05}
                rows.append({**row, "kind": kind, "classes": 8, "quantity": quantity, **bounds})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("errors", "answer"),
    [
        (
            {"random": 0.19, "per-sample": 0.1},
            "Pretraining on one class for each of 8 samples lowers the error most with 60 training samples: "
            "by 10.0 [5.0, 15.0] percentage points. It is 20.0% [15.0%, 25.0%] for the baseline, which has "
            "no pretraining.",
        ),
        (
            {"random": 0.19},
            "Pretraining on 8 random classes lowers the error most with 60 training samples: by 1.0 "
            "[−4.0, 6.0] percentage points, which may be nothing. It is 20.0% [15.0%, 25.0%] for the "
            "baseline, which has no pretraining.",
        ),
        (
            {"random": 0.3, "per-sample": 0.25},
            "No pretraining lowers the error with 60 training samples: it is 20.0% [15.0%, 25.0%] for the "
            "baseline, which has no pretraining, and the best pretraining, on one class for each of 8 "
            "samples, changes it by +5.0 [+0.0, +10.0] points.",
        ),
        (
            {},
            "The error with 60 training samples is 20.0% [15.0%, 25.0%] for the baseline, which has no "
            "pretraining.",
        ),
    ],
)
def test_a_report_opens_with_its_answer(errors, answer):
    assert describe_granularity({"summary": errors_of(**errors)})[0] == answer
