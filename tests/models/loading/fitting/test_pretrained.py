"""Pretrained backbones without a classifier, as the repositories of their methods save them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from harsanyi.models import Network, load

State = dict[str, Tensor]
RESNET = "timm:test_resnet"
VIT = "timm:test_vit"
WIDTH = 96


def resnet(seed: int = 0, **options) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model("test_resnet", **options)
    for name, buffer in model.named_buffers():  # statistics as after training
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    return model.eval()


def vit(seed: int = 0, **options) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return timm.create_model("test_vit", **options).eval()


def backbone(model: nn.Module, prefix: str = "") -> State:
    return {
        prefix + name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(("fc.", "head."))
    }


def mlp(prefix: str, width: int, *places: int) -> State:
    return {f"{prefix}{place}.weight": ones(8, width) for place in places}


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def linear(prefix: str, outputs: int, width: int) -> State:
    return {f"{prefix}.weight": ones(outputs, width), f"{prefix}.bias": ones(outputs)}


def queue() -> State:
    return {"module.queue": ones(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}


def of_resnet(prefix: str, seed: int = 0) -> State:
    return backbone(resnet(seed), prefix)


def of_vit(prefix: str, seed: int = 0) -> State:
    return backbone(vit(seed), prefix)


def without_head() -> nn.Module:
    model = vit(num_classes=0)
    model.load_state_dict(of_vit(""))
    return model


FILES: dict[str, tuple[str, Callable[[], object]]] = {
    "MoCo v1: a linear projection": (
        RESNET,
        lambda: {
            "arch": "resnet18",
            "epoch": 200,
            "optimizer": {},
            "state_dict": of_resnet("module.encoder_q.")
            | of_resnet("module.encoder_k.", 1)
            | queue()
            | linear("module.encoder_q.fc", 128, WIDTH)
            | linear("module.encoder_k.fc", 128, WIDTH),
        },
    ),
    "MoCo v2: a projection of two layers": (
        RESNET,
        lambda: {
            "state_dict": of_resnet("module.encoder_q.")
            | of_resnet("module.encoder_k.", 1)
            | queue()
            | mlp("module.encoder_q.fc.", WIDTH, 0, 2)
            | mlp("module.encoder_k.fc.", WIDTH, 0, 2)
        },
    ),
    "MoCo v3 with a ResNet": (
        RESNET,
        lambda: {
            "state_dict": of_resnet("module.base_encoder.")
            | of_resnet("module.momentum_encoder.", 1)
            | mlp("module.base_encoder.fc.", WIDTH, 0, 3)
            | mlp("module.predictor.", 256, 0, 3)
        },
    ),
    "MoCo v3 with a transformer": (
        VIT,
        lambda: {
            "state_dict": of_vit("module.base_encoder.")
            | of_vit("module.momentum_encoder.", 1)
            | mlp("module.base_encoder.head.", 64, 0, 3, 6)
            | mlp("module.predictor.", 256, 0, 3)
        },
    ),
    "SimCLR": (RESNET, lambda: {"state_dict": of_resnet("backbone.") | mlp("backbone.fc.", WIDTH, 0, 2)}),
    "SimCLR with a projector": (RESNET, lambda: of_resnet("encoder.") | mlp("projector.", WIDTH, 0, 2)),
    "SimSiam": (
        RESNET,
        lambda: {
            "state_dict": of_resnet("module.encoder.")
            | mlp("module.encoder.fc.", WIDTH, 0, 3, 6)
            | mlp("module.predictor.", WIDTH, 0, 3)
        },
    ),
    "BYOL": (
        RESNET,
        lambda: (
            of_resnet("online_encoder.net.")
            | of_resnet("target_encoder.net.", 1)
            | mlp("online_encoder.projector.", WIDTH, 0, 3)
            | mlp("online_predictor.", 256, 0, 3)
        ),
    ),
    "Barlow Twins": (
        RESNET,
        lambda: {
            "model": of_resnet("module.backbone.")
            | mlp("module.projector.", WIDTH, 0, 3, 6)
            | {"module.bn.running_mean": ones(8)}
        },
    ),
    "SwAV": (
        RESNET,
        lambda: (
            of_resnet("module.")
            | mlp("module.projection_head.", WIDTH, 0, 3)
            | {"module.prototypes.weight": ones(30, 128)}
        ),
    ),
    "DINO, the backbone alone": (VIT, lambda: of_vit("")),
    "DINO, one of both": (
        VIT,
        lambda: {
            "teacher": of_vit("backbone.")
            | mlp("head.mlp.", 64, 0, 2)
            | {"head.last_layer.weight_g": ones(9, 1)},
            "optimizer": {},
            "epoch": 3,
        },
    ),
    "MAE": (
        VIT,
        lambda: {
            "model": of_vit("")
            | {"mask_token": ones(1, 1, 32), "decoder_pos_embed": ones(1, 101, 32)}
            | mlp("decoder_blocks.0.attn.", 32, 0)
            | mlp("decoder_pred", 32)
            | {"decoder_norm.weight": ones(32)}
        },
    ),
    "SimMIM": (
        VIT,
        lambda: {
            "model": of_vit("encoder.")
            | {"encoder.mask_token": ones(1, 1, 64), "decoder.0.weight": ones(3, 64, 1, 1)}
        },
    ),
    "OpenCLIP with timm's tower": (
        VIT,
        lambda: (
            of_vit("visual.trunk.")
            | {
                "visual.head.proj.weight": ones(32, 64),
                "logit_scale": ones(),
                "text.token_embedding.weight": ones(9, 32),
            }
        ),
    ),
    "num_classes=0": (VIT, lambda: without_head().state_dict()),
    "fc=Identity": (RESNET, lambda: of_resnet("")),
    "Lightning with another classifier": (
        RESNET,
        lambda: {
            "state_dict": of_resnet("backbone.")
            | {"classifier.weight": ones(10, WIDTH), "criterion.weight": ones(10)}
        },
    ),
    "solo-learn": (
        RESNET,
        lambda: {
            "state_dict": of_resnet("backbone.")
            | of_resnet("momentum_backbone.", 1)
            | mlp("projector.", WIDTH, 0, 2)
            | {"classifier.weight": ones(10, WIDTH)}
        },
    ),
}


def features(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return model.forward_head(model.forward_features(inputs), pre_logits=True)


def assert_backbone(network: Network, source: nn.Module) -> None:
    assert not network.has_head
    side = network.preprocess.size[0]
    inputs = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.features(inputs), features(source, inputs), rtol=0, atol=0)


@pytest.mark.parametrize("file", FILES)
def test_backbones_of_published_shapes(tmp_path: Path, file: str):
    name, content = FILES[file]
    torch.save(content(), tmp_path / "a.pth")
    network = load(name, tmp_path / "a.pth", classes=["a", "b", "c"])
    assert_backbone(network, resnet() if name == RESNET else vit())
    assert len(network.classes) == 3
    head = "fc" if name == RESNET else "head"
    assert any(f"holds no weights for {head}" in note for note in network.notes)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (linear("head", 10, WIDTH), "head (10 outputs) may be its own head"),
        (linear("head.1", 10, WIDTH), "head.1 (10 outputs) may be its own head"),
        (mlp("projector.", WIDTH, 0, 2), None),
        (linear("classifier", 10, WIDTH + 1), None),
    ],
)
def test_a_layer_beside_a_backbone_that_may_be_its_head_is_named(tmp_path: Path, beside: State, said):
    """It is no projector: one layer alone, of the features' width."""
    torch.save(of_resnet("backbone.") | beside, tmp_path / "a.pth")
    notes = [note for note in load(RESNET, tmp_path / "a.pth").notes if "its own head" in note]
    assert [note.partition(",")[0] for note in notes] == ([] if said is None else [said])


