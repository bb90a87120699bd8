"""Networks of torchvision: what published weights set and state dicts do not hold."""

from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models._api import WeightsEnum

from harsanyi.models import load, save_checkpoint


def trained(name: str, **options) -> nn.Module:
    """A network with random weights, as fine-tuning would leave it: every answer depends on the input."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, num_classes=3, init_weights=False, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.mul_(0.05)  # keeps the signal of random layers alive
    return model.eval()


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_colours_are_rescaled_as_in_the_published_weights(tmp_path: Path, name: str, auxiliary: bool):
    model = trained(name, aux_logits=auxiliary, transform_input=True)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    network = load(f"torchvision:{name}", tmp_path / "a.pth", image_size=96)
    x = network.preprocess([Image.new("RGB", (96, 96), colour) for colour in ("red", "navy")])
    assert torch.equal(network.logits(x), model(x).detach())
    assert "transform_input is True, as in the published weights" in " ".join(network.notes)
    off = {"transform_input": False}
    other = load(f"torchvision:{name}", tmp_path / "a.pth", image_size=96, preprocessing=off)
    assert not torch.allclose(other.logits(x), network.logits(x))
    model.transform_input = False
    assert torch.equal(other.logits(x), model(x).detach())
    # It is kept with what we save, and a network of ours is the same again.
    file = save_checkpoint(tmp_path / "a.safetensors", other.model, preprocessing=other.preprocessing)
    again = load(f"torchvision:{name}", file)
    assert torch.equal(again.logits(x), other.logits(x))
    assert len(again.notes) == 1
    # In training they return more than logits.
    assert network.model.train() is not None
    assert network.forward(torch.zeros(2, 3, 299, 299)).shape == (2, 3)


def test_senseless_rescaling():
    with pytest.raises(ValueError, match="transform_input is 1: expected True or False"):
        load("torchvision:googlenet", "random", preprocessing={"transform_input": 1})
    with pytest.raises(ValueError, match="unknown preprocessing transform_input"):
        load("torchvision:resnet18", "random", preprocessing={"transform_input": True})


@pytest.mark.slow
def test_a_transformer_has_the_image_size_of_its_weights(tmp_path: Path):
    """torchvision's SWAG weights of the same name are for 384 pixels, cropped from as many, bicubic."""
    model = torchvision.models.vit_b_32(num_classes=2, image_size=96).eval()
    torch.save({f"module.{n}": t for n, t in model.state_dict().items()}, tmp_path / "a.pth")
    network = load("torchvision:vit_b_32", tmp_path / "a.pth")
    assert network.preprocess.size == (96, 96)
    x = torch.linspace(-1, 1, 3 * 96 * 96).view(1, 3, 96, 96)
    torch.testing.assert_close(network.logits(x), model(x).detach())
    large = torchvision.models.vit_b_16(num_classes=2, image_size=384)
    torch.save(large.state_dict(), tmp_path / "b.pth")
    preprocess = load("torchvision:vit_b_16", tmp_path / "b.pth").preprocess
    assert (preprocess.size, preprocess.crop, preprocess.interpolation) == ((384, 384), 1.0, "bicubic")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization", "ignore:auxiliary heads")
def test_no_other_network_has_settings_that_its_weights_do_not_hold(monkeypatch):
    """Every classifier of torchvision, built for its published weights and for none, without reading them."""
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor)
    differing = set()
    for name in torchvision.models.list_models(module=torchvision.models):
        # RegNet computes its widths from tensors, which the meta device does not.
        with torch.device("cpu" if "regnet" in name else "meta"):
            plain = settings(torchvision.models.get_model(name, weights=None))
            for weights in torchvision.models.get_model_weights(name):
                if settings(torchvision.models.get_model(name, weights=weights)) != plain:
                    differing.add(name)
    # The transformers differ by their image size, which the weights do hold.
    assert differing == {"googlenet", "inception_v3", "vit_b_16", "vit_l_16", "vit_h_14"}


def settings(model: nn.Module) -> dict:
    kinds = (bool, int, float, str, tuple, type(None))
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, kinds) and not name.startswith("_")
    }
