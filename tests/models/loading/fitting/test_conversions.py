"""Names that the libraries convert when they load: read as the library itself reads the same file."""

import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from harsanyi.models import Network, load, load_state, read_checkpoint
from harsanyi.models.loading.fitting.fit import fit

State = dict[str, Tensor]
SENTENCES = ["the cat sat", "good dog"]


def saved(content: object, folder: Path) -> Path:
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


def renamed(state: State, *changes: tuple[str, str]) -> State:
    for pattern, replacement in changes:
        state = {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}
    return state


def assert_same(model: nn.Module, source: nn.Module) -> None:
    expected = source.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


# Images


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("prefix", ["", "net."])
def test_densenet_as_published(tmp_path: Path, library: str, prefix: str):
    source = torchvision.models.densenet121(num_classes=5)
    state = renamed(source.state_dict(), (r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2"))
    file = saved({prefix + name: tensor for name, tensor in state.items()}, tmp_path)
    network = load(f"{library}:densenet121", file)
    assert network.has_head
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network.logits(inputs), source.eval()(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "net."])
def test_layers_that_read_older_names_themselves(tmp_path: Path, prefix: str):
    def vit() -> nn.Module:
        return torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3)

    source, model = vit(), vit()
    state = renamed(source.state_dict(), (r"mlp\.0\.", "mlp.linear_1."), (r"mlp\.3\.", "mlp.linear_2."))
    assert "encoder.layers.encoder_layer_0.mlp.linear_1.weight" in state
    load_state(model, read_checkpoint(saved({prefix + name: t for name, t in state.items()}, tmp_path)))
    assert_same(model, source)


def test_weight_norm_of_older_torch(tmp_path: Path):
    def net() -> nn.Module:
        return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2))

    source, model = net(), net()
    names = (r"0\.parametrizations\.weight\.original0", "0.weight_g"), (r"0\.param.*1$", "0.weight_v")
    load_state(model, read_checkpoint(saved({"model": renamed(source.state_dict(), *names)}, tmp_path)))
    assert_same(model, source)


def swin(**options) -> nn.Module:
    small = {
        "img_size": 64,
        "window_size": 2,
        "embed_dim": 12,
        "depths": (1, 2, 1, 1),
        "num_heads": (1, 2, 2, 2),
    }
    return timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **small, **options)


def as_microsoft(model: nn.Module) -> State:
    """Swin's own repository: downsampling at the end of a stage, buffers, and the classifier called head."""
    state = renamed(model.state_dict(), (r"head\.fc\.", "head."))
    state = {
        re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name): tensor
        for name, tensor in state.items()
    }
    buffers = {
        "attn.relative_position_index": torch.zeros(4, 4, dtype=torch.long),
        "attn_mask": torch.zeros(4, 4, 4),
    }
    return state | {f"layers.1.blocks.1.{name}": tensor for name, tensor in buffers.items()}


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"module." + n: t for n, t in s.items()}]
)
def test_swin_of_its_own_repository(tmp_path: Path, wrap):
    source, model = swin(), swin()
    checkpoint = read_checkpoint(saved(wrap(as_microsoft(source)), tmp_path))
    weights = fit(checkpoint, model, "head.fc")
    assert (weights.has_head, weights.classes) == (True, 5)
    load_state(model, checkpoint)
    assert_same(model, source)


def test_swin_without_a_head(tmp_path: Path):
    source = swin()
    state = {name: tensor for name, tensor in as_microsoft(source).items() if not name.startswith("head.")}
    weights = fit(read_checkpoint(saved({"model": state}, tmp_path)), swin(), "head.fc")
    assert not weights.has_head
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in weights.tensors.items())


def test_windows_of_another_size_are_not_resized(tmp_path: Path):
    source = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, embed_dim=12, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 2), num_classes=5)  # fmt: skip  # noqa: E501
    with pytest.raises(ValueError, match="relative_position_bias_table"):
        load_state(swin(), read_checkpoint(saved(as_microsoft(source), tmp_path)))


def clip(**options) -> nn.Module:
    small = {"depth": 2, "embed_dim": 64, "num_heads": 2}
    return timm.create_model("vit_base_patch32_clip_224", **small, **options)


