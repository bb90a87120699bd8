"""Sentences of three classes in saved data sets, and a tokenizer of their words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The order of the data set's ClassLabel; sorted, every class would have another number.
DECLARED = ("warm", "cold", "mild")
WORDS = {
    "warm": ("sun", "heat", "summer"),
    "cold": ("ice", "snow", "winter"),
    "mild": ("spring", "breeze", "autumn"),
}
FILLERS = ("the", "day", "was", "with", "some", "and", "then", "much")
LENGTH = 7


@dataclass(frozen=True)
class Sentences:
    """Folders `train` and `test` of `save_to_disk`, test.csv, and `tokenizer`.

    Attributes:
        folder: of all of them.
    """

    folder: Path

    @property
    def test(self) -> Path:
        """Held-out sentences, with the names of the classes in their order."""
        return self.folder / "test"

    @property
    def table(self) -> Path:
        """The same sentences with names of classes alone."""
        return self.folder / "test.csv"

    def split(self, name: str):
        """A split as `datasets` reads it."""
        import datasets

        return datasets.load_from_disk(str(self.folder / name))

    def tokenizer(self):
        """The tokenizer, as transformers reads it."""
        import transformers

        return transformers.AutoTokenizer.from_pretrained(self.folder / "tokenizer")


def write_sentences(folder: Path) -> Sentences:
    """Write 150 sentences to train on and 45 to test on; in each, some words speak for another class."""
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=DECLARED)}
    )
    draws = np.random.default_rng(0)
    for split, count in (("train", 150), ("test", 45)):
        labels = [i % 3 for i in range(count)]
        rows = {"text": [_sentence(label, draws) for label in labels], "label": labels}
        data = datasets.Dataset.from_dict(rows, features=features)
        data.save_to_disk(str(folder / split))
        lines = [f"{text},{DECLARED[label]}" for text, label in zip(rows["text"], labels, strict=True)]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    _write_tokenizer(folder / "tokenizer")
    return Sentences(folder)


def _sentence(label: int, draws: np.random.Generator) -> str:
    """Fillers with two words of classes, each mostly of the label."""
    words = list(draws.choice(FILLERS, LENGTH))
    for place in draws.choice(LENGTH, 2, replace=False):
        speaking = label if draws.random() < 0.75 else int(draws.integers(3))
        words[place] = str(draws.choice(WORDS[DECLARED[speaking]]))
    return " ".join(map(str, words))


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words, made by `tokenizers`."""
    import tokenizers
    import transformers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *FILLERS, *(word for group in WORDS.values() for word in group)]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, **dict(zip(names, special, strict=True))
    ).save_pretrained(folder)
