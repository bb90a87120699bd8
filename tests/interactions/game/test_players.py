"""Players: who owns what, and which elements a coalition keeps."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from skimage.measure import label as connected_regions
from skimage.transform import resize
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from harsanyi.interactions import BACKGROUND, Players, sentence_pieces


@pytest.fixture(scope="module")
def tokenizer():
    """A word-piece tokenizer in the manner of BERT, made here."""
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "?",
        "how",
        "far",
        "is",
        "it",
        "from",
        "den",
        "##ver",
    ]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, "to", "as", "##pen", "the"])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]", model_max_length=64
    )


def test_grid_cells_row_by_row():
    players = Players.grid(4, 6, 2, 3)
    assert players.n == 6
    assert players.owner.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_grid_that_does_not_divide():
    with pytest.raises(
        ValueError, match=r"3x3 grid does not divide an image of 28x28 pixels.* may have 2, 4, 7, 14 cells"
    ):
        Players.grid(28, 28, 3, 3)


def test_choose_keeps_k_cells_whole_and_in_order():
    grid = Players.grid(8, 8, 4, 4)
    chosen = grid.choose(5, seed=3)
    assert chosen.n == 5
    first_cells = [grid.owner[chosen.owner == player].unique() for player in range(5)]
    assert all(len(cells) == 1 for cells in first_cells)
    assert sorted(first_cells) == first_cells
    assert (chosen.owner == BACKGROUND).sum() == 64 - 5 * 4


def test_choose_is_seeded():
    grid = Players.grid(8, 8, 4, 4)
    assert torch.equal(grid.choose(6, seed=1).owner, grid.choose(6, seed=1).owner)
    assert any(
        not torch.equal(grid.choose(6, seed=1).owner, grid.choose(6, seed=s).owner) for s in range(2, 6)
    )


def test_choose_central():
    grid = Players.grid(6, 6, 6, 6)
    chosen = grid.choose(4, seed=0, central=(2, 2))
    assert set(grid.owner[chosen.owner != BACKGROUND].tolist()) == {14, 15, 20, 21}


@pytest.mark.parametrize(
    ("k", "central", "message"),
    [
        (0, None, "cannot choose 0 players from 16"),
        (17, None, "cannot choose 17 players from 16"),
        (5, (2, 2), "cannot choose 5 players from 4"),
        (2, (5, 2), "do not fit a grid of 4x4"),
    ],
)
def test_choose_refuses(k, central, message):
    with pytest.raises(ValueError, match=message):
        Players.grid(8, 8, 4, 4).choose(k, 0, central=central)


def test_central_needs_a_whole_grid():
    with pytest.raises(ValueError, match="cells of a whole grid"):
        Players.grid(8, 8, 4, 4).choose(8).choose(2, central=(2, 2))


def test_mask_of_captum_with_gaps_and_background():
    players = Players.from_mask(torch.tensor([[[[7, 7], [-1, 3]]]]))
    assert players.n == 2
    assert players.owner.tolist() == [[[1, 1], [-1, 0]]]


def test_mask_for_each_game():
    players = Players.from_mask(torch.tensor([[0, 1, -1], [1, 1, 0]]))
    assert players.per_game
    kept = players.keep(torch.tensor([1, 0]), torch.tensor([[True, False], [True, False]]), ndim=2)
    assert kept.tolist() == [[False, False, True], [True, False, True]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.tensor([0, 1]), "shape"),
        (torch.rand(1, 2, 2), "integer feature mask"),
        (torch.tensor([[0, -2]]), "−1 for background"),
        (torch.tensor([[-1, -1]]), "every element is background"),
        (torch.tensor([[0, 1], [0, 0]]), "map of game 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_masks_that_make_no_players(mask, message):
    with pytest.raises(ValueError, match=message):
        Players.from_mask(mask)


@pytest.mark.parametrize("per_game", [False, True])
def test_keep_is_the_literal_rule(per_game):
    """An element stays if it is background or its owner is in the coalition."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, 5) if per_game else (2, 5)
    owner = torch.randint(-1, 3, shape, generator=generator)
    owner[..., 0, :4] = torch.tensor([0, 1, 2, -1])
    players = Players(owner, 3, axis=-2, per_game=per_game)
    games = torch.tensor([0, 2, 1, 1])
    coalitions = torch.rand(4, 3, generator=generator) < 0.5
    kept = players.keep(games, coalitions, ndim=4)
    assert kept.shape == (4, 1, 2, 5)
    for b in range(4):
        one = owner[games[b]] if per_game else owner
        for i in range(2):
            for j in range(5):
                who = one[i, j].item()
                assert kept[b, 0, i, j].item() == (who == BACKGROUND or coalitions[b, who].item())


