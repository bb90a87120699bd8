"""MiniLM to the 6 coarse classes of TREC's questions: fine-tuned, and from a random start.

    python docs/studies/knowledge_through_training/train_minilm.py ../shared/data/trec runs/minilm

writes every epoch's checkpoint under runs/minilm/{finetuned,scratch} (about 20
minutes on 2 cores; a run already done is not run again). README.md follows them.
"""

import sys
from pathlib import Path

from harsanyi import data, models

RECIPES = {
    "finetuned": models.Recipe(epochs=6, learning_rate=5e-5, batch_size=32),
    "scratch": models.Recipe(epochs=12, learning_rate=3e-4, batch_size=32),
}


def main(trec: Path, out: Path) -> None:
    train, test = (data.load(trec / f"{split}.txt") for split in ("train", "test"))
    labels, classes = train.level("coarse")
    pretrained = models.load("package:minilm-l6")
    networks = {
        "finetuned": pretrained.with_new_head(classes, seed=0),
        "scratch": models.load("package:minilm-l6", "random", classes=classes, seed=0),
    }
    samples = models.Samples(train.items, labels)
    held_out = models.Samples(test.items, test.level("coarse")[0])
    for name, network in networks.items():
        models.train(network, samples, RECIPES[name], folder=out / name, held_out=held_out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
