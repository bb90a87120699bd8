"""Relating knowledge to accuracy: from a finished run to tables, figures and report, by one command."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses import Run, read_table
from harsanyi.analyses.accuracy.report import accuracy_figures
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.knowledge.restricted import restricted_prediction
from harsanyi.analyses.run.by_class import interactions_by_class
from harsanyi.interactions import MaskedModel
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

INPUTS = 5


@pytest.fixture(scope="module")
def run(checkpoints, tmp_path_factory) -> Path:
    """A comparison with scratch that kept the outputs of all classes."""
    folder = tmp_path_factory.mktemp("accuracy") / "run"
    named = [f"--{name}={checkpoints / name}.safetensors" for name in ("before", "after", "scratch")]
    main(
        [
            *("compare", "--model=small:cnn", *named, f"--data={data.fashion_mnist_path('test')}"),
            *("--level=coarse", f"--inputs={INPUTS}", "--players=grid:2x2", "--method=and-or"),
            *("--keep-outputs", f"--out={folder}"),
        ]
    )
    main(["accuracy", str(run_ := folder)])
    return run_


def test_what_the_command_writes(run):
    names = ("restricted", "discrimination", "pruning", "standing", "counterfactual", "calibration")
    names = (*names, "change", "correlation", "inputs", "planning", "inputs_needed")
    written = {path.name for path in (run / "accuracy").iterdir()}
    assert written == {f"{name}.{ending}" for name in names for ending in ("csv", "h5")} | {
        "figures",
        "report.html",
    }
    report = (run / "accuracy/report.html").read_text(encoding="utf-8")
    for said in ("The network answers", "supports it more than any other class", "5 inputs"):
        assert said in report
    assert len(list((run / "accuracy/figures").glob("*.png"))) == 9
    assert captions_alone(run / "accuracy/report.html") == []
    assert faults(accuracy_figures(tables_in(run / "accuracy"), Run.open(run).unit)) == []


def test_accuracies_are_those_of_the_networks(run):
    opened = Run.open(run)
    table = read_table(run / "accuracy/restricted.h5")
    found = [interactions_by_class(opened, [name])[name] for name in ("before", "after", "scratch")]
    expected = restricted_prediction(found[0], found[1], opened.labels, scratch=found[2])
    pd.testing.assert_frame_equal(table, expected)
    # The network itself, asked about the inputs as they are.
    network = models.load("small:cnn", opened.study.checkpoints["after"])
    inputs = data.load(data.fashion_mnist_path("test")).sample(INPUTS, 0, "coarse")
    right = models.performance(network, inputs.items, inputs.level("coarse")[0]).accuracy
    whole = table[(table.knowledge == "everything") & (table.quantity == "accuracy")]
    assert whole.value.item() == right


def test_counterfactuals_ask_under_every_other_baseline(run):
    table = read_table(run / "accuracy/counterfactual.h5")
    assert set(table.baseline) == {"input_mean", "blur", "other_image"}
    opened = Run.open(run)
    row = table[(table.baseline == "blur") & (table.network == "after")].iloc[0]
    inputs = data.load(data.fashion_mnist_path("test")).sample(INPUTS, 0, "coarse")
    network = models.load("small:cnn", opened.study.checkpoints["after"])
    from harsanyi.interactions import Players, evaluate

    game = MaskedModel(
        network.model,
        network.preprocess(list(inputs.items)),
        Players.grid(28, 28, 2, 2),
        labels=inputs.level("coarse")[0].tolist(),
        baseline="blur",
    )
    v = evaluate(game, progress=False)[row.game]
    masked = 15 - sum(1 << (3 - int(player)) for player in str(row.players).split())
    # One batch here, another there: float32 sums in another order.
    assert row.measured == pytest.approx((v[masked] - v[15]).item(), abs=1e-4)


def test_only_interventions_ask_the_networks_and_a_second_run_writes_the_same(run, forwards):
    before = {path: path.read_bytes() for path in (run / "accuracy").glob("*.csv")}
    report = (run / "accuracy/report.html").read_bytes()
    main(["accuracy", str(run)])
    assert {path: path.read_bytes() for path in before} == before
    assert (run / "accuracy/report.html").read_bytes() == report
    table = read_table(run / "accuracy/counterfactual.h5")
    distinct = table.drop_duplicates(["baseline", "network", "game", "players"])
    tried = 3 * 2  # each network under each baseline is tried on one coalition first
    assert sum(forwards) == len(distinct) + tried


def test_inputs_that_are_answered_rightly(run):
    points = read_table(run / "accuracy/inputs.h5")
    opened = Run.open(run)
    by_class = interactions_by_class(opened, ["after"])["after"]
    answers = torch.stack([one.v[:, -1] for one in by_class]).argmax(0)
    assert [str(one) == "True" for one in points.correct] == (answers == opened.labels).tolist()


@pytest.mark.usefixtures("no_pixels")
def test_a_tracked_run_is_related_at_the_ends_of_its_series(checkpoints, tmp_path, capsys):
    folder = tmp_path / "series"
    for name, (first, last) in {"finetuned": ("before", "after"), "scratch": ("nan", "scratch")}.items():
        for step, network in enumerate((first, last)):
            source = "scratch" if network == "nan" else network
            target = folder / name / f"epoch-{step:03d}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((checkpoints / f"{source}.safetensors").read_bytes())
    main(
        [
            *("track", "--model=small:cnn", "--series"),
            *(f"{name}={folder / name}" for name in ("finetuned", "scratch")),
            f"--pretrained={checkpoints / 'before.safetensors'}",
            f"--data={data.fashion_mnist_path('test')}",
            *("--level=coarse", "--inputs=4", "--players=grid:2x2", "--method=and", "--keep-outputs"),
            f"--out={tmp_path / 'run'}",
        ]
    )
    main(["accuracy", str(tmp_path / "run"), "--series=finetuned", "--scratch=scratch", "--strongest=1"])
    said = capsys.readouterr().out
    assert "Shares are of the change from pretrained to finetuned@1, beside scratch@1 from scratch." in said
    assert "was preserved and" not in said  # that is `compare`'s answer
    table = read_table(tmp_path / "run/accuracy/correlation.h5")
    rows = table[(table.over == "checkpoints") & (table.coefficient == "pearson")].set_index("x")
    r = rows.value["preserved_share"]
    assert f"the preserved share, r = {r:.2f}".replace("-", "−") in said
    assert "Over 4 checkpoints of 2 runs, held-out accuracy correlates with " in said
    over = table.over
    assert set(over) == {"inputs", "checkpoints"}  # two runs are too few to correlate their ends
    run = Run.open(tmp_path / "run")
    assert run.compared("finetuned", "scratch") == {
        "before": "pretrained",
        "after": "finetuned@1",
        "scratch": "scratch@1",
    }
    with pytest.raises(ValueError, match="has no series 'probe'; it has finetuned, scratch"):
        run.compared("probe")


@pytest.mark.usefixtures("no_pixels")
def test_without_the_outputs_of_all_classes(options, refused, tmp_path):
    main(["compare", *options, "--method=and", f"--out={tmp_path / 'run'}"])
    said = refused("accuracy", tmp_path / "run")
    assert "again, with --keep-outputs" in said
    assert "has no tracked runs" in refused("accuracy", tmp_path / "run", "--series=finetuned")
    assert "holds no study" in refused("accuracy", tmp_path)