@pytest.mark.parametrize("k", [2, 7, 12])
def test_superpixels_are_k_connected_regions(k):
    image = (resize(astronaut(), (64, 64)) * 255).astype(np.uint8)
    players = Players.superpixels(image, k)
    assert players.n == k
    for player in range(k):
        assert connected_regions(players.owner.numpy() == player, connectivity=2).max() == 1


def test_superpixels_of_several_images():
    images = [np.random.default_rng(seed).random((16, 16)) for seed in range(3)]
    players = Players.superpixels(images, 4)
    assert players.per_game
    assert players.owner.shape == (3, 16, 16)


def test_superpixels_of_a_pil_image_and_of_channels_first():
    image = (np.random.default_rng(0).random((16, 20, 3)) * 255).astype(np.uint8)
    assert torch.equal(
        Players.superpixels(Image.fromarray(image), 4).owner, Players.superpixels(image, 4).owner
    )
    with pytest.raises(ValueError, match=r"channels first needs .permute\(1, 2, 0\)"):
        Players.superpixels(torch.zeros(2, 3, 16, 20), 4)


def test_superpixels_of_too_small_an_image():
    with pytest.raises(ValueError, match=r"expected 1 to 16 superpixels .* got 30"):
        Players.superpixels(np.zeros((4, 4)), 30)


def test_words_take_all_their_pieces(tokenizer):
    text = "How far is it from Denver to Aspen ?".lower()
    players = Players.words(tokenizer, text)
    ids = tokenizer(text)["input_ids"]
    assert players.names == (("how", "far", "is", "it", "from", "denver", "to", "aspen"),)
    assert len(players.owner) == len(ids)
    pieces = tokenizer.convert_ids_to_tokens(ids)
    assert [pieces[i] for i in (players.owner == 5).nonzero()[:, 0]] == ["den", "##ver"]
    assert [p for p, o in zip(pieces, players.owner, strict=True) if o == BACKGROUND] == [
        "[CLS]",
        "?",
        "[SEP]",
    ]


def test_words_chosen_and_stopped(tokenizer):
    players = Players.words(tokenizer, "how far is it to denver", choose=3, stop_words={"How", "is", "it"})
    assert players.names == (("far", "to", "denver"),)


def test_words_of_several_texts_are_padded(tokenizer):
    texts = ["how far is it", "how far is it from denver to aspen ?"]
    players = Players.words(tokenizer, texts, choose=4, seed=0)
    assert players.owner.shape == tuple(
        tokenizer(texts, padding=True, return_tensors="pt")["input_ids"].shape
    )
    assert players.names[0] == ("how", "far", "is", "it")
    assert (players.owner[0, 6:] == BACKGROUND).all()


@pytest.mark.parametrize("padding", [True, "max_length"])
def test_the_options_of_the_network_s_inputs_are_taken(padding, tokenizer):
    texts = ["how far is it", "how far is it from denver to aspen ?"]
    options = {"padding": padding, "truncation": True, "max_length": 24, "return_tensors": "pt"}
    for make in (Players.words, Players.tokens):
        players = make(tokenizer, texts, choose=4, seed=0, **options)
        assert players.owner.shape == tuple(tokenizer(texts, **options)["input_ids"].shape)
        by_word = make == Players.words
        pieces = sentence_pieces(tokenizer, texts[1], players.owner[1], by_word=by_word, **options)
        owned = [piece for piece, owner in pieces if owner != BACKGROUND]
        assert owned == list(players.names[1])


def test_fewer_words_than_players(tokenizer):
    with pytest.raises(ValueError, match=r"'far \?' has 1 .* expected 2"):
        Players.words(tokenizer, "far ?", choose=2)


