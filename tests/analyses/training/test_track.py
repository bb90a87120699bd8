"""Tracking training runs: from checkpoints to tables, figures and report, by one command."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harsanyi import data, models
from harsanyi.analyses import Run, compare, read_table, study_in, trajectory_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.notes import alarms
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.chances import with_chances
from harsanyi.analyses.training.succession import succession_table, theory_variances
from harsanyi.analyses.training.tables import noise_of, performance_by_step, tolerance_of, trajectories_of
from harsanyi.analyses.training.track import track_figures
from harsanyi.analyses.training.words import _succession, describe_track, untrained_starts
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

STEPS = (0, 1, 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two short runs of a small network, from one start and from another."""
    folder = tmp_path_factory.mktemp("runs")
    train, test = (
        data.load(data.fashion_mnist_path(part)).sample(120, 0, "coarse") for part in ("train", "test")
    )
    classes = train.classes["coarse"]
    samples, held_out = (models.Samples(part.items, part.level("coarse")[0]) for part in (train, test))
    for seed, name in enumerate(("finetuned", "scratch")):
        network = models.load("small:cnn", "random", classes=classes, seed=seed)
        recipe = models.Recipe(epochs=2)
        models.train(network, samples, recipe, folder=folder / name, held_out=held_out, progress=False)
    return folder


def tracking(runs: Path, out: Path, *more: str) -> list[str]:
    return [
        "track",
        "--model=small:cnn",
        "--series",
        *[f"{name}={runs / name}" for name in ("finetuned", "scratch")],
        f"--pretrained={runs / 'finetuned/epoch-000.safetensors'}",
        f"--data={data.fashion_mnist_path('test')}",
        f"--train-data={data.fashion_mnist_path('train')}",
        "--level=coarse",
        "--inputs=4",
        "--players=grid:2x2",
        f"--out={out}",
        *more,
    ]


@pytest.fixture(scope="module")
def out(runs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("track") / "run"
    main(tracking(runs, folder))
    return folder


def test_what_tracking_writes(out):
    names = ("trajectories", "times", "detours", "theory", "succession")
    tables = {f"{name}.{ending}" for name in names for ending in ("csv", "h5")}
    written = {path.name for path in out.iterdir()}
    assert written >= tables | {"study.toml", "values.h5", "facts.json", "report.html", "games.csv"}
    report = (out / "report.html").read_text(encoding="utf-8")
    for said in (
        "finetuned has half of its final knowledge after",
        "At the end of scratch",
        "4 inputs",
        "in theory",
    ):
        assert said in report
    assert len(list((out / "figures").glob("*.png"))) == 3 + 2 * 3
    assert captions_alone(out / "report.html") == []
    assert "whiskers: no intervals, since 4 inputs are too few" in report  # of times, unlike of shares
    opened = Run.open(out)
    assert faults(track_figures(opened, trajectories_of(opened), tables_in(out))) == []


def test_trajectories_are_those_of_the_interactions(out):
    opened = Run.open(out)
    table = read_table(out / "trajectories.h5")
    runs = trajectories_of(opened)
    assert [one.steps for one in runs] == [STEPS, STEPS]
    expected = trajectory_table(runs, opened.interactions["pretrained"], bootstrap=Bootstrap())
    found = table.iloc[: len(expected)]
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_the_first_checkpoint_of_its_own_run_has_kept_all(out):
    table = read_table(out / "trajectories.h5")
    first = table[
        (table.series == "finetuned") & (table.step == 0) & (table.order == "all") & (table.kind == "both")
    ]
    values = first.set_index("quantity").value
    assert values["preserved_share"] == 1
    assert values["new_share"] == 0
    last = compare(*(Run.open(out).interactions[name] for name in ("pretrained", "finetuned@2")))
    end = table[(table.series == "finetuned") & (table.step == 2) & (table.quantity == "preserved")]
    total = end[(end.order == "all") & (end.kind == "both")].value.item()
    assert total == pytest.approx(last.preserved.sum().item() / 4, rel=1e-12)  # the mean of four games


def test_what_says_nothing_is_not_given_in_numbers(out):
    """A run that ends in its own pretrained checkpoint, and a rank correlation of three orders."""
    tables = {
        name: read_table(out / f"{name}.h5") for name in ("trajectories", "times", "detours", "succession")
    }
    along = tables["trajectories"]
    end = (along.series == "finetuned") & (along.step == 2)
    for quantity, value in (("preserved_share", 1.0), ("new_share", 0.0)):
        along.loc[end & (along.quantity == quantity), ["value", "low", "high"]] = value
    said = describe_track(tables)
    assert any(one.startswith("finetuned ends with exactly the salient interactions of") for one in said)
    assert any(one.startswith("At the end of scratch, ") for one in said)
    assert any(one.startswith("In scratch, 3 orders have strength at the end: too few") for one in said)
    assert any("Order 4 has less than 2% of the strength at the end, which the split" in one for one in said)
    assert not any("100% [100%" in one or "rank correlation" in one for one in said)


def test_theory_and_succession_are_those_of_the_runs(out):
    theory, found = read_table(out / "theory.h5"), read_table(out / "succession.h5")
    assert set(theory.series) == set(found.series) == {"finetuned", "scratch"}
    run = trajectories_of(Run.open(out))[0]
    rows = theory[(theory.series == "finetuned") & theory.variance.notna()]
    variances = theory_variances(run.final)
    assert list(dict.fromkeys(rows.variance)) == variances
    tolerance = tolerance_of(run, noise_of(Run.open(out).study))
    v = run.final.v
    assert tolerance == pytest.approx(0.04 * sum(abs(table[-1] - table[0]) for table in v.tolist()))
    expected = succession_table(run, variances, tolerance=tolerance, bootstrap=Bootstrap())
    without_p = found.drop(columns=["p", "p_corrected"])
    pd.testing.assert_frame_equal(without_p.iloc[: len(expected)], expected, check_exact=True)
    pd.testing.assert_frame_equal(with_chances(without_p), found)


def test_accuracy_and_loss_stand_in_the_same_table(out, runs):
    table = read_table(out / "trajectories.h5")
    network = models.load("small:cnn", runs / "scratch/epoch-002.safetensors")
    train = data.load(data.fashion_mnist_path("train")).sample(500, 0, "coarse")
    found = models.performance(network, train.items, train.level("coarse")[0])
    rows = table[(table.series == "scratch") & (table.step == 2)].set_index("quantity").value
    assert rows["accuracy train"] == found.accuracy
    assert rows["loss train"] == found.loss
    assert set(performance_by_step(Run.open(out)).step) == set(STEPS)


def test_again_from_its_study_file_with_the_same_bytes(out, capsys):
    names = ("trajectories.csv", "times.csv", "detours.csv", "values.h5", "report.html")
    before = {name: (out / name).read_bytes() for name in names}
    main(["track", str(out / "study.toml")])
    assert {name: (out / name).read_bytes() for name in names} == before
    assert "half of its final knowledge" in capsys.readouterr().out
    assert study_in(out / "study.toml").runs["scratch"][-1].step == 2


@pytest.mark.usefixtures("no_pixels")
def test_without_a_pretrained_network_and_with_fewer_checkpoints(runs, tmp_path):
    arguments = [one for one in tracking(runs, tmp_path / "run", "--at-most=2") if "--pretrained" not in one]
    main(arguments)
    table = read_table(tmp_path / "run/trajectories.h5")
    assert "preserved" not in set(table.quantity)
    assert sorted(set(table.step)) == [0, 2]
    last = table[(table.step == 2) & (table.quantity == "reached") & (table.order == "all")]
    assert (last.value.dropna() == 1).all()
    assert not math.isnan(last.value.iloc[0])


@pytest.mark.usefixtures("no_pixels")
def test_answers_of_the_network_have_no_accuracy(runs, tmp_path):
    """Without labels nothing is known of the loss, and the figures do without."""
    asked = [part for part in tracking(runs, tmp_path / "run") if not part.startswith("--train-data")]
    main([*asked, "--label=predicted", "--at-most=2"])
    assert performance_by_step(Run.open(tmp_path / "run")).empty
    assert "loss held out" not in set(read_table(tmp_path / "run/trajectories.h5").quantity)
    assert len(list((tmp_path / "run/figures").glob("*.png"))) == 3 + 2 * 3


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (["a"], "names no folder: expected NAME=FOLDER"),
        (["a=x", "a=y"], "names of letters and digits, each once"),
        (["a/b=x"], "names of letters and digits"),
        (["pretrained=x"], "cannot call a run pretrained"),
        (["own=x"], "cannot call a run own"),
        (["a=nowhere"], "nowhere"),
    ],
)
def test_series_that_cannot_be_meant(series, said, refused, tmp_path):
    arguments = [
        "track",
        "--model=small:cnn",
        "--series",
        *series,
        f"--data={data.fashion_mnist_path('test')}",
    ]
    assert said in refused(*arguments, f"--out={tmp_path / 'run'}")


