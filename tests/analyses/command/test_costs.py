"""harsanyi plan, and compute by a named plan."""

from pathlib import Path

import pytest
import torch

from harsanyi import data
from harsanyi.analyses import Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.report.words import duration
from harsanyi.analyses.run import compute as compute_module
from harsanyi.analyses.run.costs import seconds_each
from harsanyi.analyses.run.notes import network_facts
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Compute


@pytest.fixture
def options(checkpoints, tmp_path: Path) -> list[str]:
    return [
        "--model=small:cnn",
        f"--checkpoint={checkpoints / 'after.safetensors'}",
        f"--data={data.fashion_mnist_path('test')}",
        "--level=coarse",
        "--inputs=2",
        "--players=grid:2x2",
        f"--out={tmp_path / 'run'}",
    ]


def test_the_plans_with_their_costs(options, capsys):
    main(["plan", *options])
    *read, first, dense, tables, prefix, drop, taken, each = capsys.readouterr().out.splitlines()
    assert read[0].startswith("network: 4 outputs, classes by name; right for ")
    assert first == "2 inputs × 2^4 masked versions = 32 forwards, by plan dense: about 1 s"
    assert dense.split() == ["dense", "100%", "1", "s", "every", "masked", "input", "by", "itself"]
    assert tables.split()[0] == "tables"
    assert tables.split()[1].endswith("%")
    assert prefix.split(maxsplit=2)[1:] == ["impossible", "the inputs are floats, not token ids"]
    assert drop.split()[1] == "impossible"
    assert taken == "taken: dense, all forwards together are few"
    assert each.startswith("A forward of network takes ")
    main(["plan", *options, "--plan=tables"])
    said = capsys.readouterr().out
    assert "by plan tables: about" in said
    assert "taken" not in said  # its row says why


def test_nothing_is_written(options, tmp_path: Path):
    main(["plan", *options])
    assert not (tmp_path / "run").exists()


def test_compute_by_tables(options, tmp_path: Path):
    main(["compute", *options])
    dense = Run.open(tmp_path / "run")
    main(["compute", *options[:-1], f"--out={tmp_path / 'tables'}", "--plan=tables"])
    tables = Run.open(tmp_path / "tables")
    v, w = (run.store.v("network") for run in (dense, tables))
    # Logits in float32, of size 10: a sum in another order differs in the seventh digit.
    assert torch.allclose(v, w, rtol=0, atol=2e-5)
    assert not torch.equal(v, v.roll(1, 0))
    assert not dense.facts.plans
    assert network_facts(tables)["plan for network"].startswith("tables, of ")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--plan=prefix", "plan 'prefix' does not suit this game: the inputs are floats"),
        ("--precision=tf32", "tf32 needs a GPU"),
        ("--memory=0", "--memory is 0.0: expected GiB, more than 0"),
    ],
)
def test_plans_that_cannot_be(option, said, options, refused):
    assert said in refused("compute", *options, option)


def test_a_lower_precision_is_measured_and_said(options, tmp_path: Path, capsys):
    main(["compute", *options, "--precision=bf16"])
    assert "network in bf16: interactions differ from those in float64 by up to " in capsys.readouterr().out
    run = Run.open(tmp_path / "run")
    assert network_facts(run)["precision of network"].endswith("(2 games)")
    assert run.store.settings["precision"] == "bf16"


def test_lengths_of_time():
    assert [duration(seconds) for seconds in (0.001, 59, 3000, 90_000)] == ["1 s", "59 s", "50 min", "25.0 h"]


def test_the_plan_of_a_comparison_from_its_own_study_file(comparison, tmp_path: Path, capsys):
    comparison(tmp_path / "run", choose="influence", players="grid:4x4:3").write(tmp_path / "study.toml")
    main(["plan", str(tmp_path / "study.toml")])
    said = capsys.readouterr().out
    assert "3 inputs × 2^3 masked versions × 2 networks = 48 forwards, by plan dense: about 1 s" in said
    assert not (tmp_path / "run").exists()


def test_a_plan_needs_no_folder(options, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["plan", *options[:-1]])
    assert "= 32 forwards" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_long_work_is_announced_with_its_forwards_plan_and_time(options, monkeypatch, capsys):
    monkeypatch.setattr(compute_module, "are_long", lambda game, forwards: True)
    monkeypatch.setattr(compute_module, "seconds_each", lambda game, batches: 10.0)
    main(["compute", *options])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("network: ")
    assert "2 inputs × 2^4 masked versions = 32 forwards, by plan dense: about 5 min" in said


def test_the_time_of_a_forward_is_that_of_a_forward(options):
    study, _ = parse_options("compute", Compute, options)
    each = seconds_each(prepare(study).game("network"))
    assert 0 < each < 1  # a small network takes milliseconds, whatever the machine
