"""Networks of timm: what a training set and its weights do not hold."""

import argparse
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from harsanyi.models import load

TIMM = "timm:test_resnet"


def trained_by_timm(file: Path, network: nn.Module, **arguments) -> Path:
    """A checkpoint as timm's CheckpointSaver writes it."""
    state = {"arch": arguments.get("model"), "args": argparse.Namespace(**arguments)}
    torch.save({**state, "state_dict": network.state_dict(), "epoch": 3, "version": 2}, file)
    return file


def test_arguments_that_leave_no_trace_in_weights(tmp_path: Path, pictures):
    options = {"global_pool": "max", "bn_eps": 0.1, "act_layer": "tanh"}
    model = timm.create_model("test_efficientnet", num_classes=3, **options).eval()
    arguments = {
        "model": "test_efficientnet",
        "gp": "max",
        "bn_eps": 0.1,
        "model_kwargs": {"act_layer": "tanh"},
    }
    file = trained_by_timm(tmp_path / "last.pth.tar", model, **arguments)
    network = load("timm:test_efficientnet", file)
    x = network.preprocess(pictures)
    assert torch.equal(network.logits(x), model(x).detach())
    assert "built with global_pool='max', bn_eps=0.1, act_layer='tanh', which its weights" in " ".join(
        network.notes
    )
    assert not torch.allclose(
        load("timm:test_efficientnet", plain(tmp_path, model)).logits(x), network.logits(x)
    )


def plain(folder: Path, model: nn.Module) -> Path:
    folder = folder / "plain"
    folder.mkdir()
    torch.save(model.state_dict(), folder / "a.pth")
    return folder / "a.pth"


def test_a_file_does_not_make_timm_read_others(tmp_path: Path):
    model = timm.create_model("test_resnet", num_classes=3)
    inside = {"checkpoint_path": "/etc/passwd", "pretrained_cfg": {"url": "http://x"}, "features_only": True}
    file = trained_by_timm(tmp_path / "a.pth.tar", model, model="test_resnet", model_kwargs=inside)
    assert len(load(TIMM, file).classes) == 3


def test_the_weights_that_a_training_started_from_say_how_pictures_were_prepared(tmp_path: Path):
    started = "vit_base_patch16_224.mae"
    assert timm.get_pretrained_cfg("vit_base_patch16_224").mean == (0.5,) * 3
    assert timm.get_pretrained_cfg(started).mean == (0.485, 0.456, 0.406)
    with torch.device("meta"):
        shapes = timm.create_model("vit_base_patch16_224", num_classes=2)
    file = trained_by_timm(tmp_path / "a.pth.tar", shapes.to_empty(device="cpu"), model=started)
    network = load("timm:vit_base_patch16_224", file)
    assert network.preprocess.mean == (0.485, 0.456, 0.406)
    assert f"The training started from timm's {started}, so its preprocessing is taken." in network.notes


def test_the_epsilon_of_fbnet(tmp_path: Path):
    """The published weights have TensorFlow's; what timm trained without them has PyTorch's."""
    eps = {
        module.eps
        for module in load("timm:fbnetc_100", "random").model.modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    assert eps == {1e-3}
    model = timm.create_model("fbnetc_100", num_classes=2)
    file = trained_by_timm(tmp_path / "a.pth.tar", model, model="fbnetc_100", pretrained=False)
    eps = {
        module.eps
        for module in load("timm:fbnetc_100", file).model.modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    assert eps == {1e-5}


@pytest.mark.slow
def test_no_other_network_has_settings_that_its_weights_do_not_hold(monkeypatch):
    """Every network of timm with published weights, built for them and for none, without reading them."""
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *_, **__: None)
    differing = set()
    for name in sorted({name.split(".")[0] for name in timm.list_models(pretrained=True)}):
        with torch.device("meta"):
            models = [timm.create_model(name, pretrained=each) for each in (False, True)]
        kinds = (bool, int, float, str, tuple)
        told = [
            {
                (path, key): v
                for path, m in model.named_modules()
                for key, v in vars(m).items()
                if isinstance(v, kinds)
            }
            for model in models
        ]
        if told[0] != told[1]:
            differing.add(name)
    assert differing == {"fbnetc_100"}
