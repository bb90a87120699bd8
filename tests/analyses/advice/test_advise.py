"""harsanyi advise: from tracked runs to advice, its accuracies against the networks asked by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from harsanyi import data, models
from harsanyi.analyses import read_table
from harsanyi.analyses.advice.report import plot_advice
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.drawing.palette import figure_of
from tests.legible import faults, tables_in

INPUTS = 4
SERIES = {"free": {}, "stem": {"frozen": ("conv1",)}, "slow": {"learning_rate": 1e-4}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small network of clothes, and three ways to train it on."""
    folder = tmp_path_factory.mktemp("trained")
    train, test = (
        data.load(data.fashion_mnist_path(part)).sample(80, 0, "coarse") for part in ("train", "test")
    )
    samples, held_out = (models.Samples(part.items, part.level("coarse")[0]) for part in (train, test))
    network = models.load("small:cnn", "random", classes=train.classes["coarse"], seed=0)
    for name, more in SERIES.items():
        recipe = models.Recipe(epochs=2, **more)
        models.train(network, samples, recipe, folder=folder / name, held_out=held_out, progress=False)
    return folder


def tracked(trained: Path, out: Path, *series: str, more: tuple[str, ...] = ()) -> Path:
    before = min(trained.glob("**/epoch-001.safetensors"))
    main(
        [
            *(
                "track",
                "--model=small:cnn",
                "--method=and",
                "--quiet",
                "--level=coarse",
                "--players=grid:2x2",
            ),
            *("--series", *(f"{name}={trained / name}" for name in series)),
            f"--pretrained={before}",
            f"--data={data.fashion_mnist_path('test')}",
            *(f"--inputs={INPUTS}", f"--out={out}", *more),
        ]
    )
    return out


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Path:
    folder = tracked(trained, tmp_path_factory.mktemp("advice") / "run", *SERIES)
    main(["advise", str(folder), "--settled", "0.5", "--quiet"])
    return folder


def test_all_three_questions_are_asked(run):
    advice = read_table(run / "advice/advice.h5")
    asked = advice[["question", "among"]].drop_duplicates().values.tolist()
    stops = [["stop", name] for name in SERIES]
    assert asked == [*stops, ["freeze", "free and stem"], ["rate", "free and slow"]]
    candidates = read_table(run / "advice/candidates.h5")
    assert candidates[candidates.step == 2].frozen.tolist() == ["", "conv1", ""]
    assert candidates[candidates.step == 2].rate.tolist() == [1e-3, 1e-3, 1e-4]


def test_accuracies_and_losses_are_those_of_the_networks_asked_by_hand(trained, run):
    everything = data.load(data.fashion_mnist_path("test"))
    explained = set(everything.sample(INPUTS, 0, "coarse").names)
    rows = [row for row, name in enumerate(everything.names) if name not in explained]
    labels = everything.level("coarse")[0]
    choosing, judging = [], []
    for label in sorted(set(labels)):  # in turn, class after class
        for row in (row for row in rows if labels[row] == label):
            (choosing if len(choosing) == len(judging) else judging).append(row)
    candidates = read_table(run / "advice/candidates.h5")
    for name, step in (("free", 0), ("stem", 2)):
        network = models.load("small:cnn", trained / name / f"epoch-00{step}.safetensors")
        (row,) = candidates[(candidates.series == name) & (candidates.step == step)].itertuples()
        halves = [everything.select(np.sort(half)) for half in (choosing, judging)]
        asked = [models.performance(network, half.items, half.level("coarse")[0]) for half in halves]
        # Batches of other inputs round their float32 sums otherwise.
        assert row.loss == pytest.approx(asked[0].loss, rel=1e-5)
        assert (row.value, row.games) == (pytest.approx(asked[1].accuracy, abs=1e-12), len(judging))


def test_similarity_and_shares_are_those_of_track(run):
    along = read_table(run / "trajectories.h5")
    along = along[(along.kind == "both") & (along.order == "all")]
    candidates = read_table(run / "advice/candidates.h5").set_index(["series", "step"])
    for name in SERIES:
        shares = along[(along.series == name) & (along.quantity == "preserved_share")].set_index("step").value
        assert candidates.loc[name].preserved_share.tolist() == pytest.approx(shares.tolist(), rel=1e-12)
        own = along[(along.series == name) & (along.quantity == "similarity_own")].set_index("step").value
        assert candidates.settled[name, 2] == pytest.approx(own[1], rel=1e-12)  # the one before, to the end
        assert np.isnan(candidates.settled[name, 0])


