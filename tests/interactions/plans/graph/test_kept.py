"""Programs that are kept, in memory and in files: one trace for all checkpoints, and files of others."""

import functools
import json
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans.graph import of_game
from harsanyi.interactions.plans.graph.kept import MAX_PROGRAMS, Programs
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.graph.trace import program_of
from harsanyi.interactions.plans.graph.written import from_bytes, to_bytes
from harsanyi.interactions.plans.plan import NotApplicable

# The same sums in another order, some with batch norms multiplied in: a few hundred terms near 1 in float64.
EXACT = 1e-12
KEY = "0" * 64


class Net(nn.Module):
    """Convolutions, batch norms, attention over places, a position table and a constant of its own."""

    def __init__(self, classes=3, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding="same"), nn.BatchNorm2d(width), nn.ReLU())
        self.position = nn.Parameter(torch.randn(1, 4, 4, width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        self.register_buffer("scale", torch.rand(width), persistent=False)

    def forward(self, x):
        x = self.body(x).permute(0, 2, 3, 1)
        position = F.interpolate(self.position.permute(0, 3, 1, 2), size=x.shape[1:3]).permute(0, 2, 3, 1)
        x = (self.norm(x + position) * self.scale).reshape(x.shape[0], -1, x.shape[-1])
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=x.dtype).triu(1)
        x = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], mask)[:, 0]
        return self.head(torch.cat([x, x.new_ones(x.shape[0], 1, x.shape[2])], 1).max(1)[0])