def test_texts_of_different_length_need_a_choice(tokenizer):
    with pytest.raises(ValueError, match="fewer words than players"):
        Players.words(tokenizer, ["how far", "far"])


def test_all_words_of_texts_of_different_length(tokenizer):
    texts = ["how far is it", "far to denver ?"]
    players = Players.words(tokenizer, texts, at_least=2, stop_words=["to"])
    assert (players.n, players.uneven, players.counts.tolist()) == (4, True, [4, 2])
    assert players.names == (("how", "far", "is", "it"), ("far", "denver"))
    assert players.owner.tolist() == [[-1, 0, 1, 2, 3, -1, -1], [-1, 0, -1, 1, 1, -1, -1]]
    coalitions = torch.tensor([[True, False, False, False], [True, False, True, True]])
    kept = players.keep(torch.tensor([1, 1]), coalitions, 2)
    assert torch.equal(kept[0], kept[1])  # players 2 and 3 of the second text own nothing
    some = players.only(torch.tensor([[1, 3], [0, 1]]))
    assert (some.uneven, some.names) == (False, (("far", "it"), ("far", "denver")))
    with pytest.raises(ValueError, match=r"expected players that own something; games have \[4, 2\]"):
        players.only(torch.tensor([[1, 2], [1, 2]]))
    with pytest.raises(ValueError, match=r"'far to denver \?' has 2 .* expected 3"):
        Players.words(tokenizer, texts, at_least=3, stop_words=["to"])
    with pytest.raises(ValueError, match="got both"):
        Players.words(tokenizer, texts, at_least=3, choose=3)
    assert Players.tokens(tokenizer, texts, at_least=1).counts.tolist() == [4, 5]
    assert not Players.words(tokenizer, texts[0], at_least=1).uneven


def test_null_players_are_the_last_and_are_meant():
    owner = torch.tensor([[0, 1, -1], [0, -1, -1]])
    with pytest.raises(ValueError, match="the map of game 1 has"):
        Players(owner, 2, axis=0, per_game=True)
    assert Players(owner, 2, axis=0, per_game=True, uneven=True).counts.tolist() == [2, 1]
    for wrong in ([1, -1, -1], [-1, -1, -1]):
        with pytest.raises(ValueError, match="the map of game 1 has"):
            Players(torch.tensor([[0, 1, -1], wrong]), 2, axis=0, per_game=True, uneven=True)


def test_tokens_are_pieces(tokenizer):
    players = Players.tokens(tokenizer, "denver ?")
    assert players.names == (("den", "ver", "?"),)
    assert players.owner.tolist() == [-1, 0, 1, 2, -1]


@pytest.mark.parametrize("side", ["right", "left"])
def test_pieces_of_a_sentence_with_their_players(tokenizer, side, monkeypatch):
    """In reading order, wherever the padding stands."""
    monkeypatch.setattr(tokenizer, "padding_side", side)
    texts = ["how far is it from denver to aspen ?", "is denver far ?"]
    words = Players.words(tokenizer, texts, choose=2, stop_words={"far"})
    assert sentence_pieces(tokenizer, texts[1], words.owner[1]) == [
        ("is", 0),
        ("denver", 1),
        ("far", -1),
        ("?", -1),
    ]
    tokens = Players.tokens(tokenizer, texts, choose=5)
    pieces = sentence_pieces(tokenizer, texts[1], tokens.owner[1], by_word=False)
    assert pieces == [("is", 0), ("den", 1), ("ver", 2), ("far", 3), ("?", 4)]


def test_slow_tokenizers_are_refused():
    with pytest.raises(ValueError, match="fast transformers tokenizer"):
        Players.words(object(), "a b")
    with pytest.raises(ValueError, match="fast transformers tokenizer, .* got object"):
        sentence_pieces(object(), "a b", torch.tensor([0, 1]))


def test_stack():
    one, two = Players.grid(4, 4, 2, 2).choose(2, 0), Players.grid(4, 4, 2, 2).choose(2, 1)
    both = Players.stack([one, two])
    assert both.per_game
    assert torch.equal(both.owner[1], two.owner)
    with pytest.raises(ValueError, match="equal number"):
        Players.stack([one, Players.grid(4, 4, 2, 2)])
