"""The units of a text, words or tokens: the tokens of each, and its characters.

Words are those of the text and not of a tokenizer: `words_of` finds them among the characters, and `units_of`
gives each token the word that its characters lie in.
"""

from collections.abc import Collection, Mapping
from typing import Any

import regex
from torch import Tensor

# A pictograph that stands for itself, with all that joins it: flags, skin tones, families, keycaps.
EMOJI = (
    r"\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|[0-9#*]\uFE0F?\u20E3"
    r"|(?=[\u2600-\u27BF])\p{Extended_Pictographic}"
)
# Letters of scripts that put no space between words: Chinese, Japanese, Yi; Thai, Lao, Khmer, Burmese, ….
UNSPACED = (
    r"(?=[\p{L}\p{N}])[\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{Script=Yiii}\p{Line_Break=SA}]"
)
LETTER = r"[\p{L}\p{N}]"
# By characters as readers see them (\X): an emoji, a letter of an unspaced script, a run from its first
# letter or digit to its last, or a punctuation mark.
WORD = regex.compile(
    rf"(?={EMOJI}|{UNSPACED})\X"
    rf"|(?={LETTER})\X(?:(?:(?!\s|{EMOJI}|{UNSPACED})\X)*(?!{EMOJI}|{UNSPACED})(?={LETTER})\X)?"
    r"|(?!\s)\X"
)
MEANS_SOMETHING = regex.compile(rf"{LETTER}|{EMOJI}")


def with_offsets(options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Options of a tokenizer, for offsets beside what the network is given.

    Args:
        options: the same as for the network's inputs.
        defaults: in place of what is not among them.
    """
    asked = {"return_offsets_mapping": True, "return_tensors": None}
    return {"truncation": True, **defaults, **options, **asked}


def sentence_pieces(
    tokenizer: Any, text: str, owner: Tensor, *, by_word: bool = True, **options: Any
) -> list[tuple[str, int]]:
    """The words (or tokens) of a text, and who owns them.

    Args:
        tokenizer, options: as for the players.
        text: one sentence.
        owner: the owner map `(tokens,)` of this text, from `Players.words` or, with `by_word=False`,
            `.tokens`.
        by_word: whether pieces are words; else tokens.

    Returns:
        The pieces in reading order, each with the player that owns it, or −1 for the background.
    """
    require_offsets(tokenizer)
    encoded = tokenizer(text, **with_offsets(options))
    units, pieces = units_of(text, encoded.word_ids(), encoded["offset_mapping"], by_word)
    # This encoding has no padding; that of the owner map may have it on either side.
    start = len(owner) - len(units) if getattr(tokenizer, "padding_side", "right") == "left" else 0
    return [(piece, int(owner[start + units.index(unit)])) for unit, piece in sorted(pieces.items())]


def words_of(text: str) -> list[tuple[int, int]]:
    """The words of a text and its punctuation marks, as spans of characters in reading order.

    A word runs from a letter or digit to the last one before white space: apostrophes, hyphens and dots
    inside are its own, punctuation at its ends is not. Emoji are words of their own. So is every character
    of scripts without spaces, such as Chinese, Japanese and Thai.

    >>> text = "It's well-known: 3.5% of 東京 👍🏽!"
    >>> [text[start:end] for start, end in words_of(text)]
    ["It's", 'well-known', ':', '3.5', '%', 'of', '東', '京', '👍🏽', '!']
    """
    return [word.span() for word in WORD.finditer(text)]


def is_word(piece: str, stop_words: Collection[str] = ()) -> bool:
    """Whether a piece of text holds a word that is no stop word; punctuation is none.

    Args:
        piece: of a text, mostly a single word.
        stop_words: as `comparable` gives them.

    >>> [is_word(piece, {"it's"}) for piece in ("far", "It’s", "...")]
    [True, False, False]
    """
    words = (piece[start:end] for start, end in words_of(piece))
    return any(comparable([word]).isdisjoint(stop_words) for word in words if MEANS_SOMETHING.search(word))


def comparable(words: Collection[str]) -> set[str]:
    """Words in lower case and with straight apostrophes, in which stop words are compared."""
    return {word.lower().replace("’", "'") for word in words}


def units_of(
    text: str, word_ids: list[int | None], offsets: Any, by_word: bool
) -> tuple[list[int | None], dict[int, str]]:
    """The unit of each token position, its word or the token itself, and the texts of the units.

    All tokens whose characters lie in one word are of one unit. A token with characters of several words
    joins them to one unit, since it cannot be masked for one of them alone.

    Args:
        text: one sentence.
        word_ids: None for special tokens and padding, from the tokenizer.
        offsets: start and end of each token, in characters.
        by_word: whether units are words; else tokens.

    Returns:
        The number of the unit for each token, ascending in the text; None for special tokens, padding and,
        with words, tokens of white space alone. And the text of each unit by its number.

    >>> units_of("It's so", [None, 0, 1, 2, 3], [(0, 0), (0, 2), (2, 3), (3, 4), (4, 7)], True)
    ([None, 0, 0, 0, 1], {0: "It's", 1: 'so'})
    """
    spans = [None if word is None else tuple(span) for word, span in zip(word_ids, offsets, strict=True)]
    if not by_word:
        tokens = [None if span is None else i for i, span in enumerate(spans)]
        return tokens, {i: text[slice(*span)].strip() for i, span in enumerate(spans) if span is not None}
    words = words_of(text)
    word_at: list[int | None] = [None] * len(text)
    for number, (start, end) in enumerate(words):
        word_at[start:end] = [number] * (end - start)
    reached = [
        [] if span is None else [word for word in word_at[slice(*span)] if word is not None] for span in spans
    ]
    first = _joined(len(words), reached)
    units = [first[numbers[0]] if numbers else None for numbers in reached]
    last = {unit: number for number, unit in enumerate(first)}
    return units, {unit: text[words[unit][0] : words[last[unit]][1]] for unit in units if unit is not None}


def require_offsets(tokenizer: Any) -> None:
    """Refuse tokenizers that do not know the characters of their tokens, with a ValueError."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            "expected a fast transformers tokenizer, which knows the characters of each token; got "
            f"{type(tokenizer).__name__}"
        )


def require_units(text: str, pieces: dict[int, str], k: int) -> None:
    """Refuse a text with fewer candidate units than players, with a ValueError.

    Args:
        text: one sentence.
        pieces: the texts of the units that can be players.
        k: players.
    """
    if len(pieces) < k:
        raise ValueError(
            f"fewer words than players: {text!r} has {len(pieces)} that can be players, expected {k}; "
            "choose fewer players or drop this sentence"
        )


def _joined(count: int, reached: list[list[int]]) -> list[int]:
    """For each of `count` words the first of those that tokens join it with; itself where none does."""
    first = list(range(count))
    # A token's words follow each other, so that joining each to the one before it is enough.
    joins = {n for numbers in reached if numbers for n in range(numbers[0] + 1, numbers[-1] + 1)}
    for number in sorted(joins):
        first[number] = first[number - 1]
    return first
