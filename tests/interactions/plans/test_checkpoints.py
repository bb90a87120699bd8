"""Checkpoints of common architectures that were tuned in common ways: shared and alone, the same bits."""

import copy
import functools

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

from harsanyi.interactions import MaskedModel, Players, evaluate, evaluate_together
from harsanyi.interactions.plans.choice import choose, together
from harsanyi.interactions.plans.graph.beginnings import common_steps, equal_nodes
from harsanyi.interactions.plans.graph.of_game import BEGINNING, traced_game
from tests.planning import make_planning_free

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
CLASSES, GAMES, RANK = 3, 2, 2


class Adapted(nn.Module):
    """y = Wx + 2 B(Ax), as peft has it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + 2.0 * self.up(self.down(x))


def cnn():
    body = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(
        *body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 8), nn.Linear(8, CLASSES)
    )


def resnet():
    made = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    return made


def vit():
    return ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, num_labels=CLASSES, **SMALL))


def bert():
    return BertForSequenceClassification(BertConfig(vocab_size=60, num_labels=CLASSES, **SMALL))


def linear_layers(network, suffixes):
    return [name for name, _ in network.named_modules() if name.endswith(suffixes)]


# The head, the last stage, and the linear layers that adapters change; all by the names of their modules.
NETWORKS = {
    "cnn": (cnn, "7", "6", ("6", "7")),
    "resnet": (resnet, "fc", "layer4", ("fc",)),
    "vit": (vit, "classifier", ".layers.2", ("q_proj", "v_proj", "query", "value")),
    "bert": (bert, "classifier", ".layer.2", ("query", "value")),
}


def seeded(build, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval()


@functools.cache
def base(name):
    return seeded(NETWORKS[name][0], 0)


def tuned(network, parts):
    """A copy with noise on the parameters of some parts."""
    other, generator = copy.deepcopy(network), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in parts:
            for weight in other.get_submodule(part).parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return other


def adapted(network, names, seed, *, merged=False):
    """A copy with adapters of random weights at some linear layers."""
    other = copy.deepcopy(network)
    for name in names:
        above, _, last = name.rpartition(".")
        layer = seeded(lambda name=name: Adapted(other.get_submodule(name)), seed)
        if merged:
            with torch.no_grad():
                layer.base.weight += 2.0 * layer.up.weight @ layer.down.weight
            layer = layer.base
        setattr(other.get_submodule(above), last, layer)
    return other


def checkpoints(name):
    """Those that a study may hold of one origin."""
    _, head, stage, adapters = NETWORKS[name]
    origin = base(name)
    (last,) = [part for part, _ in origin.named_modules() if part.endswith(stage)]
    names = linear_layers(origin, adapters)
    assert names
    return [
        origin,
        tuned(origin, [head]),
        tuned(origin, [last, head]),
        *(adapted(origin, names, seed) for seed in (1, 2)),
        *(adapted(origin, names, seed, merged=True) for seed in (1, 2)),
        adapted(origin, names[-1:], 3),
        adapted(origin, names[-1:], 4),
    ]


def game_of(name, network):
    generator = torch.Generator().manual_seed(0)
    options = {"labels": [0] * GAMES, "score": "logit"}
    if name == "bert":
        words = torch.randint(5, 60, (GAMES, 10), generator=generator)
        owner = torch.tensor([-1, *range(8), -1])
        return MaskedModel(network, words, Players(owner, 8, axis=0), baseline=3.0, **options)
    size = 64 if name == "resnet" else 32
    images = torch.randn(GAMES, 3, size, size, generator=generator)
    return MaskedModel(network, images, Players.grid(size, size, 2, 4), **options)


@pytest.fixture(autouse=True)
def _planned(monkeypatch):
    make_planning_free(monkeypatch)


@pytest.mark.parametrize("plan", ["dense", "tables"])
@pytest.mark.parametrize(
    "name", [name if name == "cnn" else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_checkpoints_give_the_same_bits_as_each_alone(name, plan):
    networks = checkpoints(name)
    alone = [evaluate(game_of(name, network), plan=plan, progress=False) for network in networks]
    games = [game_of(name, network) for network in networks]
    with together(games, plan) as groups:
        (group,) = groups
        shared = {number for number in group if games[number].choices[BEGINNING].leader is not None}
    assert {1, 2, 4, 8} <= shared
    assert choose(games[0], plan).plan is not None
    for one, other in zip(evaluate_together(games, plan=plan, progress=False), alone, strict=True):
        assert torch.equal(one, other)
    assert not any(torch.equal(alone[0], other) for other in alone[1:])


def test_of_adapters_only_what_comes_before_the_first_is_equal():
    """Behind it activations differ, and so do the products with equal weights."""
    names = linear_layers(base("bert"), ("query", "value"))
    first, second = (traced_game(game_of("bert", adapted(base("bert"), names, seed)))[1] for seed in (1, 2))
    x = torch.tensor(5).expand(2, 10)
    equal, common = equal_nodes(first, second), common_steps(first, second)
    assert 0 < common < len(equal) < len(first.steps)
    values = [dict[object, torch.Tensor]() for _ in range(2)]
    for traced, found in zip((first, second), values, strict=True):
        beside = {name: torch.zeros_like(x) for name in traced.beside}
        for place in range(1, len(traced.steps) + 1):
            given = {traced.source: x} | traced.values_beside(beside)
            found |= traced.run(0, place, given, len(x))
    for step, partner in zip(first.steps, second.steps, strict=True):
        one, other = values[0].get(step), values[1].get(partner)
        if one is not None and other is not None and step in equal:
            assert torch.equal(one, other)
    linear = [step for step in first.steps if "linear" in str(step.target)]
    assert sum(step in equal for step in linear) == 3  # queries, keys and values of the first layer
