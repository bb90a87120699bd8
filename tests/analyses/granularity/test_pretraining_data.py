"""Pretraining on other samples and labels than the target's, and validation that ends both phases."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses.granularity.labels import stratum_of
from harsanyi.analyses.granularity.ladder import comparison_of
from harsanyi.analyses.granularity.report import run_granularity
from harsanyi.analyses.granularity.runs import TransferData, plan_runs
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.training import chosen_checkpoint, start_of
from harsanyi.analyses.report.tables import read_table


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Granularity:
    """160 training images of which the target takes up to 60, and 234 others whose labels are fine alone."""
    folder, train = tmp_path_factory.mktemp("pretraining"), pq.read_table(data.fashion_mnist_path("train"))
    test = pq.read_table(data.fashion_mnist_path("test"))
    first, others = list(range(0, len(train), 20)), [i for i in range(0, len(train), 13) if i % 20]
    tables = {
        "data": train.take(first).drop_columns(["fine"]),
        "test_data": test.take(list(range(0, 800, 10))),
    }
    tables["pretrain_data"] = train.take(others).drop_columns(["coarse"])
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        pq.write_table(table, paths[name])
    return Granularity(
        model="small:cnn",
        target="coarse",
        out=folder / "out",
        **paths,
        kinds=("columns", "random"),
        counts=(8,),
        sizes=(40, 60),
        pretrain_sizes=(80, 200),
        seeds=(0,),
        pretrain_epochs=3,
        finetune_epochs=3,
        pretrain_rate=3e-3,
        validation=0.25,
        patience=1,
    )


@pytest.fixture(scope="module")
def finished(study) -> list[str]:
    return run_granularity(study, progress=False)


def runs_of(study: Granularity) -> list:
    return plan_runs(study, TransferData.of(study))


def test_every_pretraining_size_meets_every_target_size(study):
    runs = runs_of(study)
    found = {(run.kind, run.classes, run.size, run.pretrain_size) for run in runs}
    pairs = [(size, pretrain) for size in (40, 60) for pretrain in (80, 200)]
    expected = {(kind, k, *pair) for kind, k in (("columns", 10), ("random", 8)) for pair in pairs}
    assert found == expected | {("baseline", 4, size, 0) for size in (40, 60)}
    assert len({run.folder for run in runs}) == len(runs)
    assert len({run.pretrain_folder for run in runs if run.kind == "columns"}) == 2


def test_pretraining_is_on_its_own_samples_and_labels(study, finished):
    given = TransferData.of(study)
    run = next(run for run in runs_of(study) if (run.kind, run.pretrain_size) == ("columns", 200))
    kept = pd.read_csv(study.out / run.pretrain_folder / "labels.csv")
    sample = given.pretrain.sample(200, 0, "fine")
    assert kept.name.tolist() == list(sample.names)
    assert kept.label.tolist() == sample.labels["fine"].tolist()
    pretrained = models.read_checkpoint(chosen_checkpoint(study, run, "pretrain"))
    assert pretrained.classes == given.pretrain.classes["fine"]
    start = models.read_checkpoint(study.out / run.folder / "finetune/epoch-000.safetensors")
    assert start.classes == given.train.classes["coarse"]
    fresh = start_of(study, 0).with_new_head(start.classes, 0).model.state_dict()
    for name, tensor in start.state.items():
        expected = fresh[name] if name.startswith("linear") else pretrained.state[name]
        assert torch.equal(tensor, expected), name


def test_other_data_are_drawn_evenly_over_their_finest_classes(study):
    both = replace(study, pretrain_data=data.fashion_mnist_path("train"))
    given = TransferData.of(both)
    assert stratum_of(both, given.pretrain) == "fine"
    drawn = given.pretrain.sample(80, 0, stratum_of(both, given.pretrain))
    # The target's four classes have one, two, three and four of the ten.
    assert np.bincount(drawn.labels["fine"]).tolist() == [8] * 10
    assert stratum_of(replace(both, pretrain_data=None), given.pretrain) == "coarse"


def test_the_epoch_of_the_lowest_validation_loss_goes_on_and_is_tested(study, finished):
    table, test = read_table(study.out / "runs.h5"), TransferData.of(study).test
    for run, row in zip(runs_of(study), table.itertuples(), strict=True):
        history = pd.read_csv(study.out / run.folder / "finetune/history.csv")
        best = int(history.validation_loss.idxmin())
        assert len(history) == min(best + 2, (6 if run.kind == "baseline" else 3) + 1)
        assert row.error == 1 - history.held_out_accuracy[best]
        network = models.load("small:cnn", chosen_checkpoint(study, run, "finetune"))
        assert models.performance(network, test.items, test.labels["coarse"]).accuracy == row.accuracy
        assert np.isnan(row.nmi)  # the pretraining samples have no target
        assert row.pretrain_size == run.pretrain_size


def test_validation_samples_are_the_share_and_are_not_trained_on(study, finished, monkeypatch):
    seen = []
    monkeypatch.setattr(models, "train", lambda *parts, **more: seen.append((parts[1], more["validation"])))
    from harsanyi.analyses.granularity import training

    run = next(run for run in runs_of(study) if run.kind == "baseline" and run.size == 60)
    training._train(study, run, TransferData.of(study), progress=False)
    ((samples, validation),) = seen
    assert (len(samples.items), len(validation.items)) == (45, 15)
    drawn = TransferData.of(study).train.sample(60, 0, "coarse")
    both = [item.tobytes() for part in (samples, validation) for item in part.items]
    assert sorted(both) == sorted(item.tobytes() for item in drawn.items)
    shares = np.bincount(validation.labels) / np.bincount(drawn.labels["coarse"])
    assert (abs(shares - 0.25) < 1 / 15).all()  # a quarter of every class, in whole samples


def test_labels_that_cannot_be_validated_are_trained_to_the_end(study, finished):
    for run in runs_of(study):
        if run.kind == "random":
            history = pd.read_csv(study.out / run.pretrain_folder / "pretrain/history.csv")
            assert len(history) == 4
            assert "validation_loss" not in history
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert "Pretraining on random labels went to its last epoch" in page
    assert "Pretraining sizes for columns" in page
    assert "pretrained on 200, 60 samples" in page


def test_the_comparison_reads_the_checkpoints_that_were_chosen(study, finished):
    run = next(run for run in runs_of(study) if run.kind == "columns" and run.size == 60)
    compared = comparison_of(study, run)
    assert compared.before == str(chosen_checkpoint(study, run, "pretrain"))
    assert "baseline/60/0/finetune" in compared.scratch


def test_a_study_that_is_done_trains_nothing_again(study, finished):
    times = {path: path.stat().st_mtime_ns for path in study.out.rglob("*.safetensors")}
    assert run_granularity(study, progress=False) == finished
    assert times == {path: path.stat().st_mtime_ns for path in study.out.rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"pretrain_sizes": (900,)}, "--pretrain-sizes has 900: .* holds 234 samples"),
        ({"pretrain_sizes": (2,)}, "--pretrain-sizes has 2: --validation 0.2 of them leaves a part empty"),
        ({"sizes": (600,)}, "--sizes has 600: .* holds 160 samples"),
    ],
)
def test_sizes_that_the_data_does_not_have(study, option, said):
    changed = replace(study, validation=0.2, **option)
    with pytest.raises(ValueError, match=said):
        plan_runs(changed, TransferData.of(changed))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"validation": 1.0}, "--validation is 1.0: expected a share of samples, 0 or more and less than 1"),
        ({"validation": 0.0}, "--patience is for early stopping, and --validation is 0"),
        ({"patience": 0}, "--patience is 0: expected 1 or more"),
        ({"pretrain_sizes": (8, 8)}, "--pretrain-sizes is 8 8: expected each once"),
    ],
)
def test_validation_that_means_nothing(study, option, said):
    with pytest.raises(ValueError, match=said):
        replace(study, **option).require_sense()


def test_aligned_clusters_need_the_target_in_the_pretraining_data(study):
    aligned = replace(study, kinds=("kmeans-aligned",), counts=(8,))
    with pytest.raises(ValueError, match="there is no level 'coarse': the label columns are fine"):
        plan_runs(aligned, TransferData.of(aligned))


def test_sentences_are_no_pretraining_for_images(study, tmp_path):
    (tmp_path / "questions.txt").write_text("DESC what is it\nHUM who was it\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds text and --data .* image: one network reads both"):
        TransferData.of(replace(study, pretrain_data=tmp_path / "questions.txt"))
