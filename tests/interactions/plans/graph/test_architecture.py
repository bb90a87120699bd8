"""Fingerprints of networks: equal for checkpoints of one architecture, other ones for other computations."""

import copy
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from harsanyi.interactions.plans.graph.architecture import fingerprint
from harsanyi.interactions.plans.plan import NotApplicable

FACTOR = 2.0


def scaled(x):
    return x * FACTOR


class Net(nn.Module):
    """A network whose code, attributes and globals may all differ."""

    def __init__(self, width=3, slope=0.1, mask=(1.0, 0.0), then=scaled):
        super().__init__()
        self.body = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.LeakyReLU(slope)
        self.mask = torch.tensor(mask)
        self.options = {"then": then, "kinds": {"a", "b"}}

    def forward(self, x):
        return self.options["then"](self.act(self.norm(self.body(x)))) * self.mask[0]


def test_other_weights_are_the_same_architecture():
    one, other = Net(), Net()
    assert not torch.equal(one.body.weight, other.body.weight)
    other.norm.running_mean.normal_()
    other.train()
    other.body.weight.requires_grad_(False)
    assert fingerprint(one) == fingerprint(other) == fingerprint(copy.deepcopy(other))


def method(self, x):
    return self.body(x)


def other_code(net):
    net.forward = method.__get__(net)


OTHER = {
    "shape": lambda: Net(width=4),
    "an attribute of a layer": lambda: Net(slope=0.2),
    "a tensor that is no weight": lambda: Net(mask=(0.5, 0.0)),
    "a function": lambda: Net(then=lambda x: x * 3),
    "a constant in a closure": lambda: Net(then=(lambda factor: lambda x: x * factor)(3)),
    "type": lambda: Net().double(),
    "a padding": lambda: with_change(lambda net: setattr(net.body, "padding", (1, 1))),
    "a module in place of another": lambda: with_change(lambda net: setattr(net, "act", nn.ReLU())),
    "a method of its own": lambda: with_change(other_code),
    "one weight under two names": lambda: with_change(lambda net: setattr(net.norm, "weight", net.norm.bias)),
}


def with_change(change):
    net = Net()
    change(net)
    return net


@pytest.mark.parametrize("name", OTHER)
def test_what_computes_otherwise_is_another_architecture(name):
    assert fingerprint(Net()) != fingerprint(OTHER[name]())


def test_the_values_and_functions_that_code_refers_to_count(monkeypatch):
    before = fingerprint(Net())
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "FACTOR", 3.0)
        assert fingerprint(Net()) != before
    monkeypatch.setattr(nn.LeakyReLU, "forward", lambda self, x: x)
    assert fingerprint(Net()) != before


def test_names_and_words_of_a_checkpoint_do_not_count():
    class Config:
        def __init__(self, path, width):
            self._name_or_path, self.width, self.id2label = path, width, {0: path}

    def configured(path, width):
        net = nn.Linear(2, 2)
        net.config = Config(path, width)
        return fingerprint(net)

    assert configured("here", 1) == configured("there", 1) != configured("here", 2)


def test_objects_that_refer_to_each_other():
    one, other = Net(), Net()
    for net in (one, other):
        net.options["net"] = [net]
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("held", [iter([1]), np.array([object()]), torch.zeros(2, 2).to_sparse()])
def test_what_cannot_be_compared_is_refused(held):
    net = nn.Linear(2, 2)
    net.held = held
    with pytest.raises(NotApplicable, match="it holds"):
        fingerprint(net)


def test_it_is_the_same_in_another_process(tmp_path):
    (tmp_path / "nets.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Own(nn.Sequential):
                names = frozenset(["some", "names", "in", "no", "order"])

                def forward(self, x):
                    return super().forward(x) if x.dtype in {"never", "of", "these"} else x * 2

            def net():
                return Own(nn.Linear(3, 2), nn.GELU())
            """
        )
    )
    code = "import nets; from harsanyi.interactions.plans.graph.architecture import fingerprint as f"
    asked = [sys.executable, "-c", f"{code}; print(f(nets.net()))"]
    path = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"}
    prints = {
        subprocess.run(asked, env=path | {"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


def test_functions_that_code_has_made_and_that_have_no_module():
    made = []
    for factor in (2, 2, 3):
        names = {}
        exec(f"def forward(x):\n    return x * {factor}", names)
        names["forward"].__module__ = None
        net = nn.Linear(2, 2)
        net.forward = names["forward"]
        made.append(fingerprint(net))
    assert made[0] == made[1] != made[2]
