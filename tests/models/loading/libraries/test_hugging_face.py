"""Classifiers of pictures and text, and causal language models, in folders of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from harsanyi.models import load, save_checkpoint
from harsanyi.models.loading.libraries.hugging_face import is_causal

NAMES = {0: "cat", 1: "dog", 2: "owl"}
SMALL = {"height": 32, "width": 32}
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
}
NETWORKS = {
    "vit": ("ViT", TRANSFORMER, ("ViT", {"size": SMALL})),
    "deit": ("DeiT", TRANSFORMER, ("DeiT", {"size": {"height": 40, "width": 40}, "crop_size": SMALL})),
    "beit": (
        "Beit",
        TRANSFORMER | {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
        ("Beit", {"size": SMALL, "crop_size": SMALL}),
    ),
    "convnext": (
        "ConvNext",
        {"hidden_sizes": [8] * 4, "depths": [1] * 4},
        ("ConvNext", {"size": {"shortest_edge": 32}}),
    ),
    "swin": (
        "Swin",
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "image_size": 32, "window_size": 4},
        ("ViT", {"size": SMALL}),
    ),
    "resnet": (
        "ResNet",
        {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]},
        ("ConvNext", {"size": {"shortest_edge": 32}}),
    ),
    "dinov2": (
        "Dinov2",
        {k: v for k, v in TRANSFORMER.items() if k != "intermediate_size"},
        ("Bit", {"size": {"shortest_edge": 36}, "crop_size": SMALL}),
    ),
}


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def odd_pictures() -> list[Image.Image]:
    generator = np.random.default_rng(5)
    sizes = ((33, 47), (101, 61), (32, 301))
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def picture_folder(folder: Path, name: str):
    kind, options, (processor, sizes) = NETWORKS[name]
    config = getattr(transformers, f"{kind}Config")(
        id2label=NAMES, label2id={v: k for k, v in NAMES.items()}, **options
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
    model.save_pretrained(folder)
    getattr(transformers, f"{processor}ImageProcessor")(**sizes).save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_image_classifiers(tmp_path: Path, name: str, odd_pictures):
    model = picture_folder(tmp_path, name)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    x = processor(images=odd_pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model(x).logits
    for where, checkpoint in ((str(tmp_path), None), (f"transformers:{tmp_path}", tmp_path)):
        network = load(where, checkpoint)
        ours = network.preprocess(odd_pictures)
        torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)  # the rounding of a division
        torch.testing.assert_close(network.logits(ours), expected, rtol=1e-4, atol=1e-5)
        assert (network.kind, network.classes, network.has_head) == ("image", ("cat", "dog", "owl"), True)
        features, head = network.features(ours), network.model.get_submodule(network.head)
        torch.testing.assert_close(head(features).detach(), network.logits(ours), rtol=1e-4, atol=1e-5)
        assert any("from preprocessor_config.json" in note for note in network.notes)


def test_what_we_save_of_an_image_classifier_is_prepared_alike(tmp_path: Path, odd_pictures):
    picture_folder(tmp_path / "hub", "convnext")
    network = load(str(tmp_path / "hub"), preprocessing={"mean": 0.25})
    file = save_checkpoint(tmp_path / "a.safetensors", network.model, preprocessing=network.preprocessing)
    again = load(str(tmp_path / "hub"), file)
    assert torch.equal(again.preprocess(odd_pictures), network.preprocess(odd_pictures))
    assert "the image processor from the checkpoint" in " ".join(again.notes)


def test_the_processor_of_the_name_and_of_a_run(tmp_path: Path, odd_pictures):
    """A checkpoint without one takes that of the run's folder, else that of the network's name."""
    picture_folder(tmp_path / "hub", "resnet")
    run = tmp_path / "run"
    step = run / "checkpoint-7"
    picture_folder(step, "resnet")
    (step / "preprocessor_config.json").unlink()
    named = load(f"transformers:{tmp_path / 'hub'}", step)
    assert named.preprocess.size == (32, 32)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 48})
    processor.save_pretrained(run)
    beside = load(f"transformers:{tmp_path / 'hub'}", step)
    assert beside.preprocess.size == (48, 48)


def test_without_a_processor_the_usual_settings_are_named(tmp_path: Path):
    picture_folder(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    network = load(str(tmp_path))
    assert network.preprocess.size == (32, 32)
    assert "from the usual settings of ImageNet, since nothing says otherwise" in network.notes[-1]


def test_a_teacher_has_two_heads(tmp_path: Path, odd_pictures):
    config = transformers.DeiTConfig(num_labels=3, **TRANSFORMER)
    model = transformers.DeiTForImageClassificationWithTeacher(config).eval()
    model.save_pretrained(tmp_path)
    network = load(str(tmp_path))
    x = network.preprocess(odd_pictures)
    torch.testing.assert_close(network.logits(x), model(x).logits.detach())
    assert (network.head, len(network.classes)) == (None, 3)
    with pytest.raises(ValueError, match="several heads .cls_classifier, distillation_classifier"):
        network.features(x)


def test_an_old_processor_names_no_kind(tmp_path: Path, odd_pictures):
    picture_folder(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": {"height": 32, "width": 32}, "image_mean": [0, 0, 0]}'
    )
    network = load(str(tmp_path))
    expected = transformers.ViTImageProcessor(size=SMALL, image_mean=[0, 0, 0])(
        images=odd_pictures, return_tensors="pt"
    )
    torch.testing.assert_close(network.preprocess(odd_pictures), expected["pixel_values"], rtol=0, atol=1e-6)


# Causal models

GPT = {
    "vocab_size": 30,
    "n_positions": 40,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def test_causal_models_are_known_by_their_config(tmp_path: Path, save_tokenizer):
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    plain, named = load(str(tmp_path)), load(f"causal:{tmp_path}")
    inputs = named.preprocess(["the film is", "a lot of fun"])
    assert (plain.head, len(plain.classes)) == ("lm_head", 30)
    assert torch.equal(plain.logits(inputs), named.logits(inputs))
    assert plain.causal
    assert named.causal
    classifier = load(f"transformers:{tmp_path}", classes=["bad", "good"])
    assert (classifier.head, classifier.has_head, classifier.causal) == ("score", False, False)


def test_masked_models_are_backbones(tmp_path: Path, save_tokenizer):
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    network = load(str(tmp_path), classes=["bad", "good"])
    assert (network.head, network.has_head, network.classes) == ("classifier", False, ("bad", "good"))


@pytest.mark.parametrize(
    ("kind", "causal"),
    [
        ("LlamaForCausalLM", True),
        ("GPT2LMHeadModel", True),
        ("BertForMaskedLM", False),
        ("XLMWithLMHeadModel", False),
        ("GPT2ForSequenceClassification", False),
        (None, False),
    ],
)
def test_which_classes_are_causal(kind: str | None, causal: bool):
    assert is_causal([kind] if kind else []) is causal


def test_a_number_as_the_answer(tmp_path: Path, save_tokenizer):
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    for where, checkpoint in ((str(tmp_path), None), (f"transformers:{tmp_path}", tmp_path)):
        network = load(where, checkpoint)
        assert network.classes == ("0",)
        assert network.logits(network.preprocess(["the film", "a lot of fun"])).shape == (2, 1)