def test_one_checkpoint_is_not_enough(runs, refused, tmp_path):
    assert "--at-most is 1: expected 2 or more" in refused(*tracking(runs, tmp_path / "run", "--at-most=1"))


def test_an_untrained_start_is_explained_and_no_reason_to_be_wary(out):
    facts = Run.open(out).facts
    at_start = next(row for row in facts.performance if row.network == "finetuned@0")
    start = replace(at_start, alarm="chance", chance=0.5)
    rows = tuple(
        start if row.network == "finetuned@0" and row.split == "held out" else row
        for row in facts.performance
    )
    rows = tuple(row if row.network == "finetuned@0" else replace(row, alarm="") for row in rows)
    changed = replace(facts, performance=rows)
    run = replace(Run.open(out), facts=changed)
    (said,) = untrained_starts(run)
    assert said.startswith(
        f"finetuned@0 is right for {start.accuracy:.0%} of {start.inputs} inputs, as a newly"
    )
    assert "pretrained has a head that was trained" in said
    assert not [line for line in alarms(changed) if "finetuned@0" in line]
    # Where the end is suspicious too, the start is a reason to be wary.
    suspicious = tuple(
        replace(row, alarm="chance", chance=0.5) if row.network.startswith("finetuned") else row
        for row in rows
    )
    assert any("finetuned@0" in line for line in alarms(replace(facts, performance=suspicious)))
    assert untrained_starts(replace(run, facts=replace(facts, performance=suspicious))) == []


def test_the_first_figures_say_how_they_differ(out):
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "how much of what a run has at its end is already there" in report
    assert "the gap between the two figures is what the run still loses" in report
    table = read_table(out / "trajectories.h5")
    total = table[(table.kind == "both") & (table.order == "all")]
    reached, similar = (
        total[total.quantity == name].set_index(["series", "step"]).value
        for name in ("reached", "similarity_own")
    )
    assert (similar <= reached + 1e-12).all()  # Σ max ≥ Σ end


@pytest.mark.parametrize(("orders", "said"), [(1, "1 order has strength"), (3, "3 orders have strength")])
def test_few_orders_are_counted_in_words(orders, said):
    steps = pd.DataFrame({"quantity": "step", "order": map(str, range(1, orders + 1)), "value": 1.0})
    assert f"In run, {said} at the end" in _succession("run", steps.assign(strength_share=1 / orders))