def net(seed, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Net(**options).double().eval()
        made.body[1].running_mean.normal_()
        made.body[1].running_var.uniform_(0.5, 2.0)
        return made


def batch_of(length):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(length, 3, 8, 8, dtype=torch.float64, generator=generator)


def game_of(network):
    return MaskedModel(network, batch_of(2), Players.grid(8, 8, 2, 2), labels=[0, 1], score="logit")


@functools.cache
def program():
    """The program of the networks, for all tests that only read it."""
    return program_of(net(0), batch_of(2))


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """An empty folder for programs, and the number of times that a network is traced."""
    kept = Programs(lambda: tmp_path)
    kept.traced = 0

    def counted(*arguments):
        kept.traced += 1
        return program_of(*arguments)

    monkeypatch.setattr(of_game, "PROGRAMS", kept)
    monkeypatch.setattr(of_game, "program_of", counted)
    return kept


@pytest.fixture
def another_process(monkeypatch, tmp_path):
    """Forgets what is in memory."""
    return lambda: monkeypatch.setattr(of_game, "PROGRAMS", Programs(lambda: tmp_path))


def require_its_numbers(network):
    """The traced network gives the network's own numbers, for batches of any length."""
    _, traced = traced_game(game_of(network))
    for length in (1, 2, 5):
        batch = batch_of(length)
        torch.testing.assert_close(traced(batch), network(batch), rtol=0, atol=EXACT)


def test_checkpoints_of_one_architecture_are_traced_once(programs, another_process):
    for seed in range(3):
        require_its_numbers(net(seed))
    assert programs.traced == 1
    another_process()
    require_its_numbers(net(3))
    assert programs.traced == 1
    require_its_numbers(net(0, classes=5))
    assert programs.traced == 2


def test_plans_of_the_second_checkpoint(programs):
    for seed in range(2):
        game = game_of(net(seed))
        expected = evaluate(game, progress=False)
        torch.testing.assert_close(
            evaluate(game, plan="tables", progress=False), expected, rtol=0, atol=EXACT
        )
    assert programs.traced == 1


def test_a_program_as_bytes_is_the_same_program():
    read = from_bytes(to_bytes(program(), KEY), KEY)
    assert [str(node.target) for node in read.graph.nodes if node.op == "call_function"] == [
        str(node.target) for node in program().graph.nodes if node.op == "call_function"
    ]
    assert [node.meta["val"] for node in read.graph.nodes] == [
        node.meta["val"] for node in program().graph.nodes
    ]
    other = net(1)
    torch.testing.assert_close(read.of(other)(batch_of(3)), other(batch_of(3)), rtol=0, atol=EXACT)


def with_text(data, change):
    """The bytes with another description of the program, and the digest that belongs to it."""
    from harsanyi.interactions.plans.graph.written import _digest

    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    tensors = load(data)
    text = change(header["program"])
    digest = _digest(text, {name: value for name, value in tensors.items() if name})
    return save(tensors, {"program": text, "digest": digest})


HOSTILE = {
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "no safetensors": lambda data: b"\x80\x04." + data,
    "one byte is another": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "of another architecture": lambda data: with_text(data, lambda text: text.replace(KEY, "1" * 64)),
    "an operation that reads files": lambda data: with_text(
        data, lambda text: text.replace("aten.full.default", "aten.from_file.default")
    ),
    "an operation that writes": lambda data: with_text(
        data, lambda text: text.replace("aten.relu.default", "aten.relu_.default")
    ),
    "an operation of another library": lambda data: with_text(
        data, lambda text: text.replace("aten.relu.default", "profiler._record_function_enter.default")
    ),
    "a name that is no operation": lambda data: with_text(
        data, lambda text: text.replace("aten.relu.default", "aten.__init__.__globals__")
    ),
    "a type that is none": lambda data: with_text(
        data, lambda text: text.replace("torch.float64", "torch.load")
    ),
    "an unknown node": lambda data: with_text(
        data, lambda text: text.replace('"args": [{"node": "', '"args": [{"node": "no_')
    ),
    "a list in place of a mapping": lambda data: with_text(data, lambda text: "[]"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_ours_is_refused_and_the_network_traced_anew(
    name, programs, another_process, monkeypatch
):
    data = HOSTILE[name](to_bytes(program(), KEY))
    with pytest.raises(ValueError):
        from_bytes(data, KEY)
    monkeypatch.setattr(of_game, "fingerprint", lambda *objects: KEY)
    (programs.folder() / f"{KEY}.safetensors").write_bytes(data)
    require_its_numbers(net(1))
    assert programs.traced == 1
    another_process()
    require_its_numbers(net(2))  # from the file that was written anew
    assert programs.traced == 1


def test_a_program_that_is_not_the_networks_is_found_out(programs, monkeypatch):
    """Two architectures under one fingerprint: the trial of the plan shows it."""
    monkeypatch.setattr(of_game, "fingerprint", lambda *objects: KEY)
    doubled = net(1)
    doubled.forward = lambda x: 2 * Net.forward(doubled, x)
    for network in (net(0), doubled):
        game = game_of(network)
        expected = evaluate(game, progress=False)
        for plan in ("dense", "tables"):
            torch.testing.assert_close(
                evaluate(game, plan=plan, progress=False), expected, rtol=0, atol=EXACT
            )
    assert programs.traced == 2


def test_a_program_of_other_weights_is_found_out(programs, monkeypatch):
    monkeypatch.setattr(of_game, "fingerprint", lambda *objects: KEY)
    require_its_numbers(net(0))
    require_its_numbers(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3)).double())
    assert programs.traced == 2


class Branching(nn.Module):
    """torch.export does not follow it."""

    def forward(self, x):
        return x.flatten(1)[:, :3] * (2 if x.sum() > 0 else 3)


def require_refused():
    with pytest.raises(NotApplicable, match="cannot follow") as caught:
        traced_game(game_of(Branching()))
    return str(caught.value)


def test_a_network_that_cannot_be_traced_is_asked_once(programs, another_process):
    """In this process and in the next one, with the same reason."""
    reasons = {require_refused(), require_refused()}
    another_process()
    assert reasons == {require_refused()}
    assert programs.traced == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-20],
        lambda data: data.replace(b"cannot", b"can"),
        lambda data: with_text(data, lambda text: json.dumps(json.loads(text) | {"refused": 3})),
        lambda data: with_text(data, lambda text: json.dumps(json.loads(text) | {"key": KEY})),
    ],
)
def test_a_damaged_refusal_is_not_believed(change, programs, another_process):
    require_refused()
    (file,) = programs.folder().iterdir()
    file.write_bytes(change(file.read_bytes()))
    another_process()
    require_refused()
    assert programs.traced == 2


