"""The layer that gives the answer: by name, by definition, and by what a forward runs."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from harsanyi.models import ImagePreprocess, Network, load
from harsanyi.models.loading.answers.heads import class_layers, find_head, head_input

BODY = """
import torch
from torch import nn
preprocess = {"size": (8, 8), "crop": 1.0}
class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.head = nn.Linear(5, classes)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU())
        self.projector = nn.Linear(5, 7)
        self.scale = nn.Linear(4, 4)
    def forward(self, x):
        %s
def build(num_classes=4): return Net(num_classes)
"""


def own(folder: Path, forward: str, more: str = "") -> Network:
    (folder / "net.py").write_text(BODY % forward + more)
    return load(f"{folder / 'net.py'}:build", "random", seed=3)


@pytest.mark.parametrize(
    "forward",
    [
        "return self.head(self.body(x))",
        "h = self.body(x); z = self.head(h); self.projector(h); return z",
        "h = self.body(x); return {'out': self.head(h), 'aux': self.projector(h)}",
        "h = self.body(x); return self.head(h), self.projector(h)",
        "z = self.head(self.body(x)); return z.sum(), z",
        "z = self.head(input=self.body(x)); return type('Out', (), {'logits': z})()",
    ],
)
def test_the_head_is_what_the_answer_comes_from(tmp_path: Path, forward: str, pictures):
    """Not what is defined last, and not an auxiliary layer that runs last."""
    network = own(tmp_path, forward)
    x = network.preprocess(pictures)
    assert (network.head, len(network.classes)) == ("head", 4)
    features, head = network.features(x), network.model.head
    torch.testing.assert_close(features, network.model.body(x).detach(), rtol=0, atol=0)
    torch.testing.assert_close(head(features).detach(), network.logits(x), rtol=0, atol=1e-6)  # one rounding
    other = network.with_new_head(["a", "b"])
    assert other.logits(x).shape == (6, 2)
    assert "The head is head, whose output is the answer." in network.notes


def test_what_follows_the_head_stays(tmp_path: Path, pictures):
    scaled = own(tmp_path, "return 3 * self.head(self.body(x)).softmax(1)")
    assert scaled.head == "head"
    network = own(tmp_path, "return 3 * self.scale(self.head(self.body(x)))")
    assert network.head is None  # two layers have four outputs
    with pytest.raises(ValueError, match=r"no single layer gives the answer .* head = \"classifier.1\""):
        network.features(network.preprocess(pictures))
    named = own(tmp_path, "return 3 * self.scale(self.head(self.body(x)))", 'head = "head"\n')
    assert named.head == "head"
    assert named.features(named.preprocess(pictures)).shape == (6, 5)


@pytest.mark.parametrize(
    ("head", "message"),
    [("heads", "'heads', no layer of it"), ("body", "'body', a Sequential: expected .* projector, scale")],
)
def test_a_name_that_is_no_head(tmp_path: Path, head: str, message: str):
    with pytest.raises(ValueError, match=message):
        own(tmp_path, "return self.head(self.body(x))", f"head = {head!r}\n")


def test_a_forward_that_fails_on_trial_says_so(tmp_path: Path):
    network = own(tmp_path, "assert len(x) > 3, 'a batch'; return self.head(self.body(x))")
    assert network.head == "scale"
    assert (
        "The head is scale, defined last: a trial forward failed (AssertionError: a batch)." in network.notes
    )


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("return ((self.head(self.body(x)),),)", "returns tuple of tuple"),
        ("return self.head(self.body(x)).argmax(1)", "expected logits, numbers of a floating type"),
        ("return {'a': x, 'b': x}", "returns dict with a, b"),
    ],
)
def test_outputs_without_logits_are_refused_at_once(tmp_path: Path, forward: str, message: str):
    with pytest.raises(ValueError, match=message):
        own(tmp_path, forward)


def test_heads_that_have_no_features(tmp_path: Path, pictures):
    shared = own(tmp_path, "h = self.body(x); self.head(h * 2); return self.head(h)")
    crops = own(
        tmp_path, "h = self.body(torch.cat([x, x + 1])); return sum(self.head(h).chunk(2))", 'head = "head"\n'
    )
    for network in (shared, crops):
        x = network.preprocess(pictures)
        assert network.head == "head"
        with pytest.raises(ValueError, match="must be applied once, .* fine-tune it instead"):
            network.features(x)
        assert network.with_new_head(["a", "b"]).logits(x).shape == (6, 2)


def test_a_layer_under_two_names_is_replaced_under_both(tmp_path: Path, pictures):
    network = own(
        tmp_path,
        "return self.same[0](self.body(x))",
        """
