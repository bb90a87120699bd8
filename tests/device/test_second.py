"""The second device itself: it computes what the CPU computes, and refuses and counts what a GPU does."""

import pytest
import torch
from torch import nn

from tests.device import second
from tests.device.games import convolutional

pytestmark = pytest.mark.skipif(
    torch.accelerator.is_available() or not second.is_possible(),
    reason="needs a torch that takes a device in Python, and no other accelerator",
)


@pytest.fixture
def device():
    with second.present() as device:
        yield device


def test_it_is_the_accelerator_while_it_is_there(device):
    assert torch.accelerator.is_available()
    assert torch.empty(0, device=torch.accelerator.current_accelerator()).device == device
    assert str(device) == f"{second.NAME}:0"


def test_it_is_gone_afterwards():
    with second.present():
        pass
    assert not torch.accelerator.is_available()


def test_tensors_of_two_devices_do_not_mix(device):
    numbers = torch.arange(6.0).view(2, 3)
    there = numbers.to(device)
    for operation in (
        lambda: there + numbers,
        lambda: there @ numbers.T,
        lambda: torch.cat([there, numbers]),
        lambda: there.index_select(0, torch.tensor([1])),
        lambda: numbers[torch.tensor([0], device=device)],
    ):
        with pytest.raises(RuntimeError, match="same device"):
            operation()
    # Single numbers may come from the host.
    assert (there * torch.tensor(2.0)).cpu().equal(numbers * 2)


def test_views_share_memory_and_keep_their_strides(device):
    image = torch.randn(2, 3, 4, 5, device=device).contiguous(memory_format=torch.channels_last)
    assert image.stride() == (60, 1, 15, 3)
    window = image[:, 1:, ::2].transpose(2, 3)
    window.zero_()
    assert image[:, 1:, ::2].abs().sum().item() == 0
    assert image[:, 0].abs().sum().item() > 0
    assert window.untyped_storage().data_ptr() == image.untyped_storage().data_ptr()


def test_it_draws_from_its_own_generator(device):
    torch.manual_seed(3)
    on_host = torch.rand(4)
    torch.manual_seed(3)
    torch.rand(4, device=device)
    assert torch.rand(4).equal(on_host)


def test_training_steps_are_those_of_the_cpu(device):
    batch = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = []
    for place in (torch.device("cpu"), device):
        network = convolutional().train().to(place)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        for _ in range(3):
            loss = nn.functional.cross_entropy(network(batch.to(place)), torch.zeros(5, device=place).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        weights.append(torch.cat([weight.detach().cpu().flatten() for weight in network.parameters()]))
    # The same kernels on the same memory.
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-6)


def test_waits_and_copies_are_counted(device):
    numbers = torch.ones(4)
    with second.counted() as counted:
        there = numbers.to(device)
    assert (counted.waits, counted.copies) == (0, 1)
    with second.counted() as counted:
        there = (there + 1).relu()[:2]
    assert (counted.waits, counted.copies, counted.launches > 0) == (0, 0, True)
    for wait in (
        lambda: there.sum().item(),
        lambda: there.cpu(),
        lambda: bool((there > 0).all()),
        lambda: there[there > 0],
        lambda: there.nonzero(),
        lambda: there.unique(),
    ):
        with second.counted() as counted:
            wait()
        assert counted.waits >= 1
    with second.counted() as counted:
        there[torch.tensor([0, 1])]
    assert (counted.waits, counted.copies > 0) == (0, True)


def recorded(device, work):
    """Work as CUDA's documentation says to record it."""
    module, graph = torch.get_device_module(device), second.Graph()
    aside, here = second.Stream(), module.current_stream()
    aside.wait_stream(here)
    with module.stream(aside), module.graph(graph, stream=aside):
        result = work()
    here.wait_stream(aside)
    return graph, result


def test_what_is_recorded_is_computed_when_it_is_repeated(device):
    x, total = torch.ones(3, device=device), torch.zeros(3, device=device)
    graph, doubled = recorded(device, lambda: total.add_(x[1:].sum()) + 2 * x)
    assert doubled.cpu().isnan().all()
    assert total.cpu().tolist() == [0, 0, 0]
    with second.counted() as counted:
        graph.replay()
    assert (counted.launches, counted.repeated) == (1, 1)
    assert doubled.cpu().tolist() == [4, 4, 4]
    x.copy_(torch.tensor([1.0, 2.0, 3.0]))
    graph.replay()
    assert (total.cpu().tolist(), doubled.cpu().tolist()) == ([7, 7, 7], [9, 11, 13])


def test_recorded_work_does_not_keep_what_it_reads(device):
    x = torch.ones(3, device=device)
    graph, doubled = recorded(device, lambda: 2 * x)
    del x
    with pytest.raises(RuntimeError, match="reads memory that was freed"):
        graph.replay()
    assert doubled.shape == (3,)


def test_what_waits_or_copies_cannot_be_recorded(device):
    x = torch.ones(3, device=device)
    for work in (lambda: x.sum().item(), lambda: x[x > 0], lambda: x + torch.ones(3).to(device)):
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            recorded(device, work)


def test_a_stream_must_wait_for_another(device):
    module, aside, x = torch.get_device_module(device), second.Stream(), torch.ones(3, device=device)
    with module.stream(aside), pytest.raises(RuntimeError, match="may not have written yet"):
        x + 1
    aside.wait_stream(module.current_stream())
    with module.stream(aside):
        y = x + 1
    with pytest.raises(RuntimeError, match="may not have written yet"):
        y + 1
    module.current_stream().wait_stream(aside)
    assert (y + 1).cpu().tolist() == [3, 3, 3]


def test_its_memory_runs_out(device):
    with second.memory_for(16):
        torch.ones(4, device=device)
        with pytest.raises(torch.OutOfMemoryError):
            torch.ones(5, device=device)
