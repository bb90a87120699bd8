"""Networks that begin alike in one study: the same file as without sharing, and after a stop half way."""

from contextlib import contextmanager

import pytest
import torch

from harsanyi import models
from harsanyi.analyses.run import compute as compute_module
from harsanyi.analyses.run.compute import compute
from harsanyi.interactions.store import on_disk
from tests.analyses.conftest import COARSE
from tests.planning import make_planning_free


@pytest.fixture
def alike(checkpoints, tmp_path):
    """Beside `before`, one with another head."""
    network = models.load("small:cnn", checkpoints / "before.safetensors")
    with torch.no_grad():
        network.model.get_submodule("linear").weight.mul_(1.5)
    models.save_checkpoint(tmp_path / "after.safetensors", network.model, classes=COARSE)
    return {"after": str(tmp_path / "after.safetensors"), "scratch": str(checkpoints / "scratch.safetensors")}


@pytest.fixture
def without_sharing(monkeypatch):
    @contextmanager
    def apart(*arguments, **options):
        yield []

    def undo():
        with monkeypatch.context() as patch:
            patch.setattr(compute_module, "together", apart)
            yield

    return contextmanager(undo)


@pytest.mark.parametrize("outputs", [False, True])
def test_sharing_changes_no_byte_and_a_run_goes_on(
    comparison, alike, without_sharing, tmp_path, monkeypatch, outputs
):
    make_planning_free(monkeypatch)
    more = {"plan": "dense", "batch_size": 16, "keep_outputs": outputs, **alike}
    with without_sharing():
        compute(comparison(tmp_path / "apart", **more), progress=False)
    order, write = [], on_disk.write_rows

    def noted(file, network, rows, tables):
        if len(order) == 3:
            raise KeyboardInterrupt
        order.append((network, *rows))
        write(file, network, rows, tables)

    with monkeypatch.context() as patch:
        patch.setattr(on_disk, "write_rows", noted)
        with pytest.raises(KeyboardInterrupt):
            compute(comparison(tmp_path / "shared", **more), progress=False)
    # The two that begin alike take turns, block of games by block of games.
    assert order[0][0] == "before"
    assert order[1] == ("after", *order[0][1:])
    compute(comparison(tmp_path / "shared", **more), progress=False)
    assert (tmp_path / "shared/values.h5").read_bytes() == (tmp_path / "apart/values.h5").read_bytes()