@pytest.mark.parametrize("cause", [MemoryError(), OSError(), RecursionError(), torch.OutOfMemoryError()])
def test_what_the_machine_lacked_is_no_reason_for_the_next_process(cause, programs, another_process):
    reason = NotApplicable("torch.export cannot follow it")
    reason.__cause__ = cause
    programs.keep(KEY, reason)
    with pytest.raises(NotApplicable):
        programs.known(KEY)
    assert Programs(programs.folder).known(KEY) is None


IN_A_PROCESS = """
import json, sys
import torch
from torch import nn
from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans import forecast
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.graph import of_game, trace

exports, export = [], trace.export
for price in ("TRACE", "TRACE_OF_A_CALL", "INDICES", "TRIAL_FORWARDS"):
    setattr(forecast, price, 0.0)  # plans cost nothing to make
trace.export = lambda *args, **options: exports.append(1) or export(*args, **options)

class Branching(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3] * (2 if x.sum() > 0 else 3)

torch.manual_seed(int(sys.argv[1]))
body = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
x, seen = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), []
for network in (nn.Sequential(*body, nn.Linear(4, 3)), Branching()):
    game = MaskedModel(network.eval(), x, Players.grid(16, 16, 2, 4), labels=[0, 1], score="logit")
    planned = evaluate(game, plan="tables" if isinstance(network, nn.Sequential) else "auto", progress=False)
    seen.append(float((planned - evaluate(game.changed(), progress=False, plan="dense")).abs().max()))
print(json.dumps({"exports": len(exports), "errors": seen, "why": choose(game).why}))
"""


@pytest.mark.slow
def test_a_second_process_traces_nothing(tmp_path):
    """Neither a network of an architecture that is known, nor one that is known to be refused."""

    def run(seed):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", IN_A_PROCESS, str(seed)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(process.stdout.splitlines()[-1])

    first, second = run(0), run(1)
    assert (first["exports"], second["exports"]) == (2, 0)
    assert first["why"] == second["why"]
    assert "cannot follow" in second["why"]
    # Outputs near 1 in float32, a few sums in another order.
    assert max(*first["errors"], *second["errors"]) < 1e-5


def test_a_network_that_cannot_be_compared_is_traced_every_time(programs):
    for seed in range(2):
        network = net(seed)
        network.held = iter([])
        require_its_numbers(network)
    assert (programs.traced, list(programs.folder().iterdir())) == (2, [])


def test_memory_and_folder_are_bounded(tmp_path, monkeypatch):
    from harsanyi.interactions.plans.graph import kept as kept_module

    monkeypatch.setattr(kept_module, "MAX_FILES", 3)
    programs = Programs(lambda: tmp_path)
    for number in range(MAX_PROGRAMS + 2):
        programs.keep(f"{number:064}", program())
    assert len(programs.programs) == MAX_PROGRAMS
    names = sorted(file.stem for file in tmp_path.iterdir())
    assert names == [f"{number:064}" for number in range(MAX_PROGRAMS - 1, MAX_PROGRAMS + 2)]


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(of_game, "PROGRAMS", Programs(lambda: tmp_path / "file"))
    require_its_numbers(net(0))


def test_several_may_write_one_file_at_once(tmp_path):
    kept = program()
    others = [Programs(lambda: tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda programs: [programs.keep(KEY, kept) for _ in range(10)], others))
    assert Programs(lambda: tmp_path).known(KEY) is not None
    assert [file.name for file in tmp_path.iterdir()] == [f"{KEY}.safetensors"]
