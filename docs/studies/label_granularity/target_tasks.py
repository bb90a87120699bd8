"""Bundled clothes with two more columns, for studies of targets that are no classes.

    python docs/studies/label_granularity/target_tasks.py runs/target_tasks
    harsanyi granularity docs/studies/label_granularity/multi_label.toml
    harsanyi granularity docs/studies/label_granularity/regression.toml

writes train.parquet and test.parquet. worn is a set that each fine class has: where it is worn, and what is
to be seen of it. area is a number of each image: the share of pixels brighter than 10% of white.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harsanyi import data

WORN = {
    "T-shirt/top": "torso",
    "Pullover": "torso;sleeves",
    "Coat": "torso;sleeves;opens",
    "Shirt": "torso;sleeves;opens",
    "Dress": "torso;legs",
    "Trouser": "legs",
    "Sandal": "feet;opens",
    "Sneaker": "feet",
    "Ankle boot": "feet;legs",
    "Bag": ";",
}
BRIGHT = 25.5


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        inputs = data.fashion_mnist(split)
        labels, classes = inputs.level("fine")
        worn = [WORN[classes[label]] for label in labels]
        area = [f"{(np.asarray(image) > BRIGHT).mean():.3f}" for image in inputs.items]
        table = pq.read_table(data.fashion_mnist_path(split))
        table = table.append_column("worn", pa.array(worn)).append_column("area", pa.array(area))
        pq.write_table(table, out / f"{split}.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
