"""Granularity studies as a whole on a few real images: trained, killed, gone on with, tabulated, reported."""

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import pearsonr, ttest_1samp

from harsanyi import data, models
from harsanyi.analyses.granularity.captions import figures_of
from harsanyi.analyses.granularity.claims import claimable, claimed_errors, claimed_knowledge
from harsanyi.analyses.granularity.ladder import comparison_of, ladder_summary, ladder_table
from harsanyi.analyses.granularity.report import run_granularity
from harsanyi.analyses.granularity.run_tables import over_seeds, runs_table, summary_table
from harsanyi.analyses.granularity.runs import TransferData, is_done, plan_runs
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.training import chosen_checkpoint, start_of, train_runs
from harsanyi.analyses.granularity.words import describe_plan, not_trained_out
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.run.run import Run
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

EXACT = 1e-12


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Granularity:
    """Every 20th training image and every 10th test image: 160 and 80."""
    folder, paths = tmp_path_factory.mktemp("granularity"), {}
    for name, split, step in (("data", "train", 20), ("test_data", "test", 10)):
        table = pq.read_table(data.fashion_mnist_path(split))
        paths[name] = folder / f"{split}.parquet"
        pq.write_table(table.take(list(range(0, len(table), step))), paths[name])
    return Granularity(
        model="small:cnn",
        target="coarse",
        out=folder / "out",
        **paths,
        kinds=("columns", "random"),
        columns=("fine",),
        counts=(8, 12),
        sizes=(60,),
        seeds=(0, 1),
        pretrain_epochs=1,
        finetune_epochs=1,
        misalignment=(0.0, 0.5),
    )


@pytest.fixture(scope="module")
def finished(study) -> list[str]:
    return run_granularity(study, progress=False)


@pytest.fixture(scope="module")
def explained(study, finished, tmp_path_factory) -> Granularity:
    """The finished study, gone on with: now with interactions of what was not misaligned."""
    out = tmp_path_factory.mktemp("explained") / "out"
    shutil.copytree(study.out, out)
    compared = {"inputs": 8, "players": "grid:4x4:4", "method": "and-or", "restricted": True}
    more = replace(study, out=out, misalignment=(0.0,), **compared)
    run_granularity(more, progress=False)
    return more


def runs_of(study: Granularity) -> list:
    return plan_runs(study, TransferData.of(study))


def weights(path: Path) -> dict:
    return models.read_checkpoint(path).state


def test_a_run_is_pretrained_given_a_new_head_and_moved_to_the_target(study, finished):
    run = next(run for run in runs_of(study) if (run.kind, run.seed) == ("columns", 1))
    folder = study.out / run.folder
    files = ["epoch-000.safetensors", "epoch-001.safetensors", "history.csv"]
    for phase in ("pretrain", "finetune"):
        assert sorted(path.name for path in (folder / phase).iterdir()) == files
    sample = TransferData.of(study).train.sample(60, 1, "coarse")
    kept = pd.read_csv(folder / "labels.csv")
    assert kept.name.tolist() == list(sample.names)
    assert kept.label.tolist() == sample.labels["fine"].tolist()
    before, after = (
        weights(folder / "pretrain/epoch-001.safetensors"),
        weights(folder / "finetune" / files[0]),
    )
    fresh = start_of(study, 1).with_new_head(sample.classes["coarse"], 1)
    for name, tensor in after.items():
        expected = fresh.model.state_dict()[name] if name.startswith("linear") else before[name]
        assert torch.equal(tensor, expected), name
    baseline = weights(study.out / "baseline/60/1/finetune/epoch-000.safetensors")
    assert all(torch.equal(baseline[name], tensor) for name, tensor in fresh.model.state_dict().items())
    assert (study.out / "baseline/60/1/finetune/epoch-002.safetensors").is_file()  # both phases' epochs


