"""Which tensors of a checkpoint are a model's: the prefix under which names and shapes fit."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from harsanyi.models.loading.checkpoints import Checkpoint, first_few
from harsanyi.models.loading.conversions import converted
from harsanyi.models.loading.parts import WRAPPERS, State, averaged, bare, below, starts

# Counters, not weights: PyTorch before 0.4.1 did not write the first, transformers since 4.31 not the second.
OPTIONAL = (".num_batches_tracked", ".position_ids")
# What training puts beside a network, at the same level. Anything else there may be a layer of another one.
BESIDE = re.compile(
    r"decoder|mask_token|queue|projector|projection|predictor|prediction|prototype|criterion|loss|metric|pooler"
    r"|logit_scale|temperature|center|n_averaged|teacher|student|momentum|^ema|_ema|^cls$|lm_head|^mlm"
    r"|^aux|discriminator|memory|^(val|train|test)_",
    re.IGNORECASE,
)
HEADS = re.compile(r"^(fc|classifier|linear|proj|output|logits?)(_|$)|head|classif", re.IGNORECASE)
# A head beside these was trained to embed, not to answer classes.
EMBEDDING = {"queue", "queue_ptr", "predictor", "logit_scale", "text_projection"}
OTHER_ARCHITECTURE = "Give the architecture that the weights were saved from."
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


@dataclass(frozen=True)
class Names:
    """A model's names and shapes, and which of them are its head's.

    Attributes:
        shapes: of the tensors in the state dict.
        ties: the names of one tensor together.
        weight: the name of the head's weight; None where the head must fit like everything else.
        head: all names that belong to the head alone.
        unused: names of parts that answer nothing in eval mode.
    """

    shapes: dict[str, torch.Size]
    ties: list[list[str]]
    weight: str | None = None
    head: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()

    @staticmethod
    def of(model: nn.Module, head: str | None) -> "Names":
        """The names of a model with the dotted path of its head."""
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        own = set() if head is None else {name for name in shapes if name.rpartition(".")[0] == head}
        base = getattr(model, "base_model_prefix", None)
        if own and base and hasattr(model, base):  # heads of transformers have several layers
            outside = (n for n in shapes if not n.startswith(f"{base}.") or n.startswith(f"{base}.pooler."))
            own |= set(outside)
        weight = None if head is None else f"{head}.weight".removeprefix(".")
        unused = AUXILIARY if type(model).__module__.startswith("torchvision.models.") else ()
        return Names(shapes, ties(model), weight, frozenset(own), unused)

    @cached_property
    def needed(self) -> list[list[str]]:
        """The names that a file must have, with the head's; those of one tensor together."""
        unneeded = tuple(self.unused)
        return [
            group
            for group in self.ties
            if not group[0].endswith(OPTIONAL) and not group[0].startswith(unneeded)
        ]

    @cached_property
    def backbone(self) -> list[str]:
        """The needed names outside the head, one for each tensor."""
        return [group[0] for group in self.needed if not self.head.issuperset(group)]


@dataclass(frozen=True)
class Fit:
    """Tensors of a file by a model's names.

    Attributes:
        prefix: of the names in the file, without what wrappers put into them.
        tensors: by the model's names, as far as the file has them.
        missing, misshapen, unexpected: what does not fit.
        has_head: whether the head's weights are among the tensors.
        classes: how many the head has in the file; None where it has no head.
        names: in the file, of what was taken.
        notes: sentences on what was taken and what was left aside.
    """

    prefix: str
    tensors: State
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    has_head: bool = True
    classes: int | None = None
    names: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything but the head fits."""
        return not (self.missing or self.misshapen or self.unexpected)


def fit(checkpoint: Checkpoint, model: nn.Module, head: str | None = None) -> Fit:
    """The tensors of a checkpoint that are the model's.

    The prefix is looked for under which all names of the model and all shapes fit: that of a trainer's
    container, of a Lightning module's attribute, of a wrapper; or a model's own prefix where the file has
    none. Where no prefix fits, the conversions of the model's library are tried.

    Args:
        checkpoint: the file.
        model: whose names are wanted.
        head: the dotted path of the layer that may be missing, or have other classes; None: nothing may.

    Returns:
        the fit, complete.

    Raises:
        ValueError: nothing fits, or several parts of the file do; the message lists what differs.
    """
    names = Names.of(model, head)
    everything = checkpoint.tensors or checkpoint.state
    chosen = _chosen(everything, checkpoint)
    embeds = _embeds(everything, names)
    tensors = {name: everything[name] for name in chosen}
    fits = list(_fits(tensors, names, embeds))
    if not any(each.complete and (each.has_head or embeds) for each in fits):
        fits += _converted_fits(tensors, model, names, embeds)
    complete = [each for each in fits if each.complete]
    if not complete:
        raise ValueError(
            _misfit(checkpoint, model, names, max(fits, key=_likeness, default=None), list(tensors))
        )
    best = _one_of(complete, checkpoint, averaged(tensors))
    return replace(best, notes=tuple(_notes(best, everything, names)))


def likely_classes(checkpoint: Checkpoint, model: nn.Module, head: str) -> int | None:
    """The number of classes that a file's head has by its name and width alone.

    Args:
        checkpoint: the file.
        model: an architecture that may be that of the file.
        head: the dotted path of its head.

    Returns:
        the number of rows, or None where the file has no such head, or several with other numbers.
    """
    everything = checkpoint.tensors or checkpoint.state
    name, shape = f"{head}.weight", model.state_dict()[f"{head}.weight"].shape
    rows = {
        everything[each].shape[0]
        for each in _chosen(everything, checkpoint)
        if f".{bare(each)}".endswith(f".{name}") and everything[each].shape[1:] == shape[1:]
    }
    return rows.pop() if len(rows) == 1 and 0 not in rows else None


def _chosen(tensors: State, checkpoint: Checkpoint) -> list[str]:
    """The names of the file below the checkpoint's key, and in the moving average if that was asked for."""
    names = list(tensors) if checkpoint.key is None else below(tensors, checkpoint.key)
    inside = averaged(tensors) if checkpoint.ema else set(names)
    return [name for name in names if name in inside]


