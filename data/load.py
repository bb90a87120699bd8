"""Inputs from a path: image folders, parquet, saved data sets, tables, labelled sentences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harsanyi.data.arrow import read_parquet, read_saved
from harsanyi.data.columns import Named
from harsanyi.data.folders import by_extension, image_folder, visible_files
from harsanyi.data.images import Images
from harsanyi.data.inputs import Inputs
from harsanyi.data.labelled_text import read_label_lines, read_label_pairs
from harsanyi.data.tables import read_text_table
from harsanyi.reading import reading

FORMS = (
    "an image folder (DIR/class/image), a parquet file or folder of them, "
    "a data set saved by datasets' save_to_disk, a CSV or TSV file with named columns, a .txt file with a "
    "label and a sentence a line, or FILE.json/SPLIT with [sentence, label] pairs"
)


def load(
    path: str | os.PathLike[str],
    *,
    image_column: str | None = None,
    text_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    skip_unreadable: bool = False,
    bits: int | None = None,
) -> Inputs:
    """Read an image folder, parquet, a saved data set, a table, or labelled sentences.

    Image folder: DIR/class/…image as torchvision's ImageFolder has it, on the level "label"; images
    without sub-folders are unlabelled. `label_columns=("kingdom", "family", "species")` names the levels of
    DIR/kingdom/family/species/image, as iNaturalist has it, and each is a level of labels. Parquet: a file,
    a folder of files of one split, or a pattern such as "DIR/train-*.parquet". Tables: columns are chosen by
    name, or by the rules of `choose_columns`; each label column is a level of that name; `label_columns=()`
    is none.
    Labelled sentences: "train.txt" with a label, a space and a sentence a line, as TREC and SST are
    published, or "data_full.json/train", as CLINC150 is; see `harsanyi.data.labelled_text`.

    Images are of any mode and in any format that Pillow decodes, with one frame; see
    :func:`harsanyi.pictures.as_rgb_or_grey`. They are turned upright as their EXIF tag says, as `datasets`
    does and torchvision does not. They are decoded on access, not here, except with `skip_unreadable`: for
    large folders sample first, then call `Inputs.check(skip_unreadable=True)`.

    Args:
        path: of the inputs.
        image_column, text_column, label_columns: names of a table's columns; chosen by rule without them.
        skip_unreadable: leave out images that cannot be decoded.
        bits: of the values of images that are kept in more than 8 bits; white is 2**bits − 1. By default what
            their headers say, else 16, and images too dark to tell are refused when they are decoded.

    Returns:
        the inputs, without those that `skip_unreadable` leaves out.

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: the form is unknown, or the file is damaged; bits are named for sentences.

    >>> from harsanyi.data import fashion_mnist_path
    >>> inputs = load(fashion_mnist_path("test"))
    >>> len(inputs), inputs.items[0].size, inputs.classes["coarse"]
    (800, (28, 28), ('top', 'trouser-dress', 'shoe', 'bag'))
    """
    path = Path(path).expanduser()
    if isinstance(label_columns, str):  # else a sequence of letters
        label_columns = (label_columns,)
    named = (image_column, text_column, label_columns)
    file = path.parent if _names_a_split(path) else path
    with reading(file, "inputs", "write it again, or remove it"):
        inputs = read(path, named)
    if bits is not None:
        if not isinstance(inputs.items, Images):
            raise ValueError(f"{path} holds sentences: bits are of the values of images")
        inputs = replace(inputs, items=inputs.items.with_bits(bits))
    return inputs.check(skip_unreadable=True) if skip_unreadable else inputs


def read(path: Path, named: Named) -> Inputs:
    """The reader for the form that the path has."""
    if "*" in path.name and (matches := sorted(path.parent.glob(path.name))):
        if any(match.suffix.lower() != ".parquet" for match in matches):
            raise ValueError(f"the pattern {path} works for parquet files only, not {matches[0].name}")
        return read_parquet(matches, str(path), named)
    if _names_a_split(path):
        refuse_names(path, named)
        return read_label_pairs(path.parent, path.name)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: expected {FORMS}")
    if path.is_dir():
        return read_folder(path, named)
    if path.suffix.lower() in (".csv", ".tsv"):
        return read_text_table(path, named)
    if path.suffix.lower() == ".parquet":
        return read_parquet([path], path.name, named)
    if path.suffix.lower() == ".txt":
        refuse_names(path, named)
        return read_label_lines(path)
    if path.suffix.lower() == ".json":
        return read_label_pairs(path, "")  # refuses, and lists the splits
    raise ValueError(f"{path} has an unknown form: expected {FORMS}")


def _names_a_split(path: Path) -> bool:
    """Whether the path is that of a JSON file and the name of a split in it."""
    return path.parent.suffix.lower() == ".json" and path.parent.is_file()


def read_folder(folder: Path, named: Named) -> Inputs:
    """A saved data set, a folder of parquet files, or an image folder, by the files in it."""
    if (folder / "dataset_dict.json").exists():
        splits = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        raise ValueError(f"{folder} holds the splits {', '.join(splits)}: name one, as {folder / splits[0]}")
    if (folder / "state.json").exists() and (folder / "dataset_info.json").exists():
        return read_saved(folder, named)
    if files := sorted(folder.glob("*.parquet")):
        others = set(visible_files(folder)) - set(files)
        return replace(read_parquet(files, str(folder), named), other_files=by_extension(others))
    image_column, text_column, levels = named
    refuse_names(folder, (image_column, text_column, None if levels else levels))
    return image_folder(folder, levels)


def refuse_names(path: Path, named: Named) -> None:
    """Refuse names of columns for a form that has none."""
    if any(name is not None for name in named):
        raise ValueError(
            f"{path} has no columns to name: it is read as an image folder or labelled sentences"
        )
