"""CIFAR-100 with two levels above its own, in two parts that share no image. Nothing is downloaded.

    python docs/studies/fine_to_coarse/data.py ../shared/data/cifar100-subset

reads train.parquet and test.parquet there, with the columns img, fine_label and coarse_label. It writes
runs/fine_to_coarse/data/pretrain.parquet (the first four fifths of every fine class in train.parquet),
target.parquet (the rest of them) and test.parquet (20 of every class in test.parquet there).
Levels: fine (100 classes), coarse (20), kind (5), living (2).
"""

import sys
from pathlib import Path

import pandas as pd

OUT = Path("runs/fine_to_coarse/data")
PRETRAIN_SHARE = 0.8
TESTED = 20  # of every fine class: a test after every epoch costs less than the training
# Kind of thing → CIFAR-100's coarse classes. The first three are alive.
KINDS = {
    "mammals": [
        *("aquatic_mammals", "large_carnivores", "large_omnivores_and_herbivores", "medium_mammals"),
        *("people", "small_mammals"),
    ],
    "other animals": ["fish", "insects", "non-insect_invertebrates", "reptiles"],
    "plants": ["flowers", "fruit_and_vegetables", "trees"],
    "indoors": ["food_containers", "household_electrical_devices", "household_furniture"],
    "outdoors": [
        *("large_man-made_outdoor_things", "large_natural_outdoor_scenes", "vehicles_1", "vehicles_2"),
    ],
}
LIVING = list(KINDS)[:3]


def levels(path: Path) -> pd.DataFrame:
    """The images of a table as files (image), and their names at four levels."""
    from datasets import load_dataset  # here, since this import takes seconds

    rows = load_dataset("parquet", data_files=str(path), split="train").cast_column("img", image_files())
    names = {level: rows.features[f"{level}_label"].names for level in ("fine", "coarse")}
    table = pd.DataFrame({"image": [image["bytes"] for image in rows["img"]]})
    for level, of_level in names.items():
        table[level] = [of_level[number] for number in rows[f"{level}_label"]]
    kinds = {coarse: kind for kind, classes in KINDS.items() for coarse in classes}
    table["kind"] = table.coarse.map(kinds)
    assert table.kind.notna().all()
    table["living"] = table.kind.isin(LIVING).map({True: "living", False: "not living"})
    return table


def image_files() -> object:
    """The feature of a column of images that leaves them as they are stored."""
    from datasets import Image

    return Image(decode=False)


def main(folder: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    train, test = (levels(folder / f"{split}.parquet") for split in ("train", "test"))
    place = train.groupby("fine").cumcount()
    first = place < PRETRAIN_SHARE * train.groupby("fine").fine.transform("size")
    test = test[test.groupby("fine").cumcount() < TESTED]
    for name, table in {"pretrain": train[first], "target": train[~first], "test": test}.items():
        table.to_parquet(OUT / f"{name}.parquet", index=False)
        print(f"{OUT / name}.parquet: {len(table)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