@pytest.mark.parametrize(("key", "seed"), [("teacher", 0), ("student", 1)])
def test_teacher_or_student(tmp_path: Path, key: str, seed: int):
    content = {
        "teacher": of_vit("backbone.") | {"head.last_layer.weight_v": ones(9, 16)},
        "student": of_vit("module.backbone.", 1) | {"module.head.last_layer.weight_v": ones(9, 16)},
    }
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(
        ValueError, match=r"several networks that fit, under teacher\.backbone, student\.module"
    ):
        load(VIT, tmp_path / "a.pth")
    assert_backbone(load(VIT, tmp_path / "a.pth", key=key), vit(seed))


def test_moving_average_of_a_method(tmp_path: Path):
    torch.save(
        of_resnet("module.encoder_q.") | of_resnet("module.encoder_k.", 1) | queue(), tmp_path / "a.pth"
    )
    assert_backbone(load(RESNET, tmp_path / "a.pth", ema=True), resnet(1))
    assert_backbone(load(RESNET, tmp_path / "a.pth", key="module.encoder_k"), resnet(1))


def test_a_projection_below_a_key_is_no_classifier(tmp_path: Path):
    state = of_resnet("module.encoder_q.") | queue()
    state |= {"module.encoder_q.fc.weight": ones(128, WIDTH), "module.encoder_q.fc.bias": ones(128)}
    torch.save(state, tmp_path / "a.pth")
    network = load(RESNET, tmp_path / "a.pth", key="module.encoder_q", classes=["a", "b"])
    assert_backbone(network, resnet())
    assert any("module.encoder_q.fc" in note for note in network.notes)


