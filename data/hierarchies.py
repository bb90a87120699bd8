"""Label hierarchies: levels of classes from fine to coarse, each class with one parent in the next level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from harsanyi.data.alignment import labels_row
from harsanyi.data.inputs import Inputs


@dataclass(frozen=True)
class Level:
    """The classes of one level.

    Attributes:
        name: as "fine" or "2 hops".
        classes: their names, unique; label k is called classes[k].

    Raises:
        ValueError: for no classes, or two classes of one name.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError(f"expected one class or more on level {self.name!r}, got none")
        if twice := _repeated(self.classes):
            raise ValueError(
                f"level {self.name!r} has classes of one name, {_first_names(twice)}: rename them"
            )


@dataclass(frozen=True, eq=False)
class LabelHierarchy:
    """Levels from fine to coarse that nest: a class lies in one class of the next level.

    Attributes:
        levels: one or more, of different names, the finest first.
        parents: parents[i] int64 (classes of levels[i],), the class of levels[i + 1] that each lies in.

    Raises:
        ValueError: for parents that are too few or many, leave a class out, name one that is not there, or
            leave a coarser class without a child.

    >>> maps = {"kind": {"cat": "pet", "dog": "pet", "car": "vehicle"}}
    >>> hierarchy = LabelHierarchy.from_maps(("car", "cat", "dog"), maps)
    >>> hierarchy.levels[1].classes, hierarchy.groups("kind").tolist()
    (('vehicle', 'pet'), [0, 1, 1])
    >>> hierarchy.map(np.array([2, 0]), "kind").tolist()
    [1, 0]
    """

    levels: tuple[Level, ...]
    parents: tuple[Int64[np.ndarray, " classes"], ...]

    def __post_init__(self) -> None:
        if not self.levels or len(self.parents) != len(self.levels) - 1:
            raise ValueError(
                "expected one level or more and parents for all but the last; got "
                f"{len(self.levels)} levels and {len(self.parents)} vectors of parents"
            )
        if twice := _repeated(level.name for level in self.levels):
            raise ValueError(f"two levels are called {_first_names(twice)}: rename one")
        for level, coarser, parents in zip(self.levels, self.levels[1:], self.parents, strict=False):
            _check_parents(level, coarser, parents)

    def map(
        self, labels: Int64[np.ndarray, " samples"], level: str, of: str | None = None
    ) -> Int64[np.ndarray, " samples"]:
        """Map labels of one level to a coarser level.

        Args:
            labels: numbers of classes of the level `of`.
            level: the coarser level, or the same.
            of: the level of the labels; the finest by default.

        Returns:
            the labels of the coarser level, int64 `(samples,)`.

        Raises:
            ValueError: for a level that is not there or is finer than `of`, and for labels outside its
                classes.
        """
        start, end = 0 if of is None else self._position(of), self._position(level)
        if end < start:
            raise ValueError(f"labels of level {of!r} do not determine those of the finer {level!r}")
        count = len(self.levels[start].classes)
        if len(labels) and not 0 <= labels.min() <= labels.max() < count:
            raise ValueError(
                f"expected labels of level {self.levels[start].name!r}, 0..{count - 1}; "
                f"got {labels.min()}..{labels.max()}"
            )
        for parents in self.parents[start:end]:
            labels = parents[labels]
        return labels

    def groups(self, level: str) -> Int64[np.ndarray, " classes"]:
        """The class in `level` of each class of the finest level, (classes,)."""
        return self.map(np.arange(len(self.levels[0].classes)), level)

    def table(
        self,
        labels: Int64[np.ndarray, " samples"],
        target: Int64[np.ndarray, " samples"] | None = None,
    ) -> pd.DataFrame:
        """Sizes of the classes of these samples on each level, and their agreement with a target.

        Args:
            labels: of the finest level.
            target: other labels of the same samples, as those of a task.

        Returns:
            tidy, a row a level: level, classes, samples, least and most (samples of a class), imbalance
            (most / least, infinite where a class has none); with a target also nmi and purity
            (`harsanyi.data.alignment`). All describe these samples, so they carry no interval.

        Raises:
            ValueError: for labels outside the finest classes; for a target of another length.

        >>> maps = {"kind": {"cat": "pet", "dog": "pet", "car": "vehicle"}}
        >>> hierarchy = LabelHierarchy.from_maps(("car", "cat", "dog"), maps)
        >>> print(hierarchy.table(np.array([0, 0, 1, 2]), np.array([1, 1, 0, 0])).round(3).to_string())
          level  classes  samples  least  most  imbalance  nmi  purity
        0  fine        3        4      1     2        2.0  0.8     1.0
        1  kind        2        4      2     2        1.0  1.0     1.0
        """
        return pd.DataFrame(
            [
                labels_row(level.name, self.map(labels, level.name), len(level.classes), target)
                for level in self.levels
            ]
        )

    @classmethod
    def from_columns(cls, inputs: Inputs, levels: Sequence[str]) -> LabelHierarchy:
        """The hierarchy in the label columns of a data set.

        Args:
            inputs: with the columns.
            levels: the columns' names from fine to coarse.

        Raises:
            ValueError: for a class whose samples have two parents, and for a class without samples, which has
                no known parent.

        >>> from harsanyi.data import fashion_mnist
        >>> LabelHierarchy.from_columns(fashion_mnist("test"), ["fine", "coarse"]).groups("coarse").tolist()
        [0, 1, 0, 1, 0, 2, 0, 2, 3, 2]
        """
        columns = [inputs.level(name) for name in levels]
        steps = zip(levels, columns, columns[1:], strict=False)
        parents = tuple(_parents_in(inputs, name, finer, coarser) for name, finer, coarser in steps)
        named = zip(levels, columns, strict=True)
        return cls(tuple(Level(name, classes) for name, (_, classes) in named), parents)

    @classmethod
    def from_maps(
        cls, classes: Sequence[str], maps: Mapping[str, Mapping[str, str]], finest: str = "fine"
    ) -> LabelHierarchy:
        """Make the hierarchy above `classes` from maps of names.

        Args:
            classes: of the finest level, in the order of their labels.
            maps: name of a level → (class of the level before → class of this level), from fine to coarse.
                Classes are numbered in the order in which the classes of the level before first reach them.
            finest: name of the finest level.

        Returns:
            the hierarchy: the finest level, then a level for each map.

        Raises:
            ValueError: for a map that leaves out a class of the level before, or names one it has not, as a
                map that skips a level does.
        """
        levels, parents = [Level(finest, tuple(classes))], []
        for name, mapping in maps.items():
            before = levels[-1]
            _check_map(name, before, mapping)
            coarser = {c: i for i, c in enumerate(dict.fromkeys(mapping[c] for c in before.classes))}
            parents.append(np.array([coarser[mapping[c]] for c in before.classes], np.int64))
            levels.append(Level(name, tuple(coarser)))
        return cls(tuple(levels), tuple(parents))

    @classmethod
    def from_parents(
        cls, leaves: Sequence[str], parent: Mapping[str, str], finest: str = "fine"
    ) -> LabelHierarchy:
        """The hierarchy of a tree or forest whose leaves are all at one depth: level "k up" is k parents up.

        Args:
            leaves: the finest classes.
            parent: name → name of its parent; a name without a parent is a root, on the coarsest level.
            finest: name of the finest level.

        Returns:
            the hierarchy; the roots are its coarsest level.

        Raises:
            ValueError: for a loop, naming it; for leaves with different numbers of levels above them; for a
                class that is reached in different numbers of steps, as where a leaf skips a level.

        >>> parent = {"cat": "pet", "dog": "pet", "car": "vehicle", "pet": "thing", "vehicle": "thing"}
        >>> LabelHierarchy.from_parents(("car", "cat", "dog"), parent).levels[2]
        Level(name='2 up', classes=('thing',))
        """
        paths = [ancestors(leaf, parent) for leaf in leaves]
        _check_paths(paths)
        depth = min((len(path) for path in paths), default=1)
        maps = {f"{k} up": {path[k - 1]: path[k] for path in paths} for k in range(1, depth)}
        return cls.from_maps(leaves, maps, finest)

    def _position(self, level: str) -> int:
        names = [known.name for known in self.levels]
        if level not in names:
            raise ValueError(f"there is no level {level!r}: the levels are {', '.join(names)}")
        return names.index(level)


