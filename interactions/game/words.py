"""The units of a text, words or tokens: the tokens of each, and its characters."""

from typing import Any

from torch import Tensor


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
    encoded = tokenizer(text, truncation=True, return_offsets_mapping=True, **options)
    units = units_of(text, encoded.word_ids(), encoded["offset_mapping"], by_word)
    pieces = spans_of(text, units, encoded["offset_mapping"])
    # This encoding has no padding; that of the owner map may have it on either side.
    start = len(owner) - len(units) if getattr(tokenizer, "padding_side", "right") == "left" else 0
    return [(piece, int(owner[start + units.index(unit)])) for unit, piece in sorted(pieces.items())]


def units_of(text: str, word_ids: list[int | None], offsets: Any, by_word: bool) -> list[int | None]:
    """The unit of each token position: its word or the token itself.

    Args:
        text: one sentence.
        word_ids: the tokenizer's word of each token.
        offsets: start and end of each token, in characters.
        by_word: whether units are words; else tokens.

    Returns:
        The number of the unit for each token; None for special tokens and padding.
    """
    if not by_word:
        return [None if word is None else i for i, word in enumerate(word_ids)]
    if len({word for word in word_ids if word is not None}) > 1:
        return word_ids
    # Tokenizers by SentencePiece may give a whole text one word id. Then words are split at spaces.
    return [
        None if word is None else max(0, len(text[:end].split()) - 1)
        for word, (_, end) in zip(word_ids, offsets, strict=True)
    ]


def spans_of(text: str, units: list[int | None], offsets: Any) -> dict[int, str]:
    """The text of each unit, a word or a token, from its first character to its last.

    Args:
        text: one sentence.
        units: the unit of each token, as `units_of` gives them.
        offsets: start and end of each token, in characters.

    Returns:
        Texts by the number of the unit.
    """
    spans: dict[int, tuple[int, int]] = {}
    for unit, (start, end) in zip(units, offsets, strict=True):
        if unit is not None:
            low, high = spans.get(unit, (start, end))
            spans[unit] = (min(low, start), max(high, end))
    return {unit: text[low:high].strip() for unit, (low, high) in spans.items()}


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
