"""Networks by name: built, loaded, preprocessed and given other heads."""

from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torch import nn

from harsanyi.models import ImagePreprocess, Network, TextPreprocess, load, save_checkpoint

TIMM = "timm:test_resnet"  # timm's own half-million-weight network for tests


def head_applied(network: Network, features: torch.Tensor) -> torch.Tensor:
    head = network.model.get_submodule(network.head)
    return features @ head.weight.detach().T + (0 if head.bias is None else head.bias.detach())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("small:cnn", 10),
        ("small:resnet20", 10),
        (TIMM, 1000),
        ("timm:test_vit", 1000),
        ("torchvision:mobilenet_v2", 1000),
    ],
)
def test_logits_are_the_head_of_the_features(name: str, classes: int, pictures):
    network = load(name, "random", image_size=None if name != "torchvision:mobilenet_v2" else 64)
    inputs = network.preprocess(pictures)
    logits = network.logits(inputs)
    assert logits.shape == (6, classes) == (6, len(network.classes))
    assert not network.model.training
    assert network.tokenizer is None
    torch.testing.assert_close(head_applied(network, network.features(inputs)), logits, rtol=1e-4, atol=1e-5)
    assert not any(module._forward_pre_hooks for module in network.model.modules())


def test_hook_is_removed_when_the_model_fails():
    network = load("small:cnn", "random")
    with pytest.raises(RuntimeError):
        network.features(torch.zeros(1, 5, 28, 28))
    assert not any(module._forward_pre_hooks for module in network.model.modules())


def test_random_follows_the_seed_and_spares_the_global_state():
    state = torch.get_rng_state()
    first, again, other = (load("small:cnn", "random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.model.linear.weight, again.model.linear.weight)
    assert not torch.equal(first.model.linear.weight, other.model.linear.weight)


@pytest.mark.parametrize("name", [TIMM, "small:resnet20"])
def test_before_and_after_load_under_one_name(tmp_path: Path, name: str, pictures):
    """A checkpoint's head decides how many classes there are."""
    before = load(name, "random")
    after = before.with_new_head([f"kind {i}" for i in range(20)], seed=3)
    file = save_checkpoint(tmp_path / "a.safetensors", after.model, classes=after.classes)
    torch.save({f"module.{n}": t for n, t in before.model.state_dict().items()}, tmp_path / "a.pt")
    for network, path in ((after, file), (before, tmp_path / "a.pt")):
        loaded = load(name, path)
        inputs = loaded.preprocess(pictures)
        assert loaded.classes == network.classes
        assert torch.equal(loaded.logits(inputs), network.logits(inputs))


def test_imagenet_names_are_short_and_differ():
    classes = load(TIMM, "random").classes
    assert classes[:3] == ("tench", "goldfish", "great white shark")
    assert len(set(classes)) == 1000
    assert sum(name.startswith("crane") for name in classes) == 2


def test_classes_given_known_and_numbered(tmp_path: Path):
    file = save_checkpoint(tmp_path / "a.safetensors", load("small:cnn", "random", classes=["a", "b"]).model)
    assert load("small:cnn", file).classes == ("0", "1")
    assert load("small:cnn", file, classes=["x", "y"]).classes == ("x", "y")
    with pytest.raises(ValueError, match="answers 2 classes, but 3 names were given"):
        load("small:cnn", file, classes=["x", "y", "z"])


def test_published_weights_need_a_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="published weights of timm:test_resnet could not be fetched"):
        load(TIMM)
    with pytest.raises(FileNotFoundError, match="AutoConfig cannot load no-such-model"):
        load("transformers:no-such-model")
    with pytest.raises(ValueError, match="has no published weights"):
        load("small:cnn")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", "expected timm:NAME, torchvision:NAME"),
        ("timm:", "expected timm:NAME"),
        ("keras:resnet50", "expected timm:NAME"),
        ("timm:resnet5O", r"near: .*resnet50"),
        ("timm:test_resnet.nope", r"timm has no weights nope of test_resnet: there are .*r160_in1k"),
        ("torchvision:vgg61", r"near: .*vgg16"),
        ("small:mlp", "there are small:cnn, small:resnet8"),
        ("package:gpt", "there are package:efficientnet-lite0"),
    ],
)
def test_names_that_do_not_work(name: str, message: str):
    with pytest.raises(ValueError, match=message):
        load(name, "random")