def _embeds(tensors: State, names: Names) -> bool:
    """Whether a head in this file is the projection of a method that learns without classes."""
    own = {piece for name in names.shapes for piece in name.split(".")}
    return not (EMBEDDING - own).isdisjoint(piece for name in tensors for piece in name.split("."))


def _fits(tensors: State, names: Names, embeds: bool) -> Iterator[Fit]:
    """The fits under every prefix of the file and of the model that is not hopeless."""
    wrappers = _wrappers(tensors, names.shapes)
    file = {bare(name, wrappers): name for name in tensors}
    own = {bare(name, wrappers): name for name in names.shapes}
    for inside in _shared_prefixes([bare(name, wrappers) for name in names.backbone]):
        relative = {name.removeprefix(inside): own[name] for name in own if name.startswith(inside)}
        counts = Counter(name[:start] for name in file for start in starts(name) if name[start:] in relative)
        most = max(counts.values(), default=0)
        parts: dict[str, dict[str, str]] = {p: {} for p, count in counts.items() if 2 * count >= most}
        for name, original in file.items():
            for start in starts(name):
                if name[:start] in parts:
                    parts[name[:start]][name[start:]] = original
        for prefix, below_it in parts.items():
            yield _judged(_Part(prefix, below_it, relative, wrappers), tensors, names, embeds)


@dataclass(frozen=True)
class _Part:
    """Names of a file below a prefix, and of the model below one of its own; both without wrappers."""

    prefix: str
    file: dict[str, str]
    own: dict[str, str]
    wrappers: set[str]

    @property
    def place(self) -> str:
        """The prefix as the file has it, with wrappers."""
        if not self.file:
            return self.prefix.rstrip(".")
        pieces, depth = next(iter(self.file.values())).split("."), self.prefix.count(".")
        count = 0
        while count < len(pieces) - 1 and (depth > 0 or pieces[count] in self.wrappers):
            depth -= pieces[count] not in self.wrappers
            count += 1
        return ".".join(pieces[:count])


def _wrappers(*states: Iterable[str]) -> set[str]:
    """What wrappers put into names: "module" as well, unless two names of a state would become one."""
    wider = WRAPPERS | {"module"}
    clash = any(len({bare(name, wider) for name in names}) < len(list(names)) for names in map(list, states))
    return WRAPPERS if clash else wider


def _shared_prefixes(names: Sequence[str]) -> list[str]:
    """The dotted prefixes that all names share, the empty one first."""
    if not names:
        return [""]
    first, last = min(names), max(names)
    return [first[:start] for start in starts(first) if first[:start] == last[:start]]