def test_what_can_be_claimed_is_known_before_training(explained):
    ladder, summary = (read_table(explained.out / f"{name}.h5") for name in ("ladder", "ladder_summary"))
    found = claimed_errors(read_table(explained.out / "runs.h5")) | claimed_knowledge(ladder, summary)
    assert set(found) <= set(claimable(runs_of(explained), explained))
    some = {"columns-10", "rare_before:columns-10", "new_share:columns-10:2", "preserved_accuracy:columns-10"}
    assert some <= set(found)


def test_the_table_of_runs_has_what_the_checkpoints_answer(study, finished):
    table = read_table(study.out / "runs.h5")
    runs = runs_of(study)
    assert len(table) == len(runs) == 10
    test = TransferData.of(study).test
    for run, row in zip(runs, table.itertuples(), strict=True):
        assert (row.kind, row.classes, row.size, row.seed) == (run.kind, run.classes, run.size, run.seed)
        network = models.load("small:cnn", chosen_checkpoint(study, run, "finetune"))
        found = models.performance(network, test.items, test.labels["coarse"])
        assert (row.accuracy, row.error) == (found.accuracy, 1 - found.accuracy)
        assert row.loss == pytest.approx(found.loss, rel=1e-6)  # float32 logits, batches of the same 64
        assert np.isnan(row.nmi) == (row.kind == "baseline")
    fine = table[(table.kind == "columns") & (table.misalignment == 0)]
    assert (fine.purity == 1).all()
    assert (table[table.misalignment == 0.5].purity < 1).all()


def test_the_table_of_runs_says_how_far_both_phases_are_trained(study, finished):
    table = read_table(study.out / "runs.h5")
    for run, row in zip(runs_of(study), table.itertuples(), strict=True):
        losses = {
            phase: pd.read_csv(study.out / run.folder / phase / "history.csv").loss.iloc[-1]
            for phase in ("pretrain", "finetune")
            if (study.out / run.folder / phase).is_dir()
        }
        assert row.train_loss == losses["finetune"]
        assert row.target_fit == pytest.approx(1 - losses["finetune"] / np.log(4), abs=EXACT)
        if run.kind == "baseline":
            assert np.isnan(row.pretrain_fit)
        else:
            assert row.pretrain_fit == pytest.approx(1 - losses["pretrain"] / np.log(run.classes), abs=EXACT)
    summary = read_table(study.out / "summary.h5")
    (found,) = summary[(summary.quantity == "target_fit") & (summary.kind == "baseline")].itertuples()
    assert found.value == pytest.approx(table[table.kind == "baseline"].target_fit.mean(), abs=EXACT)
    said = " ".join(not_trained_out(summary))
    assert "Not trained out: pretraining knows" in said  # one epoch
    assert not_trained_out(summary.assign(value=0.95)) == []
    assert "Not trained out: pretraining knows" in (study.out / "report.html").read_text(encoding="utf-8")


def test_differences_are_to_the_baseline_of_the_same_size_and_seed():
    rng = np.random.default_rng(0)
    row = {"level": "", "misalignment": 0.0}
    keys = [(k, size, seed) for k in ("baseline", "random") for size in (8, 16) for seed in range(4)]
    runs = pd.DataFrame(
        [{**row, "kind": k, "classes": 4, "size": size, "seed": seed} for k, size, seed in keys]
    )
    runs = runs.assign(error=rng.random(len(runs)), loss=rng.random(len(runs)))
    runs = runs.assign(accuracy=1 - runs.error).sample(frac=1, random_state=0)
    table = summary_table(runs)
    errors = runs.set_index(["kind", "size", "seed"]).error
    for size in (8, 16):
        pairs = [errors["random", size, seed] - errors["baseline", size, seed] for seed in range(4)]
        (found,) = table[(table.quantity == "error_difference") & (table["size"] == size)].itertuples()
        assert found.value == pytest.approx(np.mean(pairs), abs=EXACT)
        expected = ttest_1samp(pairs, 0.0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=EXACT)
        assert (found.kind, found.seeds) == ("random", 4)
    assert len(table) == 2 * 2 * 3 + 2
    alone = summary_table(runs[runs.kind != "baseline"])
    assert "error_difference" not in set(alone.quantity)


