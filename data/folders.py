"""Image folders in torchvision's ImageFolder convention: DIR/class/…image, or images alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harsanyi.data.images import Images, extensions
from harsanyi.data.inputs import Inputs, Order
from harsanyi.reading import require_utf8, visible

SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
USUAL = ".jpg, .png, .gif, .webp, .bmp, .tif"
# What operating systems put into folders.
SYSTEM_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}


def visible_files(folder: Path) -> list[Path]:
    """All files under a folder, sorted, links followed, without hidden ones and the system's own."""
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not any(
            part.startswith(".") or part.lower() in SYSTEM_NAMES
            for part in (Path(place) / name).relative_to(folder).parts
        )
    )


def by_extension(files: Iterable[Path]) -> dict[str, int]:
    """How many of the files have each extension, in lower case; "" is that of files without one.

    >>> by_extension([Path("a.NPY"), Path("b.npy"), Path("README")])
    {'': 1, '.npy': 2}
    """
    return dict(sorted(Counter(file.suffix.lower() for file in files).items()))


def in_words(counts: Mapping[str, int]) -> str:
    """Numbers of files by extension in words.

    >>> in_words({"": 1, ".npy": 2})
    '1 without extension, 2 .npy'
    """
    return ", ".join(f"{count} {ending or 'without extension'}" for ending, count in counts.items())


def image_folder(folder: Path, levels: Sequence[str] | None = None) -> Inputs:
    """The images of a folder, labelled on the level "label" by sub-folder, or unlabelled if it has none.

    With the names of levels, as ("kingdom", "family", "species"), the folders of each depth are the classes
    of one: DIR/kingdom/family/species/image.

    Classes are the sorted names of the sub-folders; images may lie deeper inside them. Files that are no
    images are counted in `Inputs.other_files`. ValueError for a folder of splits, for a class without images,
    for images beside class folders, for no image, and for other numbers of levels than of folders.
    """
    classes = class_folders(folder)
    for name in classes:
        require_utf8(name, f"the class folder of {visible(str(folder))},")
    refuse_splits(folder, classes)
    endings, present = extensions(), visible_files(folder)
    files = [file for file in present if file.suffix.lower() in endings]
    others = [file for file in present if file.suffix.lower() not in endings]
    if not files:
        raise ValueError(
            f"no image in {folder} or its sub-folders, but {in_words(by_extension(others)) or 'no file'}: "
            f"expected {USUAL}, or another format of pictures that Pillow reads"
        )
    parts = [file.relative_to(folder).parts for file in files]
    names = tuple("/".join(part) for part in parts)
    for name in names:
        require_utf8(name, f"the picture in {visible(str(folder))},")
    inputs = Inputs(Images(files.__getitem__, names), "image", names, other_files=by_extension(others))
    if not classes:
        return inputs
    if loose := [name for name in names if "/" not in name]:
        raise ValueError(
            f"{folder} holds images beside its class folders ({loose[0]}, {len(loose)} in all): "
            "move them into a class folder, or elsewhere"
        )
    _refuse_empty_classes(folder, sorted(set(classes) - {part[0] for part in parts}), others)
    if levels is not None:
        return _with_levels(inputs, parts, levels, folder)
    labels = np.array([classes.index(part[0]) for part in parts], np.int64)
    order: Order = "integers" if classes == [str(k) for k in range(len(classes))] else "sorted"
    return replace(
        inputs, labels={"label": labels}, classes={"label": tuple(classes)}, orders={"label": order}
    )


def _with_levels(
    inputs: Inputs, parts: Sequence[tuple[str, ...]], levels: Sequence[str], folder: Path
) -> Inputs:
    """The inputs with a label column for each depth of folders, the outermost first."""
    if len(set(levels)) < len(levels):
        raise ValueError(f"two levels of {folder} are called alike ({', '.join(levels)}): rename one")
    for part in parts:
        if len(part) - 1 != len(levels):
            raise ValueError(
                f"{folder} was said to have {len(levels)} levels of folders ({', '.join(levels)}), but "
                f"{'/'.join(part)} lies in {len(part) - 1}: name one level for each, the outermost first"
            )
    labels, classes = {}, {}
    for depth, level in enumerate(levels, 1):
        paths = sorted({part[:depth] for part in parts})
        number = {path: k for k, path in enumerate(paths)}
        names = [path[-1] for path in paths]
        # One name in two folders is two classes, which their whole paths tell apart.
        classes[level] = tuple(names if len(set(names)) == len(names) else map("/".join, paths))
        labels[level] = np.array([number[part[:depth]] for part in parts], np.int64)
    orders: dict[str, Order] = dict.fromkeys(levels, "sorted")
    return replace(inputs, labels=labels, classes=classes, orders=orders)


def class_folders(folder: Path) -> list[str]:
    """The sorted names of the sub-folders, without hidden ones and the system's own."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and entry.name[0] != "." and entry.name.lower() not in SYSTEM_NAMES
    )


def _refuse_empty_classes(folder: Path, classes: Sequence[str], others: Sequence[Path]) -> None:
    """ValueError naming the classes without images, and what lies there instead."""
    if not classes:
        return
    there = by_extension(file for file in others if file.relative_to(folder).parts[0] in classes)
    raise ValueError(
        f"no image in the class folders {', '.join(classes)} of {folder}, but {in_words(there) or 'no file'}:"
        " remove the folders, or fill them with images that Pillow reads"
    )


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
