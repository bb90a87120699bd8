"""A granularity study in two processes, as `accelerate launch` starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from harsanyi import data, models
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.granularity.tables import SUMMARY
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.run.run import STUDY_FILE
from tests.places import ROOT

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]


def options(folder: Path, out: str) -> list[str]:
    """60 training and 80 test images, one level and seed, a comparison of four inputs of 16 coalitions."""
    for split, step in (("train", 50), ("test", 10)):
        table = pq.read_table(data.fashion_mnist_path(split))
        pq.write_table(table.take(list(range(0, len(table), step))), folder / f"{split}.parquet")
    files = [
        "--data",
        folder / "train.parquet",
        "--test-data",
        folder / "test.parquet",
        "--out",
        folder / out,
    ]
    rest = (
        "--model small:cnn --target coarse --columns fine --seeds 0 --pretrain-epochs 1 --finetune-epochs 1"
    )
    rest += " --players grid:4x4:4 --method and-or --inputs 4 --batch-size 24 --device cpu"
    return ["granularity", *map(str, files), *rest.split()]


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path: Path):
    script = Path(sys.executable).with_name("harsanyi")
    with socket.socket() as free:  # accelerate's own choice may be taken by tests that run beside
        free.bind(("127.0.0.1", 0))
        port = ("--main_process_port", str(free.getsockname()[1]))
    done = subprocess.run(
        [sys.executable, *LAUNCH, *port, str(script), *options(tmp_path, "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report: ") == 1  # the main process alone goes on to the report
    main(options(tmp_path, "one"))
    files = [
        {str(path.relative_to(tmp_path / out)) for path in (tmp_path / out).rglob("*") if path.is_file()}
        for out in ("one", "two")
    ]
    assert files[0] == files[1]
    assert {"report.html", STUDY_FILE, f"{SUMMARY}.csv"} <= files[0]
    for name in sorted(one for one in files[0] if one.endswith(".safetensors")):
        ours, theirs = (models.read_checkpoint(tmp_path / out / name).state for out in ("one", "two"))
        for weight, tensor in ours.items():
            # Sums in another order in float32; AdamW makes as much as its rate of the smallest gradients.
            torch.testing.assert_close(theirs[weight], tensor, rtol=0, atol=1e-3)
    one, two = (read_table(tmp_path / out / f"{SUMMARY}.h5") for out in ("one", "two"))
    assert one[["kind", "classes", "quantity"]].equals(two[["kind", "classes", "quantity"]])


def test_other_commands_are_for_one_process(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        main(["demo", "--out", str(tmp_path / "demo")])
    assert "only harsanyi granularity trains in several" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
