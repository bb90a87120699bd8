"""The demo of granularity on smaller numbers: what it writes and says, a second run, and its option."""

import html
from pathlib import Path

import pandas as pd
import pytest

from harsanyi.analyses.command.cli import main
from harsanyi.analyses.fine_coarse.demo import DemoExtent, demo_figures, granularity_demo
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

SMALL = DemoExtent(
    widths=(2, 4),
    sizes=(20, 40),
    redundancies=(0.0, 0.6),
    seeds=2,
    steps=100,
    loss_steps=100,
    ladder_samples=40,
    ladder_seeds=1,
    pretrain_epochs=1,
    finetune_epochs=1,
    inputs=4,
    players="grid:2x2:4",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def said(out) -> list[str]:
    return granularity_demo(out, SMALL, progress=False)


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_tables_figures_and_report_are_written(out, said):
    delta = pd.read_csv(out / "delta.csv")
    gains = delta[delta.quantity == "delta"]
    assert sorted(set(zip(gains.grouping, gains.width, gains["size"], strict=True))) == [
        (name, width, size) for name in ("apart", "together") for width in (2, 4) for size in (20, 40)
    ]
    assert (delta.games == 2).all()
    assert pd.read_csv(out / "dial.csv").redundancy.tolist() == pytest.approx([0.0, 0.6], abs=1e-12)
    loss = pd.read_csv(out / "loss.csv")
    assert set(loss.objective) == {"fine, β = 1", "coarse, β = 0"}
    assert (loss.games == 2).all()  # nothing stops early
    names = [path.name for path in sorted((out / "figures").iterdir())]
    assert names[:4] == [
        "1-delta-map.png",
        "2-redundancy-dial.png",
        "3-loss-in-parts.png",
        "4-error-with-40-samples.png",
    ]
    assert {name[2:] for name in names[4:]} == {
        "ladders.png",
        *(
            f"{what}-of-{kind}.png"
            for what in ("ladder", "orders")
            for kind in ("classes-of-the-data", "random-classes")
        ),
    }


def test_figures_can_be_read_and_say_what_they_show(out, said):
    assert captions_alone(out / "report.html") == []
    assert faults(demo_figures(tables_in(out))) == []


def test_the_report_says_what_is_printed(out, said):
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert [sentence for sentence in said if sentence not in page] == []
    for start in (
        "digits, together: Δ is",
        "digits, apart: Δ is",
        "Rings: Δ is",
        "Loss, coarse, β = 0: after",
    ):
        assert sum(sentence.startswith(start) for sentence in said) == 1, start
    ladder = pd.read_csv(out / "ladder/summary.csv").query("kind == 'baseline' and quantity == 'error'")
    baseline = f"is {ladder.value.iloc[0]:.1%} for the baseline, which has no pretraining"
    assert any(baseline in one and "lowers the error" in one for one in said)
    for heading in ("Δ on digits", "Rings: coarse answers", "Loss on digits", "Knowledge: shares"):
        assert heading in page


def test_random_classes_have_a_read_out(out, said):
    """As many of them as the target has would be taken for the target's own."""
    for run in ("columns-10", "random-2", "random-10"):
        assert "train_accuracy" in (out / f"ladder/{run}/40/0/comparison/facts.json").read_text()


def test_a_second_run_trains_nothing_and_writes_the_same(out, said):
    before = files(out)
    kept = [path for path in before if path.suffix == ".safetensors" or path.parent.name == "cells"]
    written = {path: path.stat().st_mtime_ns for path in kept}
    assert len(kept) > 20
    assert granularity_demo(out, SMALL, progress=False) == said
    assert {path: path.stat().st_mtime_ns for path in kept} == written
    after = files(out)
    assert after.keys() == before.keys()
    assert [path for path in before if after[path] != before[path]] == []


def test_the_option_needs_no_other(refused, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["granularity", "--help"])
    assert not stop.value.code
    assert "--demo" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["granularity", "--demo", "--help"])
    assert "runs/granularity_demo" in capsys.readouterr().out
    assert "there is no option --model" in refused("granularity", "--demo", "--model", "small:cnn")
    assert "--target" in refused("granularity", "--model=small:cnn")
    (tmp_path / "file").touch()
    assert "is a file: expected a folder" in refused("granularity", f"--out={tmp_path / 'file'}", "--demo")
