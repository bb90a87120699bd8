"""What several tests of the models need: pictures, and a tiny BERT with its tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import text_networks
from tests.places import SHARED


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = SHARED
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
    return text_networks.tokenizer(tmp_path / "vocabulary")


@pytest.fixture
def tiny_bert(tmp_path: Path, tiny_tokenizer):
    """A folder as the Trainer writes it, checkpoint-500, and the model in it."""
    folder = tmp_path / "checkpoint-500"
    model = text_networks.save_bert(folder, tiny_tokenizer)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 500, "epoch": 2.0}))
    return folder, model
