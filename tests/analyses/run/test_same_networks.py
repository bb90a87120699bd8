"""A folder goes on only with the networks that its tables are of, their code and preprocessing included."""

from pathlib import Path

import pytest
import torch

from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import STORE_FILE
from harsanyi.interactions import Store
from harsanyi.interactions.store import on_disk

NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.{activation}(), nn.Flatten(), nn.Linear(2704, 4))

def preprocess(images):
    from torchvision.transforms.functional import pil_to_tensor
    return torch.stack([pil_to_tensor(image.convert("L")) / {largest} for image in images])
"""


@pytest.fixture
def own(comparison, tmp_path):
    """The comparison of two checkpoints of a user's file, written with its activation and its scale."""

    def write(activation: str = "ReLU", largest: str = "255"):
        (tmp_path / "net.py").write_text(NET.format(activation=activation, largest=largest))
        return comparison(
            tmp_path / "run",
            model=f"{tmp_path / 'net.py'}:build",
            before=str(tmp_path / "before.pt"),
            after=str(tmp_path / "after.pt"),
            classes=("top", "trouser-dress", "shoe", "bag"),
        )

    for seed, name in enumerate(("before", "after")):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(2704, 4)
        )
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
    return write


def content(folder: Path) -> bytes:
    return (folder / STORE_FILE).read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"activation": "Tanh"}, "tables of before, which does not answer as it did"),
        ({"activation": "ELU"}, "its code or a library has changed"),
        ({"largest": "256"}, "preprocessed of before"),
    ],
)
def test_an_edited_file_is_refused(own, change, told):
    compute(own(), progress=False)
    with pytest.raises(ValueError, match=told):
        compute(own(**change), progress=False)
    compute(own(), progress=False)  # as it was


def test_a_killed_run_does_not_go_on_with_another_network(own, monkeypatch, tmp_path):
    write, written = on_disk.write_rows, []

    def stopped(file, network, rows, tables):
        if network == "after":
            raise KeyboardInterrupt
        written.append(rows)
        write(file, network, rows, tables)

    with monkeypatch.context() as patch:
        patch.setattr(on_disk, "write_rows", stopped)
        with pytest.raises(KeyboardInterrupt):
            compute(own(), progress=False)
    assert written
    before = content(tmp_path / "run")
    with pytest.raises(ValueError, match="tables of before, which does not answer as it did"):
        compute(own(activation="Sigmoid"), progress=False)
    assert content(tmp_path / "run") == before
    compute(own(), progress=False)
    assert Store(tmp_path / "run" / STORE_FILE).done("after").all()


def test_the_same_code_written_otherwise_goes_on(own, tmp_path):
    compute(own(), progress=False)
    before = content(tmp_path / "run")
    file = tmp_path / "net.py"
    study = own()
    file.write_text(f"# a comment\n{file.read_text()}\n")
    compute(study, progress=False)
    assert content(tmp_path / "run") == before


def test_an_older_store_that_knows_neither_is_still_opened(own, tmp_path):
    import json

    import h5py

    compute(own(), progress=False)
    with h5py.File(tmp_path / "run" / STORE_FILE, "r+") as file:
        settings = json.loads(file.attrs["settings"])
        del settings["preprocessed"], file["arrays/answers"]
        file.attrs["settings"] = json.dumps(settings)
    compute(own(), progress=False)