def _judged(part: _Part, tensors: State, names: Names, embeds: bool) -> Fit:
    """The fit of one part, with what is wrong with it."""
    state = {own: tensors[part.file[name]] for name, own in part.own.items() if name in part.file}
    has_head = names.weight is None or (not embeds and _answers(state, names))
    if not has_head:  # earlier layers of a head (a pooler) may be there all the same
        state = {
            name: t for name, t in state.items() if name not in names.head or _is_reusable(name, t, names)
        }
    missing = [
        group[0]
        for group in names.needed
        if not any(name in state for name in group) and (has_head or not names.head.issuperset(group))
    ]
    firsts = {name.partition(".")[0] for name in part.own}
    unexpected = [
        name
        for name in part.file
        if name not in part.own and not name.endswith(OPTIONAL) and _is_layer(name, firsts, has_head, names)
    ]
    taken = frozenset(part.file[name] for name, own in part.own.items() if name in part.file and own in state)
    weight = _head_weight(state, names) if has_head else None
    classes = weight.shape[0] if weight is not None else None
    misshapen = _misshapen(state, names, classes)
    return Fit(part.place, state, missing, misshapen, unexpected, has_head, classes, taken)


def _misshapen(state: State, names: Names, classes: int | None) -> list[str]:
    """What has another shape than the model's, but for the number of classes."""
    shapes = {
        name: torch.Size([classes, *shape[1:]]) if classes and _of_last_layer(name, names) else shape
        for name, shape in names.shapes.items()
    }
    return [
        f"{name} {tuple(tensor.shape)} instead of {tuple(shapes[name])}"
        for name, tensor in state.items()
        if tensor.shape != shapes[name] or tensor.is_complex()
    ]


def _answers(state: State, names: Names) -> bool:
    """Whether the state has the head's weight, of any number of classes."""
    weight = _head_weight(state, names)
    return weight is not None and weight.shape[1:] == names.shapes[names.weight or ""][1:]


def _head_weight(state: State, names: Names) -> Tensor | None:
    """The head's weight; one that is tied to it counts."""
    tied = next((group for group in names.ties if names.weight in group), [])
    return next((state[name] for name in tied if name in state), None)


def _is_reusable(name: str, tensor: Tensor, names: Names) -> bool:
    """Whether a tensor of a head without its last layer fits."""
    return not _of_last_layer(name, names) and tensor.shape == names.shapes[name]


def _of_last_layer(name: str, names: Names) -> bool:
    return names.weight is not None and name.rpartition(".")[0] == names.weight.rpartition(".")[0]


def _is_layer(name: str, firsts: set[str], has_head: bool, names: Names) -> bool:
    """Whether a name that the model lacks may be a layer of the file's network, which then is another one."""
    first = name.partition(".")[0]
    head = (names.weight or "").split(".")[:-1]
    if not has_head and (first in head or (HEADS.search(first) and "norm" not in first)):
        return False
    return first in firsts or not BESIDE.search(first)


def _likeness(candidate: Fit) -> tuple[int, int]:
    return len(candidate.tensors) - len(candidate.misshapen), -len(candidate.unexpected)


