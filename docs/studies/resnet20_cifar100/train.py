"""ResNet-20, pretrained on CIFAR-10, to the 20 coarse classes of CIFAR-100: fine-tuned, and from scratch.

    python docs/studies/resnet20_cifar100/train.py ../shared/data runs/resnet20

writes every epoch's checkpoint under runs/resnet20/{finetuned,scratch} (about 40 minutes on 2 cores; a run
already done is not run again). README.md compares them.
"""

import sys
from pathlib import Path

from harsanyi import data, models

EPOCHS = {"finetuned": 15, "scratch": 30}


def main(shared: Path, out: Path) -> None:
    train = data.load(shared / "cifar100-subset" / "train.parquet")
    test = data.load(shared / "cifar100-subset" / "test.parquet")
    labels, classes = train.level("coarse_label")
    pretrained = models.load("small:resnet20", shared / "weights" / "resnet20-cifar10.th")
    networks = {
        "finetuned": pretrained.with_new_head(classes, seed=0),
        "scratch": models.load("small:resnet20", "random", classes=classes, seed=0),
    }
    samples = models.Samples(train.items, labels)
    held_out = models.Samples(test.items, test.level("coarse_label")[0])
    for name, network in networks.items():
        recipe = models.Recipe(
            epochs=EPOCHS[name],
            optimiser="sgd",
            learning_rate=0.02 if name == "finetuned" else 0.1,
            weight_decay=5e-4,
            batch_size=128,
            flip=True,
            crop_padding=4,
        )
        models.train(network, samples, recipe, folder=out / name, held_out=held_out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