def test_new_heads_follow_the_seed(tmp_path: Path):
    torch.save(of_resnet(""), tmp_path / "a.pth")
    first, again, other = (
        load(RESNET, tmp_path / "a.pth", seed=seed, classes=["a", "b"]) for seed in (0, 0, 1)
    )
    assert torch.equal(first.model.fc.weight, again.model.fc.weight)
    assert not torch.equal(first.model.fc.weight, other.model.fc.weight)
    assert len(load(RESNET, tmp_path / "a.pth").classes) == 1000
    assert not first.has_head
    assert first.with_new_head(["a", "b"]).has_head


def test_a_classifier_is_a_head_and_says_so(tmp_path: Path):
    torch.save(
        {"state_dict": {f"net.{n}": t for n, t in resnet(num_classes=5).state_dict().items()}},
        tmp_path / "a.pth",
    )
    network = load(RESNET, tmp_path / "a.pth")
    assert (network.has_head, len(network.classes)) == (True, 5)
    assert network.notes[0] == "Its weights are those under state_dict.net."
    assert len(network.notes) == 2  # the other says how pictures are prepared


@pytest.mark.parametrize("gone", ["layer1.0.conv1.weight", "bn1.running_mean"])
def test_a_backbone_that_lacks_a_tensor_is_refused(tmp_path: Path, gone: str):
    state = of_resnet("module.encoder_q.") | queue()
    del state[f"module.encoder_q.{gone}"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"under module\.encoder_q: missing: {gone}"):
        load(RESNET, tmp_path / "a.pth")


def test_global_pooling_has_another_norm(tmp_path: Path):
    """As timm's own loader: norm and fc_norm are different layers."""
    torch.save(vit(0, global_pool="avg", num_classes=0).state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"missing: norm\.weight, norm\.bias; unexpected: fc_norm\.weight"):
        load(VIT, tmp_path / "a.pth")


@pytest.mark.parametrize(
    "family", ["test_convnext", "test_efficientnet", "test_resnet", "test_mambaout", "test_nfnet"]
)
def test_backbones_of_other_families(tmp_path: Path, family: str):
    source = timm.create_model(family, num_classes=0).eval()
    torch.save({"net": source.state_dict()}, tmp_path / "a.pth")
    network = load(f"timm:{family}", tmp_path / "a.pth", classes=["a", "b"])
    assert not network.has_head
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network.features(inputs), source(inputs), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "fc"),
        ("vgg11_bn", "classifier.6"),
        ("mobilenet_v3_small", "classifier.3"),
        ("vit_b_32", "heads.head"),
        ("swin_t", "head"),
        ("convnext_tiny", "classifier.2"),
    ],
)
@pytest.mark.slow
def test_torchvision_without_the_last_layer(tmp_path: Path, name: str, last: str):
    source = torchvision.models.get_model(name).eval()
    torch.save({n: t for n, t in source.state_dict().items() if not n.startswith(last)}, tmp_path / "a.pth")
    network = load(f"torchvision:{name}", tmp_path / "a.pth", classes=["a", "b"])
    assert (network.has_head, network.head) == (False, last)
    rest = source.state_dict()
    assert all(
        torch.equal(t, rest[n]) for n, t in network.model.state_dict().items() if not n.startswith(last)
    )
