"""ResNet-20, pretrained on CIFAR-10, fine-tuned to the 20 coarse classes of CIFAR-100.

    python docs/studies/correlated_patches/train.py ../shared/data runs/correlated_patches

writes the checkpoint of every epoch under runs/correlated_patches/finetuned (minutes on one core; a run
already done is not run again). README.md asks what neighbouring patches do in it.
"""

import sys
from pathlib import Path

from harsanyi import data, models

IMAGES, EPOCHS = 6000, 4  # the study takes the second, when the network still changes


def main(shared: Path, out: Path) -> None:
    level = "coarse_label"
    train = data.load(shared / "cifar100-subset" / "train.parquet").sample(IMAGES, 0, level)
    test = data.load(shared / "cifar100-subset" / "test.parquet").sample(500, 0, level)
    labels, classes = train.level(level)
    pretrained = models.load("small:resnet20", shared / "weights" / "resnet20-cifar10.th")
    recipe = models.Recipe(
        epochs=EPOCHS,
        optimiser="sgd",
        learning_rate=0.02,
        weight_decay=5e-4,
        batch_size=64,
        flip=True,
        crop_padding=4,
    )
    network = pretrained.with_new_head(classes, seed=0)
    held_out = models.Samples(test.items, test.level(level)[0])
    models.train(network, models.Samples(train.items, labels), recipe, folder=out, held_out=held_out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) / "finetuned")
