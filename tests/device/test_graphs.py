"""Recorded work gives the bits of the same work launched one by one, or says that it does not serve."""

import warnings

import pytest
import torch

from harsanyi.interactions import evaluate, evaluate_together
from harsanyi.interactions.machine import graphs
from harsanyi.interactions.machine.graphs import MOST_RECORDINGS, Recordings, launched_one_by_one
from harsanyi.interactions.plans.choice import choose
from tests.device import games, second

on_second = pytest.mark.skipif(
    torch.accelerator.is_available() or not second.is_possible(),
    reason="needs a torch that takes a device in Python, and no other accelerator",
)
pytestmark = pytest.mark.filterwarnings("error:operations are launched one by one")


@pytest.fixture(autouse=True)
def unrecorded():
    """No recording of another test."""
    graphs.forget_recordings()


def numbers(device, count, seed, offset=0):
    made = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return (made + offset).to(device)


def product(given):
    """Reads both inputs, overwrites what it has made, and hands one input on."""
    sums = (given["x"] * given["y"]).add_(1).relu_()
    return {"sums": sums, "first": sums[:, :1].expand(-1, 2), "y": given["y"]}


@torch.inference_mode()
def test_each_call_has_its_own_numbers(device):
    """Ten batches of two lengths; an earlier answer stays when later ones have come."""
    recordings = Recordings()
    given = [
        {"x": numbers(device, count, seed), "y": numbers(device, count, seed, 9)}
        for seed, count in enumerate((5, 5, 2, 5, 2, 2, 5, 5, 2, 5))
    ]
    with second.counted() as counted:
        found = [recordings.run("product", product, each) for each in given]
    for each, answer in zip(given, found, strict=True):
        for name, value in product(each).items():
            assert torch.equal(answer[name], value)
            assert answer[name].stride() == value.stride()
    if device == second.DEVICE:
        assert (counted.recorded, counted.repeated) == (2, 6)


@torch.inference_mode()
def test_inputs_lie_in_memory_as_they_did(device):
    """A kernel may be chosen by strides: of an axis that is repeated, and of places between others."""
    strides, recordings = [], Recordings()

    def noted(given):
        strides.append(given["x"].stride())
        return {"x": given["x"] + 1}

    for seed in range(4):
        x = numbers(device, 4, seed)[:, ::2].unsqueeze(0).expand(5, -1, -1)
        assert torch.equal(recordings.run("noted", noted, {"x": x})["x"], x + 1)
    assert set(strides) == {(0, 3, 2)}


@torch.inference_mode()
def test_names_tell_functions_apart(device):
    recordings, x = Recordings(), {"x": numbers(device, 2, 0)}
    for _ in range(4):
        assert torch.equal(recordings.run(1, lambda x: {"y": x["x"] + 1}, x)["y"], x["x"] + 1)
        assert torch.equal(recordings.run(2, lambda x: {"y": x["x"] + 2}, x)["y"], x["x"] + 2)


@torch.inference_mode()
def test_a_function_that_reads_something_else_is_found_out(device):
    """It is not among the inputs, so a recording reads what was there when it was made."""
    recordings, x = Recordings(), numbers(device, 2, 0)
    kept = []
    for seed in range(5):
        kept.append(other := numbers(device, 2, seed + 1))

        def work(given, other=other):
            return {"y": given["x"] + other}

        if seed == 2:
            with pytest.warns(RuntimeWarning, match="for another batch, recorded work gives other numbers"):
                found = recordings.run("sum", work, {"x": x})
        else:
            found = recordings.run("sum", work, {"x": x})
        assert torch.equal(found["y"], x + other)


@torch.inference_mode()
def test_work_that_cannot_be_recorded_says_so(device):
    recordings, x = Recordings(), {"x": numbers(device, 4, 0)}

    def waits(given):
        return {"y": given["x"][given["x"] > 0].sum()}

    expected = waits(x)["y"]
    assert torch.equal(recordings.run("waits", waits, x)["y"], expected)
    with pytest.warns(RuntimeWarning, match="one by one, which is slower.*could not record the work"):
        assert torch.equal(recordings.run("waits", waits, x)["y"], expected)
    for _ in range(3):  # said once
        assert torch.equal(recordings.run("waits", waits, x)["y"], expected)


@torch.inference_mode()
def test_what_is_no_tensor_is_not_recorded(device):
    recordings, x = Recordings(), numbers(device, 4, 0)
    for _ in range(4):
        found = recordings.run("parts", lambda given: {"parts": given["x"].split(2)}, {"x": x})
        assert torch.equal(torch.cat(found["parts"]), x)
        assert recordings.run("length", lambda given: {"y": given["x"][0]}, {"x": [x]})["y"] is x


@on_second
@torch.inference_mode()
def test_only_so_many_shapes_are_recorded(device):
    recordings = Recordings()
    with second.counted() as counted:
        for count in 2 * list(range(1, 2 * MOST_RECORDINGS)):
            x = {"x": numbers(device, count, 0)}
            found = recordings.run("twice", lambda given: {"y": 2 * given["x"]}, x)["y"]
            assert torch.equal(found, 2 * x["x"])
    assert counted.recorded == MOST_RECORDINGS