def test_one_seed_has_no_interval_and_nan_is_no_seed():
    row = {"kind": "random", "level": "", "classes": 4, "size": 8, "misalignment": 0.0, "quantity": "error"}
    table = over_seeds(pd.DataFrame([{**row, "seed": 0, "value": 0.5}, {**row, "seed": 1, "value": np.nan}]))
    assert table[["value", "seeds"]].values.tolist() == [[0.5, 1]]
    assert table[["low", "high"]].isna().all(axis=None)


def test_a_killed_study_goes_on_and_ends_in_the_same_tables(study, finished, tmp_path: Path):
    again = replace(study, out=tmp_path / "again")
    runs, found = runs_of(again), TransferData.of(again)
    done = list(islice(train_runs(again, runs, found, progress=False), 4))
    assert describe_plan(again, runs)[0] == "10 runs: 4 done, 6 to do"
    (again.out / done[-1].folder / "finetune/history.csv").unlink()  # as if killed within a run
    assert describe_plan(again, runs)[0] == "10 runs: 3 done, 7 to do"
    assert len(runs_table(again, runs)) == 3
    first = again.out / done[0].folder / "finetune/epoch-001.safetensors"
    written = first.stat().st_mtime_ns
    assert run_granularity(again, progress=False) == finished
    assert first.stat().st_mtime_ns == written
    for name in ("runs", "summary"):
        csv = (study.out / f"{name}.csv").read_bytes()
        assert (again.out / f"{name}.csv").read_bytes() == csv
    assert all(is_done(again, run) for run in runs)


def test_other_settings_need_another_folder(study, finished):
    with pytest.raises(ValueError, match="of other settings: learning_rate"):
        run_granularity(replace(study, pretrain_rate=0.5), progress=False)


def test_the_ladder_is_that_of_the_comparisons(explained):
    study, ladder = explained, read_table(explained.out / "ladder.h5")
    runs = [run for run in runs_of(study) if run.kind != "baseline"]
    (study.out / runs[0].folder / "comparison/values.h5").unlink()  # computed again, and the same
    again = ladder_table(study, runs[:2], progress=False)
    pd.testing.assert_frame_equal(again, ladder.iloc[: len(again)], check_dtype=False, check_exact=True)
    for run in runs[:2]:
        comparison = comparison_of(study, run)
        assert comparison.scratch == str(study.out / f"baseline/60/{run.seed}/finetune/epoch-002.safetensors")
        change = Run.open(study.out / run.folder / "comparison").change
        own = (ladder.seed == run.seed) & (ladder.kind == run.kind) & (ladder.order == "all")
        whole = ladder[own & (ladder.misalignment == run.misalignment)]
        expected = (change.preserved.sum() / change.all_before.sum()).item()
        table = change.table()
        table = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
        beside = table.set_index("quantity").loc[
            ["preserved_share", "new_share", "scratch_share", "all_after"]
        ]
        bounds = whole.set_index("quantity").loc[beside.index, ["low", "high"]]
        assert bounds.to_numpy() == pytest.approx(beside[["low", "high"]].to_numpy(), abs=EXACT)
        value = whole.set_index("quantity").value
        assert value.preserved_share == pytest.approx(expected, abs=EXACT)
        assert 0 < value.rare_after <= 1
    mean = ladder_summary(ladder).set_index(["kind", "classes", "quantity", "order"]).value
    pair = ladder[(ladder.kind == "random") & (ladder.quantity == "new_share") & (ladder.order == "all")]
    pair = pair[pair.classes == 8].value
    assert mean["random", 8, "new_share", "all"] == pytest.approx(pair.mean(), abs=EXACT)


