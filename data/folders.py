"""Image folders in torchvision's ImageFolder convention: DIR/class/…image, or images alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from harsanyi.data.images import Images
from harsanyi.data.inputs import Inputs

EXTENSIONS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


def image_files(folder: Path) -> list[Path]:
    """All image files under a folder, sorted, links followed, hidden ones left out."""
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in (Path(place) / name).relative_to(folder).parts)
    )


def image_folder(folder: Path) -> Inputs:
    """The images of a folder, labelled on the level "label" by sub-folder, or unlabelled if it has none.

    Classes are the sorted names of the sub-folders; images may lie deeper inside them. ValueError for a
    folder of splits, for a class without images, for images beside class folders, and for no image.
    """
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    refuse_splits(folder, classes)
    files = image_files(folder)
    if not files:
        extensions = ", ".join(sorted(EXTENSIONS))
        raise ValueError(f"no image in {folder} or its sub-folders: expected files ending in {extensions}")
    parts = [file.relative_to(folder).parts for file in files]
    names = tuple("/".join(part) for part in parts)
    images = Images(files.__getitem__, names)
    if not classes:
        return Inputs(images, "image", names)
    if loose := [name for name in names if "/" not in name]:
        raise ValueError(
            f"{folder} holds images beside its class folders ({loose[0]}, {len(loose)} in all): "
            "move them into a class folder, or elsewhere"
        )
    if empty := sorted(set(classes) - {part[0] for part in parts}):
        raise ValueError(f"no image in the class folders {', '.join(empty)} of {folder}: remove or fill them")
    labels = np.searchsorted(classes, [part[0] for part in parts]).astype(np.int64)
    return Inputs(images, "image", names, {"label": labels}, {"label": tuple(classes)})


def refuse_splits(folder: Path, subfolders: list[str]) -> None:
    """ValueError where the sub-folders are train, test, … and not classes.

    They are splits if all of them are so called, or if two or more are and hold folders in their turn.
    """
    splits = [name for name in subfolders if name.lower() in SPLITS]
    deep = [name for name in splits if any(entry.is_dir() for entry in (folder / name).iterdir())]
    if splits and (splits == subfolders or len(deep) > 1):
        raise ValueError(
            f"{folder} holds splits ({', '.join(splits)}), not classes: name one, as {folder / splits[0]}"
        )
