"""The accelerator of the machine, as the project asks for it."""

import pytest
import torch

from harsanyi import accelerator
from harsanyi.analyses.study.games import device_named
from harsanyi.interactions.machine.batching import worker_count
from tests.device import games, second

pytestmark = pytest.mark.skipif(
    torch.accelerator.is_available() or not second.is_possible(),
    reason="needs a torch that takes a device in Python, and no other accelerator",
)


@pytest.fixture
def without_float64():
    accelerator.computes_float64.cache_clear()
    with second.present(float64=False) as device:
        yield device
    accelerator.computes_float64.cache_clear()


def test_auto_is_the_accelerator_while_there_is_one():
    assert device_named("auto") == accelerator.CPU
    with second.present() as device:
        assert device_named("auto") == device_named(second.NAME) == device


def test_a_device_without_float64_is_refused_and_not_taken(without_float64):
    assert accelerator.best_device() == accelerator.CPU
    for refused in (lambda: device_named(second.NAME), lambda: games.images_game(without_float64)):
        with pytest.raises(ValueError, match="seconddevice:0 has no float64.*take the CPU"):
            refused()


def test_memory_and_multiprocessors():
    with second.present() as device:
        assert 0 < accelerator.free_bytes(device) <= accelerator.total_bytes(device)
        assert accelerator.multiprocessors(device) is None
    assert 0 < accelerator.free_bytes(accelerator.CPU) <= accelerator.total_bytes(accelerator.CPU)


def test_random_states_of_a_device_are_its_own():
    with second.present() as device:
        accelerator.seed(5, device)
        drawn = torch.rand(3, device=device).cpu()
        with accelerator.random_states_kept(device):
            accelerator.seed(5, device)
            assert torch.rand(3, device=device).cpu().equal(drawn)
        assert not torch.rand(3, device=device).cpu().equal(drawn)
        state = accelerator.random_state(device)
        drawn = torch.rand(3, device=device).cpu()
        accelerator.set_random_state(state, device)
        assert torch.rand(3, device=device).cpu().equal(drawn)
    assert accelerator.random_state(accelerator.CPU) is None


@pytest.mark.parametrize(
    ("kind", "hip", "expected"),
    [
        ("cpu", None, {"float32": True, "halves": False}),
        ("xpu", None, {"float32": True, "halves": True}),
        ("cuda", None, {"float32": False, "halves": True}),
        ("cuda", "6.4", {"float32": False, "halves": False}),
        ("privateuseone", None, {"float32": False, "halves": False}),
    ],
)
def test_memory_layouts_of_images(monkeypatch, kind, hip, expected):
    monkeypatch.setattr(torch.version, "hip", hip)
    device = torch.device(kind, 0)
    found = {
        "float32": accelerator.likes_channels_last(device, halves=False),
        "halves": accelerator.likes_channels_last(device, halves=True),
    }
    assert found == expected


def test_an_accelerator_has_one_worker(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    with second.present() as device:
        assert (worker_count(accelerator.CPU), worker_count(device)) == (4, 1)


def test_recordings_share_memory_while_one_is_there():
    assert not accelerator.records(accelerator.CPU)
    with second.present() as device:
        assert accelerator.records(device)
        x = torch.ones(2, device=device)
        made, recording = accelerator.record(lambda: 2 * x, device)
        x.add_(1)
        assert (made.cpu().tolist(), recording.repeat().cpu().tolist()) == ([2, 2], [4, 4])
        pools = [recording.graph.pool(), accelerator.record(lambda: x + 1, device)[1].graph.pool()]
        del recording
        pools.append(accelerator.record(lambda: x + 1, device)[1].graph.pool())
    assert pools[0] is pools[1] is not pools[2]