@on_second
def test_gradients_and_casts_are_not_recorded(device):
    recordings, x = Recordings(), numbers(device, 2, 0).requires_grad_()
    with second.counted() as counted:
        for _ in range(4):
            recordings.run("sum", lambda given: {"y": given["x"].sum()}, {"x": x})["y"].backward()
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            for _ in range(4):
                recordings.run("product", lambda given: {"y": given["x"] @ given["x"].T}, {"x": x.detach()})
    assert x.grad.cpu().unique().tolist() == [4]
    assert counted.recorded == 0


@on_second
@torch.inference_mode()
def test_no_memory_to_record(device):
    """The copy of the inputs does not fit: the function runs as it is."""
    recordings, x = Recordings(), numbers(device, 8, 0)
    work = lambda given: {"y": given["x"].sum(1)}  # noqa: E731
    recordings.run("sums", work, {"x": x})
    with second.memory_for(x.nbytes - 1), pytest.warns(RuntimeWarning, match="has no memory to record"):
        assert torch.equal(recordings.run("sums", work, {"x": x})["y"], x.sum(1))
    with second.counted() as counted:
        for _ in range(4):
            assert torch.equal(recordings.run("sums", work, {"x": x[:4]})["y"], x[:4].sum(1))
    assert counted.recorded == 1  # smaller ones have room


@on_second
@torch.inference_mode()
def test_work_that_runs_out_of_memory_raises(device):
    x = numbers(device, 8, 0)
    with second.memory_for(x.nbytes - 1), pytest.raises(torch.OutOfMemoryError):
        Recordings().run("twice", lambda given: {"y": 2 * given["x"]}, {"x": x})


def tables_of(game, plan, **options):
    """The table with recordings and without, and what was counted of the first."""
    choose(game, plan)
    with second.counted() as counted:
        found = evaluate(game, plan=plan, progress=False, **options)
    with launched_one_by_one():
        return found, evaluate(game, plan=plan, progress=False, **options), counted


@pytest.mark.parametrize(
    ("make", "plan"),
    [
        (games.images_game, "dense"),
        (games.images_game, "tables"),
        (games.layer_game, "dense"),
        pytest.param(games.words_replaced, "dense", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("size", [16, 7])
def test_tables_are_the_same_bits(device, planned, make, plan, size):
    """In batches of which the last is shorter, too."""
    found, expected, counted = tables_of(make(device), plan, batch_size=size)
    assert torch.equal(found, expected)
    if device == second.DEVICE:
        assert 1 <= counted.recorded <= counted.repeated


@on_second
def test_a_recorded_network_is_few_launches(device, planned):
    game = games.images_game(device)
    choose(game, "dense")
    evaluate(game, plan="dense", batch_size=16, progress=False)
    launches = []
    for context in (warnings.catch_warnings(), launched_one_by_one()):
        with context, second.counted() as counted:
            evaluate(game, plan="dense", batch_size=16, progress=False)
        launches.append(counted.launches)
    steps = len(choose(game, "dense").plan.traced.steps)
    # Of 12 batches: the repetition and the copies of its input and output, in place of each step.
    assert launches[1] - launches[0] >= 12 * (steps - 8)


def heads(device, count=3):
    """Games of networks that are the same but for the last layer, and of one that differs from the start."""
    made = [games.convolutional() for _ in range(count)]
    with torch.no_grad():
        for number, network in enumerate(made[1:]):
            (network.head if number else network.first[0]).weight.mul_(1.5)
    return [games.images_game(device, network) for network in made]


@pytest.mark.parametrize("plan", ["dense", "tables"])
def test_equal_beginnings_are_recorded_too(device, planned, plan):
    options = {"plan": plan, "progress": False, "batch_size": 16}
    with second.counted() as counted:
        together = evaluate_together(heads(device), **options)
    for table, game in zip(together, heads(device), strict=True):
        assert torch.equal(table, evaluate(game, **options))
        with launched_one_by_one():
            assert torch.equal(table, evaluate(game, **options))
    assert not torch.equal(*together[::2])
    if device == second.DEVICE:
        assert counted.repeated > 0


@on_second
def test_batches_are_halved_and_recorded_again(device, planned):
    game = games.images_game(device)
    dense = choose(game, "dense").plan
    expected = evaluate(game, plan="dense", progress=False, batch_size=64)
    with second.memory_for(20 * dense.traced.largest()), second.counted() as counted:
        found = evaluate(game, plan="dense", progress=False, batch_size=64)
    # 64, which is recorded and repeated no more, then 32, then 16 in four batches of each game.
    assert (counted.recorded, counted.repeated) == (1, 10)
    assert torch.equal(found, expected)


@on_second
def test_a_device_that_fails_to_record(device, planned, monkeypatch):
    """As CUDA fails: the end of the recording raises, too, and its stream stays."""

    def fails(graph):
        second._state["graph"] = None
        raise RuntimeError("capture was invalidated")

    game, here = games.images_game(device), second.Stream.current
    expected = evaluate(game, plan="dense", progress=False, batch_size=16)
    graphs.forget_recordings()
    monkeypatch.setattr(second.Graph, "capture_end", fails)
    with pytest.warns(RuntimeWarning, match="could not record the work .capture was invalidated"):
        assert torch.equal(evaluate(game, plan="dense", progress=False, batch_size=16), expected)
    assert second.Stream.current is here
