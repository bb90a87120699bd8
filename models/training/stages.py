"""Stages of a network, which training can freeze or reset, and the ladder of such choices."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

from torch import Tensor, nn

from harsanyi.models.loading.networks import Network, load

Modules = dict[str, nn.Module]


@dataclass(frozen=True)
class Stage:
    """A part of a network.

    Attributes:
        name: as :class:`harsanyi.models.Recipe` takes it.
        modules: the dotted names of its modules, and of weights outside them (a class token, say).

    >>> Stage("stem", ("conv1", "bn1")).holds("bn1.running_mean")
    True
    """

    name: str
    modules: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Whether the weight or buffer of this dotted name is in the stage."""
        return any(name == module or name.startswith(f"{module}.") for module in self.modules)


def stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network in order of definition, the head last; each weight and buffer is in one.

    A stage is a child of the model that holds weights. A child around the head is opened into its own
    children. So is one that is at least twice as deep, in levels of modules, as each other child, down to the
    blocks of a list: an encoder becomes its layers. Single layers next to each other are one stage if there
    are blocks (the first is called "stem"), and a stage each if there are none. Norms and loose weights join
    the stage before them, or else the next; those between the last block and the head join the head.

    >>> [stage.name for stage in stages(load("small:resnet20", "random"))]
    ['stem', 'layer1', 'layer2', 'layer3', 'head']
    """
    network.require_head()
    head = network.head or ""
    modules = dict(network.model.named_modules(remove_duplicate=False))
    body = [part for part in _parts(modules, head) if part != head]
    groups, at_head = _grouped(modules, body)
    names = _names(modules, groups)
    last = head if "head" in names else "head"
    parts = (
        *(Stage(name, tuple(group)) for name, group in zip(names, groups, strict=True)),
        Stage(last, (*at_head, head)),
    )
    for name, _ in chain(network.model.named_parameters(), network.model.named_buffers()):
        assert sum(stage.holds(name) for stage in parts) == 1, name
    assert len({stage.name for stage in parts}) == len(parts)
    return parts


def find_stages(network: Network, names: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of these names, in forward order.

    Raises:
        ValueError: the network has no stage of a name; the message lists its stages.

    >>> find_stages(load("small:cnn", "random"), ["hidden", "conv1"])
    (Stage(name='conv1', modules=('conv1',)), Stage(name='hidden', modules=('hidden',)))
    """
    known = stages(network) if names else ()
    if isinstance(names, str) or not set(names) <= {stage.name for stage in known}:
        raise ValueError(
            f"expected a list of stages of {network.name}, of {[stage.name for stage in known]}, "
            f"but got {names!r}"
        )
    return tuple(stage for stage in known if stage.name in names)


def ladder(network: Network) -> dict[str, dict[str, Any]]:
    """The rungs of the freezing ladder, each the fields it sets of a :class:`harsanyi.models.Recipe`.

    "free" trains everything. "freeze k" keeps the first k stages as they are, "freeze all" all but the head:
    a linear probe, with the last norm where that joins the head. "reset k" gives random weights to the last k
    stages below the head, "reset all" to all of them. The head is the network's on every rung.

    >>> for rung, fields in ladder(load("small:cnn", "random")).items():
    ...     print(rung, fields)
    free {}
    freeze 1 {'frozen': ('conv1',)}
    freeze 2 {'frozen': ('conv1', 'conv2')}
    freeze all {'frozen': ('conv1', 'conv2', 'hidden')}
    reset 1 {'reset': ('hidden',)}
    reset 2 {'reset': ('conv2', 'hidden')}
    reset all {'reset': ('conv1', 'conv2', 'hidden')}
    """
    body = tuple(stage.name for stage in stages(network)[:-1])
    counts = {"all" if k == len(body) else str(k): k for k in range(1, len(body) + 1)}
    frozen = {f"freeze {name}": {"frozen": body[:k]} for name, k in counts.items()}
    reset = {f"reset {name}": {"reset": body[-k:]} for name, k in counts.items()}
    return {"free": {}, **frozen, **reset}


def freeze_stages(network: Network, names: Sequence[str]) -> None:
    """Freeze stages in place: no gradients for their weights, and eval mode, which stops batch norms.

    ``model.train()`` ends the eval mode: freeze again after it.

    Raises:
        ValueError: there is no such stage, or one shares a weight with a stage that is not named.

    >>> network = load("small:cnn", "random")
    >>> freeze_stages(network, ["conv1"])
    >>> network.model.conv1.weight.requires_grad, network.model.conv2.weight.requires_grad
    (False, True)
    """
    modules = dict(network.model.named_modules(remove_duplicate=False))
    for tensor in _tensors_of(network, names).values():
        if isinstance(tensor, nn.Parameter):
            tensor.requires_grad_(False)
    for part in chain(*(stage.modules for stage in find_stages(network, names))):
        if part in modules:
            modules[part].eval()


