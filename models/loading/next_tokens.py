"""The token number of a next word, for causal models."""

from collections.abc import Sequence
from typing import Any

from harsanyi.shown import first_few

# The marks of tokenizers for the space before a word: byte-level ones, and SentencePiece's.
SPACE_MARKS = ("Ġ", "▁")
# Stands before the word, so that every tokenizer reads the word as the continuation of a text.
PROMPT = "a"


def next_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """The number of the token of each word, where the word continues a text.

    A word that begins with a letter or digit follows a space: "Paris" is the token "ĠParis" or "▁Paris".
    Other words (".", "<|im_end|>") stand right after the text, unless they are written with a space. A word
    in the vocabulary's own spelling, with its mark of the space, is that token.

    Args:
        tokenizer: of the transformers library.
        words: as people write them, with or without the space before.

    Returns:
        a number for each word.

    Raises:
        ValueError: a word is not a single known token; the message shows its pieces.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> made = Tokenizer(models.WordLevel({"?": 0, "Paris": 1, "Rome": 2}, unk_token="?"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> next_tokens(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="?"), ["Rome", " Paris"])
    [2, 1]
    """
    pieces_of = {word: _pieces(tokenizer, word) for word in words}
    unknown = tokenizer.unk_token_id
    wrong = [word for word, pieces in pieces_of.items() if len(pieces) != 1 or pieces[0] == unknown]
    if wrong:
        spelled = [f"{word!r} ({_spell(tokenizer, pieces_of[word])})" for word in wrong]
        raise ValueError(
            f"expected one known token for each next word, but got several or none for {first_few(spelled)}: "
            "leave these rows out, or name the first token alone, as the vocabulary spells it"
        )
    return [pieces_of[word][0] for word in words]


def _pieces(tokenizer: Any, word: str) -> list[int]:
    """The tokens of a word after the prompt; none where the word joins the prompt's token."""
    if word.startswith(SPACE_MARKS) and word in (vocabulary := tokenizer.get_vocab()):
        return [vocabulary[word]]
    gap = " " if word[:1].isspace() or word[:1].isalnum() else ""
    before, after = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (PROMPT, PROMPT + gap + word.strip())
    )
    return list(after[len(before) :]) if after[: len(before)] == before else []


def _spell(tokenizer: Any, pieces: Sequence[int]) -> str:
    return ", ".join(map(str, tokenizer.convert_ids_to_tokens(list(pieces)))) or "none"