def build():
    net = Net()
    net.same = nn.ModuleList([net.head])
    return net
""",
    )
    x = network.preprocess(pictures)
    other = network.with_new_head(["a", "b"])
    torch.testing.assert_close(other.logits(x), other.model.head(other.features(x)), rtol=0, atol=1e-6)


def test_one_output(tmp_path: Path, pictures):
    network = own(tmp_path, "return self.head(self.body(x)).squeeze(1)", "def build(): return Net(1)\n")
    x = network.preprocess(pictures)
    assert (network.classes, network.logits(x).shape) == (("0",), (6, 1))
    assert network.features(x).shape == (6, 5)
    for name in ("timm:test_resnet", "torchvision:mobilenet_v3_small", "small:cnn"):
        one = load(name, "random", classes=["price"])
        assert one.logits(one.preprocess(pictures[:1])).shape == (1, 1)


# 1 × 1 convolutions


def test_a_convolution_of_one_pixel_is_a_linear_layer(pictures):
    """timm's DLA: the features are the pooled pixels, and a read-out is exact."""
    network = load("timm:dla34", "random", classes=list("abc"), image_size=32)
    x = network.preprocess(pictures)
    features = network.features(x)
    assert features.shape == (6, 512)
    weight, bias = torch.randn(2, 512, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 2.0])
    other = network.with_head(weight, bias, ["x", "y"])
    torch.testing.assert_close(other.logits(x), features @ weight.T + bias, rtol=1e-4, atol=1e-4)  # sum order
    assert network.with_new_head(["x"]).logits(x).shape == (6, 1)


def test_a_convolution_of_every_pixel_has_no_features(tmp_path: Path, pictures):
    """SqueezeNet: a ReLU and a mean over pixels follow, so that no linear layer of features is the same."""
    network = load("torchvision:squeezenet1_1", "random", image_size=64)
    x = network.preprocess(pictures)
    assert (network.head, len(network.classes)) == ("classifier.1", 1000)
    with pytest.raises(ValueError, match=r"must be applied once.*fine-tune it instead"):
        network.features(x)
    tuned = network.with_new_head(["a", "b"])
    assert tuned.logits(x).shape == (6, 2)
    torch.save(tuned.model.state_dict(), tmp_path / "a.pt")
    again = load("torchvision:squeezenet1_1", tmp_path / "a.pt", image_size=64)
    torch.testing.assert_close(again.logits(x), tuned.logits(x))


# By definition


def test_networks_with_several_heads_or_none(pictures):
    distilled = load("timm:deit_tiny_distilled_patch16_224", "random", classes=["a", "b"], image_size=32)
    assert distilled.logits(distilled.preprocess(pictures)).shape == (6, 2)
    with pytest.raises(ValueError, match=r"has several heads \(head, head_dist\), and its answer is of all"):
        distilled.with_new_head(["a", "b"])
    backbone = timm.create_model("test_vit", num_classes=0)
    assert class_layers(backbone) == ()
    with pytest.raises(ValueError, match="has no linear layer that gives its answer"):
        find_head(backbone)
    assert class_layers(nn.Sequential(nn.Conv2d(3, 4, 3))) == ()


def test_the_head_of_every_token_is_read_where_the_answer_is():
    layer, x = nn.Linear(3, 2), torch.linspace(-1, 1, 24).view(2, 4, 3)
    outputs = layer(x)
    answers = torch.stack([outputs[0, 1], outputs[1, 3]])
    rows = head_input(x, outputs, answers)
    assert rows is not None
    assert torch.equal(rows, torch.stack([x[0, 1], x[1, 3]]))
    assert head_input(x, outputs, outputs.mean(1)) is None
    assert head_input(x, outputs, outputs) is not None


def test_stages_need_a_head():
    from harsanyi.models import stages

    network = Network(nn.Sequential(nn.Linear(2, 2)), ImagePreprocess(), ("a", "b"), "by hand", "image", None)
    with pytest.raises(ValueError, match="no single layer gives the answer of by hand"):
        stages(network)