def ancestors(name: str, parent: Mapping[str, str]) -> list[str]:
    """The name itself, its parent, the parent's parent, … up to one without a parent.

    Raises:
        ValueError: for a loop, naming it.

    >>> ancestors("cat", {"cat": "pet", "pet": "animal", "car": "vehicle"})
    ['cat', 'pet', 'animal']
    """
    path = [name]
    while path[-1] in parent:
        above = parent[path[-1]]
        if above in path:
            raise ValueError(f"the parents loop: {' → '.join([*path[path.index(above) :], above])}")
        path.append(above)
    return path


def _check_parents(level: Level, coarser: Level, parents: Int64[np.ndarray, " classes"]) -> None:
    """ValueError unless the parents are a map of all classes of a level onto all of the coarser one."""
    if parents.shape != (len(level.classes),) or parents.dtype != np.int64:
        raise ValueError(
            f"expected a parent for each of the {len(level.classes)} classes of level {level.name!r}, "
            f"int64; got {parents.dtype} of shape {parents.shape}"
        )
    if lost := [c for c, p in zip(level.classes, parents, strict=True) if not 0 <= p < len(coarser.classes)]:
        raise ValueError(
            f"classes of {level.name!r} have a parent outside {coarser.name!r}: {_first_names(lost)}"
        )
    if bare := [c for i, c in enumerate(coarser.classes) if i not in parents]:
        raise ValueError(f"classes of {coarser.name!r} have no child in {level.name!r}: {_first_names(bare)}")


