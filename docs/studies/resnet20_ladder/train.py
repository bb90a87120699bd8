"""ResNet-20, pretrained on CIFAR-10, to CIFAR-100's 20 coarse classes: stages frozen or reset, other rates.

    python docs/studies/resnet20_ladder/train.py ../shared/data runs/ladder

writes every epoch's checkpoint under runs/ladder/RUNG, one folder for each rung of models.ladder (a rung
already done is not run again), and under runs/ladder/rate RATE those of two other learning rates, all stages
free. All begin with one head and share the recipe and the order of images, so that rungs differ in their
stages alone; the learning rate is that of the fine-tuning, also from scratch.
"""

import sys
from dataclasses import replace
from pathlib import Path

from harsanyi import data, models

RATE, OTHER_RATES = 0.02, (0.002, 0.1)


def main(shared: Path, out: Path, epochs: int = 4, images: int | None = None) -> None:
    train = data.load(shared / "cifar100-subset" / "train.parquet")
    test = data.load(shared / "cifar100-subset" / "test.parquet")
    labels, classes = train.level("coarse_label")
    pretrained = models.load("small:resnet20", shared / "weights" / "resnet20-cifar10.th")
    network = pretrained.with_new_head(classes, seed=0)
    samples = models.Samples(train.items[:images], labels[:images])
    held_out = models.Samples(test.items[:images], test.level("coarse_label")[0][:images])
    recipe = models.Recipe(
        epochs=epochs,
        optimiser="sgd",
        learning_rate=RATE,
        weight_decay=5e-4,
        batch_size=128,
        flip=True,
        crop_padding=4,
    )
    rates = {f"rate {rate:g}": {"learning_rate": rate} for rate in OTHER_RATES}
    for name, options in (models.ladder(network) | rates).items():
        models.train(network, samples, replace(recipe, **options), folder=out / name, held_out=held_out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