def test_resnet20_of_the_cifar_experiments(shared: Path, pictures):
    network = load("small:resnet20", shared / "weights" / "resnet20-cifar10.th")
    probabilities = network.logits(network.preprocess(pictures)).softmax(dim=1)
    assert probabilities.shape == (6, 10)
    assert (
        probabilities.max(dim=1).values.mean() > 0.4
    )  # a trained network is sure of something, even on noise


# Preprocessing


@pytest.mark.parametrize(
    ("size", "crop", "mode", "interpolation"),
    [(64, 0.875, "center", "bicubic"), (32, 1.0, "center", "bilinear"), (48, 0.95, "squash", "bicubic")],
)
def test_images_are_prepared_as_timm_does(pictures, size, crop, mode, interpolation):
    ours = ImagePreprocess((size, size), crop=crop, crop_mode=mode, interpolation=interpolation)
    theirs = create_transform((3, size, size), interpolation=interpolation, crop_pct=crop, crop_mode=mode)
    torch.testing.assert_close(ours(pictures), torch.stack([theirs(p) for p in pictures]), rtol=0, atol=1e-6)


def test_display_undoes_the_normalisation(pictures):
    preprocess = ImagePreprocess((40, 56), crop=1.0)
    assert np.array_equal(
        preprocess.display(preprocess(pictures)), np.stack([np.asarray(p) for p in pictures])
    )
    grey = ImagePreprocess((8, 8), (0.3,), (0.4,), channels=1, crop=1.0)
    picture = Image.new("L", (8, 8), 77)
    assert (grey.display(grey([picture])) == 77).all()
    assert grey.display(grey([picture])).shape == (1, 8, 8, 3)


def test_settings_come_from_the_checkpoint_and_image_size_overrides(tmp_path: Path):
    network = load(TIMM, "random", image_size=(96, 64))
    assert network.preprocess.size == (96, 64)
    preprocessing = {**network.preprocessing, "mean": [0.5], "std": [0.25], "size": [32, 32]}
    file = save_checkpoint(tmp_path / "a.safetensors", network.model, preprocessing=preprocessing)
    loaded = load(TIMM, file).preprocess
    assert (loaded.size, loaded.mean, loaded.std) == ((32, 32), (0.5,) * 3, (0.25,) * 3)
    assert load(TIMM, file, image_size=48).preprocess.size == (48, 48)


def test_grey_checkpoint_of_timm(tmp_path: Path, pictures):
    model = timm.create_model("test_resnet", in_chans=1, num_classes=3)
    preprocessing = {"channels": 1, "mean": [0.3], "std": [0.4]}
    file = save_checkpoint(tmp_path / "a.safetensors", model, preprocessing=preprocessing)
    network = load(TIMM, file)
    assert network.logits(network.preprocess(pictures)).shape == (6, 3)


@pytest.mark.parametrize(
    "wrong", [{"channels": 2}, {"mean": (0.5,)}, {"crop": 0.0}, {"std": (1.0, 0.0, 1.0)}]
)
def test_image_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=r"expected|pictures have"):
        ImagePreprocess(**wrong)


def test_images_that_are_none():
    with pytest.raises(ValueError, match="at least one picture"):
        ImagePreprocess()([])
    with pytest.raises(ValueError, match="expected PIL images, but got str"):
        ImagePreprocess()(["cat.png"])


# Text


def test_trainer_folder_by_itself_and_as_checkpoint(tiny_bert):
    folder, model = tiny_bert
    for network in (load(str(folder)), load(f"transformers:{folder}"), load("transformers:no-such", folder)):
        inputs = network.preprocess(["the cat sat", "good dog"])
        assert isinstance(inputs, dict)
        assert inputs["input_ids"].shape == (2, 5)
        assert (network.kind, network.head, network.classes) == (
            "text",
            "classifier",
            ("bad", "good", "mixed"),
        )
        with torch.no_grad():
            expected = model(**inputs).logits
        torch.testing.assert_close(network.logits(inputs), expected)
        torch.testing.assert_close(head_applied(network, network.features(inputs)), expected)
        assert network.tokenizer is network.preprocess.tokenizer


def test_classifier_keeps_its_head_and_bare_encoder_gets_one(tiny_bert, tiny_tokenizer, tmp_path: Path):
    folder, model = tiny_bert
    with pytest.raises(ValueError, match="answers 3 classes, but 2 names were given"):
        load(str(folder), classes=["a", "b"])
    model.bert.save_pretrained(tmp_path / "bare")
    tiny_tokenizer.save_pretrained(tmp_path / "bare")
    first, again = (load(str(tmp_path / "bare"), classes=list("abcd"), seed=4) for _ in range(2))
    assert first.classes == ("a", "b", "c", "d")
    assert torch.equal(first.model.classifier.weight, again.model.classifier.weight)
    assert torch.equal(first.model.bert.pooler.dense.weight, model.bert.pooler.dense.weight)