def _check_map(name: str, before: Level, mapping: Mapping[str, str]) -> None:
    """ValueError unless the mapping names exactly the classes of the level before."""
    known = set(before.classes)
    if missing := [c for c in before.classes if c not in mapping]:
        raise ValueError(
            f"the map to {name!r} leaves out classes of {before.name!r}, the level before it: "
            f"{_first_names(missing)}"
        )
    if unknown := [c for c in mapping if c not in known]:
        raise ValueError(
            f"the map to {name!r} names classes that {before.name!r} has not: {_first_names(unknown)}"
        )


Column = tuple[Int64[np.ndarray, " samples"], tuple[str, ...]]


def _parents_in(inputs: Inputs, name: str, finer: Column, coarser: Column) -> Int64[np.ndarray, " classes"]:
    """For each class of the finer column, the class of the coarser column that its samples have."""
    (labels, classes), (above, parents) = finer, coarser
    used, rows = np.unique(labels, return_index=True)
    if unused := [c for i, c in enumerate(classes) if i not in used]:
        raise ValueError(
            f"classes of {name!r} have no sample, and so no known parent: {_first_names(unused)}. "
            "Read the hierarchy from a split that has all classes"
        )
    seen = above[rows]
    if len(two := np.flatnonzero(seen[labels] != above)):
        row = two[0]
        raise ValueError(
            f"class {classes[labels[row]]!r} of {name!r} has two parents: {parents[seen[labels[row]]]!r} in "
            f"{inputs.names[rows[labels[row]]]} and {parents[above[row]]!r} in {inputs.names[row]}"
        )
    return seen


def _check_paths(paths: Sequence[Sequence[str]]) -> None:
    """ValueError where a class is reached in different numbers of steps, or roots are at different depths."""
    heights: dict[str, tuple[int, str]] = {}
    for path in paths:
        for steps, name in enumerate(path):
            known, leaf = heights.setdefault(name, (steps, path[0]))
            if known != steps:
                raise ValueError(
                    f"{name!r} is {known} up from {leaf!r} and {steps} up from {path[0]!r}: "
                    "one of them skips a level, so give it a parent in between"
                )
        if len(path) != len(paths[0]):
            raise ValueError(
                f"{path[0]!r} has {len(path) - 1} levels above it and {paths[0][0]!r} has "
                f"{len(paths[0]) - 1}: give all leaves the same number"
            )


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _first_names(names: Sequence[str]) -> str:
    """The first five names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
