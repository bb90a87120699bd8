"""A tokenizer of few words for small networks of transformers."""

from pathlib import Path
from typing import Any

import pytest

WORDS = [
    "the",
    "film",
    "is",
    "not",
    "good",
    "bad",
    "very",
    "but",
    "i",
    "liked",
    "it",
    "a",
    "lot",
    "of",
    "fun",
    "at",
    "times",
    "dull",
]


@pytest.fixture
def save_tokenizer():
    """Writes a tokenizer that puts <s> before and </s> after a sentence, with a padding token or without."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    def save(folder: Path, *, pad: str | None = "<pad>", **options: Any) -> Any:
        special = ["<s>", pad or "<none>", "</s>", "<unk>"]
        numbers = {word: number for number, word in enumerate([*special, *WORDS])}
        tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        ends = [("<s>", 0), ("</s>", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        names |= {} if pad is None else {"pad_token": pad}
        whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **options)
        whole.save_pretrained(folder)
        return whole

    return save