def as_openai(model: nn.Module) -> State:
    """CLIP's own names, with its text tower and projections, in half precision."""
    tower = renamed(
        {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")},
        (r"^patch_embed\.proj", "conv1"),
        (r"^norm_pre", "ln_pre"),
        (r"^norm\.", "ln_post."),
        (r"norm([12])", r"ln_\1"),
        (r"^blocks", "transformer.resblocks"),
        (r"attn\.qkv\.", "attn.in_proj_"),
        (r"attn\.proj", "attn.out_proj"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
    )
    tower["class_embedding"] = tower.pop("cls_token")[0, 0]
    tower["positional_embedding"] = tower.pop("pos_embed")[0]
    tower["proj"] = torch.ones(64, 32)
    text = {
        "logit_scale": torch.ones(()),
        "text_projection": torch.ones(16, 32),
        "ln_final.weight": torch.ones(16),
    }
    return {f"visual.{name}": tensor.half() for name, tensor in tower.items()} | text


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": {"module." + n: t for n, t in s.items()}}]
)
def test_image_tower_of_clip(tmp_path: Path, wrap):
    source = clip(num_classes=3).half()
    weights = fit(read_checkpoint(saved(wrap(as_openai(source)), tmp_path)), clip(num_classes=3), "head")
    assert not weights.has_head
    model = clip(num_classes=3)
    model.load_state_dict(weights.tensors, strict=False)
    rest = source.float().state_dict()
    assert all(torch.equal(t, rest[n]) for n, t in model.state_dict().items() if not n.startswith("head."))
    assert any("text_projection" in note for note in weights.notes)


def test_image_tower_of_another_size(tmp_path: Path):
    file = saved(as_openai(clip(img_size=96, num_classes=3)), tmp_path)
    with pytest.raises(ValueError, match=r"pos_embed \(10, 64\) instead of.*give --image-size 96,"):
        fit(read_checkpoint(file), clip(num_classes=3), "head")


def test_layer_scale_of_deit(tmp_path: Path):
    options = {"depth": 2, "embed_dim": 64, "num_heads": 2, "num_classes": 3}
    source, model = (timm.create_model("deit3_small_patch16_224", **options) for _ in range(2))
    state = renamed(source.state_dict(), (r"ls([12])\.gamma", r"gamma_\1"))
    load_state(model, read_checkpoint(saved({"model": state}, tmp_path)))
    assert_same(model, source)


def test_conversions_do_not_make_another_architecture_fit(tmp_path: Path):
    file = saved({"model": timm.create_model("test_convnext", num_classes=3).state_dict()}, tmp_path)
    with pytest.raises(ValueError, match="does not fit SwinTransformer"):
        load_state(swin(), read_checkpoint(file))


# Text


def folder_of(model, tokenizer, folder: Path, state: State | None = None) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if state is not None:
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin")
    return folder


def config(kind: str, **options):
    from transformers import AutoConfig

    common = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    common |= {"intermediate_size": 32, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return AutoConfig.for_model(kind, **{**common, "max_position_embeddings": 40, **options})


def assert_as_the_library(network: Network, auto, folder: Path) -> None:
    model = auto.from_pretrained(folder).eval()
    inputs = network.preprocess(SENTENCES)
    with torch.no_grad():
        logits = model(**inputs).logits
    expected = logits[:, -1] if logits.ndim == 3 else logits
    # Equal weights; sums may be rounded another way where memory is aligned another way.
    torch.testing.assert_close(network.logits(inputs), expected, rtol=1e-5, atol=1e-6)


def test_bert_with_gamma_and_beta(tmp_path: Path, tiny_tokenizer):
    from transformers import AutoModelForSequenceClassification as Classifier

    model = Classifier.from_config(config("bert", num_labels=3))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = renamed(
        model.state_dict(), (r"LayerNorm\.weight", "LayerNorm.gamma"), (r"LayerNorm\.bias", "LayerNorm.beta")
    )
    state["bert.embeddings.position_ids"] = torch.arange(40)[None]
    folder = folder_of(model, tiny_tokenizer, tmp_path / "bert", state)
    for network in (load(str(folder)), load("transformers:none", folder)):
        assert network.has_head
        assert_as_the_library(network, Classifier, folder)
    file = saved({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}, tmp_path)
    assert_as_the_library(load(str(folder), file), Classifier, folder)


def test_gpt2_as_published(tmp_path: Path, tiny_tokenizer):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config("gpt2", n_embd=16, n_layer=2, n_head=2, n_positions=40))
    state = {
        n.removeprefix("transformer."): t for n, t in model.state_dict().items() if n != "lm_head.weight"
    }
    state |= {f"h.{i}.attn.bias": torch.ones(1, 1, 40, 40).tril() for i in range(2)}
    folder = folder_of(model, tiny_tokenizer, tmp_path / "gpt2", state)
    network = load(f"causal:{folder}", folder)
    assert network.has_head
    assert_as_the_library(network, AutoModelForCausalLM, folder)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mixtral", {"num_key_value_heads": 2, "num_local_experts": 2, "num_experts_per_tok": 1}),
        ("gpt_neox", {}),
    ],
)
def test_weights_that_are_merged_or_renamed_at_loading(
    tmp_path: Path, tiny_tokenizer, kind: str, options: dict
):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config(kind, **options))
    folder = folder_of(model, tiny_tokenizer, tmp_path / kind)
    network = load(f"causal:{folder}", folder)
    assert network.has_head
    assert_as_the_library(network, AutoModelForCausalLM, folder)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "modernbert"])
@pytest.mark.parametrize("auto", ["AutoModel", "AutoModelForMaskedLM"])
def test_folders_without_a_classifier(tmp_path: Path, tiny_tokenizer, kind: str, auto: str):
    import transformers

    pretrained = getattr(transformers, auto).from_config(config(kind, embedding_size=16))
    folder = folder_of(pretrained, tiny_tokenizer, tmp_path / kind)
    for network in (
        load(str(folder), classes=["a", "b"]),
        load("transformers:none", folder, classes=["a", "b"]),
    ):
        assert (network.has_head, len(network.classes)) == (False, 2)
        assert any("holds no weights for" in note and "classifier" in note for note in network.notes)
        encoder = getattr(network.model, network.model.base_model_prefix).state_dict()
        source = getattr(pretrained, pretrained.base_model_prefix, pretrained).state_dict()
        assert all(torch.equal(tensor, source[name]) for name, tensor in encoder.items() if name in source)
        assert {name for name in encoder if name not in source} <= {
            "pooler.dense.weight",
            "pooler.dense.bias",
        }


def test_one_label(tmp_path: Path, tiny_tokenizer):
    from transformers import AutoModelForSequenceClassification as Classifier

    folder = folder_of(
        Classifier.from_config(config("roberta", num_labels=1)), tiny_tokenizer, tmp_path / "one"
    )
    network = load(str(folder), folder)
    assert (network.has_head, len(network.classes)) == (True, 1)
    assert_as_the_library(network, Classifier, folder)
