"""The bundled images: what was drawn is what is there."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from harsanyi.data import fashion_mnist, fashion_mnist_path, load
from tests.data.draw_fashion_mnist import COARSE, FILES, read_idx

PER_CLASS = {"train": 320, "test": 80}
WHOLE = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module", params=["train", "test"])
def split(request):
    return request.param


def test_counts_sizes_and_levels(split):
    inputs = fashion_mnist(split)
    assert len(inputs) == 10 * PER_CLASS[split]
    assert np.bincount(inputs.labels["fine"]).tolist() == [PER_CLASS[split]] * 10
    assert all(image.size == (28, 28) and image.mode == "L" for image in inputs.items)
    assert inputs.orders == {"fine": "declared", "coarse": "declared"}
    coarser = inputs.relabel("fine", COARSE, "again")
    assert [coarser.classes["again"][k] for k in coarser.labels["again"]] == [
        inputs.classes["coarse"][k] for k in inputs.labels["coarse"]
    ]


def test_under_two_megabytes_with_its_licence():
    folder = fashion_mnist_path("train").parent
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1.9e6
    assert "2017 Zalando SE" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_no_image_twice():
    pixels = [image.tobytes() for split in ("train", "test") for image in fashion_mnist(split).items]
    assert len(set(pixels)) == len(pixels) == 4000


def test_every_image_is_in_the_whole_data_set_with_its_label(split):
    if not WHOLE.exists():
        pytest.skip(f"the whole data set (Debian: dataset-fashion-mnist) is not at {WHOLE}")
    images = read_idx(WHOLE / f"{FILES[split]}-images-idx3-ubyte.gz", header=16).reshape(-1, 784)
    labels = read_idx(WHOLE / f"{FILES[split]}-labels-idx1-ubyte.gz", header=8)
    whole = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    inputs = fashion_mnist(split)
    assert [whole[image.tobytes()] for image in inputs.items] == inputs.labels["fine"].tolist()


def test_read_alike_by_the_datasets_library(tmp_path):
    theirs = Dataset.from_parquet(str(fashion_mnist_path("test")), cache_dir=str(tmp_path))
    ours = load(fashion_mnist_path("test"))
    assert theirs[17]["image"].tobytes() == ours.items[17].tobytes()
    assert list(theirs["coarse"]) == ours.labels["coarse"].tolist()


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="'train' and 'test', not 'val'"):
        fashion_mnist("val")
