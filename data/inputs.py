"""Inputs: images or sentences with their names and label columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from harsanyi.data.images import Images
from harsanyi.pictures import UnknownRangeError
from harsanyi.shown import Card, Shown, counted, first_few

Labels = npt.NDArray[np.int64]

# Who gave the classes of a level their numbers: see `Inputs.orders`.
Order = Literal["declared", "integers", "sorted", "derived"]


@dataclass(frozen=True, eq=False, repr=False)
class Inputs(Shown):
    """Images or sentences, each with a name and one label per level.

    Attributes:
        items: PIL images ("RGB" or "L"), decoded on access, or sentences.
        kind: "image" or "text".
        names: a relative file name, or the file and its row counted from 0, as "train.parquet:17".
        labels: level → int64 (len,); empty for unlabelled inputs.
        classes: level → class names; label k of a level is called `classes[level][k]`.
        skipped: names of the unreadable images that `check` left out.
        orders: level → who gave its classes their numbers. The data: "declared", a list of names in the data
            set, or the caller's own, which is the default; "integers", the labels are numbers, and class k is
            called str(k), or False and True. Or the reader: "sorted", by name; "derived", in the order in
            which the classes of another level reach them.
        other_files: extension → number of files of the folder that were not read, as {".npy": 3}; "" stands
            for none.

    Raises:
        ValueError: lengths disagree, a label has no class, or there is no such order.

    >>> trec = Inputs(["who?", "where?", "when?"], "text", ("a", "b", "c"),
    ...               {"fine": np.array([0, 1, 2])}, {"fine": ("person", "place", "date")})
    >>> coarse = trec.relabel("fine", {"person": "human", "place": "other", "date": "other"}, "coarse")
    >>> coarse.select([2, 0]).level("coarse")
    (array([1, 0]), ('human', 'other'))
    """

    items: Sequence[Any]
    kind: Literal["image", "text"]
    names: tuple[str, ...]
    labels: Mapping[str, Labels] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    orders: Mapping[str, Order] = field(default_factory=dict)
    other_files: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("image", "text"):
            raise ValueError(f"kind is 'image' or 'text', not {self.kind!r}")
        if len(self.names) != len(self.items):
            raise ValueError(f"{len(self.items)} items but {len(self.names)} names: give each item a name")
        if set(self.labels) != set(self.classes):
            raise ValueError(f"label columns {sorted(self.labels)} but classes for {sorted(self.classes)}")
        for level, labels in self.labels.items():
            if labels.shape != (len(self),):
                raise ValueError(f"{len(self)} inputs but labels {level!r} of shape {labels.shape}")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes[level]):
                raise ValueError(f"labels {level!r} go outside 0..{len(self.classes[level]) - 1}")
        orders: dict[str, Order] = {level: self.orders.get(level, "declared") for level in self.labels}
        if unknown := set(orders.values()) - set(get_args(Order)):
            raise ValueError(f"there is no order {unknown.pop()!r}: expected {', '.join(get_args(Order))}")
        object.__setattr__(self, "orders", orders)  # of each level, and of no level that is gone

    def __len__(self) -> int:
        return len(self.items)

    def _card(self) -> Card:
        what = "image" if self.kind == "image" else "sentence"
        levels = {f"level {name}": first_few(classes) for name, classes in self.classes.items()}
        first = self.items[0] if self.kind == "text" and len(self) else ""
        return Card(
            counted(len(self), what),
            {"names": first_few(self.names), **levels, "first": str(first)},
            picture=(lambda: np.asarray(self.items[0].convert("RGB")))
            if self.kind == "image" and len(self)
            else None,
        )

    def level(self, name: str | None = None) -> tuple[Labels, tuple[str, ...]]:
        """Labels (len,) and class names of a level; without a name, of the only level."""
        if name is None and len(self.labels) == 1:
            (name,) = self.labels
        if name is None or name not in self.labels:
            problem = "a level is needed" if name is None else f"there is no level {name!r}"
            raise ValueError(f"{problem}: the label columns are {', '.join(self.labels) or '(none)'}")
        return self.labels[name], self.classes[name]

    def numbered(self, name: str | None = None) -> bool:
        """Whether the data themselves number the classes of a level, and not the reader; as `level`.

        Only such numbers can mean the outputs of a network that has no names for them.

        >>> from harsanyi.data import fashion_mnist
        >>> fashion_mnist("test").numbered("coarse")
        True
        """
        self.level(name)
        (name,) = self.labels if name is None else (name,)
        return self.orders[name] in ("declared", "integers")

    def select(self, indices: Sequence[int] | npt.NDArray[Any]) -> Inputs:
        """The inputs at these indices, in their order, or where a boolean mask is true."""
        chosen = np.asarray(indices)
        rows = np.arange(len(self))[chosen if chosen.size else chosen.astype(np.int64)].tolist()
        items = self.items.select(rows) if isinstance(self.items, Images) else [self.items[i] for i in rows]
        return replace(
            self,
            items=items,
            names=tuple(self.names[i] for i in rows),
            labels={level: labels[rows] for level, labels in self.labels.items()},
        )

    def sample(self, k: int, seed: int, level: str | None = None) -> Inputs:
        """Draw k inputs at random, as evenly over the classes of `level` as their sizes allow.

        The order is that of the inputs. The same seed draws the same inputs, and a smaller k a part of them.

        Args:
            k: number of inputs.
            seed: of the draw.
            level: by default the only level; without labels the draw is uniform.

        Returns:
            the k inputs.

        Raises:
            ValueError: there are fewer than k inputs.
        """
        if not 0 < k <= len(self):
            raise ValueError(f"cannot draw {k} inputs: there are {len(self)}")
        rng = np.random.default_rng(seed)
        turn, position = np.empty(len(self), np.int64), np.empty(len(self), np.int64)
        position[rng.permutation(len(self))] = np.arange(len(self))
        for rows in self._strata(level):
            turn[rows[np.argsort(position[rows])]] = np.arange(len(rows))
        # Every class has its first turn before any class has its second: the counts stay even.
        return self.select(np.sort(np.lexsort((position, turn))[:k]))

    def split(self, fraction: float, seed: int, level: str | None = None) -> tuple[Inputs, Inputs]:
        """Split into two disjoint parts: round(fraction · len) inputs drawn at random, and the rest.

        Each class of `level` gives ⌊fraction · size⌋ inputs to the first part, or one more.

        Args:
            fraction: of the first part, between 0 and 1.
            seed: of the draw.
            level: as in `sample`.

        Returns:
            the first part and the rest, each in the order of the inputs.

        Raises:
            ValueError: a part would be empty.
        """
        total = round(fraction * len(self))
        if not (0 < fraction < 1 and 0 < total < len(self)):
            raise ValueError(f"splitting {len(self)} inputs by {fraction} leaves a part empty")
        rng = np.random.default_rng(seed)
        strata = list(self._strata(level))
        quota = fraction * np.array([len(rows) for rows in strata])
        take = np.floor(quota).astype(np.int64)
        # Largest remainders first, ties by lot.
        extra = np.lexsort((rng.random(len(strata)), take - quota))[: total - take.sum()]
        take[extra] += 1
        first = np.zeros(len(self), bool)
        for rows, count in zip(strata, take, strict=True):
            first[rng.permutation(rows)[:count]] = True
        return self.select(first), self.select(~first)

    def _strata(self, level: str | None) -> Iterator[Labels]:
        """The rows of each class with samples."""
        if level is None and not self.labels:
            yield np.arange(len(self))
            return
        labels, classes = self.level(level)
        yield from (rows for label in range(len(classes)) if len(rows := np.flatnonzero(labels == label)))

    def relabel(self, level_from: str, mapping: Mapping[str, str], name: str) -> Inputs:
        """Add a level, whose classes are those of `level_from` renamed by the mapping, many to few.

        Args:
            level_from: name of the finer level.
            mapping: old class name → new class name. New classes are numbered in the order in which the old
                ones first reach them.
            name: of the new level.

        Returns:
            the same inputs with one more level.

        Raises:
            ValueError: the mapping leaves out a class or names an unknown class, or the level is there
                already.
        """
        labels, classes = self.level(level_from)
        if name in self.labels:
            raise ValueError(f"there is already a level {name!r}: choose another name")
        for problem, names in (
            (f"leaves out classes of {level_from!r}", [c for c in classes if c not in mapping]),
            (f"names classes that {level_from!r} does not have", [c for c in mapping if c not in classes]),
        ):
            if names:
                raise ValueError(f"the mapping to {name!r} {problem}: {', '.join(names)}")
        coarser = tuple(dict.fromkeys(mapping[c] for c in classes))
        of_class = np.array([coarser.index(mapping[c]) for c in classes], np.int64)
        return replace(
            self,
            labels={**self.labels, name: of_class[labels]},
            classes={**self.classes, name: coarser},
            orders={**self.orders, name: "derived"},
        )

    def check(self, skip_unreadable: bool = False) -> Inputs:
        """Decodes every image once, so that none fails hours later; sentences need no check.

        Args:
            skip_unreadable: leave unreadable images out and put their names into `skipped`.

        Raises:
            ValueError: an image cannot be read, or with `skip_unreadable` none can.
            UnknownRangeError: nothing says which value of an image is white.
        """
        if self.kind == "text":
            return self
        readable = np.ones(len(self), bool)
        for i in range(len(self)):
            try:
                self.items[i]
            except UnknownRangeError:  # to leave these out would leave out the dark ones
                raise
            except ValueError:
                if not skip_unreadable:
                    raise
                readable[i] = False
        if not readable.any():
            raise ValueError(f"none of the {len(self)} images can be read; the first is {self.names[0]}")
        skipped = tuple(name for name, good in zip(self.names, readable, strict=True) if not good)
        return replace(self.select(readable), skipped=self.skipped + skipped) if skipped else self
