"""Which output of a network is which class of the data: by name, or by a number that is known to mean it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harsanyi.models.classes.imagenet import imagenet_aliases, imagenet_classes, is_imagenet
from harsanyi.models.classes.names import numbered
from harsanyi.models.classes.spelling import spelled

# Who gave the data's classes their numbers: a list of names in the data, labels that are numbers, or the
# reader, who sorted the names or took them as finer classes reach them.
Order = Literal["declared", "integers", "sorted", "derived"]
ASSUMED = "by number, ASSUMED: the outputs have no names, and the data's classes are numbered"
WHY_NUMBERS = {
    "declared": "by number: the outputs have no names, and the data declares the order of its classes",
    "integers": "by number: the labels of the data are numbers",
    "sorted": f"{ASSUMED} by sorting their names",
    "derived": f"{ASSUMED} as finer classes reach them",
}
NAMES_LISTED = 5


@dataclass(frozen=True)
class ClassMatch:
    """The output of each class.

    Attributes:
        outputs: numbers of the network's outputs, one for each class.
        why: how they are known, in words.
        assumed: whether they only follow from how the reader numbered the classes.
    """

    outputs: tuple[int, ...]
    why: str
    assumed: bool = False


class ClassMismatchError(ValueError):
    """A network's outputs are not the classes."""


def match_classes(
    outputs: Sequence[str], classes: Sequence[str], order: Order = "sorted", *, named: bool | None = None
) -> ClassMatch:
    """Find the output of each class.

    Outputs with names are matched by name; spelling (case, spaces, "_", "-") may differ, and outputs of
    ImageNet may be called by their synsets or synonyms. The outputs may be more than the classes. Labels
    that are numbers are numbers of outputs. Outputs without names are matched by number where there are as
    many classes; where the reader numbered the classes, this is an assumption, and the match says so.

    Args:
        outputs: names of the network's outputs; "0", "1", … where they have none.
        classes: names of the data's classes.
        order: who gave the classes their numbers.
        named: whether the outputs have names; by default whether they are called other than "0", "1", …

    Returns:
        the match.

    Raises:
        ClassMismatchError: the outputs are not these classes; the message names both.

    >>> match_classes(["cat", "dog", "ant"], ["Ant", "Dog"]).outputs
    (2, 1)
    >>> match_classes(["0", "1"], ["ant", "dog"]).assumed
    True
    """
    if named is None:
        named = tuple(outputs) != numbered(len(outputs))
    numbers = tuple(range(len(classes)))
    if order == "integers":
        if len(classes) <= len(outputs):
            return ClassMatch(numbers, WHY_NUMBERS[order])
    elif not named and len(outputs) == len(classes):
        return ClassMatch(numbers, WHY_NUMBERS[order], assumed=order in ("sorted", "derived"))
    elif named:
        for names, why in _namings(outputs):
            matched = [names.get(spelled(name)) for name in classes]
            if all(number is not None for number in matched) and len(set(matched)) == len(matched):
                return ClassMatch(tuple(number for number in matched if number is not None), why)
    raise ClassMismatchError(_mismatch(outputs, classes, named))


def listed(names: Sequence[str]) -> str:
    """The first few of many names, for a message.

    Args:
        names: all of them.

    Returns:
        at most `NAMES_LISTED` names, with commas.

    >>> listed("abcdefg")
    'a, b, c, d, e, …'
    """
    return ", ".join(names[:NAMES_LISTED]) + (", …" if len(names) > NAMES_LISTED else "")


def _namings(outputs: Sequence[str]) -> list[tuple[Mapping[str, int], str]]:
    """The ways to name the outputs, each with its words; a spelling that two outputs share names neither."""
    spellings = [spelled(name) for name in outputs]
    uses = Counter(spellings)
    unique = {name: number for number, name in enumerate(spellings) if uses[name] == 1}
    namings: list[tuple[Mapping[str, int], str]] = [(unique, "by name")]
    if is_imagenet(len(outputs)) and tuple(outputs) == imagenet_classes(len(outputs)):
        namings.append((imagenet_aliases(len(outputs)), "by ImageNet's synsets and synonyms"))
    return namings


def _mismatch(outputs: Sequence[str], classes: Sequence[str], named: bool) -> str:
    """Both lists, in a sentence without subject."""
    own = f"{len(outputs)} outputs, {listed(outputs)}" if named else f"{len(outputs)} outputs without names"
    known = {spelled(name) for name in outputs}
    missing = [name for name in classes if spelled(name) not in known] if named else []
    lacking = f"; among its outputs there is no {listed(missing)}" if missing else ""
    return f"has {own}; the data has {len(classes)} classes, {listed(classes)}{lacking}"
