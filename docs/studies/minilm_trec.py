"""MiniLM to the 6 coarse classes of TREC's questions: fine-tuned, and from a random start.

    python docs/studies/minilm_trec.py ../shared/data/trec runs/minilm

writes the questions as TSV and every epoch's checkpoint under runs/minilm/{finetuned,scratch} (about 20
minutes on 2 cores; a run already done is not run again). docs/studies/minilm_trec.md follows them.
"""

import sys
from pathlib import Path

import pandas as pd

import data
import models

RECIPES = {
    "finetuned": {"epochs": 6, "learning_rate": 5e-5},
    "scratch": {"epochs": 12, "learning_rate": 3e-4},
}


def main(trec: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    train, test = (_questions(trec / f"{split}.txt", out / f"{split}.tsv") for split in ("train", "test"))
    labels, classes = train.level("coarse")
    pretrained = models.load("package:minilm-l6")
    networks = {
        "finetuned": pretrained.with_new_head(classes, seed=0),
        "scratch": models.load("package:minilm-l6", "random", classes=classes, seed=0),
    }
    for name, network in networks.items():
        models.train(
            network,
            train.items,
            labels,
            folder=out / name,
            held_out=(test.items, test.level("coarse")[0]),
            batch_size=32,
            **RECIPES[name],
        )


def _questions(lines: Path, table: Path) -> data.Inputs:
    """TREC's lines, `COARSE:fine the question`, as a table with named columns."""
    labels, questions = zip(
        *(line.split(" ", 1) for line in lines.read_text(encoding="utf-8").splitlines()), strict=True
    )
    coarse = [label.split(":")[0] for label in labels]
    columns = {"question": questions, "coarse": coarse, "fine": labels}
    pd.DataFrame(columns).to_csv(table, sep="\t", index=False)
    return data.load(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
