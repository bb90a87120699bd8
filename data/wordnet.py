"""WordNet's nouns, read from its own database files, and label hierarchies cut from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harsanyi.data.hierarchies import LabelHierarchy, ancestors

# Classes of CIFAR-100 whose pictures do not show the first noun sense; every gloss was read.
CIFAR100_SENSES: Mapping[str, str] = {
    "aquarium_fish": "fish.n.01",  # no entry of its own, and the pictures show many species
    "beaver": "beaver.n.07",
    "castle": "castle.n.02",
    "cloud": "cloud.n.02",  # in the sky, not any cloud of particles
    "dolphin": "dolphin.n.02",
    "flatfish": "flatfish.n.02",
    "forest": "forest.n.02",  # the land, as the other outdoor scenes, not a group of plants
    "girl": "girl.n.02",  # the child, as boy is
    "leopard": "leopard.n.02",
    "lobster": "lobster.n.02",
    "maple_tree": "maple.n.02",
    "otter": "otter.n.02",
    "plate": "plate.n.04",
    "raccoon": "raccoon.n.02",
    "ray": "ray.n.07",
    "seal": "seal.n.09",
    "shrew": "shrew.n.02",
    "skunk": "skunk.n.04",
    "sweet_pepper": "sweet_pepper.n.02",  # the vegetable, as the fruits, not the plant
    "table": "table.n.02",
    "television": "television.n.03",
    "tiger": "tiger.n.02",
    "trout": "trout.n.02",
    "turtle": "turtle.n.02",
    "whale": "whale.n.02",
}


@dataclass(frozen=True)
class WordNet:
    """The noun synsets of a folder with WordNet's files data.noun and index.noun.

    A synset is called as ImageNet does, "n" and the eight digits of its offset in data.noun: "n01440764".
    Offsets change between versions; ImageNet's are those of WordNet 3.0. The format is that of the manual
    page wndb(5WN). A synset's hypernyms are its pointers @ (a kind of) and @i (an instance of) to nouns, in
    the order of the file. Where one parent is needed, it is the first hypernym.

    Attributes:
        folder: as Debian's package wordnet-base installs it.

    Raises:
        FileNotFoundError: on first use, where the files are not there.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> pet = "00000002 03 n 02 pet 0 darling 0 001 @ 00000001 n 0000 | kept at home"
    >>> _ = (folder / "data.noun").write_text("00000001 03 n 01 thing 0 000 | all there is\\n" + pet)
    >>> _ = (folder / "index.noun").write_text("pet n 1 1 @ 1 0 00000002\\nthing n 1 1 ~ 1 0 00000001\\n")
    >>> wordnet = WordNet(folder)
    >>> wordnet.synset_of("pet"), wordnet.hypernyms("n00000002"), wordnet.name("n00000001")
    ('n00000002', ('n00000001',), 'thing.n.01')
    """

    folder: Path = Path("/usr/share/wordnet")

    def hypernyms(self, synset: str) -> tuple[str, ...]:
        """All synsets one step up; none for the root. ValueError for a synset that is not there."""
        return self._entry(synset)[1]

    def gloss(self, synset: str) -> str:
        """The definition and examples of a synset. ValueError for a synset that is not there."""
        return self._entry(synset)[2]

    def name(self, synset: str) -> str:
        """A synset's first word and the number of the sense, as "fish.n.01".

        ValueError for a synset that is not there.
        """
        word = self._entry(synset)[0]
        return f"{word}.n.{self._senses[word].index(synset) + 1:02d}"

    def synset_of(self, word: str, senses: Mapping[str, str] = CIFAR100_SENSES) -> str:
        """The synset of a class name, by default that of its first noun sense, the most frequent.

        Args:
            word: as "sweet pepper" or "sweet_pepper"; also a sense, "ray.n.07", or a synset, "n01440764".
            senses: word in lower case → sense, where it is not the first; {} for first senses only.

        Raises:
            ValueError: for a word, sense or synset that is not there.
        """
        word = word.strip().lower().replace(" ", "_")
        meaning = senses.get(word, word)
        if re.fullmatch(r"n\d{8}", meaning):
            self._entry(meaning)
            return meaning
        parts = re.fullmatch(r"(.+)\.n\.(\d+)", meaning)
        lemma, sense = (parts[1], int(parts[2])) if parts else (meaning, 1)
        synsets = self._senses.get(lemma.lower(), ())  # a sense of the table may have capitals
        if not 1 <= sense <= len(synsets):
            raise ValueError(
                f"expected a noun of WordNet, got {meaning!r}, with {len(synsets)} noun senses: give the "
                'sense or synset, as senses={"ray": "ray.n.07"}'
            )
        return synsets[sense - 1]

    def hops(self, synsets: Iterable[str], k: int) -> tuple[str, ...]:
        """Each synset's ancestor k steps up by first hypernyms, the root where the path ends sooner.

        The ancestor k + 1 hops up depends only on the one k hops up, so the levels nest. ValueError for a
        negative k, or a synset that is not there.
        """
        if k < 0:
            raise ValueError(f"expected a number of hops of 0 or more, got {k}")
        return tuple(path[min(k, len(path) - 1)] for path in map(self._path, synsets))

    def all_hops(self, synsets: Iterable[str], k: int) -> frozenset[str]:
        """All synsets that are exactly k hypernym steps up from some of these, by any path.

        A path that ends at a root sooner adds nothing. This counts classes; it is no map, as a synset of
        several hypernyms has several ancestors. For ImageNet-21k's 21,843 synsets and WordNet 3.0 they are
        5,991 / 2,277 / 515 / 156 / 34 at k = 1 / 2 / 4 / 6 / 9. ValueError as for `hops`.
        """
        if k < 0:
            raise ValueError(f"expected a number of hops of 0 or more, got {k}")
        reached = frozenset(synsets)
        for _ in range(k):
            reached = frozenset(above for synset in reached for above in self.hypernyms(synset))
        return reached

    def cut_at_depth(self, synsets: Iterable[str], d: int) -> tuple[str, ...]:
        """Each synset's ancestor at depth d by first hypernyms, itself where it is no deeper; roots are at 0.

        ValueError for a negative d, or a synset that is not there.
        """
        if d < 0:
            raise ValueError(f"expected a depth of 0, the root, or more; got {d}")
        return tuple(path[max(len(path) - 1 - d, 0)] for path in map(self._path, synsets))

    def _path(self, synset: str) -> list[str]:
        """A synset and its ancestors up to a root, by first hypernyms."""
        self._entry(synset)
        return ancestors(synset, self._first)

    def _entry(self, synset: str) -> tuple[str, tuple[str, ...], str]:
        if synset not in self._entries:
            raise ValueError(
                f"expected a noun synset such as 'n01440764', got {synset!r}, which {self.folder} does not "
                "have. ImageNet's are those of WordNet 3.0"
            )
        return self._entries[synset]

    @cached_property
    def _first(self) -> dict[str, str]:
        return {synset: above[0] for synset, (_, above, _) in self._entries.items() if above}

    @cached_property
    def _entries(self) -> dict[str, tuple[str, tuple[str, ...], str]]:
        """Synset → its first word, hypernyms and gloss."""
        return dict(_entry_of(line) for line in self._lines("data.noun"))

    @cached_property
    def _senses(self) -> dict[str, tuple[str, ...]]:
        """Word → its synsets, the most frequent sense first; their number is the third field."""
        rows = (line.split() for line in self._lines("index.noun"))
        return {row[0]: tuple("n" + offset for offset in row[-int(row[2]) :]) for row in rows}

    def _lines(self, file: str) -> list[str]:
        path = self.folder / file
        if not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist: expected WordNet's database files, as Debian's package wordnet-base "
                "puts them into /usr/share/wordnet"
            )
        # The licence at the head is indented.
        return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith(" ")]


def _entry_of(line: str) -> tuple[str, tuple[str, tuple[str, ...], str]]:
    """A line of data.noun: the synset, and its first word in lower case, hypernyms and gloss."""
    front, _, gloss = line.partition(" | ")
    fields = front.split()
    start = 4 + 2 * int(fields[3], 16)  # the number of words is hexadecimal, that of pointers is not
    pointers = [fields[start + 1 + 4 * i :][:3] for i in range(int(fields[start]))]
    above = tuple("n" + target for kind, target, part in pointers if kind in ("@", "@i") and part == "n")
    return "n" + fields[0], (fields[4].lower(), above, gloss.strip())


def wordnet_hierarchy(
    classes: Sequence[str],
    wordnet: WordNet,
    *,
    hops: Sequence[int] = (),
    depths: Sequence[int] = (),
    senses: Mapping[str, str] = CIFAR100_SENSES,
    finest: str = "fine",
) -> LabelHierarchy:
    """Classes, and above them levels cut from WordNet along first hypernyms, so that they nest.

    Hops count from the class up, so a level holds synsets of different generality where classes are
    unequally deep. Depths count from the root down. A class's own synset may be an ancestor of another's.

    Args:
        classes: words, senses or synsets, as `WordNet.synset_of` takes them.
        wordnet: the database.
        hops: of the levels, ascending from 1; or
        depths: of the levels, descending to 0 at the least.
        senses: word → sense, where it is not the first; read every class's gloss.
        finest: name of the finest level.

    Returns:
        levels `finest`, then "wordnet 2 hops" or "wordnet depth 5" and so on, their classes called as
        "fish.n.01".

    Raises:
        ValueError: for both or neither of hops and depths, or in another order; for unknown classes.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "index.noun").write_text("pet n 1 1 @ 1 0 00000002\\nthing n 1 1 ~ 1 0 00000001\\n")
    >>> lines = ["00000001 03 n 01 thing 0 000 | all", "00000002 03 n 01 pet 0 001 @ 00000001 n 0000 | a pet"]
    >>> _ = (folder / "data.noun").write_text("\\n".join(lines))
    >>> wordnet_hierarchy(("pet", "thing"), WordNet(folder), depths=[0]).levels[1]
    Level(name='wordnet depth 0', classes=('thing.n.01',))
    """
    if bool(hops) == bool(depths):
        raise ValueError(f"expected hops or depths, one of them; got hops {hops} and depths {depths}")
    if not _ascends(hops, 1) or not _ascends(depths[::-1], 0):
        raise ValueError(
            "expected hops that ascend from 1, or depths that descend to 0 at the least: fine to coarse; "
            f"got {list(hops or depths)}"
        )
    synsets = [wordnet.synset_of(word, senses) for word in classes]
    cuts = {f"wordnet {k} hop{'s' if k > 1 else ''}": wordnet.hops(synsets, k) for k in hops} | {
        f"wordnet depth {d}": wordnet.cut_at_depth(synsets, d) for d in depths
    }
    maps, before = {}, tuple(classes)
    for name, cut in cuts.items():
        names = tuple(map(wordnet.name, cut))
        maps[name] = dict(zip(before, names, strict=True))
        before = names
    return LabelHierarchy.from_maps(classes, maps, finest)


def _ascends(numbers: Sequence[int], least: int) -> bool:
    return list(numbers) == sorted(set(numbers)) and (not numbers or numbers[0] >= least)
