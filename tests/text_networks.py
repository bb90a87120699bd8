"""A tiny BERT with its tokenizer, in a folder as transformers' Trainer writes it."""

from pathlib import Path

from harsanyi import models  # noqa: F401  torchvision's operators, before transformers imports it

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "ran", "good", "bad"]
MASKED_WORDS = [*WORDS, "[MASK]"]
CLASSES = ("bad", "good", "mixed")


def tokenizer(folder: Path, words=WORDS):
    """A tokenizer of these words; its vocabulary is written into the folder."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "vocab.txt"
    file.write_text("\n".join(words), encoding="utf-8")
    # transformers 4 reads a file of words where transformers 5 takes the words themselves.
    if int(transformers.__version__.split(".")[0]) < 5:
        return transformers.BertTokenizerFast(vocab_file=str(file))
    return transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})


def save_bert(folder: Path, tokenizer, *, classes=CLASSES, seed=0, words=WORDS, spread=0.02):
    """Write a network of one layer with random weights of this spread, and its tokenizer; returns it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=spread,
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
