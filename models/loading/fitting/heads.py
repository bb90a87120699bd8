"""Heads that people put in place of an architecture's own: the same layer elsewhere, or another one."""

import re
from collections import Counter

from harsanyi.models.loading.fitting.names import OPTIONAL, Fit, Names
from harsanyi.models.loading.parts import State

HEADS = re.compile(r"^(fc|classifier|linear|proj|output|logits?)(_|$)|head|classif", re.IGNORECASE)


def with_head_renamed(
    file: dict[str, str], own: dict[str, str], tensors: State, names: Names
) -> dict[str, str]:
    """The names of a file, with its last layer under the head's name where it only lies elsewhere.

    Dropout before the layer, as in ``fc = Sequential(Dropout(), Linear(…))``, makes it ``fc.1``; a layer in
    place of such a pair makes it ``classifier`` instead of ``classifier.1``. Nothing else may be there.

    Args:
        file: names in the file by names below the prefix.
        own: names of the model by names below its prefix.
        tensors: of the file.
        names: of the model.

    Returns:
        names in the file by names below the prefix; the same ones where no layer lies elsewhere.
    """
    weight = _own_weight(own, names)
    if weight is None or weight in file:
        return file
    inside = _inside(_place(weight, own, names), file, own)
    layers = {name.rpartition(".")[0] for name in inside}
    shapes = {name.rpartition(".")[2]: tensors[file[name]].shape for name in inside}
    expected = names.shapes[own[weight]]
    fits = len(shapes.get("weight", ())) == len(expected) and shapes["weight"][1:] == expected[1:]
    biased = weight.removesuffix("weight") + "bias" in own
    if len(layers) != 1 or not fits or set(shapes) != {"weight", *(["bias"] if biased else [])}:
        return file
    layer, head = layers.pop(), weight.rpartition(".")[0]
    return {name.replace(layer, head, 1) if name in inside else name: full for name, full in file.items()}


def rows_aside(file: dict[str, str], own: dict[str, str], tensors: State, names: Names) -> tuple[int, ...]:
    """The numbers of rows of matrices in the head's place, or named like heads, that are not the head.

    Args:
        file, own, tensors, names: as for `with_head_renamed`.

    Returns:
        numbers, each once; one of them may be the number of classes of a head that another architecture has.
    """
    weight = _own_weight(own, names)
    if weight is None:
        return ()
    inside = set(_inside(_place(weight, own, names), file, own))
    candidates = [name for name in file if name in inside or (name not in own and HEADS.search(name))]
    shapes = [tensors[file[name]].shape for name in candidates]
    return tuple(sorted({shape[0] for shape in shapes if len(shape) == 2}))


def heads_beside(taken: Fit, tensors: State, names: Names) -> dict[str, int]:
    """Single linear layers outside the part that was taken, as wide as its features.

    Args:
        taken: a fit without a head.
        tensors: all of the file.
        names: the model's.

    Returns:
        numbers of outputs by the name of the layer; none of a projector, which has several layers.
    """
    matrices = [name for name in tensors if name.endswith(".weight") and tensors[name].ndim == 2]
    layers = {name.removesuffix(".weight"): tensors[name] for name in matrices if name not in taken.names}
    siblings = Counter(layer.rpartition(".")[0] for layer in layers if layer.rpartition(".")[2].isdigit())
    width = names.shapes[names.weight or ""][1:]
    return {
        layer: len(weight)
        for layer, weight in layers.items()
        if weight.shape[1:] == width
        and siblings[layer.rpartition(".")[0]] < 2
        and not layer.startswith(f"{taken.prefix}.")
    }


def _own_weight(own: dict[str, str], names: Names) -> str | None:
    """The head's weight below the model's prefix."""
    return next((name for name, full in own.items() if full == names.weight and "." in name), None)


def _place(weight: str, own: dict[str, str], names: Names) -> str:
    """The widest module that holds nothing but the head."""
    pieces = weight.split(".")[:-1]
    places = (".".join(pieces[: count + 1]) for count in range(len(pieces)))
    return next(
        place
        for place in places
        if all(full in names.head for name, full in own.items() if name.startswith(f"{place}."))
    )


def _inside(place: str, file: dict[str, str], own: dict[str, str]) -> list[str]:
    """The names of a file in a module that the model does not have."""
    return [
        name
        for name in file
        if name.startswith(f"{place}.") and name not in own and not name.endswith(OPTIONAL)
    ]
