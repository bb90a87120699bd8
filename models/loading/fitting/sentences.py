"""What is said of a fit: notes on what was taken, and errors where nothing fits."""

import math
from collections.abc import Iterator, Mapping

from torch import nn

from harsanyi.models.loading.checkpoints import Checkpoint
from harsanyi.models.loading.fitting.heads import heads_beside
from harsanyi.models.loading.fitting.names import OPTIONAL, Fit, Names
from harsanyi.models.loading.parts import State
from harsanyi.shown import first_few

OTHER_ARCHITECTURE = "Give the architecture that the weights were saved from."


def notes(taken: Fit, tensors: State, names: Names) -> Iterator[str]:
    """Where the weights lay, what was left aside, and whether there is a head.

    Args:
        taken: the fit.
        tensors: all of the file.
        names: the model's.

    Yields:
        plain sentences.
    """
    if taken.prefix:
        yield f"Its weights are those under {taken.prefix}."
    aside = [name for name in tensors if name not in taken.names and not name.endswith(OPTIONAL)]
    if aside:
        groups = list(dict.fromkeys(_group(name, taken.prefix) for name in aside))
        count = f"{len(aside)} tensors" if len(aside) > 1 else "One tensor"
        yield f"{count} of the checkpoint left aside: {first_few(groups, 8)}."
    if not taken.has_head:
        drawn = sorted({name.rpartition(".")[0] for name in names.head if name not in taken.tensors})
        yield f"The checkpoint holds no weights for {first_few(drawn)} that fit: newly drawn by the seed."
        if heads := heads_beside(taken, tensors, names):
            listed = [f"{layer} ({rows} outputs)" for layer, rows in heads.items()]
            yield (
                f"{first_few(listed)} may be its own head, left aside as nothing says how it follows the "
                "backbone: to keep it, build both in a FILE.py."
            )


def _group(name: str, prefix: str) -> str:
    """The first piece of a name beyond what it shares with the prefix."""
    pieces, others = name.split("."), prefix.split(".") if prefix else []
    shared = next((i for i, (a, b) in enumerate(zip(pieces, others, strict=False)) if a != b), len(others))
    return ".".join(pieces[: shared + 1])


def misfit(
    checkpoint: Checkpoint, model: nn.Module, names: Names, closest: Fit | None, file_names: list[str]
) -> str:
    """What to say where nothing fits.

    Args:
        checkpoint: the file.
        model: whose names were wanted.
        names: of the model.
        closest: the part of the file that is most like the model; None where no name is.
        file_names: the names of the file that were looked at.

    Returns:
        what is missing, unexpected or of another shape, and what to do.
    """
    start = f"{checkpoint.path} does not fit {type(model).__name__}"
    if closest is None or not closest.tensors:
        return (
            f"{start}: none of its names ({first_few(file_names)}) is one of the model's "
            f"({first_few(names.backbone)}). {OTHER_ARCHITECTURE}"
        )
    under = f" under {closest.prefix}" if closest.prefix else ""
    problems = (
        ("missing", [_missing(name, checkpoint.unread) for name in closest.missing]),
        ("unexpected", closest.unexpected),
        ("wrong shape", closest.misshapen),
    )
    listed = "; ".join(f"{problem}: {first_few(entries)}" for problem, entries in problems if entries)
    return f"{start}{under}: {listed}. {_image_size(closest, model, names) or OTHER_ARCHITECTURE}"


def _missing(name: str, unread: Mapping[str, str]) -> str:
    """A name that the file lacks, or has as a tensor of another form."""
    forms = {form for other, form in unread.items() if f".{other}".endswith(f".{name}")}
    return f"{name} (which is {min(forms)} in the file: save it as plain numbers)" if forms else name


def _image_size(closest: Fit, model: nn.Module, names: Names) -> str | None:
    """Advice where only the position embeddings differ, as those of another image size do."""
    wrong = {entry.partition(" ")[0] for entry in closest.misshapen}
    others = [name for name in wrong if "pos" not in name.rpartition(".")[2]]
    if closest.missing or closest.unexpected or others or not wrong:
        return None
    absolute = [name for name in sorted(wrong) if "relative" not in name]
    shapes = [(closest.tensors[name].shape, names.shapes[name]) for name in absolute]
    sizes = [_side(model, *(max(shape[:-1], default=0) for shape in pair)) for pair in shapes]
    if sizes and (size := sizes[0]):
        return (
            f"The weights are of images of {size} × {size} pixels: give --image-size {size}, or an "
            "architecture of that size."
        )
    return "The weights are of inputs or windows of another size: give the architecture with that size."


def _side(model: nn.Module, file_count: int, own_count: int) -> int | None:
    """The side of the square images that a number of positions belongs to, in pixels."""
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    patches = [c.kernel_size[0] for c in convolutions if c.kernel_size == c.stride and c.kernel_size[0] > 1]
    extra = 0 if getattr(model, "no_embed_class", False) else getattr(model, "num_prefix_tokens", 1)
    for tokens in (extra, 1, 0, 2):
        side, own_side = (math.isqrt(max(count - tokens, 0)) for count in (file_count, own_count))
        if patches and (side**2 + tokens, own_side**2 + tokens) == (file_count, own_count):
            return side * patches[0]
    return None
