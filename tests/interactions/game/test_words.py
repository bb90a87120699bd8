"""Words are those of the text, whatever the tokenizer."""

import functools
import unicodedata

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harsanyi.analyses.study.inputs import count_words
from harsanyi.interactions import BACKGROUND, Players, sentence_pieces
from harsanyi.interactions.game.words import LETTER, comparable, is_word, units_of, words_of

SENTENCES = [
    "It's a well-known film: 3.5 stars, isn't it?",
    "Mail a.b+c@d-e.org (U.S. or U.K.), don't wait...",
    "東京へ行きました。ラーメンを食べる! 中国人 한국어 문장",
    "ภาษาไทย works, café and cafe\u0301 too; नमस्ते दुनिया",
    "Good\u00a0👍🏽 bad👎 👨‍👩‍👧‍👦 🇩🇪🇫🇷 1️⃣ I❤️NY ☂",
    "  'the' the, _ -- the/the cat-dog \t don’t\nRock'n'Roll $5,000.00!!",
    "x\u200by ﬁne ½ tasse … “quoted” (nested [brackets])",
]
EVERYTHING = "\n".join(SENTENCES)


def byte_level(vocabulary, add_prefix_space):
    """As GPT-2 and RoBERTa: pieces of bytes, so that one character may have several."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=not add_prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["[PAD]"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def bytes_without_words():
    """Bytes merged freely, also of two characters, as in models whose text is split at spaces alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["[PAD]"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def word_piece():
    """As BERT: lower case, accents stripped, punctuation apart, specials around."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        SENTENCES[:1], trainers.WordPieceTrainer(vocab_size=60, special_tokens=specials, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, tokenizer.token_to_id(name)) for name in specials[2:]]
    )
    return tokenizer


def unigram():
    """As T5 and XLM-R: pieces with their spaces, characters normalised, unknown ones taken together."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["[PAD]", "[UNK]"], unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES[:4], trainer)
    return tokenizer


def byte_fallback():
    """As Llama 2: known pieces, and the bytes of characters that are unknown."""
    letters = "▁abcdefghijklmnopqrstuvwxyz"
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {f"<0x{i:02X}>": i + 2 for i in range(256)}
    vocabulary |= {letter: i + 258 for i, letter in enumerate(letters)} | {"th": 300, "the": 301, "▁the": 302}
    merges = [("t", "h"), ("th", "e"), ("▁", "the")]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="[UNK]", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def characters():
    """Every character a token."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {c: i + 2 for i, c in enumerate(sorted(set(EVERYTHING)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return tokenizer


def spaces():
    """Whatever stands between two spaces a token, its punctuation included."""
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


TOKENIZERS = {
    "byte-level": functools.partial(byte_level, 300, False),
    "byte-level, large, spaces in offsets": functools.partial(byte_level, 900, True),
    "bytes across characters": bytes_without_words,
    "WordPiece": word_piece,
    "Unigram": unigram,
    "byte fallback": byte_fallback,
    "characters": characters,
    "spaces": spaces,
}


@functools.cache
def tokenizer_of(name, side="right"):
    return PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[name](), pad_token="[PAD]", padding_side=side, model_max_length=512
    )


def literal_words(text):
    """The words as the documentation says, character after character; for text of single code points."""
    words, run = [], ""
    for character in [*text, " "]:
        if not character.isspace():
            run += character
            continue
        while run and not run[0].isalnum():
            words, run = [*words, run[0]], run[1:]
        inner = run.rstrip("".join(c for c in run if not c.isalnum()))
        words += [inner] * bool(inner) + list(run[len(inner) :])
        run = ""
    return words


def texts_of(text):
    return [text[start:end] for start, end in words_of(text)]


@given(st.text(alphabet="abZ09ßé'’-–.,@_/()\"!? \t\n"))
def test_words_are_runs_without_the_punctuation_at_their_ends(text):
    assert texts_of(text) == literal_words(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's isn't well-known", ["It's", "isn't", "well-known"]),
        ("3.5, 1,000.50 and U.S. law", ["3.5", ",", "1,000.50", "and", "U.S", ".", "law"]),
        ("to a.b+c@d-e.org!", ["to", "a.b+c@d-e.org", "!"]),
        ("東京へ2020年。", ["東", "京", "へ", "2020", "年", "。"]),
        ("Tシャツー x", ["T", "シ", "ャ", "ツ", "ー", "x"]),
        ("กำ แม่", ["กำ", "แ", "ม่"]),
        ("한국어 문장.", ["한국어", "문장", "."]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        ("so👍🏽👨‍👩‍👧‍👦🇩🇪🇫🇷!", ["so", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "🇫🇷", "!"]),
        ("I❤️NY ❤ 1️⃣", ["I", "❤️", "NY", "❤", "1️⃣"]),
        ("Brand™ ©2020", ["Brand", "™", "©", "2020"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert texts_of(text) == words


def test_letters_are_what_python_calls_alphanumeric():
    import regex

    known = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cs", "Cn")]
    assert not [c for c in known if c.isalnum() and not regex.match(LETTER, c)]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", SENTENCES)
def test_tokens_of_one_word_are_of_one_player(name, text):
    """Each character's token against each character's word, in loops over characters."""
    encoded = tokenizer_of(name)(text, return_offsets_mapping=True)
    units, pieces = units_of(text, encoded.word_ids(), encoded["offset_mapping"], True)
    tokens_of = {}
    for unit, (start, end) in zip(units, encoded["offset_mapping"], strict=True):
        for place in range(start, end):
            tokens_of.setdefault(place, set()).add(unit)
    for start, end in words_of(text):
        units_of_word = {unit for place in range(start, end) for unit in tokens_of.get(place, ())}
        assert len(units_of_word - {None}) <= 1, text[start:end]
        for unit in units_of_word - {None}:
            assert text[start:end] in pieces[unit]


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "spaces"])
def test_words_with_punctuation_inside_are_single_players(name):
    text = "It's well-known, isn't it: 3.5 or a.b@c.org?"
    players = Players.words(tokenizer_of(name), text)
    assert players.names == (("It's", "well-known", "isn't", "it", "3.5", "or", "a.b@c.org"),)


def test_a_token_of_several_words_joins_them():
    """A tokenizer that splits at spaces alone has a token for the word and its comma."""
    players = Players.words(tokenizer_of("spaces"), "It's good, (don't) the, 中国", stop_words=["The"])
    assert players.names == (("It's", "good,", "(don't)", "中国"),)
    assert players.owner.tolist() == [0, 1, 2, BACKGROUND, 3]


def test_every_character_of_chinese_is_a_word_where_the_tokenizer_tells_them_apart():
    for name in ("characters", "byte fallback", "WordPiece"):
        players = Players.words(tokenizer_of(name), "東京へ go")
        assert players.names == (("東", "京", "へ", "go"),)
    # Several unknown characters are one token of Unigram.
    assert Players.words(tokenizer_of("Unigram"), "鬱鬱 go").names == (("鬱鬱", "go"),)


@pytest.mark.parametrize("name", ["byte-level", "byte fallback", "characters"])
def test_an_emoji_is_one_player_with_all_its_tokens(name):
    text = "good 👨‍👩‍👧‍👦 film"
    players = Players.words(tokenizer_of(name), text)
    assert players.names == (("good", "👨‍👩‍👧‍👦", "film"),)
    assert (players.owner == 1).sum() >= 7  # four people and three joiners


def test_stop_words_are_whole_and_have_either_apostrophe():
    tokenizer = tokenizer_of("byte-level")
    players = Players.words(tokenizer, "Don’t don't don the U.S. do", stop_words=["don't", "THE", "u.s"])
    assert players.names == (("don", "do"),)
    assert comparable(["It’s"]) == {"it's"}
    assert not is_word("_--", ())


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_pieces_agree_with_players_on_either_side_of_padding(name, side):
    tokenizer = tokenizer_of(name, side)
    players = Players.words(tokenizer, SENTENCES, at_least=1)
    for text, owner, names in zip(SENTENCES, players.owner, players.names, strict=True):
        pieces = sentence_pieces(tokenizer, text, owner)
        owned = {player: piece for piece, player in pieces if player != BACKGROUND}
        assert [owned[i] for i in range(len(names))] == list(names)
        assert not any(is_word(piece) for piece, player in pieces if player == BACKGROUND)


def test_truncated_words_keep_the_tokens_that_are_left():
    tokenizer = tokenizer_of("characters")
    players = Players.words(tokenizer, "It's gone", max_length=7)
    assert players.names == (("It's", "gone"),)
    assert players.owner.tolist() == [0, 0, 0, 0, BACKGROUND, 1, 1]
    assert sentence_pieces(tokenizer, "It's gone", players.owner, max_length=7) == [("It's", 0), ("gone", 1)]


def test_white_space_is_background():
    tokenizer = tokenizer_of("characters")
    players = Players.words(tokenizer, " a  b ")
    assert players.owner.tolist() == [BACKGROUND, 0, BACKGROUND, BACKGROUND, 1, BACKGROUND]
    encoded = tokenizer(" a", return_offsets_mapping=True)
    assert units_of(" a", encoded.word_ids(), encoded["offset_mapping"], True) == ([None, 0], {0: "a"})


LATIN = ["It's", "the", "The,", "'the'", "don’t", "3.5", "U.S.", "-", "...", "_", "(a)(b)", "“q”", "/"]
SCRIPTS = ["中国人", "ラーメン。", "แม่", "한국어", "👍🏽", "a👨\u200d👩\u200d👧b", "❤️", "cafe\u0301", "½"]
CONTROLS = ["x\u200by", " ", "\t", "\n", "\u00a0", "\u0085"]
ODD = st.lists(st.sampled_from([*LATIN, *SCRIPTS, *CONTROLS]), min_size=1, max_size=8)


@given(ODD, st.booleans(), st.sampled_from([(), ("the",), ("don't", "It's", "a", "3.5")]))
@example(["the", "\u0085", "the"], False, ())
@example(["แม่", "\t", "แม่"], False, ())
def test_counted_words_are_never_more_than_the_players(parts, spaced, stop_words):
    text = (" " if spaced else "").join(parts)
    least = count_words(text, stop_words)
    for name in TOKENIZERS:
        if least:
            assert Players.words(tokenizer_of(name), text, stop_words=stop_words).n >= least


def test_maps_are_torchs():
    assert Players.words(tokenizer_of("characters"), "a b").owner.dtype == torch.int64
