"""Questions as a target, and eight tasks to pretrain on, nearer and farther.

    python docs/studies/gaps/sentences_data.py ../shared/data

reads trec, clinc150 and sst under the folder, and writes runs/gaps/sentences/data/target-train.parquet,
target-test.parquet, and NAME.parquet of every task, 4,000 sentences each. No question is in two of them but
in those of different labels.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from harsanyi import data

OUT = Path("runs/gaps/sentences/data")
PRETRAINED, TARGET = 4000, 400
TASKS = ["kinds", "questions", "shuffled", "intents", "topics", "sentiment", "length", "random"]


def table(path: Path, level: str | None = None) -> pd.DataFrame:
    """The sentences of a data set and their labels by name."""
    inputs = data.load(path)
    labels, classes = inputs.level(level)
    return pd.DataFrame({"text": list(inputs.items), "label": np.array(classes)[labels]})


def drawn(sentences: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Sentences in a random order that is always the same, so many as a task has."""
    return sentences.sample(frac=1, random_state=seed).head(PRETRAINED)


def tasks(folder: Path, kinds: pd.DataFrame, fine: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every task: its sentences, and what is to be told of them."""
    generator = np.random.default_rng(0)
    words = [text.split() for text in fine.text]
    shuffled = [" ".join(generator.permutation(of)) for of in words]
    long = np.array([len(of) for of in words]) > np.median([len(of) for of in words])
    intents = folder / "clinc150/data_full.json/train"
    return {
        "kinds": kinds,  # the target's own six, of other questions
        "questions": fine,  # fifty kinds within these
        "shuffled": fine.assign(text=shuffled),  # whose words are out of order
        "intents": drawn(table(intents, "intent")),  # 150, of what is asked of an assistant
        "topics": drawn(table(intents, "domain")),  # the ten domains of the same sentences
        "sentiment": drawn(table(folder / "sst/sst5-train.txt")),  # five grades, of film reviews
        "length": fine.assign(label=np.where(long, "long", "short")),  # of the questions
        "random": fine.assign(label=generator.permutation(fine.label)),
    }


def main(folder: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    train, test = (
        {level: table(folder / f"trec/{split}.txt", level) for level in ("coarse", "fine")}
        for split in ("train", "test")
    )
    order = np.random.default_rng(0).permutation(len(train["coarse"]))
    first, second = order[:PRETRAINED], order[PRETRAINED : PRETRAINED + TARGET]
    kinds, fine = (train[level].iloc[first] for level in ("coarse", "fine"))
    found = tasks(folder, kinds, fine)
    assert list(found) == TASKS
    found |= {"target-train": train["coarse"].iloc[second], "target-test": test["coarse"]}
    for name, sentences in found.items():
        sentences.to_parquet(OUT / f"{name}.parquet", index=False)
        print(f"{OUT / name}.parquet: {len(sentences)} sentences, {sentences.label.nunique()} classes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