def _converted_fits(tensors: State, model: nn.Module, names: Names, embeds: bool) -> Iterator[Fit]:
    """The fits of what the library's conversions make of each part of the file that is large enough."""
    wrappers = _wrappers(tensors)
    file = {bare(name, wrappers): name for name in tensors}
    for prefix in _large_parts(file, len(names.backbone) // 2):
        part = {name.removeprefix(prefix): file[name] for name in file if name.startswith(prefix)}
        place = _Part(prefix, part, {}, wrappers).place
        for state in converted({name: tensors[part[name]] for name in part}, model):
            for each in _fits(state, names, embeds):
                read = _read_names(part, tensors, state, each.names)
                yield replace(each, prefix=_joined(place, each.prefix), names=read)


def _large_parts(names: Iterable[str], least: int) -> list[str]:
    """Prefixes with as many names; of a chain of containers that hold nothing else, the last two."""
    chains: dict[int, list[str]] = {}
    for prefix, count in Counter(name[:start] for name in names for start in starts(name)).items():
        if count >= least:
            chains.setdefault(count, []).append(prefix)
    return sorted((prefix for chain in chains.values() for prefix in sorted(chain, key=len)[-2:]), key=len)[
        :4
    ]


def _read_names(part: dict[str, str], tensors: State, result: State, taken: frozenset[str]) -> frozenset[str]:
    """The names of a file's part that a conversion read: those in its result, or all."""
    left = {original for name, original in part.items() if name in result and name not in taken}
    memory = {tensor.untyped_storage().data_ptr() for tensor in result.values()}
    shared = {name for name in part.values() if tensors[name].untyped_storage().data_ptr() in memory}
    return frozenset(shared - left or set(part.values()) - left)


def _one_of(fits: Sequence[Fit], checkpoint: Checkpoint, average: set[str]) -> Fit:
    """The fit to take of several: with a head, not averaged; any where they hold the same numbers.

    Raises:
        ValueError: several parts of the file fit, with other numbers.
    """
    with_head = [each for each in fits if each.has_head] or list(fits)
    plain = [each for each in with_head if not each.names <= average] or with_head
    best = max(plain, key=lambda each: (len(each.tensors), -len(each.prefix)))
    if all(_equal(best.tensors, each.tensors) for each in plain):
        return best
    parts = list(dict.fromkeys(each.prefix for each in plain))
    raise ValueError(
        f"{checkpoint.path} holds several networks that fit, under "
        f"{first_few([part or 'no prefix' for part in parts], 8)}: choose one by key={max(parts, key=len)!r}"
    )


def _equal(first: State, second: State) -> bool:
    return all(
        name in first and (first[name] is tensor or torch.equal(first[name], tensor))
        for name, tensor in second.items()
    )


def _notes(taken: Fit, tensors: State, names: Names) -> Iterator[str]:
    """Where the weights lay, what was left aside, and whether there is a head."""
    if taken.prefix:
        yield f"the weights are those under {taken.prefix}"
    aside = [name for name in tensors if name not in taken.names and not name.endswith(OPTIONAL)]
    if aside:
        groups = list(dict.fromkeys(_group(name, taken.prefix) for name in aside))
        count = f"{len(aside)} tensors" if len(aside) > 1 else "one tensor"
        yield f"{count} of the checkpoint left aside: {first_few(groups, 8)}"
    if not taken.has_head:
        drawn = sorted(
            {
                name.rpartition(".")[0]
                for name in names.head
                if name not in taken.tensors and name in names.shapes
            }
        )
        yield (
            f"the checkpoint holds no weights for {first_few(drawn)}: newly drawn by the seed, "
            "so the outputs mean nothing yet"
        )


def _group(name: str, prefix: str) -> str:
    """The first piece of a name beyond what it shares with the prefix."""
    pieces, others = name.split("."), prefix.split(".") if prefix else []
    shared = next((i for i, (a, b) in enumerate(zip(pieces, others, strict=False)) if a != b), len(others))
    return ".".join(pieces[: shared + 1])


def _joined(first: str, second: str) -> str:
    return f"{first}.{second}".strip(".")


def _misfit(
    checkpoint: Checkpoint, model: nn.Module, names: Names, closest: Fit | None, file_names: list[str]
) -> str:
    """What to say where nothing fits."""
    start = f"{checkpoint.path} does not fit {type(model).__name__}"
    if closest is None or not closest.tensors:
        return (
            f"{start}: none of its names ({first_few(file_names)}) is one of the model's "
            f"({first_few(names.backbone)}). {OTHER_ARCHITECTURE}"
        )
    under = f" under {closest.prefix}" if closest.prefix else ""
    problems = (
        ("missing", closest.missing),
        ("unexpected", closest.unexpected),
        ("wrong shape", closest.misshapen),
    )
    listed = "; ".join(f"{problem}: {first_few(entries)}" for problem, entries in problems if entries)
    return f"{start}{under}: {listed}. {_image_size(closest, model, names) or OTHER_ARCHITECTURE}"


def _image_size(closest: Fit, model: nn.Module, names: Names) -> str | None:
    """Advice where only the position embeddings differ, as those of another image size do."""
    wrong = {entry.partition(" ")[0] for entry in closest.misshapen}
    if (
        closest.missing
        or closest.unexpected
        or not wrong
        or not all("pos" in n.rpartition(".")[2] for n in wrong)
    ):
        return None
    name = min(wrong)
    counts = [max(shape[:-1], default=0) for shape in (closest.tensors[name].shape, names.shapes[name])]
    if size := _side(model, *counts):
        return f"The weights are of images of {size} × {size} pixels: give --image-size {size}."
    return "The weights are of inputs of another size: give the architecture with that size."


def _side(model: nn.Module, file_count: int, own_count: int) -> int | None:
    """The side of the square images that a number of positions belongs to, in pixels."""
    patch = next(
        (m.kernel_size[0] for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == m.stride),
        None,
    )
    extra = 0 if getattr(model, "no_embed_class", False) else getattr(model, "num_prefix_tokens", 1)
    for tokens in (extra, 1, 0, 2):
        sides = [math.isqrt(max(count - tokens, 0)) for count in (file_count, own_count)]
        if patch and all(
            side**2 + tokens == count for side, count in zip(sides, (file_count, own_count), strict=True)
        ):
            return sides[0] * patch
    return None


def ties(model: nn.Module) -> list[list[str]]:
    """The names in the state dict, those of one tensor together.

    Args:
        model: whose names are wanted.

    Returns:
        lists of names, in the order of the state dict.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return list(names.values())