def test_published_encoders_say_that_their_head_is_new(tiny_bert, monkeypatch: pytest.MonkeyPatch):
    folder, model = tiny_bert
    for kind, has_head in (("BertForSequenceClassification", True), ("BertForMaskedLM", False)):
        model.config.architectures = [kind]
        monkeypatch.setattr("harsanyi.models.loading.naming.local_folder", lambda _: None)
        monkeypatch.setattr(
            "transformers.AutoModelForSequenceClassification.from_pretrained", lambda *_, **__: model
        )
        network = load(str(folder))
        assert network.has_head is has_head
        assert has_head or "BertForMaskedLM" in network.notes[0]


def test_text_with_another_number_of_classes(tiny_bert, tmp_path: Path):
    folder, _ = tiny_bert
    network = load(str(folder)).with_new_head(["a", "b"])
    assert network.model.config.num_labels == 2
    file = save_checkpoint(tmp_path / "a.safetensors", network.model, classes=network.classes)
    loaded = load(str(folder), file)
    inputs = loaded.preprocess(["the cat"])
    assert loaded.classes == ("a", "b")
    assert torch.equal(loaded.logits(inputs), network.logits(inputs))


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (["good", " "], "sentence 1 is ' '"),
        ([], "one sentence or more"),
        ("good", "one sentence or more"),
        ([3], "some text"),
    ],
)
def test_sentences_that_are_none(tiny_tokenizer, sentences, message):
    with pytest.raises(ValueError, match=message):
        TextPreprocess(tiny_tokenizer)(sentences)


def test_long_sentences_are_cut(tiny_tokenizer):
    assert TextPreprocess(tiny_tokenizer, 4)(["the cat sat good bad"])["input_ids"].shape == (1, 4)


def test_causal_model_answers_the_next_token(tmp_path: Path, tiny_tokenizer):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=16, n_positions=32, n_embd=8, n_layer=1, n_head=2, bos_token_id=2, eos_token_id=3
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    tiny_tokenizer.save_pretrained(tmp_path / "gpt")
    network = load(f"causal:{tmp_path / 'gpt'}")
    assert network.classes[5:7] == ("cat", "dog")
    assert len(network.classes) == 16
    inputs = network.preprocess(["the cat sat", "the cat sat good dog"])
    assert inputs["attention_mask"][0].tolist() == [0, 0, 1, 1, 1, 1, 1]
    alone = network.preprocess(["the cat sat good dog"])
    torch.testing.assert_close(network.logits(inputs)[1:], network.logits(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head_applied(network, network.features(inputs)), network.logits(inputs))
    again = load(f"causal:{tmp_path / 'gpt'}", tmp_path / "gpt")  # the tied head is not in the file
    torch.testing.assert_close(again.logits(inputs), network.logits(inputs))


# Heads


def test_with_head_leaves_the_original_alone():
    network = load("small:cnn", "random")
    before = network.model.linear.weight.clone()
    weight, bias = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)), torch.arange(3.0)
    other = network.with_head(weight, bias, ["a", "b", "c"])
    inputs = torch.linspace(-1, 1, 2 * 784).view(2, 1, 28, 28)
    torch.testing.assert_close(other.logits(inputs), network.features(inputs) @ weight.T + bias)
    assert torch.equal(network.model.linear.weight, before)
    assert len(network.classes) == 10
    shared = {p.data_ptr() for p in network.model.parameters()} & {
        p.data_ptr() for p in other.model.parameters()
    }
    assert not shared


def test_new_heads_follow_the_seed():
    network = load("small:cnn", "random")
    first, again, other = (network.with_new_head(["a", "b"], seed).model.linear.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_heads_of_the_wrong_shape():
    network = load("small:cnn", "random")
    with pytest.raises(ValueError, match=r"expected weight \(2, 64\) and bias \(2,\)"):
        network.with_head(torch.zeros(2, 63), torch.zeros(2), ["a", "b"])


def test_head_applied_to_every_position_has_no_features():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(x).mean(dim=1)

    network = Network(Pooled(), ImagePreprocess(), ("a", "b"), "pooled", "image", "head")
    with pytest.raises(ValueError, match="must be applied once"):
        network.features(torch.linspace(-1, 1, 30).square().view(2, 5, 3))  # no position is the mean
