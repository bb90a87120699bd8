"""ResNet-20, pretrained on CIFAR-10, to CIFAR-100's 20 coarse classes, with stages frozen or reset.

    python docs/studies/resnet20_ladder.py ../shared/data runs/ladder

writes every epoch's checkpoint under runs/ladder/RUNG, one folder for each rung of models.ladder (a rung
already done is not run again). All rungs begin with one head and share the recipe and the order of images, so
that they differ in their stages alone; the learning rate is that of the fine-tuning, also from scratch.
"""

import sys
from pathlib import Path

import data
import models


def main(shared: Path, out: Path, epochs: int = 4, images: int | None = None) -> None:
    train = data.load(shared / "cifar100-subset" / "train.parquet")
    test = data.load(shared / "cifar100-subset" / "test.parquet")
    labels, classes = train.level("coarse_label")
    pretrained = models.load("small:resnet20", shared / "weights" / "resnet20-cifar10.th")
    network = pretrained.with_new_head(classes, seed=0)
    for rung, stages in models.ladder(network).items():
        models.train(
            network,
            train.items[:images],
            labels[:images],
            folder=out / rung,
            epochs=epochs,
            held_out=(test.items[:images], test.level("coarse_label")[0][:images]),
            optimiser="sgd",
            learning_rate=0.02,
            weight_decay=5e-4,
            batch_size=128,
            flip=True,
            crop_padding=4,
            **stages,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