def test_the_report_says_what_was_found(study, finished):
    errors = read_table(study.out / "summary.h5").query("quantity == 'error' and kind == 'baseline'")
    assert finished[0].startswith(("Pretraining on ", "No pretraining lowers "))
    assert f"is {errors.value.iloc[0]:.1%} for the baseline, which has no pretraining" in finished[0]
    assert len(finished) == 2  # one number of samples: all else is in the tables
    assert finished[-1] == "This rests on 2 seeds: too few for an interval."
    page = (study.out / "report.html").read_text(encoding="utf-8")
    for text in ("small:cnn: label granularity", "8 random classes, 60 samples", "50% moved"):
        assert text in page, text
    names = {path.name.partition("-")[2] for path in (study.out / "figures").iterdir()}
    assert names == {"error-with-60-samples.png", "misalignment-with-60-samples.png"}
    assert captions_alone(study.out / "report.html") == []
    assert faults(figures_of(study, tables_in(study.out))) == []


def test_the_report_with_interactions(explained):
    assert captions_alone(explained.out / "report.html") == []
    assert faults(figures_of(explained, tables_in(explained.out))) == []
    page = (explained.out / "report.html").read_text(encoding="utf-8")
    said = (
        "of what 8 random classes taught",
        "preserved, of rare after",
        "8 test inputs",
    )
    assert [text for text in said if text not in page] == []
    names = {path.name.partition("-")[2] for path in (explained.out / "figures").iterdir()}
    ladders = {"ladders.png", "ladder-of-random-classes.png", "orders-of-random-classes.png"}
    assert names == {"error-with-60-samples.png", *ladders}


def test_a_probe_trains_the_head_alone(study, tmp_path: Path):
    probe = replace(
        study,
        out=tmp_path,
        transfer="probe",
        kinds=("per-sample",),
        columns=None,
        counts=(),
        misalignment=(0.0,),
        seeds=(0,),
        inputs=0,
        baseline_epochs=1,
    )
    said = run_granularity(probe, progress=False)
    assert said[-1] == "This rests on 1 seed: too few for an interval."
    (run,) = (run for run in runs_of(probe) if run.kind == "per-sample")
    first, last = (weights(path.path) for path in models.series(tmp_path / run.folder / "finetune"))
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    assert moved == {"linear.weight", "linear.bias"}
    assert weights(chosen_checkpoint(probe, run, "pretrain"))["linear.weight"].shape[0] == 60
    shutil.rmtree(tmp_path / "baseline")
    assert not is_done(probe, runs_of(probe)[0])


def test_parts_of_the_knowledge_predict_the_target(explained):
    """ "everything" alone is the network itself: its accuracy is that of its answers on these inputs."""
    ladder = read_table(explained.out / "ladder.h5")
    test = TransferData.of(explained).test
    for run in runs_of(explained):
        if run.kind == "baseline":
            continue
        done = Run.open(explained.out / run.folder / "comparison")
        names = done.store.settings["inputs"]
        chosen = test.select([test.names.index(name) for name in names])
        network = models.load("small:cnn", chosen_checkpoint(explained, run, "finetune"))
        expected = models.performance(network, chosen.items, chosen.labels["coarse"]).accuracy
        rows = ladder[(ladder.kind == run.kind) & (ladder.classes == run.classes) & (ladder.seed == run.seed)]
        found = rows.set_index("quantity").value
        assert found["everything_accuracy"] == expected
        assert 0 <= found["preserved_accuracy"] <= 1
        assert rows[rows.quantity == "preserved_accuracy"].order.tolist() == ["all"]


def test_correlation_over_the_runs_of_a_ladder(explained):
    runs, ladder = (read_table(explained.out / f"{name}.h5") for name in ("runs", "ladder"))
    table = read_table(explained.out / "correlation.h5")
    shares, accuracies = [], []
    for run in runs[(runs.kind != "baseline") & (runs.misalignment == 0)].itertuples():
        same = (ladder.kind == run.kind) & (ladder.classes == run.classes) & (ladder.seed == run.seed)
        own = ladder[same & (ladder.order == "all") & (ladder.quantity == "new_share")]
        shares.append(own.value.item())
        accuracies.append(run.accuracy)
    row = table[(table.x == "new_share") & (table.coefficient == "pearson")].iloc[0]
    assert row.value == pytest.approx(pearsonr(shares, accuracies).statistic)
    assert (row.points, row.clusters) == (len(shares), len(shares) // 2)
