"""Names: those near to a misspelt one, and those of ImageNet's classes."""

import difflib
from collections.abc import Sequence
from functools import cache

from timm.data import ImageNetInfo


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Short names of the 1000 classes of ImageNet: the first synonym, made unique with another or the synset.

    >>> imagenet_classes()[:2], len(set(imagenet_classes()))
    (('tench', 'goldfish'), 1000)
    """
    info = ImageNetInfo()
    descriptions, synsets = info.label_descriptions(), info.label_names()
    short = [description.split(",")[0] for description in descriptions]
    return tuple(
        name if short.count(name) == 1 else f"{name} ({synset})"
        for name, synset in zip(short, synsets, strict=True)
    )


def near(name: str, names: Sequence[str]) -> str:
    """The names like a misspelt one, for a message; "" where there are none.

    >>> near("resnet5O", ["resnet50", "vgg16"])
    ' (near: resnet50)'
    """
    matches = difflib.get_close_matches(name, names, n=3)
    return f" (near: {', '.join(matches)})" if matches else ""
