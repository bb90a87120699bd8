"""The prefix under which names and shapes of a checkpoint fit a model's."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from harsanyi.models.loading.checkpoints import Checkpoint
from harsanyi.models.loading.fitting.conversions import converted
from harsanyi.models.loading.fitting.heads import HEADS, heads_beside, rows_aside, with_head_renamed
from harsanyi.models.loading.fitting.names import OPTIONAL, Fit, Names
from harsanyi.models.loading.fitting.sentences import misfit, notes
from harsanyi.models.loading.parts import WRAPPERS, State, averaged, bare, below, is_of_weights, starts
from harsanyi.shown import first_few

# What training puts beside a network, at the same level. Anything else there may be a layer of another one.
BESIDE = re.compile(
    r"decoder|mask_token|queue|projector|projection|predictor|prediction|prototype|criterion|loss|metric|pooler"
    r"|logit_scale|temperature|center|n_averaged|teacher|student|momentum|^ema|_ema|^cls$|lm_head|^mlm"
    r"|^aux|discriminator|memory|^(val|train|test)_",
    re.IGNORECASE,
)
# A head beside these was trained to embed, not to answer classes.
EMBEDDING = {"queue", "queue_ptr", "predictor", "logit_scale", "text_projection"}


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
    complete = [each for each in _without_copies(fits) if each.complete]
    if not complete:
        closest = max(fits, key=_likeness, default=None)
        raise ValueError(misfit(checkpoint, model, names, closest, list(tensors)))
    best = _one_of(complete, checkpoint, averaged(tensors))
    if not best.has_head and not embeds:
        beside = heads_beside(best, everything, names).values()
        best = replace(best, heads_aside=tuple(sorted({*best.heads_aside, *beside})))
    return replace(best, notes=tuple(notes(best, everything, names)))


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
    name, shape = f"{head}.weight", model.state_dict()[f"{head}.weight".removeprefix(".")].shape
    rows = {
        everything[each].shape[0]
        for each in _chosen(everything, checkpoint)
        if f".{bare(each)}".endswith(f".{name}")
        and everything[each].ndim == len(shape)
        and everything[each].shape[1:] == shape[1:]
    }
    return rows.pop() if len(rows) == 1 and 0 not in rows else None


def _chosen(tensors: State, checkpoint: Checkpoint) -> list[str]:
    """The names of the file below the checkpoint's key, and in the moving average if that was asked for."""
    names = below(tensors, checkpoint.key) if checkpoint.key else list(tensors)
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
        counts = Counter({prefix: count for prefix, count in counts.items() if is_of_weights(prefix)})
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
    if not embeds:
        part = replace(part, file=with_head_renamed(part.file, part.own, tensors, names))
    state = {own: tensors[part.file[name]] for name, own in part.own.items() if name in part.file}
    weight = None if embeds else names.head_weight(state)
    has_head = names.weight is None or weight is not None
    if not has_head and names.backbone:
        state = _without_head(state, names)
    backbone = names.backbone or list(names.head)
    missing = [
        group[0]
        for group in names.needed
        if not any(name in state for name in group) and (has_head or group[0] in backbone)
    ]
    firsts = {name.partition(".")[0] for name in part.own}
    unexpected = [
        name
        for name in part.file
        if name not in part.own and not name.endswith(OPTIONAL) and _is_layer(name, firsts, has_head, names)
    ]
    classes = None if weight is None else len(weight)
    taken = frozenset(part.file[name] for name, own in part.own.items() if name in part.file and own in state)
    aside = () if has_head or embeds else rows_aside(part.file, part.own, tensors, names)
    return Fit(
        part.place, state, missing, names.misshapen(state, classes), unexpected, has_head, classes, taken,
        aside,
    )  # fmt: skip


def _without_head(state: State, names: Names) -> State:
    """The state without the last layer, and without earlier layers of the head (a pooler) that do not fit."""
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in names.head or (not names.is_of_last_layer(name) and tensor.shape == names.shapes[name])
    }


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
        if count >= least and is_of_weights(prefix):
            chains.setdefault(count, []).append(prefix)
    innermost = [prefix for chain in chains.values() for prefix in sorted(chain, key=len)[-2:]]
    return sorted(innermost, key=len)[:4]


def _read_names(part: dict[str, str], tensors: State, result: State, taken: frozenset[str]) -> frozenset[str]:
    """The names of a file's part that a conversion read: those in its result, or all."""
    left = {original for name, original in part.items() if name in result and name not in taken}
    memory = {tensor.untyped_storage().data_ptr() for tensor in result.values()}
    shared = {name for name in part.values() if tensors[name].untyped_storage().data_ptr() in memory}
    return frozenset(shared - left or set(part.values()) - left)


def _without_copies(fits: Sequence[Fit]) -> Iterator[Fit]:
    """The fits; a whole copy of the network that lies inside a part is none of the part's layers."""
    wrappers = WRAPPERS | {"module"}
    copied = {bare(name, wrappers) for each in fits if each.complete for name in each.names}
    for each in fits:
        place = bare(each.prefix, wrappers)
        outside = [name for name in each.unexpected if bare(_joined(place, name), wrappers) not in copied]
        yield replace(each, unexpected=outside)


def _one_of(fits: Sequence[Fit], checkpoint: Checkpoint, average: set[str]) -> Fit:
    """The fit to take of several: with a head, not averaged; any where they hold the same numbers.

    Raises:
        ValueError: several parts of the file fit, with other numbers.
    """
    with_head = [each for each in fits if each.has_head] or list(fits)
    plain = [each for each in with_head if not each.names <= average] or with_head
    plain = [each for each in plain if each.prefix == checkpoint.key] or plain
    best = max(plain, key=lambda each: (len(each.tensors), -len(each.prefix)))
    if all(_equal(best.tensors, each.tensors) for each in plain):
        return best
    parts = list(dict.fromkeys(each.prefix for each in plain))
    raise ValueError(
        f"{checkpoint.path} holds several networks that fit, under "
        f"{first_few([part or 'no prefix' for part in parts], 8)}: choose one by key={parts[0]!r}"
    )


def _equal(first: State, second: State) -> bool:
    """Whether the second state has nothing but tensors of the first: in the same memory, or equal."""
    return all(
        name in first
        and first[name].shape == tensor.shape
        and (first[name].data_ptr() == tensor.data_ptr() or torch.equal(first[name], tensor))
        for name, tensor in second.items()
    )


def _joined(first: str, second: str) -> str:
    return f"{first}.{second}".strip(".")
