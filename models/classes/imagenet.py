"""The classes of ImageNet and of its larger relatives: names, WordNet synsets and synonyms."""

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from harsanyi.models.classes.spelling import spelled

if TYPE_CHECKING:
    from timm.data import ImageNetInfo

# Of the classes of ImageNet and of its relatives in timm.
COUNTS = frozenset({1000, 11221, 11821, 21841, 21842, 21843})


def is_imagenet(count: int) -> bool:
    """Whether ImageNet or a relative of it has so many classes.

    Args:
        count: of classes.

    Returns:
        True for 1000, 11221, 11821, 21841, 21842 and 21843.

    >>> is_imagenet(1000), is_imagenet(21843), is_imagenet(10)
    (True, True, False)
    """
    return count in COUNTS


@cache
def imagenet_classes(count: int = 1000) -> tuple[str, ...]:
    """Short names of the classes of ImageNet: the first synonym, made unique with the synset.

    Args:
        count: of classes; see `is_imagenet`.

    Returns:
        the names in the order of the outputs.

    >>> imagenet_classes()[:2], len(set(imagenet_classes()))
    (('tench', 'goldfish'), 1000)
    """
    info = _info(count)
    descriptions, synsets = info.label_descriptions(), info.label_names()
    short = [description.split(",")[0] for description in descriptions]
    uses = Counter(short)
    return tuple(
        name if uses[name] == 1 else f"{name} ({synset})" for name, synset in zip(short, synsets, strict=True)
    )


@cache
def imagenet_aliases(count: int = 1000) -> dict[str, int]:
    """What each class of ImageNet may be called: synset, description, and synonyms that are of no other.

    Args:
        count: of classes; see `is_imagenet`.

    Returns:
        the number of the output by name, spelled as by `spelled`.

    >>> aliases = imagenet_aliases()
    >>> aliases["n01440764"], aliases["tench, tinca tinca"], aliases["tinca tinca"]
    (0, 0, 0)
    """
    info = _info(count)
    owners: dict[str, set[int]] = {}
    for number, (synset, words) in enumerate(zip(info.label_names(), info.label_descriptions(), strict=True)):
        synonyms = [word.strip() for word in words.split(",")]
        for name in (synset, words, *synonyms, *(f"{synset} {word}" for word in synonyms)):
            owners.setdefault(spelled(name), set()).add(number)
    return {name: min(numbers) for name, numbers in owners.items() if len(numbers) == 1}


@cache
def _info(count: int) -> "ImageNetInfo":
    """timm's table of the classes."""
    from timm.data import ImageNetInfo, infer_imagenet_subset  # here, since this import takes seconds

    subset = infer_imagenet_subset({"num_classes": count})
    assert subset is not None, count
    return ImageNetInfo(subset)
