"""The parts of a checkpoint: every tensor by its dotted name, without what optimisers keep."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

CONTAINERS = (Tensor, Mapping, list, tuple)
MAX_DEPTH = 32
MAX_ITEMS = 200_000
MAX_NAME = 1000
# Containers of optimisers, schedules and random states, whose tensors may have the names of weights.
NOT_WEIGHTS = re.compile(
    r"optimi[sz]er|(^|_)opt(im)?s?(_|$)|scheduler|grad_?scal|^scaler$|^rng_|^amp$|exp_avg|momentum_buffer|^grads?$",
    re.IGNORECASE,
)
AVERAGED = {"ema", "swa", "averaged", "average", "avg", "shadow", "momentum", "polyak"}
# Methods whose second network follows the first as a moving average: BYOL, MoCo.
FOLLOWERS = (
    (re.compile(r"(?<![a-z])target(?![a-z])"), "online"),
    (re.compile(r"(?<![a-z])(encoder|model|backbone|net)_k(?![a-z])"), r"\1_q"),
    (re.compile(r"(?<![a-z])(encoder|model|backbone|net)_key(?![a-z])"), r"\1_query"),
)
# What wrappers put into names, wherever the wrapped part lies.
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}


def named_tensors(saved: Any, path: Path) -> State:
    """All tensors of what was saved by their dotted names, as "teacher.module.backbone.conv1.weight".

    Args:
        saved: as :func:`harsanyi.models.loading.inert.read_saved` returns it.
        path: of the file, for messages.

    Returns:
        the tensors in the order of the file; those of optimisers are left out.

    Raises:
        ValueError: containers are nested too deeply, hold themselves, or two tensors have one name.
    """
    tensors: State = {}
    for name, tensor in _walk(saved, path):
        if _form(tensor):
            continue
        if name in tensors:
            raise ValueError(f"{path} has two tensors that are both called {name}: save the weights alone")
        tensors[name] = tensor.detach()
    return tensors


def _walk(saved: Any, path: Path) -> Iterator[tuple[str, Tensor]]:
    stack: list[tuple[str, Any, int]] = [("", saved, 0)]
    items = 0
    while stack:
        name, value, depth = stack.pop()
        items += 1
        if depth > MAX_DEPTH or items > MAX_ITEMS or len(name) > MAX_NAME:
            raise ValueError(
                f"{path} nests its containers more than {MAX_DEPTH} deep, holds itself, has more than "
                f"{MAX_ITEMS} of them and tensors, or names of {MAX_NAME} letters: save the weights alone"
            )
        if isinstance(value, Tensor):
            if name:
                yield name, value
            continue
        inner = [(_joined(name, key), item, depth + 1) for key, item in _items(value)]
        stack += reversed(inner)


def unread_tensors(saved: Any, path: Path) -> dict[str, str]:
    """The tensors that `named_tensors` leaves out for their form, by dotted names, with the form in a word.

    Args:
        saved, path: as for `named_tensors`.
    """
    return {name: form for name, tensor in _walk(saved, path) if (form := _form(tensor))}


def _form(tensor: Tensor) -> str:
    """In what form a tensor holds its numbers, where they are not plain; else empty."""
    if tensor.is_meta:
        return "meta"
    if tensor.is_quantized:
        return "quantised"
    if tensor.is_nested:
        return "nested"
    return "sparse" if tensor.layout != torch.strided else ""


def starts(name: str) -> list[int]:
    """Where the pieces of a dotted name begin.

    >>> starts("net.fc.weight")
    [0, 4, 7]
    """
    return [0, *(match.end() for match in re.finditer(r"\.", name))]


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    """The items of a container with their names; none of an optimiser's."""
    if isinstance(value, list | tuple):
        return [(str(place), item) for place, item in enumerate(value) if isinstance(item, CONTAINERS)]
    if not isinstance(value, Mapping) or ("param_groups" in value and "state" in value):
        return []
    named = [(_name(key), item) for key, item in value.items()]
    return [
        (key, item)
        for key, item in named
        if key is not None
        and isinstance(item, CONTAINERS)
        and (isinstance(item, Tensor) or is_of_weights(key))
    ]


def _name(key: Any) -> str | None:
    if isinstance(key, bytes):  # strings of Python 2
        return key.decode("utf-8", "replace")
    if isinstance(key, int) and abs(key) < 2**63:
        return str(key)
    return key if isinstance(key, str) else None


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def below(names: Iterable[str], key: str) -> list[str]:
    """The names that lie below a key: from the beginning of the names, else wherever it is in them.

    >>> below(["state_dict.net.fc.weight", "state_dict.ema.fc.weight"], "net")
    ['state_dict.net.fc.weight']
    """
    names = list(names)
    key = key.strip(".")
    for pattern in (rf"{re.escape(key)}\.", rf"(.*\.)?{re.escape(key)}\."):
        if chosen := [name for name in names if re.match(pattern, name) or name == key]:
            return chosen
    bare_key = bare(key)
    return [name for name in names if f".{bare(name)}".find(f".{bare_key}.") >= 0] if bare_key else []


def is_of_weights(prefix: str) -> bool:
    """Whether no piece of a dotted prefix says that an optimiser's tensors lie below it.

    >>> is_of_weights("state_dict.net"), is_of_weights("optimizer.exp_avg")
    (True, False)
    """
    return not any(NOT_WEIGHTS.search(piece) for piece in prefix.split("."))


def bare(name: str, wrappers: frozenset[str] | set[str] = WRAPPERS) -> str:
    """A name without what torch.compile, FSDP and activation checkpoints put into it.

    >>> bare("_orig_mod.layer1._checkpoint_wrapped_module.conv1.weight")
    'layer1.conv1.weight'
    """
    return ".".join(piece for piece in name.split(".") if piece not in wrappers)


def averaged(names: Iterable[str]) -> set[str]:
    """Those of the names that lie in a moving average of the weights: below "ema", beside "n_averaged", …

    >>> sorted(averaged(["net.fc.weight", "model_ema.fc.weight", "swa.n_averaged", "swa.module.fc.weight"]))
    ['model_ema.fc.weight', 'swa.module.fc.weight', 'swa.n_averaged']
    """
    names = list(names)
    places = set(names)
    counted = {name.removesuffix("n_averaged") for name in names if name.endswith("n_averaged")}
    return {
        name
        for name in names
        if is_averaged(name.rpartition(".")[0])
        or (counted and any(name[:start] in counted for start in starts(name)))
        or _followed(name) in places
    }


def is_averaged(prefix: str) -> bool:
    """Whether a word of the prefix says that the weights below it are a moving average."""
    return not AVERAGED.isdisjoint(re.split(r"[^a-z]+", prefix.lower()))


def _followed(name: str) -> str | None:
    """The name of the same tensor in the network that a moving average follows; None for other names."""
    names = (pattern.sub(followed, name) for pattern, followed in FOLLOWERS)
    return next((followed for followed in names if followed != name), None)
