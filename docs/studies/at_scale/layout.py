"""Published data sets as image folders with named levels: links, no copies. Nothing is downloaded or deleted.

    python docs/studies/at_scale/layout.py cub ../shared/data/CUB_200_2011 runs/at_scale/cub
    python docs/studies/at_scale/layout.py cars ../shared/data/stanford_cars runs/at_scale/cars
    python docs/studies/at_scale/layout.py inaturalist ../shared/data/inat2021 runs/at_scale/inaturalist

reads the folder as it is unpacked, and links its pictures (iNaturalist: its folders of species). Started
again, it goes on. Where the file system has no symbolic links, pictures get hard links. README.md has the
levels and the rules by which names become classes.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

# Stanford Cars: the last of these words in a name is the type of the body. All pickups are a Cab.
BODIES = {
    **{word: word for word in ("SUV", "Sedan", "Coupe", "Convertible", "Hatchback", "Wagon", "Minivan")},
    **{"Van": "Van", "Cab": "Cab", "SuperCab": "Cab"},
}
NO_BODY = "other"
TWO_WORDS = ("AM General", "Aston Martin", "Land Rover")  # makes; all others have one
# iNaturalist: the 11 superclasses by class, phylum or kingdom; other animals are Animalia.
SUPERCLASSES = {
    **{"Insecta": "Insects", "Aves": "Birds", "Reptilia": "Reptiles", "Mammalia": "Mammals"},
    **{"Actinopterygii": "Ray-finned Fishes", "Amphibia": "Amphibians", "Arachnida": "Arachnids"},
    **{"Mollusca": "Mollusks", "Plantae": "Plants", "Fungi": "Fungi", "Animalia": "Animalia"},
}
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
SPECIES_FOLDER = re.compile(r"\d+" + 7 * r"_([^_]+)")
MAX_COUNTED = 20  # outermost classes that are counted aloud


class Layout(NamedTuple):
    """One image folder: where it is, the names of its levels, and what each place in it links to."""

    folder: Path
    levels: tuple[str, ...]
    links: dict[Path, Path]


def cub(source: Path) -> list[Layout]:
    """CUB-200-2011: word/species/picture, by its own split."""
    pictures, classes = _lines(source / "images.txt"), _lines(source / "classes.txt")
    labels, training = _lines(source / "image_class_labels.txt"), _lines(source / "train_test_split.txt")
    layouts = {split: Layout(Path(split), ("word", "species"), {}) for split in ("train", "test")}
    for number, picture in pictures.items():
        for name, table in (("image_class_labels.txt", labels), ("train_test_split.txt", training)):
            if number not in table:
                raise ValueError(f"{source / name} has no line for picture {number} of images.txt")
        if labels[number] not in classes:
            raise ValueError(
                f"{source / 'image_class_labels.txt'} gives picture {number} the class {labels[number]}, "
                "which classes.txt does not have"
            )
        if training[number] not in ("0", "1"):
            raise ValueError(
                f"{source / 'train_test_split.txt'} says {training[number]!r} of picture {number}: expected "
                "1 (training) or 0 (test)"
            )
        species = classes[labels[number]]
        word = re.fullmatch(r"\d+\.(?:[^/]+_)?([^_/]+)", species)
        if word is None:
            raise ValueError(f"{source / 'classes.txt'} has {species!r}: expected NUMBER.Name_of_the_species")
        folder, name = PurePosixPath(picture).parent, PurePosixPath(picture).name
        if folder != PurePosixPath(species) or not name:
            raise ValueError(
                f"{source / 'images.txt'} has picture {number} at {picture!r}: expected {species}/NAME, the "
                "folder of its class"
            )
        split = "train" if training[number] == "1" else "test"
        place = Path(word[1], species, _plain(name, source / "images.txt"))
        layouts[split].links[place] = source / "images" / species / name
    return list(layouts.values())


def cars(source: Path) -> list[Layout]:
    """Stanford Cars: body/make/model/picture, by its own split."""
    devkit, labelled = source / "devkit", "cars_test_annos_withlabels.mat"
    tested = devkit / labelled
    if (source / labelled).is_file():  # it is a download of its own, and lies beside the devkit or in it
        tested = source / labelled
    meta = devkit / "cars_meta.mat"
    folders = [_model_folder(str(name), meta) for name in _variable(meta, "class_names")]
    if twice := [folder.name for folder, count in Counter(folders).items() if count > 1]:
        raise ValueError(f"{meta} has the class {twice[0]} twice")
    layouts = []
    for split, file in (("train", devkit / "cars_train_annos.mat"), ("test", tested)):
        layout = Layout(Path(split), ("body", "make", "model"), {})
        rows = _variable(file, "annotations")
        if missing := {"fname", "class"} - set(rows.dtype.names or ()):
            raise ValueError(f"{file} has no field {min(missing)!r}: for test pictures take {labelled}")
        for name, number in zip(rows["fname"].tolist(), rows["class"].tolist(), strict=True):
            if not isinstance(number, int) or not 1 <= number <= len(folders):
                raise ValueError(f"{file} gives {name} the class {number}: expected 1 to {len(folders)}")
            picture = _plain(str(name), file)
            layout.links[folders[number - 1] / picture] = source / f"cars_{split}" / picture
        layouts.append(layout)
    return layouts


def inaturalist(source: Path) -> list[Layout]:
    """iNaturalist 2021, twice: taxonomy/SPLIT/kingdom/…/species, superclasses/SPLIT/superclass/class/…"""
    splits = [split for split in ("train", "train_mini", "val") if (source / split).is_dir()]
    if "val" not in splits or len(splits) < 2:
        raise ValueError(
            f"{source} holds {' '.join(splits) or 'none of it'}: expected val, and train or train_mini"
        )
    layouts = []
    for split in splits:
        taxonomy = Layout(Path("taxonomy", split), RANKS, {})
        grouped = Layout(Path("superclasses", split), ("superclass", *RANKS[2:]), {})
        for folder in sorted(path for path in (source / split).iterdir() if path.is_dir()):
            ranks = SPECIES_FOLDER.fullmatch(folder.name)
            if ranks is None:
                raise ValueError(
                    f"{folder} is no folder of a species: expected NUMBER_{'_'.join(RANKS).upper()}"
                )
            kingdom, phylum, *others, genus, epithet = ranks.groups()
            known = [SUPERCLASSES[rank] for rank in (others[0], phylum, kingdom) if rank in SUPERCLASSES]
            if not known:
                raise ValueError(f"{folder} is of the kingdom {kingdom}: expected Animalia, Plantae or Fungi")
            below = Path(*others, genus, f"{genus}_{epithet}")
            for layout, place in ((taxonomy, Path(kingdom, phylum, below)), (grouped, known[0] / below)):
                if place in layout.links:
                    raise ValueError(f"{folder} has the names of {layout.links[place].name}: expected one")
                layout.links[place] = folder
        layouts += [taxonomy, grouped]
    return layouts


DATA_SETS: dict[str, Callable[[Path], list[Layout]]] = {"cub": cub, "cars": cars, "inaturalist": inaturalist}


def _lines(file: Path) -> dict[str, str]:
    """NUMBER VALUE lines."""
    found: dict[str, str] = {}
    for row, line in enumerate(_require(file).read_text(encoding="utf-8").splitlines(), 1):
        number, _, value = line.strip().partition(" ")
        if not number.isdecimal() or not value:
            raise ValueError(f"{file}, line {row}: expected NUMBER VALUE, got {line!r}")
        if number in found:
            raise ValueError(f"{file}, line {row}: {number} is there twice")
        found[number] = value
    return found


def _variable(file: Path, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """A variable of a .mat file, one row an element."""
    from scipy.io import loadmat  # here, since the other data sets need none

    try:
        found = loadmat(_require(file), squeeze_me=True, variable_names=[name])
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{file} is no MATLAB file, or a damaged one: {error}") from error
    if name not in found:
        raise ValueError(f"{file} has no variable {name!r}")
    return np.atleast_1d(found[name])


def _model_folder(name: str, file: Path) -> Path:
    """body/make/model of a class, as Sedan/Acura/Acura RL Sedan 2012."""
    words = name.split()
    if len(words) < 3 or not re.fullmatch(r"\d{4}", words[-1]):
        raise ValueError(f"{file} has the class {name!r}: expected MAKE MODEL YEAR")
    bodies = [BODIES[word] for word in words if word in BODIES]
    makes = [make for make in TWO_WORDS if name.startswith(f"{make} ")]
    body, make = (bodies or [NO_BODY])[-1], (makes or words)[0]
    return Path(body, _plain(make, file), _plain(name.replace("/", "-"), file))  # "Ram C/V Cargo Van …"


def _plain(name: str, file: Path) -> str:
    """The name, if it is that of one file or folder: names in a download must not lead elsewhere."""
    if name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
        raise ValueError(f"{file} has the name {name!r}: expected the name of a file, without folders")
    return name


def _require(file: Path) -> Path:
    if not file.is_file():
        raise ValueError(f"{file} does not exist: give the folder as it is unpacked, with all of its files")
    return file


def lay(layout: Layout, out: Path) -> int:
    """Make the links of an image folder; returns how many were there already.

    ValueError, before any is made, for a picture that is not there and for a place that holds another.
    """
    if lost := [target for target in layout.links.values() if not target.exists()]:
        raise ValueError(
            f"{lost[0]} does not exist ({len(lost):,} of {len(layout.links):,}): unpack all pictures"
        )
    folder = out / layout.folder
    folder.mkdir(parents=True, exist_ok=True)
    links = {folder / place: target.resolve() for place, target in layout.links.items()}
    symbolic = _has_symbolic_links(folder)
    if not symbolic:
        links = {place: target for each in links.items() for place, target in _pictures(*each)}
    there = [place for place in links if os.path.lexists(place)]
    if wrong := [place for place in there if not place.exists() or not place.samefile(links[place])]:
        raise ValueError(f"{wrong[0]} is there and leads elsewhere: remove it, or name another folder")
    for place, target in links.items():
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            (place.symlink_to if symbolic else place.hardlink_to)(target)
    return len(there)


def _has_symbolic_links(folder: Path) -> bool:
    probe = folder / ".link"
    try:
        probe.symlink_to(folder)
    except OSError:
        return False
    probe.unlink()
    return True


def _pictures(place: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """A picture, or those of a folder: a folder has no hard link."""
    if not target.is_dir():
        yield place, target
        return
    yield from ((place / picture.name, picture) for picture in sorted(target.iterdir()))


def describe(layout: Layout, out: Path, there: int) -> Iterator[str]:
    """What an image folder has, in words: to be compared with the numbers that were published."""
    sizes = [
        len({place.parts[:depth] for place in layout.links}) for depth in range(1, len(layout.levels) + 1)
    ]
    levels = ", ".join(f"{size:,} of {level}" for level, size in zip(layout.levels, sizes, strict=True))
    yield f"{out / layout.folder}: {len(layout.links):,} links ({there:,} were there); classes: {levels}"
    outermost = Counter(place.parts[0] for place in layout.links)
    if len(outermost) <= MAX_COUNTED:
        yield "  links: " + ", ".join(f"{name} {count:,}" for name, count in sorted(outermost.items()))


def main(arguments: list[str]) -> None:
    if len(arguments) != 3 or arguments[0] not in DATA_SETS:
        raise SystemExit(
            f"layout: expected {'|'.join(DATA_SETS)} SOURCE OUT, got {' '.join(arguments) or 'nothing'}"
        )
    name, source, out = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        for layout in DATA_SETS[name](source):
            for line in describe(layout, out, lay(layout, out)):
                print(line)
    except (ValueError, OSError) as error:
        raise SystemExit(f"layout: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
