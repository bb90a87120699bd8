"""The gallery's photographs, of scikit-image, as a folder.

python docs/gallery/photographs.py runs/gallery
"""

import sys
from pathlib import Path

from PIL import Image
from skimage import data as photographs

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def main(out: Path) -> None:
    (out / "photographs").mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        Image.fromarray(getattr(photographs, name)()).save(out / "photographs" / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
