"""A study on a Ray cluster: the bytes of one process, also where workers and nodes are lost on the way."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import psutil
import pytest
import torch
from safetensors.torch import save_file

from harsanyi.analyses import Compare
from harsanyi.analyses.run.blocks import Block
from harsanyi.analyses.run.cluster import FAILED_FILE, Job, cluster_of
from harsanyi.analyses.run.compute import compute, fill_tables
from harsanyi.analyses.run.worker import files_of, unseen
from harsanyi.analyses.study.prepare import prepare

# A network that takes its time on a block, so that something can happen to it meanwhile, and that fails in
# workers alone on the input whose sum of pixels is in a file.
NET = """
import os, time
from pathlib import Path
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 4)

    def forward(self, pixels):
        if "RAY_RAYLET_PID" in os.environ and len(pixels) == 16:
            time.sleep(0.2)
            flag = Path(__file__).with_name("flag")
            if flag.exists() and (pixels.sum((1, 2, 3)) - float(flag.read_text())).abs().min() < 1e-3:
                raise RuntimeError("not this input")
        return self.linear(pixels.flatten(1))

def build():
    return Net()

preprocess = {"size": 28, "channels": 1}
"""


@pytest.fixture
def study(comparison, tmp_path) -> Compare:
    """Six games of two networks, in blocks of a game."""
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    own: dict[str, Any] = {"model": f"{tmp_path / 'net.py'}:build"}
    for seed, name in enumerate(("before", "after")):
        drawn = torch.Generator().manual_seed(seed)
        weights = {
            "linear.weight": torch.randn(4, 784, generator=drawn),
            "linear.bias": torch.randn(4, generator=drawn),
        }
        own[name] = str(tmp_path / f"{name}.safetensors")
        save_file(weights, own[name])
    return comparison(tmp_path / "one", **own, inputs=6, batch_size=16, score="logit", plan="dense")


@pytest.mark.parametrize("on", ["rays", "http://a:1", ""])
def test_a_place_that_is_none(on, comparison, tmp_path):
    with pytest.raises(ValueError, match="expected ray or ray://HOST:PORT"):
        comparison(tmp_path / "run", on=on).require_sense()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"gpus_per_task": 1.0}, "--gpus-per-task is for --on ray"),
        ({"on": "ray", "memory_per_task": 0.0}, "--memory-per-task is 0.0: expected more than 0"),
        ({"on": "ray", "cpus_per_task": 0}, "--cpus-per-task is 0: expected 1 or more"),
    ],
)
def test_senseless_workers(more, message, comparison, tmp_path):
    with pytest.raises(ValueError, match=message):
        comparison(tmp_path / "run", **more).require_sense()


def test_without_ray_it_says_how_to_get_it(comparison, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'harsanyi\[ray\]'"),
        cluster_of(comparison(tmp_path / "run", on="ray")),
    ):
        pass
    with cluster_of(comparison(tmp_path / "run")) as cluster:
        assert cluster is None


def test_the_files_of_a_study(study, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n", encoding="utf-8")
    files = files_of(replace(study, classes=(f"after={tmp_path / 'names.txt'}",)))
    assert {str(tmp_path / "net.py"), str(tmp_path / "names.txt"), str(study.data)} <= set(files)
    assert "random" not in files
    assert unseen(str(tmp_path), ["net.py", str(study.data), "nothing.pth"]) == ["nothing.pth"]
    assert unseen(str(tmp_path / "gone"), []) == [str(tmp_path / "gone")]


def test_a_block_is_told_in_words():
    assert str(Job(0, Block(("after",), range(3, 4))).block) == "after on inputs 3 to 3"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes of one core, that this process is connected to."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    cluster.add_node(**small)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="warning")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def finished(folder: Path) -> int:
    """Games that are done, of both networks."""
    try:
        with h5py.File(folder / "values.h5", locking=False) as file:
            return sum(int(flags[()].sum()) for flags in file["done"].values())
    except OSError:
        return 0


def after_a_game(folder: Path, do: Callable[[], None]) -> threading.Thread:
    """A thread that does something when the first game in a folder is done."""

    def wait() -> None:
        while not finished(folder):
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def kill_a_worker() -> None:
    """Kill the process of one worker of a study, and no other."""
    ours = psutil.Process().children(recursive=True)
    next(each for each in ours if each.cmdline()[:1] == ["ray::Worker.tables"]).kill()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Ray are its own
def test_blocks_on_two_nodes_are_the_bytes_of_one_process(study, nodes, tmp_path):
    compute(study, progress=False)
    expected = (study.out / "values.h5").read_bytes()

    there = replace(study, on="ray", out=tmp_path / "plain")
    fill_tables(there, progress=False)
    assert (there.out / "values.h5").read_bytes() == expected

    there = replace(there, out=tmp_path / "worker")
    thread = after_a_game(there.out, kill_a_worker)
    fill_tables(there, progress=False)
    thread.join()
    assert (there.out / "values.h5").read_bytes() == expected
    assert not (there.out / FAILED_FILE).exists()

    # A block that fails everywhere is recorded, while the others go on; later it is tried again.
    there = replace(there, out=tmp_path / "failing")
    pictures = prepare(study).layout.tensors["after"]
    (tmp_path / "flag").write_text(str(float(pictures[3].sum())), encoding="utf-8")
    with pytest.raises(ValueError, match="before on inputs 3 to 3 failed 3 times .*not this input"):
        fill_tables(there, progress=False, record=False)
    told = json.loads((there.out / FAILED_FILE).read_text(encoding="utf-8"))
    assert [(each["networks"], each["games"], len(each["reasons"])) for each in told] == [
        (["before"], [3, 3], 3),
        (["after"], [3, 3], 3),
    ]
    assert finished(there.out) == 2 * 5
    (tmp_path / "flag").unlink()
    fill_tables(there, progress=False)
    assert (there.out / "values.h5").read_bytes() == expected
    assert not (there.out / FAILED_FILE).exists()

    there = replace(there, out=tmp_path / "node")
    lost = nodes.worker_nodes.copy().pop()
    thread = after_a_game(there.out, lambda: nodes.remove_node(lost, allow_graceful=False))
    fill_tables(there, progress=False)
    thread.join()
    assert (there.out / "values.h5").read_bytes() == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_without_room_or_without_the_files(study, nodes, tmp_path, monkeypatch):
    with (
        pytest.raises(ValueError, match="no node of the cluster has room for a worker of 1 CPU, 1 GPU; they"),
        cluster_of(replace(study, on="ray", gpus_per_task=1.0)),
    ):
        pass
    monkeypatch.setattr("harsanyi.analyses.run.cluster.files_of", lambda study: ["/nowhere/after.pth"])
    with (
        pytest.raises(ValueError, match="node .* does not see /nowhere/after.pth: put what a study names on"),
        cluster_of(replace(study, on="ray")),
    ):
        pass
