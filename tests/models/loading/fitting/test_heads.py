"""Heads that people put in place of an architecture's own."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from harsanyi.models import load


def saved(model: nn.Module, folder: Path) -> Path:
    torch.save(model.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def resnet(head: nn.Module) -> nn.Module:
    model = torchvision.models.resnet18(weights=None)
    model.fc = head
    return model.eval()


def efficientnet(head: nn.Module) -> nn.Module:
    model = torchvision.models.efficientnet_b0(weights=None)
    model.classifier = head
    return model.eval()


def timm_resnet(head: nn.Module) -> nn.Module:
    model = timm.create_model("resnet10t")
    model.fc = head
    return model.eval()


@pytest.mark.parametrize(
    ("name", "make", "head"),
    [
        ("torchvision:resnet18", resnet, nn.Sequential(nn.Dropout(), nn.Linear(512, 7))),
        ("torchvision:resnet18", resnet, nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(512, 7))),
        ("torchvision:efficientnet_b0", efficientnet, nn.Linear(1280, 7)),
        ("torchvision:efficientnet_b0", efficientnet, nn.Sequential(nn.Linear(1280, 7))),
        ("timm:resnet10t", timm_resnet, nn.Sequential(nn.Dropout(), nn.Linear(512, 7))),
    ],
)
def test_the_same_layer_elsewhere_is_the_head(name, make, head, tmp_path):
    torch.manual_seed(0)
    model = make(head)
    network = load(name, saved(model, tmp_path))
    assert network.has_head
    assert len(network.classes) == 7
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network.logits(pixels), model(pixels))


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 7)),
        nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 7)),
        nn.Sequential(nn.Linear(512, 7), nn.BatchNorm1d(7)),
    ],
)
def test_another_head_is_none_and_its_width_is_known(head, tmp_path):
    network = load("torchvision:resnet18", saved(resnet(head), tmp_path))
    assert not network.has_head
    assert 7 in network.heads_aside


def test_a_head_without_bias_is_another_one(tmp_path):
    network = load(
        "torchvision:resnet18", saved(resnet(nn.Sequential(nn.Linear(512, 7, bias=False))), tmp_path)
    )
    assert not network.has_head


def test_a_projection_of_a_method_without_classes_is_no_head(tmp_path):
    state = resnet(nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))).state_dict()
    moco = {f"module.encoder_q.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": moco | {"module.queue": torch.zeros(128, 64)}}, tmp_path / "moco.pth")
    network = load("torchvision:resnet18", tmp_path / "moco.pth")
    assert not network.has_head
    assert network.heads_aside == ()


def test_a_head_beside_the_backbone_is_known_too(tmp_path):
    state = {f"backbone.{name}": t for name, t in resnet(nn.Identity()).state_dict().items()}
    torch.save(state | {"head.weight": torch.ones(7, 512), "head.bias": torch.ones(7)}, tmp_path / "a.pth")
    network = load("torchvision:resnet18", tmp_path / "a.pth")
    assert (network.has_head, network.heads_aside) == (False, (7,))