def reset_stages(network: Network, names: Sequence[str], seed: int = 0) -> Network:
    """Give stages the weights and buffers of ``load(network.name, "random", seed=seed)``.

    The whole architecture is built again. ``reset_parameters`` of each layer would not do: a network
    initialises its residual branches and tokens itself, when it is built.

    Args:
        network: stays as it is.
        names: of the stages.
        seed: of the random weights.

    Returns:
        a copy of the network with the new weights.

    Raises:
        ValueError: there is no such stage, one shares a weight with a stage that is not named, or the network
            is not what its name builds.

    >>> network = load("small:cnn", "random", seed=1)
    >>> fresh = reset_stages(network, ["conv2"], seed=0).model
    >>> bool((fresh.conv2.weight == load("small:cnn", "random", seed=0).model.conv2.weight).all())
    True
    >>> bool((fresh.conv1.weight == network.model.conv1.weight).all())
    True
    """
    settings = network.preprocessing
    random = load(network.name, "random", classes=network.classes, seed=seed, preprocessing=settings)
    model = copy.deepcopy(network.model)
    weights, random_weights = model.state_dict(), random.model.state_dict()
    names_to_reset = [name for name in _tensors_of(network, names) if name in weights]
    for name in names_to_reset:
        if name not in random_weights or random_weights[name].shape != weights[name].shape:
            raise ValueError(
                f"{network.name} builds no {name} of shape {tuple(weights[name].shape)}: to reset stages, "
                "load the network by the name of its own architecture"
            )
    model.load_state_dict({name: random_weights[name] for name in names_to_reset}, strict=False)
    return replace(network, model=model)


def _tensors_of(network: Network, names: Sequence[str]) -> dict[str, Tensor]:
    """The weights and buffers of stages; refuses tensors that another stage shares."""
    model, chosen = network.model, find_stages(network, names)
    if not chosen:
        return {}
    rest = [stage for stage in stages(network) if stage not in chosen]
    tensors: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    inside = {name: tensor for name, tensor in tensors.items() if any(stage.holds(name) for stage in chosen)}
    ids = {id(tensor) for tensor in inside.values()}
    for stage in rest:
        shared = [name for name in tensors if stage.holds(name) and id(tensors[name]) in ids]
        if shared:
            raise ValueError(
                f"stage {stage.name} shares {shared[0]} with {[part.name for part in chosen]}: "
                "name all stages that share a weight, or none"
            )
    return inside


def _parts(modules: Modules, head: str) -> list[str]:
    """The dotted names of the model's parts, wrappers opened."""
    parts = _children(modules, "")
    while (wrapper := _wrapper(modules, parts, head)) is not None:
        at = parts.index(wrapper)
        parts[at : at + 1] = _children(modules, wrapper)
    return parts


def _children(modules: Modules, path: str) -> list[str]:
    """What a module holds itself, then its children that hold weights or buffers."""
    module = modules[path]
    tensors = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    children = [name for name, child in module.named_children() if _has_tensors(child)]
    return [f"{path}.{name}".removeprefix(".") for name in (*(name for name, _ in tensors), *children)]


def _wrapper(modules: Modules, parts: list[str], head: str) -> str | None:
    """The part to open next: the one around the head, or the one that is far deeper than the others."""
    for part in parts:
        if head.startswith(f"{part}."):
            return part
    *rest, (deepest, part) = sorted((_depth(modules.get(part)), part) for part in parts)
    parent = part.rpartition(".")[0]
    is_block = bool(parent) and isinstance(modules[parent], nn.Sequential | nn.ModuleList)
    if deepest == 0 or is_block or (rest and deepest < 2 * rest[-1][0]):
        return None
    return part


def _depth(module: nn.Module | None) -> int:
    """The levels of modules with weights below a module; a weight of its own (None) has none."""
    children = [child for child in module.children() if _has_tensors(child)] if module is not None else []
    return max((1 + _depth(child) for child in children), default=0)


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in chain(module.parameters(), module.buffers()))


def _kind(module: nn.Module | None) -> Literal["block", "layer", "small"]:
    """Small are norms, whose weights are vectors, and weights outside modules."""
    if _depth(module):
        return "block"
    return "layer" if module is not None and any(p.ndim > 1 for p in module.parameters()) else "small"


def _grouped(modules: Modules, body: list[str]) -> tuple[list[list[str]], list[str]]:
    """The parts of each stage below the head, and the small parts that join the head."""
    kinds = {part: _kind(modules.get(part)) for part in body}
    end = len(body)
    while end and kinds[body[end - 1]] == "small":
        end -= 1
    if end and kinds[body[end - 1]] == "layer":
        end = len(body)
    groups: list[list[str]] = []
    before = "small"
    for part in body[:end]:
        kind = kinds[part]
        layers = kind == before == "layer" and "block" in kinds.values()
        if groups and (layers or "small" in (kind, before)):
            groups[-1].append(part)
        else:
            groups.append([part])
        before = before if kind == "small" else kind
    return groups, body[end:]


def _names(modules: Modules, groups: list[list[str]]) -> list[str]:
    """Short names ("stem", "layer1", "blocks 0"), or dotted ones where two short ones are alike."""
    kinds = [[_kind(modules.get(part)) for part in group] for group in groups]
    main = [
        next(part for part, kind in zip(*pair, strict=True) if kind != "small")
        for pair in zip(groups, kinds, strict=True)
    ]
    short = [_short_name(part) for part in main]
    if "stem" not in short and "block" not in chain(*kinds[:1]) and any("block" in kind for kind in kinds):
        short[0] = "stem"
    all_names = [*short, "head"]
    return [name if all_names.count(name) == 1 else part for name, part in zip(short, main, strict=True)]


def _short_name(part: str) -> str:
    parent, _, last = part.rpartition(".")
    return f"{parent.rpartition('.')[2]} {last}" if parent and last.isdigit() else last
