"""Networks that learn without classes: a read-out answers for them, a fine-tuned one has its own head."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi import models
from tests.trainers.pictures import TRAINED, right_answers, train

pytestmark = pytest.mark.slow


class Contrastive(nn.Module):
    """A backbone without classes and a projector, as SimCLR trains them."""

    def __init__(self, network):
        super().__init__()
        self.backbone = network
        self.backbone.head = nn.Identity()
        self.projector = nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, pixels):
        return F.normalize(self.projector(self.backbone(pixels)), dim=1)


def views(pixels, generator):
    """Two noisy views of each picture, one of them mirrored."""
    noise = torch.randn((2, *pixels.shape), generator=generator) * 0.3
    return pixels + noise[0], (pixels + noise[1]).flip(-1)


def contrast(first, second):
    """SimCLR's loss of one direction: each view finds the other of its picture."""
    return F.cross_entropy(first @ second.T / 0.2, torch.arange(len(first)))


@pytest.fixture(scope="module")
def pretrained(pictures, samples):
    """The method's module with its optimiser, and a momentum encoder as MoCo has it."""
    model = Contrastive(pictures.network())
    momentum = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        first, second = views(samples("train")[0], generator)
        optimizer.zero_grad()
        contrast(model(first), model(second)).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(momentum.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
    return model, momentum, optimizer


def saved(pretrained, form):
    """What such methods write."""
    model, momentum, optimizer = pretrained
    return {
        "SimCLR": {"epoch": 15, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()},
        "MoCo": {
            "state_dict": {
                **{
                    f"module.encoder_q.{name}": tensor for name, tensor in model.backbone.state_dict().items()
                },
                **{
                    f"module.encoder_k.{name}": tensor
                    for name, tensor in momentum.backbone.state_dict().items()
                },
                "module.queue": torch.randn(16, 64),
                "module.queue_ptr": torch.zeros(1, dtype=torch.long),
            }
        },
        "DINO": {
            "student": {f"module.{name}": tensor for name, tensor in model.state_dict().items()},
            "teacher": {f"module.{name}": tensor for name, tensor in momentum.state_dict().items()},
        },
    }[form]


@pytest.fixture(scope="module")
def finetuned(pictures, samples, pretrained):
    """The pretrained backbone with a head, trained on the labels; its right answers."""
    model = pictures.network()
    model.features.load_state_dict(pretrained[0].backbone.features.state_dict())
    train(model, samples("train"))
    return model, right_answers(model, samples("test"))


@pytest.mark.parametrize("form", ["SimCLR", "MoCo", "DINO"])
def test_before_with_a_read_out_and_after_with_its_head(
    pictures, samples, harsanyi, pretrained, finetuned, tmp_path, form
):
    """The read-out answers from the backbone's own features; its accuracy is that on held-out pictures."""
    network, right = finetuned
    torch.save(saved(pretrained, form), tmp_path / "before.pth")
    torch.save(network.state_dict(), tmp_path / "after.pth")
    options = (
        "--model",
        pictures.model,
        "--before",
        tmp_path / "before.pth",
        "--after",
        tmp_path / "after.pth",
    )
    data = ("--data", pictures.test, "--train-data", pictures.train, "--classes", *TRAINED)
    key = ("--key", "before=teacher") if form == "DINO" else ()
    measured = harsanyi.right("compare", *options, *data, *key)
    assert measured["after"] == right
    assert measured["before"] > 15  # a constant answer
    assert "READ-OUT in place of its head" in harsanyi.said().out
    backbone = pretrained[1 if form == "DINO" else 0].backbone.eval()
    loaded = models.load(pictures.model, tmp_path / "before.pth", key="teacher" if form == "DINO" else None)
    pixels, _ = samples("test")
    with torch.no_grad():
        # The same operations in the same order: no tolerance.
        assert torch.equal(loaded.features(pixels), backbone(pixels))


def test_two_networks_without_a_key_are_refused(pictures, harsanyi, pretrained, tmp_path):
    torch.save(saved(pretrained, "DINO"), tmp_path / "dino.pth")
    options = ("--model", pictures.model, "--checkpoint", tmp_path / "dino.pth", "--data", pictures.test)
    sentence = harsanyi.refusal("compute", *options)
    assert "student" in sentence
    assert "teacher" in sentence
    assert "key" in sentence
