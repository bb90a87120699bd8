"""Draws the bundled part of Fashion-MNIST from the whole data set (Debian: dataset-fashion-mnist).

    python tests/data/draw_fashion_mnist.py [FOLDER OF IDX.GZ FILES]

writes data/fashion_mnist_subset/{train,test}.parquet, the same bytes each time with the same libraries.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features
from datasets import Image as ImageFeature
from PIL import Image

from tests.places import ROOT

SEED = 20171
PER_CLASS = {"train": 320, "test": 80}
FILES = {"train": "train", "test": "t10k"}
COARSE = {
    "T-shirt/top": "top",
    "Trouser": "trouser-dress",
    "Pullover": "top",
    "Dress": "trouser-dress",
    "Coat": "top",
    "Sandal": "shoe",
    "Shirt": "top",
    "Sneaker": "shoe",
    "Bag": "bag",
    "Ankle boot": "shoe",
}
FINE_NAMES = list(COARSE)
COARSE_NAMES = ["top", "trouser-dress", "shoe", "bag"]
FEATURES = Features(
    {
        "image": ImageFeature(),
        "fine": ClassLabel(names=FINE_NAMES),
        "coarse": ClassLabel(names=COARSE_NAMES),
    }
)


def read_idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def png(pixels: np.ndarray) -> bytes:
    # Stored, not deflated: zstd over the whole column does better than deflate image by image.
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def draw(labels: np.ndarray, images: np.ndarray, per_class: int, seen: set[bytes]) -> list[int]:
    """Rows of `per_class` images of each class, in random order, none of them equal to one drawn before."""
    rng = np.random.default_rng(SEED)
    left = dict.fromkeys(range(len(FINE_NAMES)), per_class)
    rows = []
    for row in rng.permutation(len(labels)).tolist():
        label, content = int(labels[row]), images[row].tobytes()
        if left[label] and content not in seen:
            left[label] -= 1
            seen.add(content)
            rows.append(row)
    assert not any(left.values()), left
    return rows


def main(source: Path, target: Path) -> None:
    seen: set[bytes] = set()
    for split, prefix in FILES.items():
        images = read_idx(source / f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
        labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz", header=8)
        rows = draw(labels, images, PER_CLASS[split], seen)
        fine = [FINE_NAMES[labels[row]] for row in rows]
        table = pa.table(
            {
                "image": [{"bytes": png(images[row]), "path": None} for row in rows],
                "fine": [FINE_NAMES.index(name) for name in fine],
                "coarse": [COARSE_NAMES.index(COARSE[name]) for name in fine],
            },
            schema=FEATURES.arrow_schema,
        )
        file = target / f"{split}.parquet"
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=22,
            use_dictionary=["fine", "coarse"],
            data_page_size=1 << 24,
        )
        print(f"{file}: {len(rows)} images, {file.stat().st_size} bytes")


if __name__ == "__main__":
    here = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/usr/share/datasets/fashion-mnist")
    main(here, ROOT / "data" / "fashion_mnist_subset")
