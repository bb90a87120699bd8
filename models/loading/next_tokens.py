"""The next token of a causal model by the word that people write for it."""

from collections.abc import Sequence
from typing import Any

from harsanyi.models.loading.checkpoints import first_few

# What tokenizers write for the space in front of a word: byte-level ones, and SentencePiece's.
SPACE_MARKS = ("Ġ", "▁")
# Stands in front of the word, so that every tokenizer sees it as it continues a text.
TEXT = "a"


def next_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """The number of the token that each word is where it goes on a text.

    A word that begins with a letter or digit follows a space: "Paris" is the token "ĠParis" or "▁Paris". What
    begins otherwise (".", "<|im_end|>") stands right after the text, unless it is written with its space. A
    word in the vocabulary's own spelling, with its mark of the space, is that token.

    Args:
        tokenizer: of the transformers library.
        words: as people write them, with or without the space in front.

    Raises:
        ValueError: names the words that are not a single known token, with their pieces.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> made = Tokenizer(models.WordLevel({"?": 0, "Paris": 1, "Rome": 2}, unk_token="?"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> next_tokens(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="?"), ["Rome", " Paris"])
    [2, 1]
    """
    found = {word: _pieces(tokenizer, word) for word in words}
    known = {word: pieces for word, pieces in found.items() if len(pieces) == 1}
    known = {word: pieces for word, pieces in known.items() if pieces[0] != tokenizer.unk_token_id}
    if wrong := [word for word in found if word not in known]:
        said = [f"{word!r} ({_spelled(tokenizer, found[word])})" for word in wrong]
        raise ValueError(
            f"expected one known token for each next word, but got several or none for {first_few(said)}: "
            "leave these rows out, or name the first token alone, as the vocabulary spells it"
        )
    return [known[word][0] for word in words]


def _pieces(tokenizer: Any, word: str) -> list[int]:
    """The tokens of a word behind a text; none where it runs into the text's own token."""
    if word.startswith(SPACE_MARKS) and word in (vocabulary := tokenizer.get_vocab()):
        return [vocabulary[word]]
    gap = " " if word[:1].isspace() or word[:1].isalnum() else ""
    before, after = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (TEXT, TEXT + gap + word.strip())
    )
    return list(after[len(before) :]) if after[: len(before)] == before else []


def _spelled(tokenizer: Any, pieces: Sequence[int]) -> str:
    return ", ".join(map(str, tokenizer.convert_ids_to_tokens(list(pieces)))) or "none"
