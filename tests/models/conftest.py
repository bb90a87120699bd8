"""What several tests of the models need: pictures, and a tiny BERT with its tokenizer in a folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models  # noqa: F401  torchvision's operators, before transformers imports it

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "ran", "good", "bad"]


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}")
    return folder


@pytest.fixture
def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)) for _ in range(6)]


@pytest.fixture
def dark_and_light() -> tuple[list[Image.Image], list[int]]:
    """Grey 28 × 28 noise around 80 (label 0) and around 170 (label 1), 20 of each."""
    generator = np.random.default_rng(1)
    labels = [i % 2 for i in range(40)]
    noise = generator.normal(0, 20, (40, 28, 28)) + np.where(np.array(labels) == 1, 170, 80)[:, None, None]
    return [Image.fromarray(image) for image in noise.clip(0, 255).astype(np.uint8)], labels


@pytest.fixture
def tiny_tokenizer(tmp_path: Path):
    from transformers import BertTokenizerFast

    (tmp_path / "vocabulary").mkdir()
    file = tmp_path / "vocabulary" / "vocab.txt"
    file.write_text("\n".join(WORDS), encoding="utf-8")
    # transformers 4 reads a file of words where transformers 5 takes the words themselves.
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        return BertTokenizerFast(vocab_file=str(file))
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)})


@pytest.fixture
def tiny_bert(tmp_path: Path, tiny_tokenizer):
    """A folder as the Trainer writes it, checkpoint-500, and the model in it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label={0: "bad", 1: "good", 2: "mixed"},
        label2id={"bad": 0, "good": 1, "mixed": 2},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config).eval()
    folder = tmp_path / "checkpoint-500"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 500, "epoch": 2.0}))
    return folder, model
