"""`explain`: a network and inputs of any kind, choices that are stated, refusals that show the way."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import harsanyi as hs
from harsanyi import models
from harsanyi.data import Inputs
from harsanyi.interactions import And, MaskedModel, Players, extract
from tests.text_networks import MASKED_WORDS, save_bert, tokenizer

TRANSFORM = transforms.Compose([transforms.Resize((12, 12)), transforms.ToTensor()])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 10, 3))


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 16, 3), np.uint8))


def test_a_tensor_is_explained_as_by_hand(net):
    x = torch.rand(2, 3, 12, 12)
    explained = hs.explain(net, x, method=And(), classes=["cat", "dog", "cow"])
    predicted = net(x).argmax(1)
    players = Players.grid(12, 12, 3, 3)
    by_hand = extract(MaskedModel(net, x, players, labels=predicted, baseline="input_mean"), And())
    assert torch.equal(explained.interactions.v, by_hand.v)
    about = explained.interactions.about
    assert about.labels == tuple(("cat", "dog", "cow")[k] for k in predicted)
    assert about.players == by_hand.about.players
    assert (explained.table(top=4).columns == explained.interactions.table(top=4).columns).all()


def test_the_grid_covers_pictures_of_every_size():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 2))
    players = hs.explain(net, torch.rand(1, 1, 11, 7), method=And()).game.players
    sizes = players.owner.unique(return_counts=True)[1]
    assert players.n == 9
    assert sizes.sum() == 77
    assert sizes.min() >= 3 * 2


def test_pictures_need_their_preprocessing(net):
    one = hs.explain(net, picture(0), preprocess=TRANSFORM, method=And())
    several = hs.explain(net, [picture(0), picture(1)], preprocess=TRANSFORM, method=And())
    assert several.interactions.games == 2
    torch.testing.assert_close(one.interactions.v[0], several.interactions.v[0], rtol=0, atol=1e-5)  # float32
    with pytest.raises(ValueError, match="PIL images need preprocess="):
        hs.explain(net, picture(0))


def test_pictures_are_called_as_their_files(net, tmp_path):
    picture(0).save(tmp_path / "photo.png")
    opened = Image.open(tmp_path / "photo.png")
    explained = hs.explain(net, opened, preprocess=TRANSFORM, method=And())
    assert explained.interactions.about.inputs == ("photo.png",)
    without = hs.explain(net, [opened, picture(0)], preprocess=TRANSFORM, method=And())
    assert without.interactions.about.inputs == ()


def test_a_loaded_network_knows_how_its_inputs_are_prepared():
    network = models.load("small:cnn", "random", classes=["cat", "dog"])
    inputs = Inputs([picture(0), picture(1)], "image", ("a.png", "b.png"))
    explained = hs.explain(network, inputs, method=And())
    prepared = network.preprocess(inputs.items)
    assert explained.interactions.about.inputs == ("a.png", "b.png")
    assert explained.interactions.about.network == "small:cnn"
    assert explained.game.labels.tolist() == network.logits(prepared).argmax(1).tolist()
    assert explained.interactions.about.classes == ("cat", "dog")


def test_sentences(tmp_path):
    words = tokenizer(tmp_path, MASKED_WORDS)
    bert = save_bert(tmp_path, words, words=MASKED_WORDS, spread=0.5)
    texts = ["the cat sat good", "the bad dog ran the bad cat"]
    explained = hs.explain(bert, texts, tokenizer=words, method=And())
    about = explained.interactions.about
    assert about.players[0] == ("the", "cat", "sat", "good", "–", "–", "–")
    assert about.players[1] == tuple(texts[1].split())
    assert about.inputs == tuple(texts)
    assert (explained.game.baseline == words.mask_token_id).all()
    ids = words(texts, padding=True, return_tensors="pt")
    assert explained.game.labels.tolist() == bert(**ids).logits.argmax(1).tolist()
    drawn = [text.get_text() for text in explained.plot(1, top=1).axes[0].texts]
    assert texts[1].split() == drawn[-7:]
    long = hs.explain(bert, "the cat sat good " * 4, tokenizer=words, method=And())
    assert long.interactions.n == 10


def test_a_sentence_without_a_tokenizer(net):
    with pytest.raises(ValueError, match="sentences need tokenizer="):
        hs.explain(net, "the cat")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (torch.rand(3, 12, 12), r"shape (3, 12, 12). A single picture needs a batch axis"),
        (torch.zeros(2, 5, dtype=torch.int64), "got a tensor of int64"),
        (torch.rand(2, 5), "for tables, token ids and other elements say their players"),
        ({"a": 1}, "got dict"),
        ([], "got none"),
        ([1, 2], "got int. Inputs of other kinds: MaskedModel(model, inputs, Players(…)"),
        (torch.rand(1, 3, 2, 2), "no 3x3 cells: say players="),
    ],
)
def test_inputs_of_other_kinds_are_shown_the_way(net, inputs, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        hs.explain(net, inputs)


def test_outputs_that_are_no_classes():
    x = torch.rand(2, 3, 6, 6)
    number = nn.Sequential(nn.Flatten(), nn.Linear(108, 1))
    with pytest.raises(ValueError, match='one number for each input.*score="output"'):
        hs.explain(number, x)
    assert hs.explain(number, x, score="output").interactions.about.unit == "output"
    assert hs.explain(number, x, labels=[1, 1]).interactions.about.unit == "log-odds, nats"
    with pytest.raises(ValueError, match=r"got shape \(2, 5, 6, 6\): for those of a language model"):
        hs.explain(nn.Conv2d(3, 5, 1), x)
    with pytest.raises(ValueError, match=r"got str; harsanyi.models.load\(name\) loads one"):
        hs.explain("timm:resnet18", x)


class Logarithm(nn.Module):
    """NaN for inputs below 0."""

    def forward(self, pictures):
        return pictures.flatten(1)[:, :2].log()


def test_nan_is_no_prediction():
    pictures = torch.ones(2, 3, 6, 6) * torch.tensor([1.0, -1.0])[:, None, None, None]
    with pytest.raises(ValueError, match="gives NaN for input 1, and no class can be predicted"):
        hs.explain(Logarithm(), pictures)


def test_a_notebook_gets_the_drawing(net):
    explained = hs.explain(net, torch.rand(1, 3, 12, 12), method=And(), classes=["<i>a</i>", "b", "c"])
    page = explained._repr_html_()
    assert "data:image/png;base64,iVBOR" in page
    assert "<i>" not in page
    assert repr(explained).startswith("<Explanation: 1 game of 9 players; ")
    assert len(explained.plot(top=3).axes) == 4
    with pytest.raises(IndexError):
        explained.plot(1)