def test_the_report_is_legible_and_says_what_is_usable(run):
    report = (run / "advice/report.html").read_text(encoding="utf-8")
    for said in ("usable advice", "Chosen among", "When to stop", "What to freeze", "At which rate"):
        assert said in report
    advice = tables_in(run / "advice")["advice"]
    assert faults({"Advice": figure_of(plot_advice(advice, 0.01))}) == []


def test_several_runs_are_chosen_among_together(trained, run, tmp_path):
    both = [tracked(trained, tmp_path / name, name) for name in ("free", "stem")]
    main(["advise", *map(str, both), "--settled=0.5", f"--out={tmp_path / 'together'}", "--quiet"])
    together, alone = (read_table(folder / "advice.h5") for folder in (tmp_path / "together", run / "advice"))
    columns = ["chosen", "other", "value", "difference"]
    freezing = [table[table.question == "freeze"][columns].values.tolist() for table in (together, alone)]
    assert freezing[0] == freezing[1]


def refused(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["advise", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_mistakes_are_sentences(trained, run, tmp_path, capsys):
    assert "--settled is 0: expected a similarity above 0" in refused(capsys, str(run), "--settled=0")
    assert "--margin is 1: expected a share of right answers" in refused(capsys, str(run), "--margin=1")
    assert "two runs have a series 'free'" in refused(capsys, str(run), str(run), f"--out={tmp_path / 'x'}")
    assert "expected one run, or several and --out" in refused(capsys, str(run), str(run))
    assert f"{tmp_path} holds no study" in refused(capsys, str(tmp_path))


def test_runs_on_other_inputs_are_refused(trained, run, tmp_path, capsys):
    other = tracked(trained, tmp_path / "other", "slow", more=("--seed=1",))
    assert "cannot be compared: inputs" in refused(capsys, str(run), str(other), f"--out={tmp_path / 'x'}")


def test_a_study_of_one_network_has_no_advice(run, trained, tmp_path, capsys):
    main(
        [
            *("compute", "--model=small:cnn", f"--checkpoint={trained / 'free/epoch-002.safetensors'}"),
            *(f"--data={data.fashion_mnist_path('test')}", "--level=coarse", "--inputs=2"),
            *("--players=grid:2x2", "--method=and", "--quiet", f"--out={tmp_path / 'one'}"),
        ]
    )
    assert "holds no tracked runs: advise takes the folder" in refused(capsys, str(tmp_path / "one"))


def test_a_run_that_leaves_nothing_to_choose_is_refused(trained, tmp_path, capsys):
    short = tracked(trained, tmp_path / "short", "free", more=("--at-most=2",))
    assert "leave nothing to choose: expected a series of three checkpoints" in refused(capsys, str(short))


def test_portions_of_data_are_no_steps(trained, tmp_path, capsys):
    for number, name in enumerate(("free", "slow"), start=1):
        shutil.copytree(trained / name, tmp_path / f"warm/portion-{number}")
    folder = tracked(tmp_path, tmp_path / "run", "warm", more=("--portions",))
    assert "follows portions of data" in refused(capsys, str(folder))


def test_too_few_held_out_inputs_are_refused(trained, tmp_path, capsys):
    few = data.load(data.fashion_mnist_path("test")).sample(20, 0, "coarse")
    folder = tmp_path / "few"
    for row, label in enumerate(few.level("coarse")[0]):
        (folder / few.classes["coarse"][label]).mkdir(parents=True, exist_ok=True)
        few.items[row].save(folder / few.classes["coarse"][label] / f"{row}.png")
    out = tmp_path / "run"
    main(
        [
            *("track", "--model=small:cnn", f"--series=free={trained / 'free'}", f"--data={folder}"),
            *("--inputs=2", "--players=grid:2x2", "--method=and", "--quiet", f"--out={out}"),
        ]
    )
    assert "has 18 inputs beside those that are explained" in refused(capsys, str(out))
