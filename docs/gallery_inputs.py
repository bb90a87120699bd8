"""The gallery's inputs: scikit-image's photographs as a folder, TREC's questions as TSV.

python docs/gallery_inputs.py ../shared/data/trec runs/gallery
"""

import sys
from pathlib import Path

import pandas as pd
from PIL import Image
from skimage import data as photographs

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def main(trec: Path, out: Path) -> None:
    (out / "photographs").mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        Image.fromarray(getattr(photographs, name)()).save(out / "photographs" / f"{name}.png")
    for split in ("train", "test"):
        lines = (trec / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        labels, questions = zip(*(line.split(" ", 1) for line in lines), strict=True)
        coarse = [label.split(":")[0] for label in labels]
        table = pd.DataFrame({"question": questions, "coarse": coarse, "fine": labels})
        table.to_csv(out / f"trec-{split}.tsv", sep="\t", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
